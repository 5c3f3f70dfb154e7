//! `frcopy emulator`: runs emulated resources on this machine until a signal arrives.
#![expect(clippy::doc_markdown, reason = "these comments are the help text, which is read on a terminal")]

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use crate::emulator::{Collection, EmulatedResource, Emulator, FAULTS, Fault, Options, ServedRequest, Tier};
use crate::error::Error;
use anyhow::Context;
use clap::{Args, ValueEnum};

use super::input::parse_pause;
use super::{console, json, runner};

/// Runs two or more emulated resources on this machine, with the copy API of every version, until Ctrl-C.
///
/// The settings for a shell go to stdout, one line per request to stderr. The resources listen on the loopback address
/// only and keep nothing after they stop. Any client that takes an endpoint and a key over http can use them.
///
/// They follow the rules of the service: an authorization is used up by the first copy and is valid for 24 hours (v2.1)
/// or one hour; an unused one reserves its id; a wrong pair of resource id and region is accepted and the copy fails; a
/// rate-limited resource names the time of the next try. Two rules of the service are not documented, and chosen here:
/// the deletion of a reserved id frees it, and so does the expiry of its authorization.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EmulatorArgs {
    /// Number of resources: source, target, resource3 and so on
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    resources: u8,

    /// Port of the first resource, the others follow; 0 for free ports
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,

    /// Shell that the settings are printed for
    #[arg(long, value_enum, default_value_t = Shell::Bash)]
    shell: Shell,

    /// Number of models of each version, and of classifiers, on the source
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=1000))]
    models: u16,

    /// Duration of a copy
    #[arg(long, value_name = "DURATION", default_value = "2s", allow_hyphen_values = true)]
    operation_time: String,

    /// Delay of each response
    #[arg(long, value_name = "DURATION", default_value = "0s", allow_hyphen_values = true)]
    latency: String,

    /// Rate limits of each resource
    #[arg(long, value_enum, default_value_t = TierArg::Unlimited)]
    tier: TierArg,

    /// Let the next copy fail with this error of the service, such as 2024 or ModelExists
    #[arg(long, value_name = "CODE")]
    fail: Option<String>,

    /// Name of a resource with a customer-managed encryption key; repeatable
    #[arg(long, value_name = "NAME")]
    encrypted: Vec<String>,

    /// Maximum number of models of a resource, to test with a full target [default: the service's]
    #[arg(long, value_name = "N")]
    max_models: Option<usize>,
}

/// No line is longer than 72 characters: manual pages indent it, and fit into 80 columns.
const EXAMPLES: &str = "\
Examples:
  frcopy emulator

  Settings in a file; then in another shell: . ./settings.sh
  frcopy emulator --port 7071 > settings.sh

  Rate limits of the free tier:
  frcopy emulator --tier f0 --models 5

  A copy that fails:
  frcopy emulator --fail 2024

  A copy that needs --allow-degrade:
  frcopy emulator --encrypted source";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Powershell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TierArg {
    Unlimited,
    F0,
    S0,
}

pub(super) fn run(args: &EmulatorArgs) -> anyhow::Result<ExitCode> {
    let options = match options(args) {
        Ok(options) => options,
        Err(error) => return Ok(runner::refuse(&error)),
    };
    runner::runtime()?.block_on(async {
        let mut emulator = match Emulator::start(&options, Arc::new(log)).await {
            Ok(emulator) => emulator,
            Err(error) => {
                let remedy = "choose another --port, or leave it out for free ones";
                let error = Error::settings("the emulator cannot listen", remedy).with_source(error);
                return Ok(runner::refuse(&error));
            }
        };
        // Before the settings are printed: their reader may send a signal at once.
        let mut signals = runner::listen()?;
        json::print_line(&settings_for(args.shell, &emulator));
        console::line("ready; Ctrl-C stops it");
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
                format!("--fail {code:?} is not an error that the emulator knows"),
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
        operation_time: parse_pause("--operation-time", &args.operation_time)?,
        latency: parse_pause("--latency", &args.latency)?,
        tier: match args.tier {
            TierArg::Unlimited => Tier::Unlimited,
            TierArg::F0 => Tier::F0,
            TierArg::S0 => Tier::S0,
        },
        models: usize::from(args.models),
        fail: fail.transpose()?,
        encrypted: args.encrypted.clone(),
        max_models: args.max_models,
    })
}

/// The environment variables for a shell: the first two resources are source and target.
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
