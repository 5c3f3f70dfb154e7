//! A batch that a signal stops while copies are running: the same command copies the rest and nothing twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::{Collection, Options, ServedRequest};
use serde_json::json;
use tempfile::TempDir;

use crate::support::child_process::SignalTarget;
use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET, without_query};
use crate::support::{Model, run};

/// The number of running copies when the command is stopped: all are accepted, and none is finished.
const RUNNING: usize = 6;
const COLLECTIONS: [Collection; 3] =
    [Collection::CustomModels, Collection::DocumentModels, Collection::DocumentClassifiers];

/// Starts to copy all models and sends a signal when [`RUNNING`] copies are accepted. Returns the resources and stderr.
fn stopped_while_running(signal: &'static str) -> (EmulatedPair, String) {
    let process = SignalTarget::default();
    let (accepted, observed) = (AtomicUsize::new(0), process.clone());
    let options = Options { models: 3, operation_time: Duration::from_secs(2), ..Options::default() };
    let pair = EmulatedPair::with_observer(&options, move |served| {
        if is_start(served) && accepted.fetch_add(1, Ordering::SeqCst) + 1 == RUNNING {
            // The answer is sent after this returns. The emulator has accepted the copy in any case.
            observed.signal_if(signal, || true);
        }
    });
    let exit = process.run(&pair.command(&["copy", "--all", "--jobs", &RUNNING.to_string()]));
    (pair, exit.stderr)
}

/// Starts a copy and interrupts the command at its start request. The copy continues on the service.
fn pair_with_running_copy(options: &Options, arguments: &[&str]) -> EmulatedPair {
    let process = SignalTarget::default();
    let observed = process.clone();
    let pair = EmulatedPair::with_observer(options, move |served| {
        if is_start(served) {
            observed.signal_if("-INT", || true);
        }
    });
    let exit = process.run(&pair.command(&[&["copy", "--poll-interval", "20ms"], arguments].concat()));
    assert!(exit.code == Some(130) && exit.stderr.contains("frcopy wait"), "{}", exit.stderr);
    pair
}

fn is_start(served: &ServedRequest) -> bool {
    let path = without_query(&served.path);
    served.method == "POST" && (path.ends_with(":copyTo") || path.ends_with("/copy"))
}

/// The number of copies on the target by model.
fn copies(pair: &EmulatedPair) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for collection in COLLECTIONS {
        for id in pair.ids(TARGET, collection) {
            let body = pair.emulator.get(TARGET, collection, &id).unwrap();
            let name = body["modelInfo"]["modelName"].as_str().map_or(id, str::to_owned);
            *copies.entry(name).or_default() += 1;
        }
    }
    copies
}

fn assert_the_rest_is_copied_once(pair: &EmulatedPair) {
    pair.copy(&["--all", "--if-exists", "skip"]).expect(0, &[]);
    pair.run(&["check"]).expect(0, &["15 same"]);
    let copies = copies(pair);
    assert!(copies.len() == 15 && copies.values().all(|count| *count == 1), "{copies:?}");
}

#[test]
fn after_a_kill_the_same_command_copies_the_rest_and_nothing_twice() {
    let (pair, _) = stopped_while_running("-KILL");
    assert_the_rest_is_copied_once(&pair);
}

#[test]
fn an_interrupted_batch_prints_the_running_operations_and_the_next_run_finishes() {
    let (pair, stderr) = stopped_while_running("-INT");
    assert_eq!(stderr.matches("to wait for it: frcopy wait '").count(), RUNNING, "{stderr}");
    assert!(stderr.contains("9 not begun") && stderr.contains("--if-exists skip"), "{stderr}");
    assert_the_rest_is_copied_once(&pair);
}

#[test]
fn a_running_copy_to_the_same_id_is_adopted() {
    // Long enough that the copy is still running when the second command reads it.
    let options = Options { operation_time: Duration::from_secs(4), ..Options::default() };
    std::thread::scope(|scope| {
        for (id, collection) in [
            ("invoices-v3.0-1", Collection::DocumentModels),
            ("invoices-v4.0-1", Collection::DocumentModels),
            ("classifier-v4.0-1", Collection::DocumentClassifiers),
        ] {
            let options = &options;
            scope.spawn(move || {
                let pair = pair_with_running_copy(options, &[id]);
                let output = pair.copy(&[id, "--if-exists", "skip"]).expect(0, &["is already running, and is polled"]);
                assert_eq!((output.stdout.trim(), pair.ids(TARGET, collection).len()), (id, 1));
            });
        }
    });
}

#[test]
fn after_an_interruption_the_same_command_names_the_running_copy_and_so_does_a_dry_run() {
    let options = Options { operation_time: Duration::from_secs(6), ..Options::default() };
    std::thread::scope(|scope| {
        for id in ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"] {
            let options = &options;
            scope.spawn(move || {
                let pair = pair_with_running_copy(options, &[id]);
                let text = format!("a copy to the target id {id} is already running");
                pair.copy(&[id, "--dry-run"]).expect(6, &[&text, "wait for it: frcopy wait 'http"]);
                pair.copy(&[id]).expect(6, &[&text, "wait for it: frcopy wait 'http"]);
                pair.copy(&[id, "--dry-run", "--if-exists", "skip"]).expect(0, &["would copy"]);
            });
        }
    });
}

#[test]
fn a_dry_run_of_a_batch_names_a_running_copy_and_lists_the_operations_of_a_version_once() {
    let options = Options { operation_time: Duration::from_secs(6), ..Options::default() };
    let pair = pair_with_running_copy(&options, &["invoices-v3.1-1"]);
    let output = pair.copy(&["--all", "--dry-run"]).expect(6, &["1 failed"]);
    assert!(output.stderr.contains("a copy to the target id invoices-v3.1-1 is already running"), "{output:#?}");
    let lists = pair.requests(SOURCE, "GET", "/operations?");
    assert_eq!(lists.len(), 3, "one of each version that has a list: {lists:?}");
    pair.copy(&["--all", "--dry-run", "--if-exists", "skip"]).expect(0, &[]);
}

#[test]
fn a_running_copy_to_another_target_is_not_adopted() {
    let options = Options { resources: 3, operation_time: Duration::from_secs(4), ..Options::default() };
    let pair = pair_with_running_copy(&options, &["invoices-v4.0-1"]);
    let third = pair.emulator.resources()[2].clone();
    let third_target = |mut command: Command| {
        command.env("FRCOPY_TARGET_ENDPOINT", &third.endpoint).env("FRCOPY_TARGET_KEY", &third.key);
        run(&mut command)
    };
    // The third resource has an unused authorization for the id.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("authorization.json");
    third_target(pair.command(&["authorize", "invoices-v4.0-1", "--out", file.to_str().unwrap()])).expect(0, &[]);
    let copy = pair.command(&["copy", "invoices-v4.0-1", "--if-exists", "skip", "--poll-interval", "20ms"]);
    let output = third_target(copy).expect(6, &["is reserved by an authorization that was not used"]);
    assert!(!output.stderr.contains("frcopy wait"), "{}", output.stderr);
}

#[test]
fn a_running_copy_of_another_model_is_not_adopted() {
    let options = Options { models: 2, operation_time: Duration::from_secs(1), ..Options::default() };
    let pair = pair_with_running_copy(&options, &["invoices-v4.0-2", "--target-model-id", "invoices-v4.0-1"]);
    pair.copy(&["invoices-v4.0-1", "--if-exists", "skip"]).expect(6, &["the target has another model invoices-v4.0-1"]);
}

#[test]
fn skip_waits_for_a_recent_v2_1_model_that_is_still_creating() {
    let pair = EmulatedPair::new(1);
    let source = pair.custom_model();
    let copy = "00000000-0000-4000-8000-00000000000d";
    let mut ready = pair.emulator.get(SOURCE, Collection::CustomModels, &source).unwrap();
    ready["modelInfo"]["modelId"] = json!(copy);
    let blank = Model::blank_v2_1(copy, &format!("{:.0}", jiff::Timestamp::now()));
    pair.emulator.put(TARGET, Collection::CustomModels, copy, blank.body());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pair.copy(&[&source, "--if-exists", "skip"]));
        // A second list request proves that the command waits.
        while pair.list_requests(TARGET) < 2 {
            std::thread::sleep(Duration::from_millis(20));
        }
        pair.emulator.put(TARGET, Collection::CustomModels, copy, ready);
        let output = waiting.join().unwrap().expect(0, &["1 recent v2.1 models that are still blank", "skipped"]);
        assert_eq!(output.stdout.trim(), copy);
    });
    assert_eq!(pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn with_a_manifest_one_command_waits_for_all_running_copies() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("models.json");
    let options = Options { models: 1, operation_time: Duration::from_secs(4), ..Options::default() };
    let pair = EmulatedPair::with_options(&options);
    let manifest = ["--manifest", path.to_str().unwrap()];
    let copy = [&["--include", "invoices-v4*", "--include", "invoices-v3*", "--timeout", "2s"][..], &manifest].concat();
    let output = pair.copy(&copy).expect(8, &["3 still running"]);
    let command = format!("to wait for the running copies: frcopy wait --manifest {}\n", path.display());
    assert_eq!(
        (output.stderr.matches("to wait for").count(), output.stderr.contains(&command)),
        (1, true),
        "{output:#?}"
    );
    pair.run(&[&["wait"][..], &manifest].concat()).expect(0, &[]);
    pair.run(&["check", "--include", "invoices-v4*", "--include", "invoices-v3*"]).expect(0, &["3 same"]);
}

#[test]
fn more_v2_1_copies_than_the_time_limit_allows_are_announced() {
    let options = Options { models: 4, operation_time: Duration::ZERO, ..Options::default() };
    let pair = EmulatedPair::with_options(&options);
    let text = "4 v2.1 copies take about 4 minutes, one start a minute, and";
    let arguments = ["--all", "--api-version", "2.1", "--timeout", "150s"];
    pair.copy(&[&arguments[..], &["--dry-run"]].concat()).expect(0, &[text, "give a longer --timeout"]);
    let output = pair.copy(&arguments).expect(0, &[text]);
    assert_eq!(output.stderr.matches("take about").count(), 1, "{output:#?}");
    // What is there already takes no time.
    let again = pair.copy(&[&arguments[..], &["--if-exists", "skip", "--dry-run"]].concat()).expect(0, &["4 already"]);
    assert!(!again.stderr.contains("take about"), "{again:#?}");
}
