//! What a CI system is told beside what people read: annotations, results, a summary, and what its log must not show.
//! Elsewhere all of this does nothing.
//!
//! Commands go to stderr, which both systems read: stdout is data.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::auth::{TokenFuture, TokenSource};
use crate::copy::Report;
use crate::error::{Error, ErrorKind};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::report;

/// What is shorter is no secret of this service, and to mask it would blot out half of the log.
const SHORTEST_SECRET: usize = 16;
/// GitHub refuses a summary of more than a mebibyte for a step.
const LONGEST_SUMMARY: usize = 512 * 1024;

/// The CI system that runs this process.
#[derive(Debug)]
enum Ci {
    GitHub { output: Option<PathBuf>, summary: Option<PathBuf> },
    AzurePipelines { temporary: Option<PathBuf> },
}

impl Ci {
    fn here() -> Option<&'static Self> {
        static HERE: OnceLock<Option<Ci>> = OnceLock::new();
        HERE.get_or_init(Self::of_environment).as_ref()
    }

    fn of_environment() -> Option<Self> {
        let path = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let is_true = |name: &str| std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        if is_true("GITHUB_ACTIONS") {
            return Some(Self::GitHub { output: path("GITHUB_OUTPUT"), summary: path("GITHUB_STEP_SUMMARY") });
        }
        is_true("TF_BUILD").then(|| Self::AzurePipelines { temporary: path("AGENT_TEMPDIRECTORY") })
    }

    fn issue(&self, level: &str, message: &str) {
        let message = escape(self, message);
        say(&match self {
            Self::GitHub { .. } => format!("::{level} title=frcopy::{message}"),
            Self::AzurePipelines { .. } => format!("##vso[task.logissue type={level}]{message}"),
        });
    }

    /// Hands results on to later steps, by the names that the system's own have: `target-model-id`, `targetModelId`.
    fn publish(&self, results: &[(&str, String)], summary: &str) -> io::Result<()> {
        match self {
            Self::GitHub { output, summary: file } => {
                // Ids, words and JSON on one line: there is nothing in them that could begin another result.
                let lines: Vec<_> = results.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
                append(output.as_deref(), &lines.concat())?;
                append(file.as_deref(), summary)
            }
            Self::AzurePipelines { temporary } => {
                for (name, value) in results {
                    let (name, value) = (in_camel_case(name), escape(self, value));
                    say(&format!("##vso[task.setvariable variable={name};isOutput=true]{value}"));
                }
                let Some(folder) = temporary else { return Ok(()) };
                let name = format!("frcopy-{}-{}.md", std::process::id(), Timestamp::now().as_nanosecond());
                let path = folder.join(name);
                File::create_new(&path)?.write_all(summary.as_bytes())?;
                say(&format!("##vso[task.uploadsummary]{}", escape(self, &path.to_string_lossy())));
                Ok(())
            }
        }
    }
}

/// An error, beside the one that people read.
pub(crate) fn error(name: Option<&str>, error: &Error) {
    let Some(ci) = Ci::here() else { return };
    let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
    let explanation = report::explanation(error).map(|(label, text)| format!("\n{label}: {text}"));
    let message = format!("{name}{error}{}", explanation.collect::<Vec<_>>().concat());
    ci.issue("error", &message);
}

/// What is wrong with the command line: its first line, without the usage that people are shown.
pub(crate) fn wrong_usage(text: &str) {
    if let (Some(ci), Some(line)) = (Ci::here(), text.lines().next()) {
        ci.issue("error", line.trim_start_matches("error: "));
    }
}

/// A warning, beside the one that people read.
pub(crate) fn warning(text: &str) {
    if let Some(ci) = Ci::here() {
        ci.issue("warning", text);
    }
}

/// Has the log's own filter blot a secret out, once for each. The command contains the secret, so it is given only where
/// a CI system reads it: not to a file that may be kept, nor to a terminal.
pub(crate) fn mask(secret: &SecretString) {
    static MASKED: Mutex<Vec<SecretString>> = Mutex::new(Vec::new());
    let Some(ci) = Ci::here() else { return };
    let text = secret.expose_secret();
    let mut masked = MASKED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = masked.iter().any(|known| known.expose_secret() == text);
    if is_known || text.len() < SHORTEST_SECRET || !stderr_may_be_read_by_a_runner() {
        return;
    }
    let escaped = escape(ci, text);
    say(&match ci {
        Ci::GitHub { .. } => format!("::add-mask::{escaped}"),
        Ci::AzurePipelines { .. } => format!("##vso[task.setsecret]{escaped}"),
    });
    masked.push(secret.clone());
}

fn stderr_may_be_read_by_a_runner() -> bool {
    !io::stderr().is_terminal() && !is_file(&io::stderr())
}

#[cfg(unix)]
fn is_file(stderr: &io::Stderr) -> bool {
    use std::os::fd::AsFd;
    is_regular_file(stderr.as_fd().try_clone_to_owned())
}

#[cfg(windows)]
fn is_file(stderr: &io::Stderr) -> bool {
    use std::os::windows::io::AsHandle;
    is_regular_file(stderr.as_handle().try_clone_to_owned())
}

/// What cannot be asked might be a file.
fn is_regular_file(handle: io::Result<impl Into<File>>) -> bool {
    let Ok(handle) = handle else { return true };
    let file: File = handle.into();
    // Windows has nothing to say of a pipe.
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Tokens that are masked as they come.
#[derive(Debug)]
pub(crate) struct Masked<S>(pub(crate) S);

impl<S: TokenSource> TokenSource for Masked<S> {
    fn fetch(&self) -> TokenFuture<'_> {
        Box::pin(async { self.0.fetch().await.inspect(|token| mask(token.secret())) })
    }
}

/// Hands on what came of copies.
///
/// # Errors
/// When it cannot be handed on.
pub(crate) fn copies<'o>(outcomes: impl IntoIterator<Item = &'o Report>) -> Result<(), Error> {
    let Some(ci) = Ci::here() else { return Ok(()) };
    let outcomes: Vec<_> = outcomes.into_iter().collect();
    let failed = outcomes.iter().find(|outcome| outcome.result.is_err());
    let status = failed.or(outcomes.first()).map_or("succeeded", |one| report::status(&one.result, one));
    let mut results =
        vec![("status", status.to_owned()), ("results", array(outcomes.iter().map(|outcome| report::json(outcome))))];
    if let [one] = &*outcomes
        && one.result.is_ok()
        && let Some(id) = &one.target_model_id
    {
        results.push(("target-model-id", id.to_string()));
    }
    let rows = outcomes.iter().map(|outcome| row(outcome));
    publish(ci, &results, &table(["model", "API", "status", "copy", "seconds", "what"], rows))
}

fn row(report: &Report) -> [String; 6] {
    let Report { api_version, target_model_id, elapsed, result, .. } = report;
    let what = result.as_ref().err().map(|error| {
        let cause = error.causes().next().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    });
    [
        report::name_of(report),
        api_version.map(|version| version.to_string()).unwrap_or_default(),
        report::status(result, report).to_owned(),
        target_model_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        format!("{:.1}", elapsed.as_secs_f64()),
        what.unwrap_or_default(),
    ]
}

/// Hands on what a check has found: its lines of JSON, and a row for each that is not the same on both sides.
///
/// # Errors
/// When it cannot be handed on.
pub(crate) fn comparisons(
    in_sync: bool,
    lines: impl Iterator<Item = String>,
    rows: impl Iterator<Item = [String; 3]>,
) -> Result<(), Error> {
    let Some(ci) = Ci::here() else { return Ok(()) };
    let results = [("in-sync", in_sync.to_string()), ("results", array(lines))];
    publish(ci, &results, &table(["", "model", "what"], rows))
}

/// Hands on the id that was reserved for another party.
///
/// # Errors
/// When it cannot be handed on.
pub(crate) fn authorized(target_model_id: &str) -> Result<(), Error> {
    let Some(ci) = Ci::here() else { return Ok(()) };
    publish(ci, &[("target-model-id", target_model_id.to_owned())], "")
}

/// Objects of JSON as one array.
fn array(objects: impl Iterator<Item = String>) -> String {
    format!("[{}]", objects.collect::<Vec<_>>().join(","))
}

fn publish(ci: &Ci, results: &[(&str, String)], summary: &str) -> Result<(), Error> {
    ci.publish(results, summary).map_err(|error| {
        Error::new(ErrorKind::Unforeseen, "the results cannot be handed on to the steps that follow")
            .with_source(error)
            .with_remedy("check the file that GITHUB_OUTPUT, GITHUB_STEP_SUMMARY or AGENT_TEMPDIRECTORY names")
    })
}

/// A table in Markdown, as long as there is room.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.map(str::to_owned));
    text.push_str(&line(&head.map(|_| "---".to_owned())));
    for row in rows {
        if text.len() > LONGEST_SUMMARY {
            text.push_str("\n… and more, which the log names.\n");
            break;
        }
        text.push_str(&line(&row.map(|cell| plain(&cell))));
    }
    text.push('\n');
    text
}

/// Text that Markdown shows as it is.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_{}[]<>()#+!|~@&$".contains(c) {
            plain.push('\\');
        }
        plain.push(if c.is_control() { ' ' } else { c });
    }
    plain
}

/// A value that cannot end a command before its time.
fn escape(ci: &Ci, text: &str) -> String {
    let percent = match ci {
        Ci::GitHub { .. } => "%25",
        Ci::AzurePipelines { .. } => "%AZP25",
    };
    text.replace('%', percent).replace('\r', "%0D").replace('\n', "%0A")
}

/// `target-model-id` as Azure Pipelines writes it.
fn in_camel_case(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &initial.into_iter().chain(letters).collect::<String>()
    })
}

fn append(path: Option<&Path>, text: &str) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// A command stands on a line of its own, written at once.
fn say(line: &str) {
    // A stderr that nobody reads must not end the process.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
