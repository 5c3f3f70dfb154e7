//! `frcopy help`: the help of a command, or one of the topics that concern several commands.

use std::fmt::Write;
use std::process::ExitCode;

use crate::error::Error;
use crate::resource::Side;
use clap::{Args, Command};

use super::exit_code::{Code, PRECEDENCE};
use super::input::without_keys;
use super::{config, json, runner, side};

/// The width of terminals that every text fits into.
const WIDTH: usize = 80;

/// The last lines of `frcopy --help`.
pub(super) const TOPICS_HINT: &str = "\
Topics (frcopy help TOPIC):
  authentication   keys, Entra ID, tokens, the Azure CLI
  ci               output for GitHub Actions and Azure Pipelines
  configuration    resources with names: --from, --to, frcopy list NAME
  drill            a failover and the way back, rehearsed on this machine
  environment      the variables, and where to find their values
  exit-codes       their meaning, and what a script should do
  guarantees       what frcopy guarantees, and the limits
  json             the objects of --output json
  manifest         the file that records the copies
  models           which models are copied, and when two are the same
  network          retries, rate limits, proxies, certificates
  parties          copies between parties that share no keys
  recipes          nightly backup, failover and back, promotion, snapshots
  resume           unfinished copies
  samples          whether copies read documents like their sources";

/// Prints the help of a command, or one of the topics that concern several commands.
#[derive(Debug, Args)]
pub(super) struct HelpArgs {
    /// The command or the topic [default: frcopy itself, with a list of the commands]
    #[arg(value_name = "COMMAND_OR_TOPIC")]
    name: Option<String>,
}

/// A text about something that concerns several commands.
pub(super) struct Topic {
    pub(super) name: &'static str,
    text: fn() -> String,
}

impl Topic {
    /// Finds a topic by its name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.name == name)
    }

    /// The text, in lines of at most 80 columns.
    pub(super) fn text(&self) -> String {
        (self.text)()
    }

    /// What the text is about, in one line.
    pub(super) fn title(&self) -> &'static str {
        let line = TOPICS_HINT.lines().find_map(|line| line.trim_start().strip_prefix(self.name));
        line.unwrap_or_default().trim()
    }
}

/// A topic whose text is a file.
macro_rules! topic {
    ($name:literal) => {
        Topic { name: $name, text: || include_str!(concat!("help/", $name, ".txt")).to_owned() }
    };
}

const TOPICS: [Topic; 15] = [
    topic!("authentication"),
    topic!("ci"),
    topic!("configuration"),
    topic!("drill"),
    Topic { name: "environment", text: environment },
    Topic { name: "exit-codes", text: exit_codes },
    topic!("guarantees"),
    Topic { name: "json", text: || JSON.to_owned() },
    topic!("manifest"),
    topic!("models"),
    topic!("network"),
    topic!("parties"),
    topic!("recipes"),
    topic!("resume"),
    topic!("samples"),
];

pub(super) fn run(args: &HelpArgs, cli: Command) -> ExitCode {
    let Some(name) = args.name.as_deref() else { return print(cli, &["frcopy", "--help"]) };
    if let Some(topic) = Topic::find(name) {
        json::print_document(topic.text().as_bytes());
        return Code::Success.into();
    }
    let commands: Vec<_> = cli.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    if commands.iter().any(|command| command == name) {
        return print(cli, &["frcopy", name, "--help"]);
    }
    runner::refuse(&no_command_or_topic(name, &cli))
}

/// The error of a name that is neither that of a command nor that of a topic.
pub(super) fn no_command_or_topic(name: &str, cli: &Command) -> Error {
    let commands: Vec<_> = cli.get_subcommands().map(Command::get_name).filter(|name| *name != "help").collect();
    Error::settings(
        format!("there is no command or topic {:?}", without_keys(name)),
        format!(
            "choose one of the commands {}, or one of the topics {}",
            commands.join(", "),
            TOPICS.map(|topic| topic.name).join(", ")
        ),
    )
}

/// Prints what the flag `--help` prints.
fn print(cli: Command, arguments: &[&str]) -> ExitCode {
    if let Err(help) = cli.try_get_matches_from(arguments) {
        // A closed pipe is no error.
        let _ = help.print();
    }
    Code::Success.into()
}

/// Wraps a text to the width of a terminal. The first line starts with the label, the others are indented like it.
pub(super) fn wrap(label: &str, text: &str) -> String {
    let indent = label.chars().count();
    let mut lines = String::new();
    let mut line = label.to_owned();
    for word in text.split_whitespace() {
        let is_first = line.chars().count() == indent;
        if !is_first && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += line.trim_end();
            lines.push('\n');
            line = " ".repeat(indent);
        } else if !is_first {
            line.push(' ');
        }
        line += word;
    }
    lines + line.trim_end() + "\n"
}

fn exit_codes() -> String {
    let mut text = wrap("", "A number never changes its meaning. Any other exit code is a failure as well.") + "\n";
    for code in Code::ALL {
        text += &wrap(&format!("{:>5}  ", code.number()), code.meaning());
        text += &wrap("       -> ", code.remedy());
    }
    let order: Vec<_> = PRECEDENCE.iter().map(|code| code.number().to_string()).collect();
    text.push('\n');
    text += &wrap(
        "",
        &format!(
            "With several models, the exit code is 0 if all of them succeeded, else the first of {} that one of them \
             ended with.",
            order.join(", ")
        ),
    );
    text.push('\n');
    text += &wrap(
        "",
        "With --output json, frcopy copy prints one line for each copy that was begun, whatever its exit code. If \
         the settings are wrong for all of them (2), nothing is printed on stdout.",
    );
    for note in EXIT_CODE_NOTES {
        text.push('\n');
        text += &wrap("", note);
    }
    text
}

/// How single commands and options use the exit codes.
const EXIT_CODE_NOTES: [&str; 5] = [
    "frcopy wait has the exit codes of frcopy copy; 5 means that the source has no such operation.",
    "frcopy doctor exits with 0 if no check failed, otherwise with the code that a copy would end with.",
    "--dry-run exits with the code that the real run would have, as far as reads can tell.",
    "--include, --exclude or --from-file that select nothing are an error (5).",
    "A copy that succeeded, but that the target does not show, exits with 8. So does a start request whose answer was \
     lost, if it is not known whether the copy is running.",
];

fn environment() -> String {
    let mut text = wrap("", "A flag takes precedence over its variable. An empty variable counts as not set.");
    for side in [Side::Source, Side::Target] {
        let _ = write!(text, "\nThe {side} resource:\n");
        push_variables(&mut text, side::variables(side));
    }
    text += "\nNamed resources:\n";
    push_variables(
        &mut text,
        std::iter::once((CONFIG_VARIABLE.0.to_owned(), CONFIG_VARIABLE.1)).chain(config::variables()),
    );
    for (title, variables) in OTHER_VARIABLES {
        let _ = write!(text, "\n{title}:\n");
        push_variables(&mut text, variables.iter().map(|(name, meaning)| ((*name).to_owned(), *meaning)));
    }
    text + VALUES
}

/// The variable of the configuration file.
const CONFIG_VARIABLE: (&str, &str) = ("FRCOPY_CONFIG", "The configuration file, as --config");

/// Where the values of the variables are.
const VALUES: &str = "
Where to find the values:
  in the Azure portal, on the resource's page
    endpoint, keys, region   Keys and Endpoint
    resource id              Properties
  with az cognitiveservices account show --name NAME --resource-group GROUP
    endpoint                 --query properties.endpoint -o tsv
    resource id              --query id -o tsv
    region                   --query location -o tsv
  with az cognitiveservices account keys list --name NAME --resource-group GROUP
    a key                    --query key1 -o tsv
  with az account show
    tenant                   --query tenantId -o tsv
  with az account get-access-token -o tsv --query accessToken
    a token                  --resource https://cognitiveservices.azure.com
  with az cognitiveservices account list and az account list
    account, subscription

An endpoint is https://..., or http://... on this machine. A region is westus2
or \"West US 2\". A key file or token file may end with a newline, and - is
stdin. A token file is read for each request, so that another process can
refresh it.
frcopy help authentication explains the methods.
";

fn push_variables<'m>(text: &mut String, variables: impl Iterator<Item = (String, &'m str)>) {
    for (name, meaning) in variables {
        let _ = writeln!(text, "  {name}");
        *text += &wrap("      ", meaning);
    }
}

/// Variables of other programs that frcopy reads.
const OTHER_VARIABLES: [(&str, &[(&str, &str)]); 4] = [
    (
        "The identity for --source-auth entra and --target-auth entra",
        &[
            ("AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET", "A service principal"),
            ("AZURE_FEDERATED_TOKEN_FILE", "A workload identity, with AZURE_TENANT_ID and AZURE_CLIENT_ID"),
            ("AZURE_CLIENT_ID", "Alone: which one of several managed identities"),
            ("AZURE_TOKEN_CREDENTIALS", "The one credential to use, or dev or prod, as in Azure's SDKs"),
        ],
    ),
    (
        "The network",
        &[
            ("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "The proxy; never used for this machine itself"),
            ("SSL_CERT_FILE", "Trusted certificates, on Linux"),
            ("TRACEPARENT", "W3C trace context, sent with every request as the header traceparent"),
        ],
    ),
    (
        "The terminal",
        &[("NO_COLOR, CI, TERM=dumb", "Turn the spinner off; NO_COLOR and TERM=dumb turn colours off as well")],
    ),
    (
        "CI systems",
        &[
            ("GITHUB_ACTIONS=true", "Write annotations; results to GITHUB_OUTPUT, a table to GITHUB_STEP_SUMMARY"),
            ("TF_BUILD=True", "Write log commands of Azure Pipelines; a table to a file in AGENT_TEMPDIRECTORY"),
        ],
    ),
];

const JSON: &str = "\
With --output json, each result is one JSON object on one line of stdout.
Fields are only ever added. A value that is not known is null.

frcopy copy, frcopy wait: one line per copy, in the order in which they end
  schema         \"frcopy.copy/1\"
  status         succeeded, failed, canceled, skipped, refused, unavailable;
                 running: there is no verdict yet, or the start got no answer
                 (poll operation; if that is null, look at the target);
                 planned: with --dry-run.
                 skipped without an error: the target had the copy already;
                 skipped with an error: the service skipped the copy
  action         what was done, or with --dry-run would be: copy, replace or
                 none; null after an error
  kind           model or classifier; null if the source did not show it
  apiVersion     such as v4.0
  source         name, endpoint, modelId
  target         name, endpoint, modelId, resourceId, region;
                 name: of the resource, with --from and --to
  operation      URL of the operation, for frcopy wait
  verified       true if the target showed the copy as ready
  startedAt      start of the command, in UTC
  elapsedSeconds duration of the command
  requestIds     authorize, start, lastPoll: ids for Azure support
  error          null, or an object:
    kind         settings, credentials, notFound, exists, refused, failed,
                 canceled, skipped, unavailable, underWay, interrupted,
                 unforeseen
    code         the service's code; frcopy explain CODE
    message      the service's message, else frcopy's
    remedy       what to do
    requestId    id for Azure support

frcopy list: one line per model
  schema         \"frcopy.model/1\"
  resource       its name; null with source and target
  endpoint, kind, modelId, apiVersion, status, name, description, tags,
  createdAt, modifiedAt, expiresAt
  retired        true if a preview version trained the model: it has ended

frcopy check: one line per model
  schema         \"frcopy.check/1\"
  sign           = + - * !
  verdict        same, onlyOnSource, onlyOnTarget, differs, unread
  kind           model or classifier
  source, target endpoint, modelId, name (of the model), resource (its name)
  copyId         the id that the copy should have, by the manifest, the template
                 or the source; null where the service chooses it
  differences    list of sentences
  expiresAt      the earlier date of the two models
  expiresSoon    true within --expiring-within
  expired        true if that date has passed
  retired        true if a preview version trained one of the two
  verifiedAt     with --manifest: when the copy was last verified, by the
                 target's clock
  tooOld         true if that is longer ago than --max-age
  samples        null without --samples, and if only one side has the model:
    outcome      agree, differ, notCompared (at least one document), none
    documents    list: file, outcome, values (how many were compared; null
                 if not compared), differences and noise (lists of sentences),
                 reason (why not compared), undeletedResults (a number)
  error          as above; why a model could not be read, or its samples
                 not be compared

frcopy doctor: one line per check and resource
  schema         \"frcopy.doctor/1\"
  resource       source or target
  endpoint       null if the settings have none
  check          settings, endpoint, name, connection, authentication,
                 versions, room, tier, region, clock
  status         ok, warning, failed, notChecked
  message, remedy; of what was not checked, message says why, or is null if
                 an earlier check failed
  error          as above, if the check failed

frcopy prune: one line per model that a copy has left
  schema         \"frcopy.prune/1\"
  endpoint, kind, modelId, apiVersion, createdAt
  leftover       stagingCopy or blankModel
  status         removable, kept, deleted, failed
  reason         why it can be deleted, or why it is kept
  error          as above, if it was not deleted

frcopy authorize: one line
  schema         \"frcopy.authorize/1\"
  status         authorized or revoked
  kind, apiVersion, expiresAt
  target         name, endpoint, modelId

frcopy resources: one line per named resource
  schema         \"frcopy.resource/1\"
  name, endpoint, account, resourceId, region
  authentication key, key-env, key-file, key-command, key-from-az, token,
                 token-file, entra or none
  definedIn      the file with its line, the variables, or both

The file of --manifest (frcopy.manifest/1): frcopy help manifest
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_fits_into_80_columns() {
        for topic in TOPICS {
            let text = topic.text();
            let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
            assert!(longest.chars().count() <= WIDTH, "{}: {longest}", topic.name);
        }
    }

    #[test]
    fn the_help_of_frcopy_names_every_topic_in_one_line() {
        for topic in TOPICS {
            assert!(!topic.title().is_empty(), "{}", topic.name);
        }
        assert_eq!(TOPICS_HINT.lines().count(), TOPICS.len() + 1);
    }

    #[test]
    fn a_wrapped_text_is_indented_like_its_first_line() {
        let text = wrap("help: ", &"word ".repeat(20));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.first().is_some_and(|line| line.starts_with("help: word") && line.len() <= WIDTH));
        assert!(lines.get(1).is_some_and(|line| line.starts_with("      word")));
    }
}
