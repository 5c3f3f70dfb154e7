//! `frcopy copy` for many models: which requests are sent, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use frcopy::emulator::{Options, ServedRequest, Tier};
use serde_json::Value;

use crate::support::emulated_pair::EmulatedPair;

/// Resources, and the requests that they have answered: `target GET /path`.
fn recorded_pair(options: &Options) -> (EmulatedPair, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&requests);
    let pair = EmulatedPair::with_observer(options, move |request: &ServedRequest| {
        let path = request.path.split('?').next().unwrap_or_default();
        recorded.lock().unwrap().push(format!("{} {} {path}", request.resource, request.method));
    });
    (pair, requests)
}

fn is_read_of_model(request: &str) -> bool {
    ["/documentModels/", "/documentClassifiers/", "/custom/models/"].iter().any(|of| request.contains(of))
}

fn options(models: usize) -> Options {
    Options { models, operation_time: Duration::ZERO, ..Options::default() }
}

#[test]
fn a_dry_run_and_a_skip_and_a_replacement_of_what_is_there_read_lists_and_no_models() {
    let (pair, requests) = recorded_pair(&options(12));
    let expect = |arguments: &[&str], text: &str, reads_models: bool| {
        requests.lock().unwrap().clear();
        pair.copy(&[&["--all"], arguments].concat()).expect(0, &[text]);
        let requests = requests.lock().unwrap();
        assert_eq!(requests.iter().any(|request| is_read_of_model(request)), reads_models, "{requests:#?}");
    };
    expect(&["--dry-run", "--if-exists", "skip"], "60 would be copied", false);
    expect(&["--dry-run", "--if-exists", "replace"], "60 would be copied", false);
    expect(&[], "60 copied", true);
    expect(&["--dry-run", "--if-exists", "skip"], "60 already", false);
    expect(&["--if-exists", "replace"], "60 already", false);
}

#[test]
fn a_target_id_that_a_list_shows_as_free_is_read_again_before_its_authorize() {
    let (pair, requests) = recorded_pair(&options(1));
    pair.copy(&["--include", "invoices-v4*"]).expect(0, &["1 copied"]);
    let requests = requests.lock().unwrap();
    let authorize = requests.iter().position(|request| request.ends_with(":authorizeCopy")).unwrap();
    assert_eq!(requests[authorize - 1], "target GET /documentintelligence/documentModels/invoices-v4.0-1");
}

#[test]
fn the_duration_of_a_copy_counts_from_when_it_began_and_not_from_when_it_was_queued() {
    let (pair, _) = recorded_pair(&Options { tier: Tier::S0, ..options(10) });
    let output = pair.run(&["copy", "--all", "--include", "invoices-*", "--output", "json"]).expect(0, &["30 copied"]);
    let seconds = output.stdout.lines().map(|line| {
        let report: Value = serde_json::from_str(line).unwrap();
        report["elapsedSeconds"].as_f64().unwrap()
    });
    let longest = seconds.fold(0.0, f64::max);
    // The last copy began after five seconds.
    assert!(longest < 4.0, "{longest}");
}
