//! `frcopy emulator`: prints what a shell needs, then a line for each request, until it is told to stop.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use crate::emulator::{Collection, EmulatedResource, Emulator, FAULTS, Fault, Options, ServedRequest, Tier};
use crate::error::Error;
use anyhow::Context;

use super::args::{EmulatorArgs, Shell, TierArg};
use super::signals::Signals;
use super::{report, settings};

pub(crate) fn run(args: &EmulatorArgs) -> anyhow::Result<ExitCode> {
    let options = match options(args) {
        Ok(options) => options,
        Err(error) => return Ok(super::refuse(&error)),
    };
    super::runtime()?.block_on(async {
        let mut emulator = match Emulator::start(&options, Arc::new(log)).await {
            Ok(emulator) => emulator,
            Err(error) => {
                let remedy = "choose another --port, or leave it out for free ones";
                let error = Error::settings("the emulator cannot listen", remedy).with_source(error);
                return Ok(super::refuse(&error));
            }
        };
        // Whoever reads the settings may end the emulator at once.
        let mut signals = Signals::listen().context("signals cannot be waited for")?;
        report::result(&settings_for(args.shell, &emulator));
        report::say("ready; Ctrl-C ends it");
        tokio::select! {
            ended = emulator.run() => ended.context("the emulator has stopped").map(|()| ExitCode::SUCCESS),
            _ = signals.next() => Ok(ExitCode::SUCCESS),
        }
    })
}

fn options(args: &EmulatorArgs) -> Result<Options, Error> {
    let resources = usize::from(args.resources);
    let fail = args.fail.as_deref().map(|code| {
        Fault::find(code).ok_or_else(|| {
            let known: Vec<_> = FAULTS.iter().map(|fault| fault.code).collect();
            Error::settings(
                format!("--fail {code:?} is not an error that can be ordered"),
                format!("choose one of {}", known.join(", ")),
            )
        })
    });
    let names: Vec<_> = (0..resources).map(crate::emulator::resource_name).collect();
    if let Some(unknown) = args.encrypted.iter().find(|name| !names.contains(name)) {
        let what = format!("--encrypted {unknown:?} is not the name of a resource");
        return Err(Error::settings(what, format!("choose from {}", names.join(", "))));
    }
    Ok(Options {
        resources,
        port: args.port,
        operation_time: settings::parse_pause("--operation-time", &args.operation_time)?,
        latency: settings::parse_pause("--latency", &args.latency)?,
        tier: match args.tier {
            TierArg::Unlimited => Tier::Unlimited,
            TierArg::F0 => Tier::F0,
            TierArg::S0 => Tier::S0,
        },
        models: usize::from(args.models),
        fail: fail.transpose()?,
        encrypted: args.encrypted.clone(),
        max_models: args.most_models,
    })
}

/// What to paste into a shell: the first two resources as source and target, and how to reach the others.
fn settings_for(shell: Shell, emulator: &Emulator) -> String {
    let mut lines = Vec::new();
    for resource in emulator.resources() {
        let EmulatedResource { name, endpoint, key, resource_id, region } = resource;
        let prefix = format!("FRCOPY_{}", name.to_uppercase());
        let mut variables = vec![("ENDPOINT", endpoint), ("KEY", key)];
        if name != "source" {
            variables.extend([("RESOURCE_ID", resource_id), ("REGION", region)]);
        }
        lines.extend(variables.into_iter().map(|(variable, value)| match shell {
            Shell::Bash => format!("export {prefix}_{variable}='{value}'"),
            Shell::Powershell => format!("$env:{prefix}_{variable} = '{value}'"),
        }));
    }
    for (collection, what) in [
        (Collection::CustomModels, "v2.1 models"),
        (Collection::DocumentModels, "models of v3.0 and later"),
        (Collection::DocumentClassifiers, "classifiers"),
    ] {
        let ids = emulator.ids(0, collection);
        let shown: Vec<_> = ids.iter().take(6).map(String::as_str).collect();
        let more =
            if ids.len() > shown.len() { format!(" and {} more", ids.len() - shown.len()) } else { String::new() };
        if !ids.is_empty() {
            lines.push(format!("# source has the {what} {}{more}", shown.join(", ")));
        }
    }
    lines.join("\n")
}

fn log(served: &ServedRequest) {
    let ServedRequest { resource, method, path, status, took } = served;
    let _ = writeln!(io::stderr(), "{resource:<8} {method:<6} {path} {status} {took:.0?}");
}
