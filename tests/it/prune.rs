//! `frcopy prune`: what copies have left is listed with reasons, and deleted only if it is still useless.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use frcopy::emulator::{AnswerTo, Collection, Options, Tier};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::emulated_pair::{EmulatedPair, TARGET};
use crate::support::raw_server::{forwarded, read_request, serve_each};
use crate::support::{CommandOutput, frcopy, run};

const ID: &str = "invoices-v4.0-1";
const STAGING: &str = "invoices-v4.0-1.frcopy-staging";
const BLANK: &str = "00000000-0000-4000-8000-0000000000b1";

/// Puts a v2.1 model that is being created on the target.
fn put_creating(pair: &EmulatedPair, id: &str, hours_ago: i64, more: Value) {
    let created = Timestamp::now() - SignedDuration::from_hours(hours_ago);
    let date = format!("{created:.0}");
    let mut body = json!({"modelInfo":
        {"modelId": id, "status": "creating", "createdDateTime": date, "lastUpdatedDateTime": date}});
    if let Some(name) = more.get("modelName") {
        body["modelInfo"]["modelName"] = name.clone();
    } else if let Value::Object(fields) = more {
        body.as_object_mut().unwrap().extend(fields);
    }
    pair.emulator.put(TARGET, Collection::CustomModels, id, body);
}

/// Makes a copy of a model and a staging copy beside it.
fn stage(pair: &EmulatedPair, id: &str) {
    pair.copy(&[id]).expect(0, &[]);
    pair.copy(&[id, "--target-model-id", &format!("{id}.frcopy-staging")]).expect(0, &[]);
    pair.mutating_requests();
}

fn lines(output: &CommandOutput) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn deletions(pair: &EmulatedPair) -> BTreeSet<String> {
    pair.mutating_requests().into_iter().collect()
}

/// The status and the reason of one model.
#[track_caller]
fn expect_line(output: &CommandOutput, id: &str, status: &str, reason: &str) {
    let line = lines(output).into_iter().find(|line| line["modelId"] == id);
    let line = line.unwrap_or_else(|| panic!("{id} is missing in {output:#?}"));
    assert_eq!(line["status"], status, "{line:#}");
    assert!(line["reason"].as_str().unwrap().contains(reason), "{line:#}");
}

#[test]
fn staging_copies_of_every_version_are_removable_if_their_final_copy_is_ready() {
    let pair = EmulatedPair::new(1);
    let ids = ["invoices-v3.0-1", "invoices-v3.1-1", ID, "classifier-v4.0-1"];
    for id in ids {
        stage(&pair, id);
    }
    let listed = pair.run(&["prune", "target", "--output", "json"]).expect(0, &["4 removable; --yes deletes"]);
    for id in ids {
        expect_line(&listed, &format!("{id}.frcopy-staging"), "removable", "is a ready copy of the same training");
    }
    assert!(lines(&listed).iter().all(|line| line["schema"] == "frcopy.prune/1" && line["leftover"] == "stagingCopy"));
    assert_eq!(deletions(&pair), BTreeSet::new());
    pair.run(&["prune", "target", "--yes"]).expect(0, &["on the target: 4 deleted"]);
    let (models, classifiers) =
        (pair.ids(TARGET, Collection::DocumentModels), pair.ids(TARGET, Collection::DocumentClassifiers));
    assert_eq!((models.len(), classifiers.len()), (3, 1));
    assert!(models.iter().chain(&classifiers).all(|id| ids.contains(&id.as_str())));
    let nothing = pair.run(&["prune", "target"]).expect(0, &["copies have left nothing on the target"]);
    assert_eq!(nothing.stdout, "");
}

#[test]
fn a_staging_copy_that_may_be_needed_is_kept() {
    let pair = EmulatedPair::new(1);
    stage(&pair, ID);
    // The old model is in its place: the replacement has not come to its end.
    pair.set(TARGET, Collection::DocumentModels, ID, "/modifiedDateTime", json!("2020-01-01T00:00:00Z"));
    pair.set(TARGET, Collection::DocumentModels, ID, "/createdDateTime", json!("2020-01-01T00:00:00Z"));
    let output = pair.run(&["prune", "target", "--yes", "--output", "json"]).expect(0, &["1 kept"]);
    expect_line(&output, STAGING, "kept", "--if-exists replace finishes it");
    pair.emulator.remove(TARGET, Collection::DocumentModels, ID);
    let output = pair.run(&["prune", "target", "--yes", "--output", "json"]).expect(0, &["1 kept"]);
    expect_line(&output, STAGING, "kept", "it may hold the only copy");
    assert_eq!(deletions(&pair), BTreeSet::new());
}

#[test]
fn a_long_id_is_found_by_its_staging_id() {
    let pair = EmulatedPair::new(1);
    let long = "x".repeat(60);
    pair.copy(&[ID, "--target-model-id", &long]).expect(0, &[]);
    pair.retrain(ID);
    let mut replace = pair.command(&["copy", "--poll-interval=20ms", "--if-exists=replace", ID]);
    replace.args(["--target-model-id", &long]);
    run(&mut replace).expect(0, &[]);
    let staging: Vec<_> = pair.mutating_requests().into_iter().filter(|request| request.contains("DELETE")).collect();
    let staging = staging.last().unwrap().rsplit('/').next().unwrap().to_owned();
    pair.copy(&[ID, "--target-model-id", &staging]).expect(0, &[]);
    pair.run(&["prune", "target", "--yes"]).expect(0, &["1 deleted"]);
    assert_eq!(pair.ids(TARGET, Collection::DocumentModels), BTreeSet::from([long]));
}

#[test]
fn a_blank_model_is_removable_when_its_authorization_has_expired() {
    let pair = EmulatedPair::new(1);
    let id = |number: u8| format!("00000000-0000-4000-8000-0000000000c{number}");
    put_creating(&pair, BLANK, 48, json!({}));
    put_creating(&pair, &id(1), 23, json!({}));
    put_creating(&pair, &id(2), 48, json!({"modelName": "being trained"}));
    put_creating(&pair, &id(3), 48, json!({"trainResult": {"trainingDocuments": [], "errors": []}}));
    put_creating(&pair, &id(4), 48, json!({"trainResult": null, "composedTrainResults": []}));
    pair.copy(&[&pair.custom_model()]).expect(0, &[]);
    pair.mutating_requests();
    let output = pair.run(&["prune", "target", "--output", "json"]).expect(0, &["2 removable, 3 kept"]);
    expect_line(&output, BLANK, "removable", "its authorization has expired");
    expect_line(&output, &id(1), "kept", "a copy or a training may be running");
    expect_line(&output, &id(2), "kept", "it is being trained");
    expect_line(&output, &id(3), "kept", "it is being trained");
    expect_line(&output, &id(4), "removable", "");
    assert_eq!(lines(&output).len(), 5, "the copy is none of them");
    let quiet = pair.run(&["prune", "target", "-q"]).expect(0, &[]);
    assert_eq!((quiet.stdout, quiet.stderr), (format!("{BLANK}\n{}\n", id(4)), String::new()));
    pair.run(&["prune", "target", "--yes"]).expect(0, &["2 deleted, 3 kept"]);
    let left = pair.ids(TARGET, Collection::CustomModels);
    assert!(left.len() == 4 && !left.contains(BLANK), "{left:?}");
}

#[test]
fn the_age_of_a_blank_model_is_judged_by_the_clock_of_the_service() {
    for (hours, status) in [(48, "removable"), (-48, "kept")] {
        let clock_skew = vec![("target".into(), SignedDuration::from_hours(hours))];
        let pair = EmulatedPair::with_options(&Options { clock_skew, ..Options::default() });
        put_creating(&pair, BLANK, if hours > 0 { 1 } else { 48 }, json!({}));
        expect_line(&pair.run(&["prune", "target", "--output", "json"]), BLANK, status, "");
    }
}

#[test]
fn only_the_ids_that_are_given_are_deleted_and_other_ids_stop_it_before_anything_is() {
    let pair = EmulatedPair::new(1);
    stage(&pair, ID);
    put_creating(&pair, BLANK, 48, json!({}));
    for (id, why) in [("unknown-model", "not something that a copy has left"), (ID, "not something that a copy")] {
        pair.run(&["prune", "target", "--yes", BLANK, id]).expect(5, &["nothing was deleted", why]);
    }
    let young = "00000000-0000-4000-8000-0000000000b2";
    put_creating(&pair, young, 1, json!({}));
    pair.run(&["prune", "target", "--yes", young]).expect(5, &["is not removable", "a training may be running"]);
    assert_eq!(deletions(&pair), BTreeSet::new());
    let output = pair.run(&["prune", "target", "--yes", &BLANK.to_uppercase()]).expect(0, &["1 deleted, 1 removable"]);
    assert!(output.stdout.starts_with("MODEL ID ") && output.stdout.contains("  deleted    "), "{}", output.stdout);
    assert_eq!(deletions(&pair), BTreeSet::from([format!("target DELETE /formrecognizer/v2.1/custom/models/{BLANK}")]));
}

/// A proxy whose answers to all reads of one id but the first have another text in the place of one.
fn changing_server(server: SocketAddr, id: &'static str, [old, new]: [&'static str; 2]) -> SocketAddr {
    let reads = AtomicUsize::new(0);
    serve_each(move |mut client: TcpStream| {
        let Some(request) = read_request(&mut client) else { return };
        let mut answer = forwarded(server, &request);
        let is_read = request.starts_with("GET ") && request.lines().next().unwrap().contains(&format!("/{id}"));
        if is_read && !request.contains("staging") && reads.fetch_add(1, Ordering::Relaxed) > 0 {
            answer = String::from_utf8(answer).unwrap().replace(old, new).into_bytes();
        }
        let _ = client.write_all(&answer);
    })
}

/// Prunes the target, whose model changes after its first read by this id, and asserts that nothing is deleted.
fn expect_kept(pair: &EmulatedPair, id: &'static str, changed: [&'static str; 2], text: &str) {
    let server = pair.emulator.resources()[TARGET].endpoint.replace("http://", "").parse().unwrap();
    let proxy = changing_server(server, id, changed);
    let mut command = pair.command(&["prune", "target", "--yes"]);
    command.env("FRCOPY_TARGET_ENDPOINT", format!("http://{proxy}"));
    run(&mut command).expect(7, &[text, "1 failed"]);
    assert_eq!(deletions(pair), BTreeSet::new());
}

#[test]
fn a_staging_copy_is_kept_if_its_model_has_changed_since_it_was_listed() {
    let pair = EmulatedPair::new(1);
    stage(&pair, ID);
    let changed = ["DateTime\":\"20", "DateTime\":\"19"];
    expect_kept(&pair, ID, changed, &format!("{ID} is no longer a ready copy of the same training"));
}

#[test]
fn a_model_that_has_changed_since_it_was_listed_is_kept() {
    let pair = EmulatedPair::new(1);
    put_creating(&pair, BLANK, 48, json!({}));
    // The second read by its id, right before the deletion, shows that a copy has ended.
    let changed = ["\"creating\"", "\"ready\"   "];
    expect_kept(&pair, BLANK, changed, &format!("{BLANK} has changed since it was read, and is kept"));
}

#[test]
fn a_lost_answer_and_a_rate_limit_do_not_stop_a_deletion() {
    let pair = EmulatedPair::with_options(&Options { lose_answers: vec![AnswerTo::Delete], ..Options::default() });
    put_creating(&pair, BLANK, 48, json!({}));
    pair.run(&["prune", "target", "--yes"]).expect(0, &["1 deleted"]);
    assert_eq!(pair.mutating_requests().len(), 1, "a read shows that it is gone");
    let pair = EmulatedPair::with_options(&Options { tier: Tier::S0, ..Options::default() });
    for number in 10..20 {
        put_creating(&pair, &format!("00000000-0000-4000-8000-0000000000{number}"), 48, json!({}));
    }
    pair.run(&["prune", "target", "--yes"]).expect(0, &["10 deleted"]);
    assert_eq!(pair.ids(TARGET, Collection::CustomModels), BTreeSet::new());
}

#[test]
fn a_named_resource_is_called_by_its_name() {
    let pair = EmulatedPair::new(1);
    stage(&pair, ID);
    let west = &pair.emulator.resources()[TARGET];
    let prune = |arguments: &[&str]| {
        let mut command = frcopy();
        command.env("FRCOPY_RESOURCE_WEST_ENDPOINT", &west.endpoint).env("FRCOPY_RESOURCE_WEST_KEY", &west.key);
        run(command.args(["prune", "west"]).args(arguments))
    };
    prune(&[]).expect(0, &["on west: 1 removable; --yes deletes"]);
    prune(&["--yes", ID]).expect(5, &[&format!("{ID} of west is not removable, nothing was deleted")]);
    prune(&["--yes"]).expect(0, &["on west: 1 deleted"]);
    prune(&[]).expect(0, &["copies have left nothing on west"]);
}

#[test]
fn settings_and_refusals_have_their_exit_codes() {
    let pair = EmulatedPair::new(1);
    pair.run(&["prune", "source"]).expect(0, &["copies have left nothing on the source"]);
    run(pair.command(&["prune", "target"]).env("FRCOPY_TARGET_KEY", "wr0ng-key-of-the-target-0123456789"))
        .expect(4, &["401: Access denied"]);
    run(frcopy().args(["prune", "target"])).expect(2, &["the target endpoint is missing"]);
    pair.run(&["prune", "target", "--yes", "not an id"]).expect(2, &["is not usable"]);
}

#[test]
fn a_deletion_that_hangs_ends_with_the_deadline_and_its_fate_is_not_known() {
    let pair = EmulatedPair::new(1);
    put_creating(&pair, BLANK, 48, json!({}));
    stage(&pair, ID);
    let server = pair.emulator.resources()[TARGET].endpoint.replace("http://", "").parse().unwrap();
    let proxy = serve_each(move |mut client: TcpStream| {
        let Some(request) = read_request(&mut client) else { return };
        if request.starts_with("DELETE ") {
            // Until the client gives up.
            let _ = client.read(&mut [0]);
            return;
        }
        let _ = client.write_all(&forwarded(server, &request));
    });
    for id in [BLANK, STAGING] {
        let mut command = pair.command(&["prune", "target", "--yes", id, "--timeout", "2s"]);
        let began = Instant::now();
        let text = format!("whether {id} was deleted is not known");
        run(command.env("FRCOPY_TARGET_ENDPOINT", format!("http://{proxy}")))
            .expect(7, &[&text, "run the same command"]);
        assert!(began.elapsed() < Duration::from_secs(3), "{id}: {:?}", began.elapsed());
    }
}
