//! `frcopy demo`: the main job on this machine, each step as it happens, with the code of `frcopy copy`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::api::version::ApiVersion;
use crate::auth::{Credential, Key};
use crate::copy::{CopyOptions, Event, Plan, Report, copy};
use crate::emulator::{Collection, EmulatedResource, Emulator, Options, ServedRequest};
use crate::model::Kind;
use crate::resource::{Resource, Side, TargetAddress};
use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;

use super::{exit_code, report};

/// Long enough to see the service at work, short enough to wait for.
const OPERATION_TIME: Duration = Duration::from_millis(1500);

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let step = Arc::new(Mutex::new("look"));
    super::runtime()?.block_on(async {
        let options = Options { operation_time: OPERATION_TIME, ..Options::default() };
        let shown = Arc::clone(&step);
        let emulator = Emulator::start(&options, Arc::new(move |served| show(*lock(&shown), served)))
            .await
            .context("the emulator cannot listen on this machine")?;
        let [source, target] = emulator.resources() else { return Err(anyhow!("the emulator has not two resources")) };
        say("Two resources on this machine stand in for two in Azure:\n");
        for EmulatedResource { name, endpoint, region, .. } in [source, target] {
            say(&format!("  {name}  {endpoint}  {region}"));
        }
        for (title, version, collection) in [
            (
                "A v2.1 model. The target names the copy; the source must be told where the target is.",
                ApiVersion::oldest(),
                Collection::CustomModels,
            ),
            (
                "A v4.0 model. It keeps its id, its description and its tags.",
                ApiVersion::newest(),
                Collection::DocumentModels,
            ),
        ] {
            let suffix = format!("{version}-1");
            let ids = emulator.ids(0, collection);
            let id = ids
                .iter()
                .find(|id| collection == Collection::CustomModels || id.ends_with(&suffix))
                .context("the source is empty")?;
            let plan = plan(source, target, id, version)?;
            say(&format!("\n{title}\n\n  $ frcopy copy {id}\n"));
            let observer = |event: Event<'_>| advance(&step, &event);
            let outcome = copy(&plan, &observer, &CancellationToken::new()).await;
            if let Err(error) = &outcome.result {
                report::error(error);
                return Ok(exit_code::of([error], None));
            }
            say(&format!("\n  {}", verdict(&outcome)));
            *lock(&step) = "look";
        }
        say(WITH_YOUR_OWN);
        Ok(ExitCode::SUCCESS)
    })
}

const WITH_YOUR_OWN: &str = "
Now with your own resources (the README says where each value is found):

  export FRCOPY_SOURCE_ENDPOINT=https://….cognitiveservices.azure.com  FRCOPY_SOURCE_KEY=…
  export FRCOPY_TARGET_ENDPOINT=https://….cognitiveservices.azure.com  FRCOPY_TARGET_KEY=…
  frcopy copy MODEL_ID

For a v2.1 model also:

  export FRCOPY_TARGET_RESOURCE_ID=/subscriptions/…/accounts/…  FRCOPY_TARGET_REGION=westus2

To rehearse with scripts of your own: frcopy emulator";

fn plan(source: &EmulatedResource, target: &EmulatedResource, id: &str, version: ApiVersion) -> anyhow::Result<Plan> {
    let resource = |side, emulated: &EmulatedResource| -> anyhow::Result<Resource> {
        let key = Key::new(&emulated.key.as_str().into())?;
        Ok(Resource::new(side, emulated.endpoint.parse()?, Credential::Key(key)))
    };
    let address = TargetAddress { resource_id: target.resource_id.parse()?, region: target.region.parse()? };
    let options = CopyOptions {
        api_version: Some(version),
        target_address: Some(address),
        timeout: Duration::from_secs(60),
        ..CopyOptions::new(resource(Side::Source, source)?, resource(Side::Target, target)?)
    };
    Ok(Plan { options: Rc::new(options), model_id: id.parse()?, kind: Some(Kind::Model), target_model_id: None })
}

/// The step that the next request belongs to.
fn advance(step: &Mutex<&'static str>, event: &Event<'_>) {
    let next = match event {
        Event::Preflight => "look",
        Event::Found { .. } => "authorize",
        Event::Authorized { .. } => "start",
        Event::Started { .. } => "follow",
        Event::Verifying => "verify",
        _ => return,
    };
    *lock(step) = next;
}

fn show(step: &str, served: &ServedRequest) {
    let ServedRequest { resource, method, path, status, .. } = served;
    say(&format!("  {step:<9}  {resource}  {method:<4}  {path}  {status}"));
}

fn verdict(outcome: &Report) -> String {
    let report = outcome;
    let id = report.target_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("The copy {id} is there and ready, {:.1} s after the command.", report.elapsed.as_secs_f64())
}

/// A reader that has gone away wanted no more.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
