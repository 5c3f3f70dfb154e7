//! A batch whose key is wrong: it ends soon, and says so once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use frcopy::emulator::{Collection, Options};
use serde_json::json;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::raw_server::{forwarded, read_request, serve_each};
use crate::support::{CommandOutput, run};

const WRONG: &str = "00000000000000000000000000000000";

fn run_with(pair: &EmulatedPair, variable: &str, value: &str, arguments: &[&str]) -> CommandOutput {
    run(pair.command(arguments).env(variable, value))
}

#[test]
fn with_a_wrong_target_key_three_copies_are_tried_and_the_reason_of_the_others_is_said_once() {
    let pair = EmulatedPair::new(8);
    let output = run_with(&pair, "FRCOPY_TARGET_KEY", WRONG, &["copy", "--all", "--jobs", "1"]).expect(
        4,
        &[
            "the models that wait are not tried: the first 3 were all refused",
            "of 40 models and classifiers: 3 failed, 37 not begun",
        ],
    );
    assert_eq!(output.stderr.matches("help: check that the target key").count(), 4, "{}", output.stderr);
    // A run with the right key is complete.
    pair.copy(&["--all"]).expect(0, &["40 copied"]);
}

#[test]
fn with_a_wrong_source_key_the_first_of_several_named_models_is_asked_for() {
    let pair = EmulatedPair::new(2);
    let ids = ["copy", "invoices-v4.0-1", "invoices-v4.0-2", "invoices-v3.1-1"];
    let output =
        run_with(&pair, "FRCOPY_SOURCE_KEY", WRONG, &ids).expect(4, &["of 3 models and classifiers: 3 not begun"]);
    assert_eq!(output.stderr.matches("help: check that the source key").count(), 1, "{}", output.stderr);
    let asked = |id| !pair.requests(SOURCE, "GET", &format!("/documentintelligence/documentModels/{id}")).is_empty();
    assert_eq!(ids[1..].iter().map(asked).collect::<Vec<_>>(), [true, false, false]);
}

/// A proxy of a resource that refuses the first authorize request only.
fn refuses_once(server: SocketAddr) -> String {
    let has_refused = Arc::new(AtomicBool::default());
    let address = serve_each(move |mut client| {
        let Some(request) = read_request(&mut client) else { return };
        let is_refused = request.contains(":authorizeCopy") && !has_refused.swap(true, Ordering::Relaxed);
        let body = json!({"error": {"code": "401", "message": "Access denied."}}).to_string();
        let head = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
        let answer = if is_refused { answer } else { forwarded(server, &request) };
        let _ = std::io::Write::write_all(&mut client, &answer);
    });
    format!("http://{address}")
}

#[test]
fn one_refused_copy_does_not_end_the_others() {
    let pair = EmulatedPair::with_options(&Options { models: 4, ..Options::default() });
    let target = pair.emulator.resources()[TARGET].endpoint.trim_start_matches("http://").parse().unwrap();
    let arguments = ["copy", "--include", "invoices-v4*", "--jobs", "1", "--poll-interval", "20ms"];
    run_with(&pair, "FRCOPY_TARGET_ENDPOINT", &refuses_once(target), &arguments).expect(4, &["3 copied", "1 failed"]);
    assert_eq!(pair.ids(TARGET, Collection::DocumentModels).len(), 3);
}
