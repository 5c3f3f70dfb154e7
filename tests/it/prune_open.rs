//! `frcopy prune --manifest`: what an unfinished copy may need is kept.

use std::fs;

use frcopy::emulator::Collection;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::journal::{Journaled, Request, custom_model};
use crate::support::CommandOutput;
use crate::support::emulated_pair::{EmulatedPair, TARGET};

/// A blank model that no open entry is about.
const OTHER: &str = "00000000-0000-4000-8000-0000000000b1";

fn hours_ago(hours: i64) -> String {
    format!("{:.0}", Timestamp::now() - SignedDuration::from_hours(hours))
}

/// Puts a blank model of this age on the target.
fn put_blank(pair: &EmulatedPair, id: &str, hours: i64) {
    let date = hours_ago(hours);
    let body = json!({"modelInfo":
        {"modelId": id, "status": "creating", "createdDateTime": date, "lastUpdatedDateTime": date}});
    pair.emulator.put(TARGET, Collection::CustomModels, id, body);
}

/// The only v2.1 model of the target.
fn blank_of(pair: &EmulatedPair) -> String {
    let ids = pair.ids(TARGET, Collection::CustomModels);
    assert_eq!(ids.len(), 1);
    ids.into_iter().next().unwrap()
}

/// Runs prune with the manifest.
fn prune(journaled: &Journaled, arguments: &[&str]) -> CommandOutput {
    let manifest = journaled.manifest();
    let prune = ["prune", "target", "--output", "json", "--manifest", manifest.to_str().unwrap()];
    journaled.pair.run(&[&prune, arguments].concat())
}

/// The status of a model, and the reason.
fn result_of(output: &CommandOutput, id: &str) -> (String, String) {
    let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.into_iter().find(|line| line["modelId"] == id).unwrap_or_else(|| panic!("no {id} in {output:#?}"));
    (line["status"].as_str().unwrap().to_owned(), line["reason"].as_str().unwrap().to_owned())
}

#[test]
fn the_blank_model_of_an_authorization_in_the_journal_is_kept_until_the_copy_has_ended() {
    let killed = Journaled::on(EmulatedPair::new(1));
    let model = killed.pair.custom_model();
    let (_, authorization) = killed.authorize(&["--api-version", "2.1"]);
    killed.write_unused_authorization(&model, None, &authorization, Timestamp::now());
    fs::write(killed.manifest(), json!({"schema": "frcopy.manifest/1", "copies": []}).to_string()).unwrap();
    let blank = blank_of(&killed.pair);
    for id in [&blank, OTHER] {
        put_blank(&killed.pair, id, 48);
    }
    let output = prune(&killed, &["--yes"]).expect(0, &["1 deleted, 1 kept"]);
    let (status, reason) = result_of(&output, &blank);
    assert_eq!((status.as_str(), result_of(&output, OTHER).0.as_str()), ("kept", "deleted"));
    let journal = killed.journal();
    for text in [&*format!("the unfinished copy of model {model} in {}", journal.display()), "run its command again"] {
        assert!(reason.contains(text), "{reason}");
    }
    assert!(journal.exists(), "the journal is only read");
    killed
        .pair
        .run(&["prune", "target", "--yes", &blank, "--manifest", killed.manifest().to_str().unwrap()])
        .expect(5, &["nothing was deleted", "the unfinished copy of model"]);

    // Without the manifest, its age decides, and the list says so.
    let age = "blank models are judged by their age alone: --manifest PATH";
    killed.pair.run(&["prune", "target"]).expect(0, &["1 removable", age]);
    // The copy has ended.
    fs::remove_file(&journal).unwrap();
    let output = prune(&killed, &["--yes"]).expect(0, &["1 deleted"]);
    assert!(!output.stderr.contains("judged by"), "{output:#?}");
}

#[test]
fn a_blank_model_that_a_lost_authorize_request_may_have_made_is_kept() {
    let (killed, _) = Journaled::killed_at(Request::Authorize, custom_model);
    let blank = blank_of(&killed.pair);
    // All of it was two days ago.
    let text = fs::read_to_string(killed.journal()).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line.get("serviceTime").is_some() {
            line["serviceTime"] = json!(hours_ago(48));
            return line.to_string();
        }
        text.lines().next().unwrap().to_owned()
    });
    fs::write(killed.journal(), lines.map(|line| line + "\n").collect::<String>()).unwrap();
    put_blank(&killed.pair, &blank, 48);
    put_blank(&killed.pair, OTHER, 49);
    let output = prune(&killed, &["--yes"]).expect(0, &["1 deleted, 1 kept"]);
    assert_eq!((result_of(&output, &blank).0.as_str(), result_of(&output, OTHER).0.as_str()), ("kept", "deleted"));
}

#[test]
fn a_staging_copy_is_kept_while_a_copy_to_it_or_to_its_final_id_is_open() {
    let journaled = Journaled::on(EmulatedPair::new(1));
    let [source, target, ..] = journaled.pair.emulator.resources() else { panic!("two resources") };
    for (version, kind, model) in [
        ("v3.0", "model", "invoices-v3.0-1"),
        ("v3.1", "model", "invoices-v3.1-1"),
        ("v4.0", "model", "invoices-v4.0-1"),
        ("v4.0", "classifier", "classifier-v4.0-1"),
    ] {
        let staging = &format!("{model}.frcopy-staging");
        for id in [model, staging] {
            journaled.copy(&[model, "--target-model-id", id]).expect(0, &[]);
        }
        let other_kind = if kind == "model" { "classifier" } else { "model" };
        for (kind, open, at, status) in [
            (kind, model, &target.endpoint, "kept"),
            (kind, staging, &target.endpoint, "kept"),
            (kind, "receipts", &target.endpoint, "removable"),
            (other_kind, model, &target.endpoint, "removable"),
            (kind, model, &source.endpoint, "removable"),
        ] {
            let (id, run) = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002");
            let header = format!(r#"{{"schema":"frcopy.journal/1","generation":"{run}"}}"#);
            let line = json!({"event": "authorize", "id": id, "run": run, "kind": kind, "apiVersion": version,
                "source": {"endpoint": source.endpoint, "modelId": model}, "target": {"endpoint": at, "modelId": open}});
            fs::write(journaled.journal(), format!("{header}\n{line}\n")).unwrap();
            let output = prune(&journaled, &[]).expect(0, &[]);
            assert_eq!(result_of(&output, staging).0, status, "{kind} {open} at {at}: {output:#?}");
        }
        fs::remove_file(journaled.journal()).unwrap();
    }
}

#[test]
fn a_manifest_that_is_mistyped_or_damaged_stops_it_before_anything_is_deleted() {
    let journaled = Journaled::on(EmulatedPair::new(1));
    put_blank(&journaled.pair, OTHER, 48);
    prune(&journaled, &["--yes"]).expect(2, &["models.json does not exist", "check the path"]);
    fs::write(journaled.manifest(), json!({"schema": "frcopy.manifest/1", "copies": []}).to_string()).unwrap();
    fs::write(journaled.journal(), "not a journal\n").unwrap();
    prune(&journaled, &["--yes"]).expect(2, &["the journal", "cannot be used"]);
    // The journal in the place of its manifest.
    let journal = journaled.journal();
    journaled
        .pair
        .run(&["prune", "target", "--yes", "--manifest", journal.to_str().unwrap()])
        .expect(2, &["the manifest"]);
    assert_eq!(journaled.pair.mutating_requests(), Vec::<String>::new());
}
