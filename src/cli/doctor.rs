//! `frcopy doctor`: checks the settings and the resources before a copy needs them.

use std::process::ExitCode;
use std::time::Duration;

use crate::client::CallContext;
use crate::doctor::{AccountQuery, Check, CheckResult, Finding, Subject, complete, endpoint_form, examine};
use crate::error::Error;
use crate::resource::{Endpoint, Side, TargetAddress};
use clap::{ArgAction, Args};

use super::args::Format;
use super::ci::Results;
use super::config::ConfigArgs;
use super::console::{self, Console, Verbosity};
use super::input::{Environment, parse, parse_timeout, process_environment};
use super::screen::stdout_width;
use super::side::{SideSettings, Sides, SourceArgs, TargetAddressArgs, TargetArgs, both_from_stdin};
use super::wrapping::wrapped;
use super::{ci, exit_code, json, runner};

/// The least columns for the details of a check, on a narrow terminal.
const LEAST_DETAILS: usize = 24;

/// Checks settings, network, authentication, API versions, room, tier, region and clock of each resource.
///
/// It only reads: nothing is authorized, copied or deleted. A resource is checked if a flag or a variable of it is given.
/// No read of the service shows the pricing tier, nor whether the resource id is the resource's own: the Azure CLI is
/// asked, where it is installed and signed in. It finds the account by the resource id, or by the endpoint among the
/// accounts of its default subscription.
/// A check that failed has the error that a copy would end with, and its remedy. Whether an identity may also write is
/// known only from a copy: reads do not show it. A difference of the clocks is never more than a warning.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// Names of resources; without any, the source and the target of flags and variables
    // The id by which the flags of the target's address exclude names.
    #[arg(id = "to", value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    target_address: TargetAddressArgs,

    /// Deadline of the whole command
    #[arg(long, value_name = "DURATION", default_value = "1m", allow_hyphen_values = true)]
    timeout: String,

    /// Format of stdout: a table, or one line of JSON per check
    #[arg(long = "output", value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,

    /// Only warnings and failed checks
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    quiet: bool,

    /// One line per request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  frcopy doctor
  frcopy doctor --output json | jq 'select(.status == \"failed\")'

Exit codes: 0 no check failed, otherwise that of a copy: 2 settings,
  3 the target is full, 4 credentials, 5 no API version is offered,
  7 not reachable; frcopy help exit-codes explains all of them";

/// One resource: its name, what the settings show, and the resource itself if they are complete.
struct CheckedResource {
    name: String,
    endpoint: Option<Endpoint>,
    findings: Vec<Finding>,
    subject: Option<(Subject, AccountQuery)>,
}

/// The settings of one resource, before its credential is read.
struct Given {
    name: String,
    origins: String,
    settings: Result<SideSettings, Error>,
    address: Result<Option<TargetAddress>, Error>,
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let (resources, timeout) = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse(&error)),
    };
    let verbosity = Verbosity::new(args.quiet, args.verbose);
    let work = async |console: &Console, cancel: &tokio_util::sync::CancellationToken| {
        console.step("checking the resources");
        let context = CallContext::new(timeout, cancel, |error, wait| console.waiting(error, wait));
        examined(resources, &context).await
    };
    runner::until_signal(verbosity, Results::None, work, |resources, signal| {
        show(args, &resources);
        let findings = resources.iter().flat_map(|checked| &checked.findings);
        let errors = findings.filter_map(|finding| match &finding.result {
            CheckResult::Failed(error) => Some(error),
            _ => None,
        });
        exit_code::from_errors(errors, signal)
    })
}

fn plan(args: &DoctorArgs) -> Result<(Vec<CheckedResource>, Duration), Error> {
    let environment: Environment<'_> = &process_environment;
    let timeout = parse_timeout(&args.timeout)?;
    let mut given =
        if args.names.is_empty() { given_sides(args, environment) } else { given_names(args, environment)? };
    if given.is_empty() {
        return Err(Error::settings(
            "no resource is configured",
            "set FRCOPY_SOURCE_ENDPOINT and FRCOPY_TARGET_ENDPOINT, and a key of each, or give the name of a resource; \
             frcopy help environment lists all variables",
        ));
    }
    check_stdin(&mut given);
    Ok((given.into_iter().map(Given::checked).collect(), timeout))
}

fn given_names(args: &DoctorArgs, environment: Environment<'_>) -> Result<Vec<Given>, Error> {
    if args.source.are_given() || args.target.are_given() {
        return Err(Error::settings(
            "the flags of the source and the target do not apply to named resources",
            "leave them out, or leave out the names",
        ));
    }
    let sides = Sides::new(&args.config, environment);
    let given = args.names.iter().map(|name| {
        let origins = sides.origins(name)?;
        let settings = sides.named("the name of the resource", name, Side::Alone);
        let address = settings.as_ref().map(|settings| args.target_address.address(settings, environment));
        Ok(Given { name: name.clone(), origins, address: address.unwrap_or(Ok(None)), settings })
    });
    given.collect()
}

fn given_sides(args: &DoctorArgs, environment: Environment<'_>) -> Vec<Given> {
    let mut given = Vec::new();
    if args.source.is_configured(environment) {
        given.push(Given {
            name: "source".into(),
            origins: args.source.origins(environment),
            settings: args.source.settings(environment),
            address: Ok(None),
        });
    }
    if args.target.is_configured(environment) {
        let settings = args.target.settings(environment);
        let address = settings.as_ref().map(|settings| args.target_address.address(settings, environment));
        given.push(Given {
            name: "target".into(),
            origins: args.target.origins(environment),
            address: address.unwrap_or(Ok(None)),
            settings,
        });
    }
    given
}

/// At most one of the resources can read its credential from stdin.
fn check_stdin(given: &mut [Given]) {
    let with_stdin = |given: &&mut Given| given.settings.as_ref().is_ok_and(SideSettings::reads_stdin);
    for second in given.iter_mut().filter(with_stdin).skip(1) {
        second.settings = Err(both_from_stdin());
    }
}

impl Given {
    /// Reads the credential, and examines the settings.
    fn checked(self) -> CheckedResource {
        let Self { name, origins, settings, address } = self;
        let mut checked = CheckedResource { name, endpoint: None, findings: Vec::new(), subject: None };
        let (settings, address) = match (settings, address) {
            (Ok(settings), Ok(address)) => (settings, address),
            (Err(error), _) | (Ok(_), Err(error)) => {
                checked.findings.push(Finding::failed(Check::Settings, error));
                return checked;
            }
        };
        if let Some(text) = &settings.endpoint {
            match parse::<Endpoint>(&format!("the {} endpoint", checked.name), text) {
                Ok(endpoint) => checked.endpoint = Some(endpoint),
                Err(error) => {
                    checked.findings.push(Finding::fine(Check::Settings, origins));
                    checked.findings.push(Finding::failed(Check::Endpoint, error));
                    return checked;
                }
            }
        }
        let is_regional_with_tokens =
            settings.uses_tokens() && checked.endpoint.as_ref().is_some_and(Endpoint::is_regional);
        match settings.resource() {
            Ok(resource) => {
                checked.findings.push(Finding::fine(Check::Settings, origins));
                checked.findings.push(endpoint_form(&resource.endpoint));
                let account = settings.account_query(&resource.endpoint, address.as_ref());
                checked.subject = Some((Subject { resource, address }, account));
            }
            Err(error) if is_regional_with_tokens => {
                checked.findings.push(Finding::fine(Check::Settings, origins));
                checked.findings.push(Finding::failed(Check::Endpoint, error));
            }
            Err(error) => {
                checked.findings.push(Finding::failed(Check::Settings, error));
                checked.findings.extend(checked.endpoint.as_ref().map(endpoint_form));
            }
        }
        checked
    }
}

/// Examines the resources whose settings are complete.
async fn examined(
    mut resources: Vec<CheckedResource>,
    context: &CallContext<'_>,
) -> Result<Vec<CheckedResource>, Error> {
    let (mut indexes, mut subjects, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    for (index, checked) in resources.iter_mut().enumerate() {
        if let Some((subject, account)) = checked.subject.take() {
            indexes.push(index);
            subjects.push(subject);
            accounts.push(account);
        }
    }
    let mut found = examine(&subjects, accounts, context).await?;
    for (index, findings) in indexes.into_iter().zip(found.drain(..)) {
        if let Some(checked) = resources.get_mut(index) {
            checked.findings.extend(findings);
        }
    }
    for checked in &mut resources {
        checked.findings = complete(std::mem::take(&mut checked.findings));
    }
    Ok(resources)
}

fn show(args: &DoctorArgs, resources: &[CheckedResource]) {
    let is_shown = |finding: &&Finding| {
        !args.quiet || matches!(finding.result, CheckResult::Warning { .. } | CheckResult::Failed(_))
    };
    let findings = resources.iter().flat_map(|checked| checked.findings.iter().map(move |finding| (checked, finding)));
    let shown: Vec<_> = findings.filter(|(_, finding)| is_shown(finding)).collect();
    match args.format {
        Format::Json => json::print_lines(
            shown.iter().map(|(checked, finding)| json::finding(&checked.name, checked.endpoint.as_ref(), finding)),
        ),
        Format::Text => json::print_lines(table(&shown, stdout_width())),
    }
    for (checked, finding) in &shown {
        let CheckedResource { name, .. } = checked;
        match &finding.result {
            CheckResult::Warning { what, remedy } => {
                ci::warning(&format!("{name} {}: {what}\nhelp: {remedy}", finding.check));
            }
            CheckResult::Failed(error) if args.format == Format::Json => {
                console::error_for(&format!("{name} {}", finding.check), error);
            }
            CheckResult::Failed(error) => {
                let details = details_of(error).into_iter().map(|detail| format!("\n{detail}"));
                ci::error(&format!("{name} {}: {error}{}", finding.check, details.collect::<String>()));
            }
            CheckResult::Fine(_) | CheckResult::NotChecked(_) => {}
        }
    }
    if !args.quiet {
        console::line(&summary(resources));
    }
}

/// The rows of the table. What a warning or an error says beyond its first line stands below its details. On a terminal,
/// long details are broken between words.
fn table(shown: &[(&CheckedResource, &Finding)], width: Option<usize>) -> impl Iterator<Item = String> {
    let name_width = shown.iter().map(|(checked, _)| checked.name.chars().count()).max().unwrap_or_default().max(8);
    let row = move |name: &str, check: &str, result: &str, details: &str| {
        let start = format!("{name:name_width$}  {check:14}  {result:11}  ");
        let indent = start.chars().count();
        let details = match width {
            Some(width) => wrapped(details, indent, width.max(indent + LEAST_DETAILS)),
            None => details.to_owned(),
        };
        format!("{start}{details}").trim_end().to_owned()
    };
    let mut rows = Vec::new();
    if !shown.is_empty() {
        rows.push(row("RESOURCE", "CHECK", "RESULT", "DETAILS"));
    }
    for (checked, Finding { check, result }) in shown {
        let (word, what, more) = match result {
            CheckResult::Fine(what) => ("ok", what.clone(), Vec::new()),
            CheckResult::Warning { what, remedy } => ("warning", what.clone(), vec![format!("help: {remedy}")]),
            CheckResult::Failed(error) => ("failed", error.to_string(), details_of(error)),
            CheckResult::NotChecked(why) => ("not checked", why.clone().unwrap_or_default(), Vec::new()),
        };
        rows.push(row(&checked.name, &check.to_string(), word, &what));
        rows.extend(more.iter().map(|detail| row("", "", "", detail)));
    }
    rows.into_iter()
}

/// Causes, remedy and request id of an error, one line each.
fn details_of(error: &Error) -> Vec<String> {
    let causes = error.causes().map(|cause| format!("cause: {cause}"));
    let remedy = error.remedy().map(|remedy| format!("help: {remedy}"));
    let request_id = error.request_id().map(|id| format!("request id: {id}"));
    causes.chain(remedy).chain(request_id).collect()
}

fn summary(resources: &[CheckedResource]) -> String {
    let results = || resources.iter().flat_map(|checked| checked.findings.iter().map(|finding| &finding.result));
    let failed = results().filter(|result| matches!(result, CheckResult::Failed(_))).count();
    let warnings = results().filter(|result| matches!(result, CheckResult::Warning { .. })).count();
    let names: Vec<_> = resources.iter().map(|checked| checked.name.as_str()).collect();
    let verdict = match (failed, warnings) {
        (0, 0) => "no check failed".to_owned(),
        (0, count) => format!("no check failed, warnings: {count}"),
        (failed, 0) => format!("checks that failed: {failed}"),
        (failed, count) => format!("checks that failed: {failed}, warnings: {count}"),
    };
    format!("{}: {verdict}", names.join(", "))
}
