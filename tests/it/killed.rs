//! SIGKILL at every step of a copy, followed by the same command or the printed `frcopy wait`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use frcopy::emulator::{Collection, Options};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::child_process::{ChildProcess, SignalTarget};
use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};

/// Kills a copy when its stderr contains a text. Returns its stderr.
fn stderr_of_killed_copy(pair: &EmulatedPair, model: &str, text: &str) -> String {
    let mut copy = ChildProcess::spawn(&pair.command(&["copy", model, "--poll-interval", "20ms"]));
    copy.read_until(text);
    copy.signal("-KILL");
    copy.finish().stderr
}

#[test]
fn after_a_kill_at_any_step_the_same_command_makes_a_v2_1_copy() {
    for step in ["reading", "authorized: ", "started: ", "status: ", "verifying that"] {
        let operation_time = Duration::from_millis(200);
        let latency = Duration::from_millis(50);
        let pair = EmulatedPair::with_options(&Options { operation_time, latency, ..Options::default() });
        let model = pair.custom_model();
        stderr_of_killed_copy(&pair, &model, step);
        pair.copy(&[&model]).expect(0, &["copied model"]);
    }
}

#[test]
fn after_a_kill_a_later_version_is_copied_or_the_conflict_is_named() {
    for (version, step, exit, what) in [
        ("3.0", "reading", 0, "copied model"),
        ("3.1", "authorized: ", 6, "invoices-v3.1-1"),
        ("4.0", "started: ", 6, "invoices-v4.0-1"),
        ("3.0", "status: ", 6, "invoices-v3.0-1"),
        ("3.1", "verifying that", 6, "the target already has a model invoices-v3.1-1"),
    ] {
        let (operation_time, latency) = (Duration::from_millis(500), Duration::from_millis(100));
        let pair = EmulatedPair::with_options(&Options { operation_time, latency, ..Options::default() });
        let model = format!("invoices-v{version}-1");
        let stderr = stderr_of_killed_copy(&pair, &model, step);
        pair.copy(&[&model]).expect(exit, &[what]);
        if let Some((_, started)) = stderr.split_once("started: ") {
            // The copy continues on the service, and the printed URL leads to its verdict.
            let operation = started.lines().next().unwrap();
            let output = pair.run(&["wait", operation, "--poll-interval", "20ms"]).expect(0, &["copied model"]);
            assert_eq!(output.stdout, format!("{model}\n"));
        }
    }
}

const COLLECTIONS: [Collection; 3] =
    [Collection::CustomModels, Collection::DocumentModels, Collection::DocumentClassifiers];
/// How many requests a batch of ten models sends, about.
const REQUESTS: u64 = 90;

/// The number of ready models on a resource, by name in v2.1, by id in later versions.
fn ready_models(pair: &EmulatedPair, resource: usize) -> BTreeMap<String, usize> {
    let mut ready = BTreeMap::new();
    for collection in COLLECTIONS {
        for id in pair.ids(resource, collection) {
            let body = pair.emulator.get(resource, collection, &id).unwrap();
            let info = &body["modelInfo"];
            if info.is_null() || info["status"] == "ready" {
                *ready.entry(info["modelName"].as_str().map_or(id, str::to_owned)).or_default() += 1;
            }
        }
    }
    ready
}

/// Kills a batch with a manifest some milliseconds after its n-th request. Returns also whether it had not ended before.
fn killed_batch(folder: &Path, request: u64, delay: Duration) -> (EmulatedPair, Vec<String>, bool) {
    let process = SignalTarget::default();
    let (count, observed) = (AtomicU64::new(0), process.clone());
    let options = Options {
        models: 2,
        operation_time: Duration::from_millis(150),
        latency: Duration::from_millis(3),
        ..Options::default()
    };
    let pair = EmulatedPair::with_observer(&options, move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == request {
            let observed = observed.clone();
            thread::spawn(move || {
                thread::sleep(delay);
                observed.signal_if("-KILL", || true);
            });
        }
    });
    let manifest = folder.join("models.json").to_str().unwrap().to_owned();
    let command = ["copy", "--all", "--if-exists", "skip", "--poll-interval", "20ms", "--manifest", &manifest];
    let exit = process.run(&pair.command(&command));
    (pair, command.map(str::to_owned).into(), exit.code.is_none())
}

/// After the same command again, each model has exactly one copy, or an id that is reserved is named. Returns whether the
/// first command was killed.
fn kill_and_repeat(seed: u64) -> bool {
    // Numbers that look random, the same in each run.
    let random = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33;
    let folder: TempDir = tempdir().unwrap();
    let (pair, command, is_killed) = killed_batch(folder.path(), random % REQUESTS, Duration::from_millis(random % 7));
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    let output = pair.run(&command);
    let copies = ready_models(&pair, TARGET);
    let mut missing: Vec<_> = ready_models(&pair, SOURCE).into_keys().filter(|id| !copies.contains_key(id)).collect();
    missing.retain(|id| {
        let named = format!(
            "the id {id} of the target is reserved by an earlier command whose request got no answer, until 20"
        );
        assert!(output.stderr.contains(&named), "seed {seed}: {id} is missing: {output:#?}");
        true
    });
    assert!(copies.values().all(|count| *count == 1), "seed {seed}: {copies:?} {output:#?}");
    assert_eq!(output.code, if missing.is_empty() { 0 } else { 6 }, "seed {seed}: {output:#?}");
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("models.json")).unwrap()).unwrap();
    assert_eq!(manifest["copies"].as_array().unwrap().len(), copies.len(), "seed {seed}: {manifest}");
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    let journal = if missing.is_empty() { &[][..] } else { &["models.json.journal"] };
    assert_eq!(files, [&[".models.json.lock", "models.json"], journal].concat(), "seed {seed}");
    is_killed
}

#[test]
fn after_a_kill_at_any_moment_a_batch_with_a_manifest_copies_nothing_twice() {
    // With FRCOPY_TEST_KILLS=500, as many: by hand, once in a while.
    let kills = std::env::var("FRCOPY_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let (next, killed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|seed| *seed < kills) {
                    killed.fetch_add(u64::from(kill_and_repeat(seed)), Ordering::SeqCst);
                }
            });
        }
    });
    let killed = killed.into_inner();
    assert!(killed * 4 >= kills * 3, "only {killed} of {kills} commands were killed before their end");
}
