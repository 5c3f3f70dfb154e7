//! The journal of a manifest: what a killed command leaves in it, and how the same command continues.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command as StdCommand;
use std::thread;
use std::time::{Duration, Instant};

use frcopy::emulator::{Collection, Fault, Options, ServedRequest};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::CommandOutput;
use crate::support::child_process::SignalTarget;
use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET, without_query};

/// Two resources, and a folder with a manifest and its journal.
pub(crate) struct Journaled {
    pub(crate) pair: EmulatedPair,
    folder: TempDir,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    Authorize,
    Start,
    Poll,
    DeleteStaging,
}

pub(crate) fn is(request: Request, served: &ServedRequest) -> bool {
    let path = without_query(&served.path);
    let ends_with = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    match request {
        Request::Authorize => ends_with(&["/copyAuthorization", ":authorizeCopy"]),
        Request::Start => served.method == "POST" && ends_with(&[":copyTo", "/copy"]),
        Request::DeleteStaging => served.method == "DELETE" && path.ends_with("staging"),
        Request::Poll => served.method == "GET" && (path.contains("/operations/") || path.contains("/copyresults/")),
    }
}

pub(crate) fn options() -> Options {
    Options { operation_time: Duration::from_millis(300), latency: Duration::from_millis(50), ..Options::default() }
}

impl Journaled {
    pub(crate) fn new() -> Self {
        Self::on(EmulatedPair::with_options(&options()))
    }

    pub(crate) fn on(pair: EmulatedPair) -> Self {
        Self { pair, folder: tempdir().unwrap() }
    }

    /// Copies a model and kills the command when the emulator gets a request. The emulator carries it out.
    pub(crate) fn killed_at(request: Request, model: impl Fn(&EmulatedPair) -> String) -> (Self, String) {
        Self::killed_with(&options(), &[], request, model)
    }

    fn killed_with(
        options: &Options,
        options_of_copy: &[&str],
        request: Request,
        model: impl Fn(&EmulatedPair) -> String,
    ) -> (Self, String) {
        let process = SignalTarget::default();
        let observed = process.clone();
        let pair = EmulatedPair::with_observer(options, move |served| {
            if is(request, served) {
                observed.signal_if("-KILL", || true);
            }
        });
        let one = Self { folder: tempdir().unwrap(), pair };
        let model = model(&one.pair);
        let manifest = one.manifest();
        let arguments = ["copy", &model, "--poll-interval", "20ms", "--manifest", manifest.to_str().unwrap()];
        let arguments = [&arguments, options_of_copy].concat();
        assert_eq!(process.run(&one.pair.command(&arguments)).code, None, "it was killed");
        one.pair.mutating_requests();
        (one, model)
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.folder.path().join("models.json")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("models.json.journal")
    }

    pub(crate) fn copy(&self, arguments: &[&str]) -> CommandOutput {
        self.pair.copy(&[arguments, &["--manifest", self.manifest().to_str().unwrap()]].concat())
    }

    /// The events of the lines after the first one.
    fn events(&self) -> Vec<String> {
        let text = fs::read_to_string(self.journal()).unwrap();
        let lines = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["event"].as_str().unwrap().to_owned()).collect()
    }

    /// Asserts that the target has this many copies of the model, that they are recorded, and that nothing is open.
    pub(crate) fn assert_copied_once(&self, model: &str) {
        let manifest: Value = serde_json::from_str(&fs::read_to_string(self.manifest()).unwrap()).unwrap();
        assert_eq!(manifest["copies"][0]["source"]["modelId"], model);
        let id = manifest["copies"][0]["target"]["modelId"].as_str().unwrap();
        let all = self.pair.ids(TARGET, Collection::CustomModels);
        let ready = |id: &&String| {
            self.pair.emulator.get(TARGET, Collection::CustomModels, id).unwrap()["modelInfo"]["status"] == "ready"
        };
        let others = [Collection::DocumentModels, Collection::DocumentClassifiers];
        let others: usize = others.into_iter().map(|collection| self.pair.ids(TARGET, collection).len()).sum();
        assert_eq!(all.iter().filter(ready).count() + others, 1);
        assert!(others == 1 || all.contains(id));
        assert!(!self.journal().exists());
    }

    /// A journal of an earlier command that ended before a start request was sent with an authorization.
    pub(crate) fn write_unused_authorization(
        &self,
        model: &str,
        target_id: Option<&str>,
        authorization: &Value,
        started: Timestamp,
    ) {
        let [source, target, ..] = self.pair.emulator.resources() else { panic!("two resources") };
        let (id, run) = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002");
        let lines = [
            json!({"schema": "frcopy.journal/1", "generation": run}),
            json!({"event": "authorize", "id": id, "run": run, "kind": "model", "apiVersion": authorization["apiVersion"],
                   "source": {"endpoint": source.endpoint, "modelId": model},
                   "target": {"endpoint": target.endpoint, "modelId": target_id}}),
            json!({"event": "start", "id": id, "serviceTime": started, "authorization": authorization}),
        ];
        let text = lines.map(|line| line.to_string()).join("\n") + "\n";
        // The schema comes first.
        let text = text.replacen(
            &format!(r#"{{"generation":"{run}","schema":"frcopy.journal/1"}}"#),
            &format!(r#"{{"schema":"frcopy.journal/1","generation":"{run}"}}"#),
            1,
        );
        fs::write(self.journal(), text).unwrap();
    }

    pub(crate) fn authorize(&self, arguments: &[&str]) -> (PathBuf, Value) {
        let path = self.folder.path().join("authorization.json");
        let arguments = [&["authorize", "--out", path.to_str().unwrap()], arguments].concat();
        self.pair.run(&arguments).expect(0, &[]);
        self.pair.mutating_requests();
        let json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (path, json)
    }
}

pub(crate) fn custom_model(pair: &EmulatedPair) -> String {
    pair.custom_model()
}

/// The name of a model of each version, and of a classifier.
pub(crate) fn models() -> [fn(&EmulatedPair) -> String; 5] {
    [
        custom_model,
        |_| "invoices-v3.0-1".into(),
        |_| "invoices-v3.1-1".into(),
        |_| "invoices-v4.0-1".into(),
        |_| "classifier-v4.0-1".into(),
    ]
}

#[test]
fn after_a_kill_during_the_start_the_same_command_finds_its_copy() {
    thread::scope(|scope| {
        for model in models() {
            scope.spawn(move || {
                let (killed, model) = Journaled::killed_at(Request::Start, model);
                assert_eq!(killed.events(), ["authorize", "start"]);
                killed.copy(&[&model]).expect(0, &["continuing the copy", "copied"]);
                assert_eq!(killed.pair.mutating_requests(), Vec::<String>::new());
                killed.assert_copied_once(&model);
            });
        }
    });
}

#[test]
fn after_a_kill_during_the_polls_the_same_command_goes_on_polling() {
    thread::scope(|scope| {
        for model in models() {
            scope.spawn(move || {
                let (killed, model) = Journaled::killed_at(Request::Poll, model);
                assert_eq!(killed.events(), ["authorize", "start", "accepted"]);
                let output = killed.copy(&[&model, "--output", "json"]).expect(0, &["continuing the copy"]);
                let json = output.json();
                assert_eq!((&json["status"], &json["verified"]), (&json!("succeeded"), &json!(true)));
                assert!(json["operation"].is_string());
                assert_eq!(killed.pair.mutating_requests(), Vec::<String>::new());
                killed.assert_copied_once(&model);
            });
        }
    });
}

#[test]
fn after_a_kill_during_an_authorize_request_the_reserved_id_is_released_and_the_model_copied() {
    thread::scope(|scope| {
        for model in models().into_iter().skip(1) {
            scope.spawn(move || {
                let (killed, model) = Journaled::killed_at(Request::Authorize, model);
                let released = format!("released: the target has deleted the reserved {model}");
                killed.copy(&[&model]).expect(0, &[&released, "copied"]);
                killed.assert_copied_once(&model);
            });
        }
    });
}

#[test]
fn after_a_kill_during_an_authorize_request_nothing_stays_open_once_the_id_was_authorized_again() {
    thread::scope(|scope| {
        for model in models().into_iter().skip(1) {
            scope.spawn(move || {
                let options = Options { fail: Fault::find("2024"), ..options() };
                let (killed, model) = Journaled::killed_with(&options, &[], Request::Authorize, model);
                killed.copy(&[&model]).expect(3, &["released"]);
                // A later run must not take the id of another process for that of the killed one.
                assert!(!killed.journal().exists());
            });
        }
    });
}

#[test]
fn after_a_kill_during_an_authorize_request_an_id_that_stays_reserved_is_named_with_its_time() {
    thread::scope(|scope| {
        for model in models().into_iter().skip(1) {
            scope.spawn(move || {
                let (killed, model) = Journaled::killed_at(Request::Authorize, model);
                killed.pair.emulator.keep_reserved_ids();
                for _ in 0..2 {
                    let what = format!(
                        "the id {model} of the target is reserved by an earlier command whose request got no answer, until"
                    );
                    killed.copy(&[&model]).expect(6, &[&what]);
                }
                assert!(killed.journal().exists());
            });
        }
    });
}

#[test]
fn after_a_kill_during_an_authorize_request_of_v2_1_the_blank_model_is_named() {
    let (killed, model) = Journaled::killed_at(Request::Authorize, custom_model);
    let blank = killed.pair.ids(TARGET, Collection::CustomModels).into_iter().next().unwrap();
    killed.copy(&[&model]).expect(0, &[&format!("{blank} may remain reserved"), "copied"]);
    killed.assert_copied_once(&model);
}

/// Resources whose clocks are this many hours ahead of the local one, the source's one hour more.
fn options_with_clocks(hours: i64) -> Options {
    let ahead = |name: &str, hours| (name.to_owned(), SignedDuration::from_hours(hours));
    let clock_skew = vec![ahead("source", hours + 1), ahead("target", hours)];
    Options { operation_time: Duration::from_secs(5), clock_skew, ..options() }
}

#[test]
fn whether_an_authorization_and_a_start_are_old_is_judged_by_the_clocks_of_the_resources() {
    thread::scope(|scope| {
        for hours in [-48, 48] {
            for model in models() {
                scope.spawn(move || {
                    let (killed, model) =
                        Journaled::killed_with(&options_with_clocks(hours), &[], Request::Start, model);
                    killed.copy(&[&model]).expect(0, &["continuing the copy", "copied"]);
                    assert_eq!(killed.pair.mutating_requests(), Vec::<String>::new(), "{hours}");
                    killed.assert_copied_once(&model);
                });
            }
        }
    });
}

#[test]
fn until_when_an_id_is_reserved_is_judged_by_the_clock_of_the_target() {
    thread::scope(|scope| {
        for hours in [-48, 48] {
            for model in models().into_iter().skip(1) {
                scope.spawn(move || {
                    let options = options_with_clocks(hours);
                    let (killed, model) = Journaled::killed_with(&options, &[], Request::Authorize, model);
                    killed.pair.emulator.keep_reserved_ids();
                    let text = "is reserved by an earlier command whose request got no answer, until ";
                    let output = killed.copy(&[&model]).expect(6, &[text]);
                    let (_, until) = output.stderr.split_once(text).unwrap();
                    let until: Timestamp = until.split(' ').next().unwrap().parse().unwrap();
                    let left = Timestamp::now().duration_until(until) - SignedDuration::from_hours(hours);
                    assert!((60..=64).contains(&left.as_mins()), "{left} {output:#?}");
                    assert!(killed.journal().exists());
                });
            }
        }
    });
}

#[test]
fn an_unused_authorization_is_used_by_the_next_command() {
    thread::scope(|scope| {
        for arguments in [&["--api-version", "2.1"][..], &["invoices-v4.0-1", "--api-version", "4.0"]] {
            scope.spawn(move || {
                let journaled = Journaled::new();
                let is_v2_1 = arguments.len() == 2;
                let model = if is_v2_1 { journaled.pair.custom_model() } else { "invoices-v4.0-1".into() };
                let (_, authorization) = journaled.authorize(arguments);
                let started = Timestamp::now() - SignedDuration::from_mins(2);
                let target_id = authorization["targetModelId"].as_str().unwrap();
                journaled.write_unused_authorization(&model, Some(target_id), &authorization, started);
                let output = journaled.copy(&[&model]).expect(0, &["continuing the copy"]);
                assert_eq!(output.stdout.trim(), target_id);
                let sent = journaled.pair.mutating_requests();
                assert!(sent.len() == 1 && sent[0].contains("source POST"), "{sent:?}");
                journaled.assert_copied_once(&model);
            });
        }
    });
}

#[test]
fn an_expired_authorization_is_not_used() {
    let journaled = Journaled::new();
    let model = "invoices-v4.0-1";
    let (path, mut authorization) = journaled.authorize(&[model, "--api-version", "4.0"]);
    journaled.pair.run(&["authorize", "--revoke", path.to_str().unwrap()]).expect(0, &[]);
    let past = |minutes| json!(Timestamp::now() - SignedDuration::from_mins(minutes));
    authorization["issuedAt"] = past(180);
    authorization["expiresAt"] = past(120);
    authorization["authorization"]["expirationDateTime"] = authorization["expiresAt"].clone();
    let started = Timestamp::now() - SignedDuration::from_mins(179);
    journaled.write_unused_authorization(model, Some(model), &authorization, started);
    journaled.pair.mutating_requests();
    journaled.copy(&[model]).expect(0, &["copied"]);
    let sent = journaled.pair.mutating_requests();
    assert!(sent.len() == 2 && sent[0].contains("target POST") && sent[1].contains("source POST"), "{sent:?}");
    journaled.assert_copied_once(model);
}

#[test]
fn a_model_that_was_trained_again_meanwhile_is_not_reported_as_copied() {
    let model = "invoices-v4.0-1";
    let (killed, _) = Journaled::killed_at(Request::Poll, |_| model.into());
    killed.pair.retrain(model);
    killed.copy(&[model]).expect(6, &["the target already has a model"]);
    assert!(!killed.journal().exists());
    killed.copy(&[model, "--if-exists", "replace"]).expect(0, &["replaced"]);
    killed.assert_copied_once(model);
}

#[test]
fn an_unfinished_copy_under_another_id_is_left_to_the_command_that_names_it() {
    for model in ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"] {
        let (killed, _) = Journaled::killed_at(Request::Poll, |_| model.into());
        killed.copy(&[model, "--target-model-id", "other"]).expect(0, &["copied"]);
        assert!(killed.journal().exists());
        killed.pair.mutating_requests();
        killed.copy(&[model]).expect(0, &["continuing the copy"]);
        assert_eq!(killed.pair.mutating_requests(), Vec::<String>::new());
        assert!(!killed.journal().exists());
        let manifest: Value = serde_json::from_str(&fs::read_to_string(killed.manifest()).unwrap()).unwrap();
        assert_eq!(manifest["copies"].as_array().unwrap().len(), 2);
    }
}

/// Gives the target a model of an older training.
pub(crate) fn put_older(pair: &EmulatedPair, model: &str) {
    let mut other = pair.emulator.get(SOURCE, Collection::DocumentModels, model).unwrap();
    other["createdDateTime"] = json!("2025-01-01T00:00:00Z");
    other["modifiedDateTime"] = json!("2025-01-01T00:00:00Z");
    pair.emulator.put(TARGET, Collection::DocumentModels, model, other);
}

#[test]
fn after_a_kill_during_the_deletion_of_the_staging_copy_the_same_command_ends_the_replacement() {
    let replace = ["--if-exists", "replace"];
    for model in ["invoices-v3.0-1", "invoices-v4.0-1"] {
        let (journaled, model) = Journaled::killed_with(&options(), &replace, Request::DeleteStaging, |pair| {
            put_older(pair, model);
            model.into()
        });
        assert_eq!(journaled.pair.ids(TARGET, Collection::DocumentModels).len(), 1, "the staging copy is gone");
        journaled.copy(&[&[model.as_str()], &replace[..]].concat()).expect(0, &[]);
        journaled.assert_copied_once(&model);
    }
}

#[test]
fn a_staging_copy_that_is_waited_for_is_not_recorded() {
    let operation_time = Duration::from_secs(8);
    let pair = EmulatedPair::with_options(&Options { operation_time, ..Options::default() });
    let journaled = Journaled { pair, folder: tempdir().unwrap() };
    let model = "invoices-v4.0-1";
    put_older(&journaled.pair, model);
    let replace = [model, "--if-exists", "replace"];
    journaled.copy(&[&replace[..], &["--timeout", "4s"]].concat()).expect(8, &["frcopy wait"]);
    let manifest = journaled.manifest();
    let wait = ["wait", "--poll-interval", "20ms", "--manifest", manifest.to_str().unwrap()];
    journaled.pair.run(&wait).expect(0, &["continuing the copy"]);
    let recorded = || fs::read_to_string(journaled.manifest()).unwrap();
    assert!(!recorded().contains("staging") && !journaled.journal().exists(), "{}", recorded());
    journaled.copy(&replace).expect(0, &["replaced"]);
    assert!(!recorded().contains("staging") && recorded().contains(model), "{}", recorded());
}

#[test]
fn the_copy_of_a_process_that_still_runs_is_waited_for() {
    let operation_time = Duration::from_secs(3);
    let pair = EmulatedPair::with_options(&Options { operation_time, ..Options::default() });
    let journaled = Journaled { pair, folder: tempdir().unwrap() };
    let model = journaled.pair.custom_model();
    thread::scope(|scope| {
        let first = scope.spawn(|| journaled.copy(&[&model]).expect(0, &["copied"]));
        let began = Instant::now();
        while !journaled.journal().exists() || !journaled.events().contains(&"accepted".into()) {
            assert!(began.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(10));
        }
        let mode = fs::metadata(journaled.journal()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let timeout = journaled.copy(&[&model, "--timeout", "1s"]);
        timeout.expect(8, &["another process with the same manifest is copying"]);
        let second = journaled.copy(&[&model, "--if-exists", "skip"]).expect(0, &["waiting", "skipped"]);
        assert_eq!(second.stdout, first.join().unwrap().stdout);
    });
    let sent = journaled.pair.mutating_requests();
    assert_eq!(sent.len(), 2, "{sent:?}");
    journaled.assert_copied_once(&model);
}

#[test]
fn a_copy_without_a_verdict_stays_open_until_the_next_command() {
    let operation_time = Duration::from_secs(8);
    let pair = EmulatedPair::with_options(&Options { operation_time, ..Options::default() });
    let journaled = Journaled { pair, folder: tempdir().unwrap() };
    let model = journaled.pair.custom_model();
    journaled.copy(&[&model, "--timeout", "4s"]).expect(8, &["frcopy wait"]);
    assert_eq!(journaled.events(), ["authorize", "start", "accepted"]);
    journaled.pair.mutating_requests();
    journaled.copy(&[&model]).expect(0, &["continuing the copy"]);
    assert_eq!(journaled.pair.mutating_requests(), Vec::<String>::new());
    journaled.assert_copied_once(&model);
}

#[test]
fn a_file_that_is_not_a_journal_is_refused_and_not_changed() {
    let journaled = Journaled::new();
    let refused = |what: &str| {
        let output = journaled.copy(&["--all"]).expect(2, &["models.json.journal cannot be used", what]);
        assert_eq!((output.stdout.as_str(), journaled.pair.mutating_requests()), ("", Vec::new()));
    };
    let header = r#"{"schema":"frcopy.journal/1","generation":"00000000-0000-4000-8000-000000000001"}"#;
    for (text, what) in [
        ("a list of things".to_owned(), "it is not a journal of frcopy"),
        ("a list\nof things\n".to_owned(), "it is not a journal"),
        (header.replace("/1", "/2") + "\n", "it is not a journal of this version"),
        (format!("{header}\nsecret\n"), "it is damaged: line 1"),
        (
            format!("{header}\n{{\"event\":\"authorize\",\"id\":\"00000000-0000-4000-8000-000000000001\"}}\n"),
            "is missing",
        ),
    ] {
        fs::write(journaled.journal(), &text).unwrap();
        refused(what);
        assert_eq!(fs::read_to_string(journaled.journal()).unwrap(), text);
    }
    fs::remove_file(journaled.journal()).unwrap();
    symlink(journaled.folder.path().join("victim"), journaled.journal()).unwrap();
    refused("it is a symbolic link");
    fs::remove_file(journaled.journal()).unwrap();
    assert!(StdCommand::new("mkfifo").arg(journaled.journal()).status().unwrap().success());
    refused("it is a named pipe");
    fs::remove_file(journaled.journal()).unwrap();
    // A line that was not written to its end announces nothing, and other users must not read the file.
    fs::write(journaled.journal(), format!("{header}\n{{\"event\":\"author")).unwrap();
    fs::set_permissions(journaled.journal(), fs::Permissions::from_mode(0o644)).unwrap();
    journaled.copy(&["--all"]).expect(0, &["copied"]);
    assert!(!journaled.journal().exists());
    assert_eq!(
        journaled.pair.ids(TARGET, Collection::DocumentModels),
        journaled.pair.ids(SOURCE, Collection::DocumentModels)
    );
}
