//! `--if-exists replace`: at no moment is the target without a good copy, and whatever stops it, the next run finishes.

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frcopy::emulator::{Collection, Options};

use crate::lab::{Lab, TARGET};
use crate::victim::{Victim, interrupt};

const ID: &str = "invoices-v4.0-1";
const STAGING: &str = "invoices-v4.0-1.frcopy-staging";
const REPLACE: [&str; 4] = ["copy", "--poll-interval=20ms", "--if-exists=replace", ID];

/// A target whose copy is of an older training than the source's model, and somebody who listens.
fn outdated(lab: &Lab) {
    lab.copy(&[ID]).expect(0, &[]);
    lab.retrain(ID);
    lab.changes();
}

fn on_target(lab: &Lab) -> BTreeSet<String> {
    lab.ids(TARGET, Collection::DocumentModels)
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// The copy is the source's model, and nothing else is left.
fn assert_finished(lab: &Lab) {
    assert_eq!(on_target(lab), set(&[ID]));
    lab.run(&["check", ID]).expect(0, &[]);
}

#[test]
fn the_old_goes_only_after_the_new_has_been_seen_and_the_staging_copy_goes_last() {
    let lab = Lab::new(1);
    outdated(&lab);
    let ending = lab
        .run(&REPLACE)
        .expect(0, &["replaced model invoices-v4.0-1", "copying to invoices-v4.0-1.frcopy-staging first"]);
    assert_eq!(ending.stdout, format!("{ID}\n"));
    let models = "/documentintelligence/documentModels";
    assert_eq!(
        lab.changes(),
        [
            format!("target POST {models}:authorizeCopy"),
            format!("source POST {models}/{ID}:copyTo"),
            format!("target DELETE {models}/{ID}"),
            format!("target POST {models}:authorizeCopy"),
            format!("source POST {models}/{ID}:copyTo"),
            format!("target DELETE {models}/{STAGING}"),
        ]
    );
    assert_finished(&lab);
    lab.run(&REPLACE).expect(0, &["skipped"]);
    assert_eq!(lab.changes(), Vec::<String>::new());
}

#[test]
fn every_version_and_classifiers_can_be_replaced() {
    let lab = Lab::new(1);
    let all = ["invoices-v3.0-1", "invoices-v3.1-1", ID, "classifier-v4.0-1"];
    lab.copy(&all).expect(0, &[]);
    all[..3].iter().for_each(|id| lab.retrain(id));
    let collection = Collection::DocumentClassifiers;
    lab.retrain_at("2026-11-22T08:00:00Z", collection, all[3]);
    lab.copy(&[&all[..], &["--if-exists", "replace"]].concat()).expect(0, &["4 replaced"]);
    lab.run(&[&["check"][..], &all].concat()).expect(0, &["4 same"]);
    assert_eq!((on_target(&lab).len(), lab.ids(TARGET, collection).len()), (3, 1));
}

#[test]
fn a_staging_copy_of_an_older_training_is_made_anew() {
    let lab = Lab::new(1);
    outdated(&lab);
    lab.copy(&[ID, "--target-model-id", STAGING]).expect(0, &[]);
    lab.retrain_at("2026-11-22T20:00:00Z", Collection::DocumentModels, ID);
    lab.run(&REPLACE).expect(0, &["replaced"]);
    assert_finished(&lab);
}

/// Stops the command at the n-th request, before that is answered. The emulator does nothing else meanwhile.
fn lab_that_stops(n: usize, stop: fn(&mut Child)) -> (Lab, Victim) {
    let victim = Victim::default();
    let (seen, of_listener) = (AtomicUsize::new(0), victim.clone());
    let options = Options { operation_time: Duration::ZERO, ..Options::default() };
    let lab = Lab::listening(&options, move |_| {
        of_listener.with(|child| {
            if seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
                stop(child);
            }
        });
    });
    (lab, victim)
}

/// More requests than a replacement takes.
const REQUESTS: usize = 24;

#[test]
fn killed_at_any_request_the_target_keeps_a_good_copy_and_the_next_run_finishes() {
    for n in 1..REQUESTS {
        let (lab, victim) = lab_that_stops(n, |child| child.kill().unwrap());
        outdated(&lab);
        let (code, _) = victim.run(&lab, &REPLACE);
        let kept = on_target(&lab);
        assert!(!kept.is_empty() && kept.is_subset(&set(&[ID, STAGING])), "{n}: {kept:?}");
        let changes = lab.changes();
        let held = changes.last().is_some_and(|change| change.contains(":authorizeCopy"));
        if held {
            // Nobody knows whose reservation it is, so it is left alone.
            lab.run(&REPLACE).expect(6, &["reserved by an authorization that was not used", "wait"]);
            assert!(!on_target(&lab).is_empty(), "{n}");
        } else {
            lab.run(&REPLACE).expect(0, &[]);
            assert_finished(&lab);
        }
        assert!(code.is_none_or(|code| code == 0), "{n}: {code:?} {changes:?}");
    }
}

#[test]
fn interrupted_at_any_request_it_cleans_up_and_the_next_run_finishes() {
    for n in 1..REQUESTS {
        let (lab, victim) = lab_that_stops(n, interrupt);
        outdated(&lab);
        let (code, _) = victim.run(&lab, &REPLACE);
        let kept = on_target(&lab);
        assert!(!kept.is_empty() && kept.is_subset(&set(&[ID, STAGING])), "{n}: {kept:?}");
        assert!(code == Some(130) || code == Some(0), "{n}: {code:?} {:?}", lab.changes());
        lab.run(&REPLACE).expect(0, &[]);
        assert_finished(&lab);
    }
}

#[test]
fn interrupted_after_the_old_has_gone_it_says_where_the_good_copy_is() {
    let mut seen = 0;
    for n in 1..REQUESTS {
        let (lab, victim) = lab_that_stops(n, interrupt);
        outdated(&lab);
        let many = ["copy", "--include", "invoices-v4*", "--if-exists", "replace", "--poll-interval", "20ms"];
        let (code, said) = victim.run(&lab, &many);
        let only_staging = on_target(&lab) == set(&[STAGING]);
        seen += usize::from(only_staging);
        assert!(
            !only_staging || (said.contains(&format!("{STAGING} holds a good copy")) && code == Some(130)),
            "{n}: {said}"
        );
        assert!(!said.contains("--if-exists skip"), "{n}: {said}");
    }
    assert!(seen > 0, "no interruption hit the time between the old and the new");
}
