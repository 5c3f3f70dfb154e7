//! Many copies, stopped half-way: the same command again finishes the rest and copies nothing twice.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frcopy::emulator::{Collection, Options};
use serde_json::json;

use crate::lab::{Lab, SOURCE, TARGET, without_query};
use crate::victim::{Victim, interrupt};

/// As many copies as are under way when the command is stopped: all of those have been accepted, and none has ended.
const UNDER_WAY: usize = 6;
const SHELVES: [Collection; 3] =
    [Collection::CustomModels, Collection::DocumentModels, Collection::DocumentClassifiers];

/// Copies everything, a few at a time, until the last of the first few has been accepted; then `stop` is called.
/// Returns the resources and what the command has said.
fn stopped_half_way(stop: fn(&mut Child)) -> (Lab, String) {
    let victim = Victim::default();
    let (accepted, of_listener) = (AtomicUsize::new(0), victim.clone());
    let options = Options { models: 3, operation_time: Duration::from_secs(2), ..Options::default() };
    let lab = Lab::listening(&options, move |served| {
        let path = without_query(&served.path);
        let is_start = served.method == "POST" && (path.ends_with(":copyTo") || path.ends_with("/copy"));
        if is_start && accepted.fetch_add(1, Ordering::SeqCst) + 1 == UNDER_WAY {
            // Its answer is on the way only when this returns, and the copy is accepted all the same.
            of_listener.with(stop);
        }
    });
    let (_, said) = victim.run(&lab, &["copy", "--all", "--jobs", &UNDER_WAY.to_string()]);
    (lab, said)
}

/// How many copies of each training the target has.
fn copies(lab: &Lab) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for collection in SHELVES {
        for id in lab.ids(TARGET, collection) {
            let body = lab.emulator.get(TARGET, collection, &id).unwrap();
            let name = body["modelInfo"]["modelName"].as_str().map_or(id, str::to_owned);
            *copies.entry(name).or_default() += 1;
        }
    }
    copies
}

fn finish_and_count(lab: &Lab) {
    lab.copy(&["--all", "--if-exists", "skip"]).expect(0, &[]);
    lab.run(&["check"]).expect(0, &["15 same"]);
    let copies = copies(lab);
    assert!(copies.len() == 15 && copies.values().all(|count| *count == 1), "{copies:?}");
}

#[test]
fn killed_the_same_command_again_finishes_the_rest_and_copies_nothing_twice() {
    let (lab, _) = stopped_half_way(|child| child.kill().unwrap());
    finish_and_count(&lab);
}

#[test]
fn interrupted_it_hands_over_what_is_under_way_and_the_next_run_finishes() {
    let (lab, said) = stopped_half_way(interrupt);
    assert_eq!(said.matches("to wait for it: frcopy wait '").count(), UNDER_WAY, "{said}");
    assert!(said.contains("9 not begun") && said.contains("--if-exists skip"), "{said}");
    finish_and_count(&lab);
}

#[test]
fn a_copy_that_is_under_way_to_the_same_id_is_followed() {
    let options = Options { operation_time: Duration::from_secs(1), ..Options::default() };
    for (id, collection) in [
        ("invoices-v3.0-1", Collection::DocumentModels),
        ("invoices-v4.0-1", Collection::DocumentModels),
        ("classifier-v4.0-1", Collection::DocumentClassifiers),
    ] {
        let lab = Lab::with(&options);
        lab.copy(&[id, "--timeout", "300ms"]).expect(8, &["frcopy wait"]);
        let ending = lab.copy(&[id, "--if-exists", "skip"]).expect(0, &["is already running, and is polled"]);
        assert_eq!((ending.stdout.trim(), lab.ids(TARGET, collection).len()), (id, 1));
    }
}

#[test]
fn a_copy_to_another_target_is_not_taken_for_the_one_to_this_target() {
    let options = Options { resources: 3, operation_time: Duration::from_secs(1), ..Options::default() };
    let lab = Lab::with(&options);
    let third = lab.emulator.resources()[2].clone();
    // On this target an authorization that nobody uses, and on its way a copy of the same id to the other one.
    let authorize =
        format!("{}/documentintelligence/documentModels:authorizeCopy?api-version=2024-11-30", third.endpoint);
    let curl =
        ["-s", "-H", &format!("Ocp-Apim-Subscription-Key: {}", third.key), "-d", r#"{"modelId":"invoices-v4.0-1"}"#];
    assert!(Command::new("curl").args(curl).arg(&authorize).stdout(Stdio::null()).status().unwrap().success());
    lab.copy(&["invoices-v4.0-1", "--timeout", "300ms"]).expect(8, &[]);
    let mut command = lab.command(&["copy", "invoices-v4.0-1", "--if-exists", "skip", "--poll-interval", "20ms"]);
    command.env("FRCOPY_TARGET_ENDPOINT", &third.endpoint).env("FRCOPY_TARGET_KEY", &third.key);
    let ending = crate::support::run(&mut command).expect(6, &["is reserved by an authorization that was not used"]);
    assert!(!ending.stderr.contains("frcopy wait"), "{}", ending.stderr);
}

#[test]
fn a_copy_under_way_that_brings_something_else_is_not_taken_for_the_right_one() {
    let options = Options { models: 2, operation_time: Duration::from_secs(1), ..Options::default() };
    let lab = Lab::with(&options);
    lab.copy(&["invoices-v4.0-2", "--target-model-id", "invoices-v4.0-1", "--timeout", "300ms"]).expect(8, &[]);
    lab.copy(&["invoices-v4.0-1", "--if-exists", "skip"]).expect(6, &["the target has another model invoices-v4.0-1"]);
}

#[test]
fn a_young_blank_v2_1_model_is_waited_for_before_it_is_copied_again() {
    let lab = Lab::new(1);
    let source = lab.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap();
    let copy = "00000000-0000-4000-8000-00000000000d";
    let mut ready = lab.emulator.get(SOURCE, Collection::CustomModels, &source).unwrap();
    ready["modelInfo"]["modelId"] = json!(copy);
    let now = format!("{:.0}", jiff::Timestamp::now());
    let blank = json!({"modelInfo": {"modelId": copy, "status": "creating", "createdDateTime": now,
        "lastUpdatedDateTime": now}});
    lab.emulator.put(TARGET, Collection::CustomModels, copy, blank);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| lab.copy(&[&source, "--if-exists", "skip"]));
        // The second look shows that the first one was not enough.
        while lab.looks_at(TARGET) < 2 {
            std::thread::sleep(Duration::from_millis(20));
        }
        lab.emulator.put(TARGET, Collection::CustomModels, copy, ready);
        let ending = waiting.join().unwrap().expect(0, &["1 recent v2.1 models that are still blank", "skipped"]);
        assert_eq!(ending.stdout.trim(), copy);
    });
    assert_eq!(lab.changes(), Vec::<String>::new());
}
