//! `frcopy emulator`: runs emulated resources on this machine until a signal arrives.
#![expect(clippy::doc_markdown, reason = "these comments are the help text, which is read on a terminal")]

mod authority_file;
mod config_file;
mod faults;
mod generated_file;
mod settings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::emulator::{AnswerTo, Emulator, FAULTS, Fault, OnRequest, Options, ServedRequest, Tier};
use crate::error::Error;
use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, ValueEnum};

use super::input::parse_pause;
use super::{console, json, runner};
use authority_file::AuthorityFile;
use config_file::ConfigFile;
use faults::{Resources, check_name, parse_clock_skew, parse_outage, parse_resources};
use generated_file::GeneratedFile;
use settings::{Settings, Shell};

/// The option for the file that says when the resources listen.
const READY_FILE: &str = "--ready-file";

/// Runs emulated resources on this machine, two by default, with the copy and analyze calls of every version, until Ctrl-C.
///
/// The settings for a shell go to stdout, one line per request to stderr. With --ready-file, both are left out, so that a
/// script can start it in the background. The resources listen on the loopback address
/// only and keep nothing after they stop. Any client that takes an endpoint and a key over http can use them.
///
/// They follow the rules of the service: an authorization is used up by the first copy and is valid for 24 hours (v2.1)
/// or one hour; an unused one reserves its id; a wrong pair of resource id and region is accepted and the copy fails; a
/// rate-limited resource names the time of the next try. Two rules of the service are not documented, and chosen here:
/// the deletion of a reserved id frees it, and so does the expiry of its authorization.
///
/// A model can analyze a document, whose content is not looked at: what it reads is computed from the training of the model
/// and the bytes of the document. So a copy reads the same, and a model that was trained again does not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EmulatorArgs {
    /// Number of resources (source, target, resource3 and so on), or their names, such as east,west,europe
    #[arg(long, value_name = "N|NAME,...", default_value = "2", value_parser = parse_resources)]
    resources: Resources,

    /// Port of the first resource, the others follow; 0 for free ports
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,

    /// Speak TLS; the settings name a file with the certificate that clients must trust, for as long as it runs
    #[arg(long)]
    tls: bool,

    /// Access token that every resource accepts besides its key, like that of a user with a role on each of them
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    token: Option<String>,

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
    #[arg(long, visible_alias = "slow", value_name = "DURATION", default_value = "0s", allow_hyphen_values = true)]
    latency: String,

    /// Most that is added to each delay, at random
    #[arg(long, value_name = "DURATION", default_value = "0s", allow_hyphen_values = true)]
    jitter: String,

    /// Rate limits of each resource
    #[arg(long, value_enum, default_value_t = TierArg::Unlimited)]
    tier: TierArg,

    /// Let the next copy fail with this error of the service, such as 2024 or ModelExists
    #[arg(long, value_name = "CODE")]
    fail: Option<String>,

    /// Resource that closes each connection, and when, such as source@10s..40s, or source@while=FILE: as long as the file
    /// exists; repeatable
    #[arg(long, value_name = "NAME[@FROM..TO]", help_heading = "Outages")]
    down: Vec<String>,

    /// Resource that accepts requests and never answers them, and when; repeatable
    #[arg(long, value_name = "NAME[@FROM..TO]", help_heading = "Outages")]
    hang: Vec<String>,

    /// Carry out the next of these calls, and close the connection without an answer; start,start loses two
    #[arg(long, value_enum, value_name = "CALL,...", value_delimiter = ',', help_heading = "Outages")]
    lose_answers: Vec<AnswerArg>,

    /// Difference of the clock of one resource, or of all, to the true time, such as target=-5m; repeatable
    #[arg(long, value_name = "[NAME=]DURATION", allow_hyphen_values = true, help_heading = "Outages")]
    clock_skew: Vec<String>,

    /// What has expired: each authorization when it is issued, the models that have an expiration date, or both
    #[arg(
        long,
        value_enum,
        value_name = "WHAT,...",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "authorizations",
        help_heading = "Outages"
    )]
    expired: Vec<ExpiredArg>,

    /// Name of a resource with a customer-managed encryption key; repeatable
    #[arg(long, value_name = "NAME")]
    encrypted: Vec<String>,

    /// Maximum number of models of a resource, to test with a full target [default: the service's]
    #[arg(long, value_name = "N")]
    max_models: Option<usize>,

    /// File for the settings, which appears when the resources listen; nothing is printed then, except errors
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    ready_file: Option<PathBuf>,

    /// Configuration file with the names of the resources, for --config or FRCOPY_CONFIG, and files with the keys beside
    /// it; removed when the emulator stops. A file that no emulator has written is not replaced
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    write_config: Option<PathBuf>,

    /// One line per request on stderr, also with --ready-file
    #[arg(short, long, action = ArgAction::SetTrue, help_heading = "Output")]
    verbose: bool,
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
  frcopy emulator --encrypted source

  In the background of a script:
  frcopy emulator --ready-file ready.sh &
  until [ -e ready.sh ]; do sleep 0.1; done; . ./ready.sh

  Three resources with names; then frcopy copy --from east --to west
  frcopy emulator --resources east,west,north --write-config lab.toml

  Over TLS, for clients that refuse http:
  frcopy emulator --tls

  A token instead of keys; with these settings, in another shell:
  FRCOPY_SOURCE_AUTH=entra FRCOPY_SOURCE_TOKEN=lab frcopy list source
  frcopy emulator --token lab

  A source that fails for half a minute, a start whose answer is lost:
  frcopy emulator --down source@10s..40s --lose-answers start";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TierArg {
    /// None
    Unlimited,
    /// The free tier: one request per second
    F0,
    /// The standard tier: 5 starts, 10 lists and 50 reads per second
    S0,
    /// Four times the limits of S0, as Azure's support raises them
    S0Raised,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnswerArg {
    Authorize,
    Start,
    Poll,
    Read,
    List,
    Delete,
    Analyze,
    AnalyzeResult,
}

impl From<AnswerArg> for AnswerTo {
    fn from(arg: AnswerArg) -> Self {
        match arg {
            AnswerArg::Authorize => Self::Authorize,
            AnswerArg::Start => Self::Start,
            AnswerArg::Poll => Self::Poll,
            AnswerArg::Read => Self::Read,
            AnswerArg::List => Self::List,
            AnswerArg::Delete => Self::Delete,
            AnswerArg::Analyze => Self::Analyze,
            AnswerArg::AnalyzeResult => Self::AnalyzeResult,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExpiredArg {
    Authorizations,
    Models,
}

pub(super) fn run(args: &EmulatorArgs) -> anyhow::Result<ExitCode> {
    let options = match options(args) {
        Ok(options) => options,
        Err(error) => return Ok(runner::refuse(&error)),
    };
    runner::runtime()?.block_on(async {
        if let Err(error) = prepare_files(args) {
            return Ok(runner::refuse(&error));
        }
        let is_logged = args.verbose || args.ready_file.is_none();
        let on_request: OnRequest = if is_logged { Arc::new(log) } else { Arc::new(|_| {}) };
        let mut emulator = match Emulator::start(&options, on_request).await {
            Ok(emulator) => emulator,
            Err(error) => {
                let remedy = "choose another --port, or leave it out for free ones";
                let error = Error::settings("the emulator cannot listen", remedy).with_source(error);
                return Ok(runner::refuse(&error));
            }
        };
        if let Some(token) = &args.token {
            (0..emulator.resources().len()).for_each(|resource| emulator.accept_token(resource, token, usize::MAX));
        }
        // Before the settings are printed: their reader may send a signal at once.
        let mut signals = runner::listen()?;
        let authority = emulator.authority().map(AuthorityFile::write).transpose();
        let authority = authority.context("the certificate for TLS cannot be written")?;
        let files = match Files::write(args, &emulator, authority.as_ref()) {
            Ok(files) => files,
            Err(error) => return Ok(runner::refuse(&error)),
        };
        if files.ready.is_none() {
            json::print_line(&files.settings);
            console::line("ready; Ctrl-C stops it");
        }
        tokio::select! {
            ended = emulator.run() => ended.context("the emulator has stopped").map(|()| ExitCode::SUCCESS),
            _ = signals.next() => Ok(ExitCode::SUCCESS),
        }
    })
}

/// Checks that the files can be written that clients read, before the resources listen.
fn prepare_files(args: &EmulatorArgs) -> Result<(), Error> {
    if let Some(path) = &args.ready_file {
        GeneratedFile::prepare(READY_FILE, path)?;
    }
    match &args.write_config {
        Some(path) => ConfigFile::prepare(path, args.resources.names()),
        None => Ok(()),
    }
}

/// The settings, and the files that clients read. They are removed when the value is dropped.
struct Files {
    settings: String,
    ready: Option<GeneratedFile>,
    _config: Option<ConfigFile>,
}

impl Files {
    /// Writes the file of `--ready-file` last: its reader needs the others.
    fn write(args: &EmulatorArgs, emulator: &Emulator, authority: Option<&AuthorityFile>) -> Result<Self, Error> {
        let config =
            args.write_config.as_deref().map(|path| ConfigFile::write(path, emulator.resources())).transpose()?;
        let settings = Settings {
            shell: args.shell,
            emulator,
            are_named: matches!(args.resources, Resources::Names(_)),
            authority: authority.map(AuthorityFile::path),
            config: config.as_ref().map(ConfigFile::path),
        };
        let settings = settings.text();
        let write = |path: &PathBuf| GeneratedFile::write(READY_FILE, path, &settings);
        let ready = args.ready_file.as_ref().map(write).transpose()?;
        Ok(Self { settings, ready, _config: config })
    }
}

fn options(args: &EmulatorArgs) -> Result<Options, Error> {
    let fail = args.fail.as_deref().map(|code| {
        Fault::find(code).ok_or_else(|| {
            let known: Vec<_> = FAULTS.iter().map(|fault| fault.code).collect();
            Error::settings(
                format!("--fail {code:?} is not an error that the emulator knows"),
                format!("choose one of {}", known.join(", ")),
            )
        })
    });
    let (resources, names) = match &args.resources {
        Resources::Number(number) => (*number, Vec::new()),
        Resources::Names(names) => (names.len(), names.clone()),
    };
    let base = Options { resources, names, ..Options::default() };
    let names = base.resource_names();
    let outages = |option: &str, texts: &[String]| {
        texts.iter().map(|text| parse_outage(option, text, &names)).collect::<Result<Vec<_>, _>>()
    };
    let skews = args.clock_skew.iter().map(|text| parse_clock_skew(text, &names)).collect::<Result<Vec<_>, _>>()?;
    let encrypted = args.encrypted.iter().map(|name| check_name("--encrypted", name, &names));
    Ok(Options {
        port: args.port,
        operation_time: parse_pause("--operation-time", &args.operation_time)?,
        latency: parse_pause("--latency", &args.latency)?,
        tier: match args.tier {
            TierArg::Unlimited => Tier::Unlimited,
            TierArg::F0 => Tier::F0,
            TierArg::S0 => Tier::S0,
            TierArg::S0Raised => Tier::S0Raised,
        },
        models: usize::from(args.models),
        fail: fail.transpose()?,
        encrypted: encrypted.collect::<Result<_, _>>()?,
        max_models: args.max_models,
        jitter: parse_pause("--jitter", &args.jitter)?,
        down: outages("--down", &args.down)?,
        hang: outages("--hang", &args.hang)?,
        lose_answers: args.lose_answers.iter().copied().map(AnswerTo::from).collect(),
        clock_skew: skews.concat(),
        tls: args.tls,
        expired_authorizations: args.expired.contains(&ExpiredArg::Authorizations),
        expired_models: args.expired.contains(&ExpiredArg::Models),
        ..base
    })
}

fn log(served: &ServedRequest) {
    let ServedRequest { resource, method, path, status, took, is_lost } = served;
    let lost = if *is_lost { " not sent: the connection is closed" } else { "" };
    console::line(&format!("{resource:<8} {method:<6} {path} {status} {took:.0?}{lost}"));
}
