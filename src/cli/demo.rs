//! `frcopy demo`: copies two models between two emulated resources, and prints each request.

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

use super::json::print_line as say;
use super::{console, exit_code, runner, screen};

/// How long a copy takes: long enough to see the polls.
const OPERATION_TIME: Duration = Duration::from_millis(1500);

/// How much of a path is kept at its start.
const START_OF_PATH: usize = 10;
/// The least columns for a path, on a narrow terminal.
const SHORTEST_PATH: usize = 24;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let step = Arc::new(Mutex::new("read"));
    runner::runtime()?.block_on(async {
        let options = Options { operation_time: OPERATION_TIME, ..Options::default() };
        let shown = Arc::clone(&step);
        let emulator = Emulator::start(&options, Arc::new(move |served| show(*lock(&shown), served)))
            .await
            .context("the emulator cannot listen on this machine")?;
        let [source, target] = emulator.resources() else {
            return Err(anyhow!("the emulator does not have two resources"));
        };
        say("Two emulated resources on this machine:\n");
        for EmulatedResource { name, endpoint, region, .. } in [source, target] {
            say(&format!("  {name}  {endpoint}  {region}"));
        }
        for (title, version, collection) in [
            (
                "A v2.1 model. The target chooses the id; the start names the target's address.",
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
            let report = copy(&plan, &observer, &CancellationToken::new()).await;
            if let Err(error) = &report.result {
                console::error(error);
                return Ok(exit_code::from_errors([error], None));
            }
            say(&format!("\n  {}", verdict(&report)));
            *lock(&step) = "read";
        }
        say(WITH_YOUR_OWN);
        Ok(ExitCode::SUCCESS)
    })
}

const WITH_YOUR_OWN: &str = "
With your own resources (frcopy help environment explains each variable):

  export FRCOPY_SOURCE_ENDPOINT=https://….cognitiveservices.azure.com
  export FRCOPY_SOURCE_KEY=…
  export FRCOPY_TARGET_ENDPOINT=https://….cognitiveservices.azure.com
  export FRCOPY_TARGET_KEY=…
  frcopy copy MODEL_ID

For a v2.1 model also:

  export FRCOPY_TARGET_RESOURCE_ID=/subscriptions/…/accounts/…
  export FRCOPY_TARGET_REGION=westus2

To test your own scripts: frcopy emulator";

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

/// Stores the step that the next request belongs to.
fn advance(step: &Mutex<&'static str>, event: &Event<'_>) {
    let next = match event {
        Event::Preflight => "read",
        Event::Found { .. } => "authorize",
        Event::Authorized { .. } => "start",
        Event::Started { .. } => "poll",
        Event::Verifying => "verify",
        _ => return,
    };
    *lock(step) = next;
}

fn show(step: &str, served: &ServedRequest) {
    let ServedRequest { resource, method, path, status, .. } = served;
    let [start, end] = [format!("  {step:<9}  {resource}  {method:<4}  "), format!("  {status}")];
    // In a pipe, the path is whole.
    let width = screen::stdout_width().unwrap_or(usize::MAX);
    let path = shortened(path, width.saturating_sub(start.len() + end.len() + 1));
    say(&format!("{start}{path}{end}"));
}

/// A path in so many columns: if it is longer, without its query, and if need be without a part behind its start. Paths are
/// ASCII.
fn shortened(path: &str, columns: usize) -> String {
    if path.len() <= columns {
        return path.to_owned();
    }
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    let left_out = (path.len() + 1).saturating_sub(columns.max(SHORTEST_PATH));
    match (path.get(..START_OF_PATH), path.get(START_OF_PATH + left_out..)) {
        (Some(start), Some(end)) if left_out > 1 => format!("{start}…{end}"),
        _ => path.to_owned(),
    }
}

fn verdict(report: &Report) -> String {
    let id = report.target_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("The copy {id} is ready after {:.1} s.", report.elapsed.as_secs_f64())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_path_that_is_too_long_lacks_its_query_and_then_a_part_behind_its_start() {
        let path = "/documentintelligence/documentModels:authorizeCopy?api-version=2024-11-30";
        let without_query = "/documentintelligence/documentModels:authorizeCopy";
        for (columns, shown) in [
            (usize::MAX, path),
            (path.len(), path),
            (path.len() - 1, without_query),
            (without_query.len(), without_query),
            (40, "/documenti…/documentModels:authorizeCopy"),
            (0, "/documenti…authorizeCopy"),
        ] {
            let result = shortened(path, columns);
            assert_eq!(result, shown, "{columns}");
        }
        assert_eq!(shortened("/x", 1), "/x");
    }
}
