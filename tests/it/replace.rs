//! `--if-exists replace`: the target has a good copy at any time, and after any interruption the next run finishes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frcopy::emulator::{Collection, Options};

use crate::support::child_process::{Exit, SignalTarget};
use crate::support::emulated_pair::{EmulatedPair, TARGET};

const ID: &str = "invoices-v4.0-1";
const STAGING: &str = "invoices-v4.0-1.frcopy-staging";
const REPLACE: [&str; 4] = ["copy", "--poll-interval=20ms", "--if-exists=replace", ID];

/// Copies the model and trains it again on the source, so that the copy on the target is outdated.
fn make_outdated(pair: &EmulatedPair) {
    pair.copy(&[ID]).expect(0, &[]);
    pair.retrain(ID);
    pair.mutating_requests();
}

fn on_target(pair: &EmulatedPair) -> BTreeSet<String> {
    pair.ids(TARGET, Collection::DocumentModels)
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Asserts that the target has the current model and nothing else.
fn assert_finished(pair: &EmulatedPair) {
    assert_eq!(on_target(pair), set(&[ID]));
    pair.run(&["check", ID]).expect(0, &[]);
}

#[test]
fn replace_deletes_the_old_copy_after_the_staging_copy_is_ready_and_the_staging_copy_last() {
    let pair = EmulatedPair::new(1);
    make_outdated(&pair);
    let output = pair
        .run(&REPLACE)
        .expect(0, &["replaced model invoices-v4.0-1", "copying to invoices-v4.0-1.frcopy-staging first"]);
    assert_eq!(output.stdout, format!("{ID}\n"));
    let models = "/documentintelligence/documentModels";
    assert_eq!(
        pair.mutating_requests(),
        [
            format!("target POST {models}:authorizeCopy"),
            format!("source POST {models}/{ID}:copyTo"),
            format!("target DELETE {models}/{ID}"),
            format!("target POST {models}:authorizeCopy"),
            format!("source POST {models}/{ID}:copyTo"),
            format!("target DELETE {models}/{STAGING}"),
        ]
    );
    assert_finished(&pair);
    pair.run(&REPLACE).expect(0, &["skipped"]);
    assert_eq!(pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn every_version_and_classifiers_can_be_replaced() {
    let pair = EmulatedPair::new(1);
    let all = ["invoices-v3.0-1", "invoices-v3.1-1", ID, "classifier-v4.0-1"];
    pair.copy(&all).expect(0, &[]);
    all[..3].iter().for_each(|id| pair.retrain(id));
    let collection = Collection::DocumentClassifiers;
    pair.retrain_at("2026-11-22T08:00:00Z", collection, all[3]);
    pair.copy(&[&all[..], &["--if-exists", "replace"]].concat()).expect(0, &["4 replaced"]);
    pair.run(&[&["check"][..], &all].concat()).expect(0, &["4 same"]);
    assert_eq!((on_target(&pair).len(), pair.ids(TARGET, collection).len()), (3, 1));
}

#[test]
fn a_staging_copy_of_an_older_training_is_replaced() {
    let pair = EmulatedPair::new(1);
    make_outdated(&pair);
    pair.copy(&[ID, "--target-model-id", STAGING]).expect(0, &[]);
    pair.retrain_at("2026-11-22T20:00:00Z", Collection::DocumentModels, ID);
    pair.run(&REPLACE).expect(0, &["replaced"]);
    assert_finished(&pair);
}

/// Resources that send a signal to the command at its n-th request, before they answer it.
fn pair_that_stops(n: usize, signal: &'static str) -> (EmulatedPair, SignalTarget) {
    let process = SignalTarget::default();
    let (seen, observed) = (AtomicUsize::new(0), process.clone());
    let options = Options { operation_time: Duration::ZERO, ..Options::default() };
    let pair = EmulatedPair::with_observer(&options, move |_| {
        observed.signal_if(signal, || seen.fetch_add(1, Ordering::SeqCst) + 1 == n);
    });
    (pair, process)
}

/// More requests than a replacement takes.
const REQUESTS: usize = 24;

#[test]
fn after_a_kill_at_any_request_a_good_copy_remains_and_the_next_run_finishes() {
    for n in 1..REQUESTS {
        let (pair, process) = pair_that_stops(n, "-KILL");
        make_outdated(&pair);
        let code = process.run(&pair.command(&REPLACE)).code;
        let kept = on_target(&pair);
        assert!(!kept.is_empty() && kept.is_subset(&set(&[ID, STAGING])), "{n}: {kept:?}");
        let changes = pair.mutating_requests();
        let held = changes.last().is_some_and(|change| change.contains(":authorizeCopy"));
        if held {
            // The reservation may belong to another process, so it is kept.
            pair.run(&REPLACE).expect(6, &["reserved by an authorization that was not used", "wait"]);
            assert!(!on_target(&pair).is_empty(), "{n}");
        } else {
            pair.run(&REPLACE).expect(0, &[]);
            assert_finished(&pair);
        }
        assert!(code.is_none_or(|code| code == 0), "{n}: {code:?} {changes:?}");
    }
}

#[test]
fn after_an_interruption_at_any_request_the_next_run_finishes() {
    for n in 1..REQUESTS {
        let (pair, process) = pair_that_stops(n, "-INT");
        make_outdated(&pair);
        let code = process.run(&pair.command(&REPLACE)).code;
        let kept = on_target(&pair);
        assert!(!kept.is_empty() && kept.is_subset(&set(&[ID, STAGING])), "{n}: {kept:?}");
        assert!(code == Some(130) || code == Some(0), "{n}: {code:?} {:?}", pair.mutating_requests());
        pair.run(&REPLACE).expect(0, &[]);
        assert_finished(&pair);
    }
}

#[test]
fn an_interruption_after_the_deletion_names_the_staging_copy() {
    let mut seen = 0;
    for n in 1..REQUESTS {
        let (pair, process) = pair_that_stops(n, "-INT");
        make_outdated(&pair);
        let batch = ["copy", "--include", "invoices-v4*", "--if-exists", "replace", "--poll-interval", "20ms"];
        let Exit { code, stderr, .. } = process.run(&pair.command(&batch));
        let only_staging = on_target(&pair) == set(&[STAGING]);
        seen += usize::from(only_staging);
        assert!(
            !only_staging || (stderr.contains(&format!("{STAGING} holds a good copy")) && code == Some(130)),
            "{n}: {stderr}"
        );
        assert!(!stderr.contains("--if-exists skip"), "{n}: {stderr}");
    }
    assert!(seen > 0, "no interruption came between the deletion and the new copy");
}
