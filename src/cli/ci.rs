//! GitHub Actions and Azure Pipelines: annotations, results for later steps, a summary, and masked secrets.
//! Outside of these two systems nothing here has an effect.
//!
//! Commands go to stderr, which both systems read. Stdout is data.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::auth::{TokenFuture, TokenSource};
use crate::copy::Report;
use crate::error::{Error, ErrorKind};
use crate::text_file::refuse_named_pipe;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{json, status};
use crate::redactor::{MIN_SECRET_LEN, redact};
use crate::text::{clean_lines, needs_escape};

/// GitHub rejects the summary of a step if it is larger than 1 MiB.
const MAX_SUMMARY: usize = 512 * 1024;

/// The CI system that runs this process.
#[derive(Debug)]
enum Ci {
    GitHub { output: Option<PathBuf>, summary: Option<PathBuf> },
    AzurePipelines { temporary: Option<PathBuf> },
}

impl Ci {
    /// The CI system that runs this process, if any.
    fn current() -> Option<&'static Self> {
        static CURRENT: OnceLock<Option<Ci>> = OnceLock::new();
        CURRENT.get_or_init(Self::from_environment).as_ref()
    }

    fn from_environment() -> Option<Self> {
        let path = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let is_true = |name: &str| std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        if is_true("GITHUB_ACTIONS") {
            return Some(Self::GitHub { output: path("GITHUB_OUTPUT"), summary: path("GITHUB_STEP_SUMMARY") });
        }
        is_true("TF_BUILD").then(|| Self::AzurePipelines { temporary: path("AGENT_TEMPDIRECTORY") })
    }

    fn annotate(&self, level: &str, message: &str) {
        let message = escape(self, &clean_lines(message));
        print(&match self {
            Self::GitHub { .. } => format!("::{level} title=frcopy::{message}"),
            Self::AzurePipelines { .. } => format!("##vso[task.logissue type={level}]{message}"),
        });
    }

    /// Passes results to later steps. Each system has its own spelling: `target-model-id`, `targetModelId`.
    fn publish(&self, results: &[(&str, String)], summary: &str) -> io::Result<()> {
        match self {
            Self::GitHub { output, summary: file } => {
                // No value has a line break, so none can begin another result.
                let lines: Vec<_> = results.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
                append(output.as_deref(), &lines.concat())?;
                append(file.as_deref(), summary)
            }
            Self::AzurePipelines { temporary } => {
                for (name, value) in results {
                    let (name, value) = (in_camel_case(name), escape(self, value));
                    print(&format!("##vso[task.setvariable variable={name};isOutput=true]{value}"));
                }
                let Some(folder) = temporary else { return Ok(()) };
                let name = format!("frcopy-{}-{}.md", std::process::id(), Timestamp::now().as_nanosecond());
                let path = folder.join(name);
                File::create_new(&path)?.write_all(summary.as_bytes())?;
                print(&format!("##vso[task.uploadsummary]{}", escape(self, &path.to_string_lossy())));
                Ok(())
            }
        }
    }
}

/// Annotates the run with an error.
pub(super) fn error(text: &str) {
    if let Some(ci) = Ci::current() {
        ci.annotate("error", text);
    }
}

/// Annotates the run with a warning.
pub(super) fn warning(text: &str) {
    if let Some(ci) = Ci::current() {
        ci.annotate("warning", text);
    }
}

/// Masks a secret in the CI system's log, once per secret. The command contains the secret, so it is written only where
/// a CI system may read it: not to a file that may be kept, and not to a terminal.
pub(super) fn mask(secret: &SecretString) {
    static MASKED: Mutex<Vec<SecretString>> = Mutex::new(Vec::new());
    let Some(ci) = Ci::current() else { return };
    let text = secret.expose_secret();
    let mut masked = MASKED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = masked.iter().any(|known| known.expose_secret() == text);
    if is_known || text.len() < MIN_SECRET_LEN || !stderr_may_be_read_by_a_runner() {
        return;
    }
    let escaped = escape(ci, text);
    print(&match ci {
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

/// A handle that cannot be examined may be a file.
fn is_regular_file(handle: io::Result<impl Into<File>>) -> bool {
    let Ok(handle) = handle else { return true };
    let file: File = handle.into();
    // Windows has no metadata of a pipe.
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// A token source that masks each token in the log.
#[derive(Debug)]
pub(super) struct Masked<S>(pub(super) S);

impl<S: TokenSource> TokenSource for Masked<S> {
    fn fetch(&self) -> TokenFuture<'_> {
        Box::pin(async { self.0.fetch().await.inspect(|token| mask(token.secret())) })
    }
}

/// What a command passes to later steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Results {
    /// Nothing.
    None,
    /// The results of copies.
    Copies,
    /// The result of a check.
    Check,
}

/// The columns of the summary of copies.
const COPY_COLUMNS: [&str; 6] = ["model", "API", "status", "copy", "seconds", "what"];
/// The columns of the summary of copies to several targets.
const COPY_COLUMNS_OF_TARGETS: [&str; 7] = ["target", "model", "API", "status", "copy", "seconds", "what"];
/// The columns of the summary of a check.
const CHECK_COLUMNS: [&str; 3] = ["", "model", "what"];

/// Publishes the error that ended a command before it had results: a later step must not find the outputs empty.
///
/// # Errors
/// When a file of the CI system cannot be written.
pub(super) fn publish_failure(results: Results, error: &Error) -> Result<(), Error> {
    let Some(ci) = Ci::current() else { return Ok(()) };
    let status = status::status_of(error);
    let what = with_cause(error);
    let (state, summary) = match results {
        Results::None => return Ok(()),
        Results::Copies => {
            let row = [String::new(), String::new(), status.to_owned(), String::new(), String::new(), what];
            (("status", status.to_owned()), table(COPY_COLUMNS, [row].into_iter()))
        }
        Results::Check => {
            let row = ["!".to_owned(), String::new(), what];
            (("in-sync", "false".to_owned()), table(CHECK_COLUMNS, [row].into_iter()))
        }
    };
    publish(ci, &[state, ("results", array(std::iter::empty()))], &summary)
}

/// An error and its nearest cause, in one line.
fn with_cause(error: &Error) -> String {
    let cause = error.causes().next().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Publishes the results of copies.
///
/// # Errors
/// When a file of the CI system cannot be written.
pub(super) fn publish_copies<'r>(reports: impl IntoIterator<Item = &'r Report>) -> Result<(), Error> {
    let Some(ci) = Ci::current() else { return Ok(()) };
    let reports: Vec<_> = reports.into_iter().collect();
    let failed = reports.iter().find(|report| report.result.is_err());
    let status = failed.or(reports.first()).map_or("succeeded", |report| status::status(report));
    let mut results =
        vec![("status", status.to_owned()), ("results", array(reports.iter().map(|report| json::copy(report))))];
    if let [report] = &*reports
        && report.result.is_ok()
        && let Some(id) = &report.target_model_id
    {
        results.push(("target-model-id", id.to_string()));
    }
    let rows = reports.iter().map(|report| row(report));
    let mut targets = reports.iter().map(|report| report.target_resource.as_ref());
    let first = targets.next();
    if targets.all(|target| Some(target) == first) {
        return publish(ci, &results, &table(COPY_COLUMNS, rows));
    }
    let target = |report: &Report| report.target_resource.as_ref().map(ToString::to_string).unwrap_or_default();
    let rows = reports.iter().zip(rows).map(|(report, [model, api, status, copy, seconds, what])| {
        [target(report), model, api, status, copy, seconds, what]
    });
    publish(ci, &results, &table(COPY_COLUMNS_OF_TARGETS, rows))
}

/// The row of a copy in the summary.
fn row(report: &Report) -> [String; 6] {
    let Report { api_version, target_model_id, elapsed, result, .. } = report;
    let what = result.as_ref().err().map(with_cause);
    [
        status::name(report),
        api_version.map(|version| version.to_string()).unwrap_or_default(),
        status::status(report).to_owned(),
        target_model_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        format!("{:.1}", elapsed.as_secs_f64()),
        what.unwrap_or_default(),
    ]
}

/// Publishes the result of a check: its lines of JSON, and a row for each model that is not the same on both sides.
///
/// # Errors
/// When a file of the CI system cannot be written.
pub(super) fn publish_check(
    in_sync: bool,
    lines: impl Iterator<Item = String>,
    rows: impl Iterator<Item = [String; 3]>,
) -> Result<(), Error> {
    let Some(ci) = Ci::current() else { return Ok(()) };
    let results = [("in-sync", in_sync.to_string()), ("results", array(lines))];
    publish(ci, &results, &table(CHECK_COLUMNS, rows))
}

/// Publishes the id that an authorization has reserved.
///
/// # Errors
/// When a file of the CI system cannot be written.
pub(super) fn publish_authorization(target_model_id: &str) -> Result<(), Error> {
    let Some(ci) = Ci::current() else { return Ok(()) };
    publish(ci, &[("target-model-id", target_model_id.to_owned())], "")
}

/// Joins JSON objects to an array.
fn array(objects: impl Iterator<Item = String>) -> String {
    format!("[{}]", objects.collect::<Vec<_>>().join(","))
}

fn publish(ci: &Ci, results: &[(&str, String)], summary: &str) -> Result<(), Error> {
    ci.publish(results, summary).map_err(|error| {
        Error::new(ErrorKind::Unforeseen, "the results cannot be passed to later steps")
            .with_source(error)
            .with_remedy("check the path in GITHUB_OUTPUT, GITHUB_STEP_SUMMARY or AGENT_TEMPDIRECTORY")
    })
}

/// A Markdown table, up to the size limit.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.map(str::to_owned));
    text.push_str(&line(&head.map(|_| "---".to_owned())));
    for row in rows {
        if text.len() > MAX_SUMMARY {
            text.push_str("\n… and more; see the log.\n");
            break;
        }
        text.push_str(&line(&row.map(|cell| escape_markdown(&cell))));
    }
    text.push('\n');
    text
}

/// Escapes every character that has a meaning in Markdown, and removes secrets.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in redact(text).chars() {
        if "\\`*_{}[]<>()#+!|~@&$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(if needs_escape(c) { ' ' } else { c });
    }
    escaped
}

/// Escapes what would end a command.
fn escape(ci: &Ci, text: &str) -> String {
    let percent = match ci {
        Ci::GitHub { .. } => "%25",
        Ci::AzurePipelines { .. } => "%AZP25",
    };
    text.replace('%', percent).replace('\r', "%0D").replace('\n', "%0A")
}

/// Converts `target-model-id` to `targetModelId`.
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
    refuse_named_pipe(path)?;
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// Writes a command on a line of its own, in one write.
fn print(line: &str) {
    // A stderr without a reader does not stop a copy.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
