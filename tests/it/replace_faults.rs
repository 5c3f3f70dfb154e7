//! `--if-exists replace` and `skip` on resources that answer some requests in another way than the emulator.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use frcopy::emulator::Collection;
use serde_json::json;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET, without_query};
use crate::support::raw_server::{forwarded, read_request, serve_each};
use crate::support::{CommandOutput, DOCUMENT_VERSIONS, Model, ScriptedService, Step, error_reply, on_each, run};

const ID: &str = "invoices-v4.0-1";
const BLANK: &str = "00000000-0000-4000-8000-0000000000b1";
const STAGING: &str = "invoices-v4.0-1.frcopy-staging";
/// The answer of a gateway in front of a resource whose region does not offer the API version.
const NOT_OFFERED: &str = r#"{"error":{"code":"404","message":"Resource not found"}}"#;

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into()
}

/// Starts a proxy in front of a resource. It answers those requests by itself for whose first line `answer` has an answer.
fn proxied_resource(
    pair: &EmulatedPair,
    resource: usize,
    answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> String {
    let server: SocketAddr =
        pair.emulator.resources()[resource].endpoint.strip_prefix("http://").unwrap().parse().unwrap();
    let address = serve_each(move |mut client| {
        let Some(request) = read_request(&mut client) else { return };
        let own = answer(request.lines().next().unwrap());
        let _ = client.write_all(&own.unwrap_or_else(|| forwarded(server, &request)));
    });
    format!("http://{address}")
}

fn proxied(pair: &EmulatedPair, answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> String {
    proxied_resource(pair, TARGET, answer)
}

/// Runs `frcopy copy` over a proxy in front of the target.
fn copy_over(pair: &EmulatedPair, endpoint: &str, arguments: &[&str]) -> CommandOutput {
    let mut command = pair.command(&[&["copy", "--poll-interval=20ms"], arguments].concat());
    run(command.env("FRCOPY_TARGET_ENDPOINT", endpoint))
}

fn only_model_on_target(pair: &EmulatedPair) -> String {
    let ids = Vec::from_iter(pair.ids(TARGET, Collection::DocumentModels));
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids.into_iter().next().unwrap()
}

#[test]
fn a_model_is_replaced_on_a_target_that_does_not_offer_the_newest_version() {
    for id in ["invoices-v3.0-1", "invoices-v3.1-1"] {
        let pair = EmulatedPair::new(1);
        pair.copy(&[id]).expect(0, &[]);
        pair.retrain(id);
        let is_newest = |line: &str| line.contains("api-version=2024-11-30");
        let endpoint = proxied(&pair, move |line| is_newest(line).then(|| answer("404 Not Found", NOT_OFFERED)));
        copy_over(&pair, &endpoint, &["--if-exists=skip", id]).expect(6, &["has another model"]);
        copy_over(&pair, &endpoint, &["--if-exists=replace", "--dry-run", id]).expect(0, &["would replace"]);
        copy_over(&pair, &endpoint, &["--if-exists=replace", id]).expect(0, &["replaced "]);
        assert_eq!(only_model_on_target(&pair), id);
        copy_over(&pair, &endpoint, &["--if-exists=replace", "--include", id]).expect(0, &["1 already there"]);
        pair.run(&["check", id]).expect(0, &["1 same"]);
    }
}

/// Answers with status 500 to some of the requests that are meant, counted from 0.
fn failing(times: Range<usize>, is_meant: impl Fn(&str) -> bool) -> impl Fn(&str) -> Option<Vec<u8>> {
    let seen = AtomicUsize::new(0);
    move |line| {
        let fails = is_meant(line) && times.contains(&seen.fetch_add(1, Ordering::SeqCst));
        fails
            .then(|| answer("500 Internal Server Error", r#"{"error":{"code":"InternalServerError","message":"Oh."}}"#))
    }
}

#[test]
fn another_model_that_the_target_did_not_show_at_first_is_replaced_after_the_conflict() {
    let pair = EmulatedPair::new(1);
    pair.copy(&[ID]).expect(0, &[]);
    pair.retrain(ID);
    let endpoint = proxied(&pair, failing(0..3, |line| line.starts_with("GET ")));
    let output = copy_over(&pair, &endpoint, &["--if-exists=replace", ID]).expect(0, &["replaced "]);
    assert!(!output.stderr.contains("--if-exists replace"), "{output:#?}");
    assert_eq!(only_model_on_target(&pair), ID);
    pair.run(&["check", ID]).expect(0, &["1 same"]);
}

#[test]
fn a_replacement_does_not_advise_to_replace_what_it_could_not_replace() {
    let pair = EmulatedPair::new(1);
    pair.copy(&[ID]).expect(0, &[]);
    pair.retrain(ID);
    // After the preflight, the staging id belongs to another model, which the target does not show.
    pair.copy(&["invoices-v3.1-1", "--target-model-id", STAGING]).expect(0, &[]);
    let is_hidden = |line: &str| line.starts_with("GET ") && line.contains(STAGING);
    let hidden = answer(
        "404 Not Found",
        r#"{"error":{"code":"NotFound","message":"Oh.","innererror":{"code":"ModelNotFound","message":"Oh."}}}"#,
    );
    let reads = AtomicUsize::new(0);
    let endpoint = proxied(&pair, move |line| {
        (is_hidden(line) && reads.fetch_add(1, Ordering::SeqCst) < 2).then(|| hidden.clone())
    });
    let output = copy_over(&pair, &endpoint, &["--if-exists=replace", ID])
        .expect(6, &["has another model invoices-v4.0-1.frcopy-staging", "run the same command again"]);
    assert!(!output.stderr.contains("--if-exists replace"), "{output:#?}");
    copy_over(&pair, &endpoint, &["--if-exists=replace", ID]).expect(0, &["replaced "]);
    assert_eq!(only_model_on_target(&pair), ID);
}

/// Whether the first line of a request has this method and this id at the end of its path.
fn is_about(line: &str, method: &str, id: &str) -> bool {
    let path = line.split(' ').nth(1).unwrap_or_default();
    line.starts_with(method) && without_query(path).ends_with(&format!("/{id}"))
}

#[test]
fn a_replacement_that_has_begun_waits_until_the_staging_copy_can_be_read_and_the_old_model_deleted() {
    // Before the copy, the staging id is read twice, and once when the copy is verified.
    for (times, method, id) in [(3..7, "GET", STAGING), (0..4, "DELETE", ID)] {
        let pair = EmulatedPair::new(1);
        pair.copy(&[ID]).expect(0, &[]);
        pair.retrain(ID);
        let endpoint = proxied(&pair, failing(times, move |line| is_about(line, method, id)));
        copy_over(&pair, &endpoint, &["--if-exists=replace", ID]).expect(0, &["replaced "]);
        assert_eq!(only_model_on_target(&pair), ID);
    }
}

#[test]
fn a_staging_copy_that_cannot_be_read_is_not_called_missing() {
    let pair = EmulatedPair::new(1);
    pair.copy(&[ID]).expect(0, &[]);
    pair.retrain(ID);
    let endpoint = proxied(&pair, failing(3..usize::MAX, |line| is_about(line, "GET", STAGING)));
    let output = copy_over(&pair, &endpoint, &["--if-exists=replace", "--timeout=5s", ID]);
    let output = output.expect(7, &["and the old model is kept", "HTTP 500", "run the same command again"]);
    assert!(!output.stderr.contains("does not show"), "{output:#?}");
}

#[test]
fn skip_reads_again_what_decides_whether_the_copy_is_there() {
    on_each(&DOCUMENT_VERSIONS, |&version| {
        let service = ScriptedService::new(version);
        let failed = || error_reply(500, "InternalServerError", "Oh.");
        service.on(Step::GetSource, [failed(), failed(), failed(), failed(), Model::example(version).answer()]);
        service.on(Step::GetTarget, [Model::example(version).answer()]);
        run(service.copy().arg("--if-exists=skip")).expect(0, &["skipped"]);
        assert_eq!(service.count(Step::Authorize), 0);
    });
    let pair = EmulatedPair::new(1);
    let model = pair.custom_model();
    pair.copy(&[&model]).expect(0, &[]);
    let endpoint = proxied(&pair, failing(0..4, |line| line.contains("op=full")));
    copy_over(&pair, &endpoint, &["--if-exists=skip", &model]).expect(0, &["skipped"]);
}

#[test]
fn skip_does_not_wait_for_a_blank_model_while_the_copy_is_there() {
    let pair = EmulatedPair::new(1);
    let model = pair.custom_model();
    pair.copy(&[&model]).expect(0, &[]);
    let now = format!("{:.0}", jiff::Timestamp::now());
    let info = json!({"modelId": BLANK, "status": "creating", "createdDateTime": now, "lastUpdatedDateTime": now});
    pair.emulator.put(TARGET, Collection::CustomModels, BLANK, json!({"modelInfo": info}));
    let output = pair.copy(&["--if-exists=skip", "--timeout=20s", &model]).expect(0, &["skipped"]);
    assert!(!output.stderr.contains("blank"), "{output:#?}");
}

#[test]
fn the_help_of_an_unfinished_replacement_ends_with_the_command_that_waits_for_its_copy() {
    let pair = EmulatedPair::new(1);
    pair.copy(&[ID]).expect(0, &[]);
    pair.retrain(ID);
    let is_lost = |line: &str| line.starts_with("POST") || line.contains("/operations");
    let source = proxied_resource(&pair, SOURCE, failing(0..usize::MAX, is_lost));
    let mut command = pair.command(&["copy", "--if-exists=replace", "--timeout=4s", ID]);
    let output = run(command.env("FRCOPY_SOURCE_ENDPOINT", source)).expect(8, &["run the same command again"]);
    let command = format!("frcopy wait --target-model-id {STAGING} --api-version v4.0");
    assert!(output.stderr.lines().any(|line| line.starts_with("help: ") && line.ends_with(&command)), "{output:#?}");
}
