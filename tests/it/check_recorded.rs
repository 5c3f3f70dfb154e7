//! `frcopy check --manifest`: the target beside what was recorded, also while the source is down, and the age of a backup.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use frcopy::emulator::Collection;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{CommandOutput, run};

/// A backup with a manifest.
struct Backup {
    pair: EmulatedPair,
    folder: TempDir,
}

impl Backup {
    fn new() -> Self {
        let backup = Self { pair: EmulatedPair::new(1), folder: tempdir().unwrap() };
        let manifest = backup.manifest();
        backup.pair.copy(&["--all", "--manifest", manifest.to_str().unwrap()]).expect(0, &[]);
        backup.pair.mutating_requests();
        backup
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("models.json")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.manifest()).unwrap()).unwrap()
    }

    fn change(&self, change: impl Fn(&mut Value)) {
        let mut content = self.json();
        content["copies"].as_array_mut().unwrap().iter_mut().for_each(change);
        fs::write(self.manifest(), content.to_string()).unwrap();
    }

    fn check(&self, arguments: &[&str]) -> CommandOutput {
        self.pair.run(&[&["check", "--manifest", self.manifest().to_str().unwrap()], arguments].concat())
    }

    /// A check of the target, without any setting of the source.
    fn check_target(&self, arguments: &[&str]) -> CommandOutput {
        let manifest = self.manifest();
        let arguments = [&["check", "--target-only", "--manifest", manifest.to_str().unwrap()], arguments].concat();
        let mut command = self.pair.command(&arguments);
        command.env_remove("FRCOPY_SOURCE_ENDPOINT").env_remove("FRCOPY_SOURCE_KEY");
        run(&mut command)
    }

    /// The id on the target by the id on the source.
    fn ids(&self) -> BTreeMap<String, String> {
        let id = |copy: &Value, side: &str| copy[side]["modelId"].as_str().unwrap().to_owned();
        self.json()["copies"].as_array().unwrap().iter().map(|copy| (id(copy, "source"), id(copy, "target"))).collect()
    }
}

#[test]
fn the_target_alone_answers_which_id_to_use_and_whether_it_is_good() {
    let backup = Backup::new();
    let before = fs::read_to_string(backup.manifest()).unwrap();
    let began = Instant::now();
    let output = backup.check_target(&["--max-age", "26h"]).expect(0, &["5 same"]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let used: BTreeMap<_, _> = output
        .stdout
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(words[0], "=");
            (words[2].to_owned(), words.last().unwrap().to_string())
        })
        .collect();
    assert_eq!(used, backup.ids());
    for line in backup.check_target(&["--output", "json"]).expect(0, &[]).stdout.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&object["schema"], &object["sign"], &object["tooOld"]),
            (&json!("frcopy.check/1"), &json!("="), &json!(false))
        );
        assert_eq!(object["source"]["endpoint"], backup.pair.emulator.resources()[SOURCE].endpoint);
        assert_eq!(object["target"]["modelId"], backup.ids()[object["source"]["modelId"].as_str().unwrap()]);
        assert!(object["verifiedAt"].is_string());
    }
    assert_eq!(fs::read_to_string(backup.manifest()).unwrap(), before, "the target alone verifies nothing");
}

#[test]
fn a_missing_a_changed_and_an_unrecorded_model_of_the_target_are_differences() {
    let backup = Backup::new();
    let pair = &backup.pair;
    pair.emulator.remove(TARGET, Collection::DocumentModels, "invoices-v3.0-1");
    let date = "2026-11-22T08:00:00Z";
    for field in ["/createdDateTime", "/modifiedDateTime"] {
        pair.set(TARGET, Collection::DocumentModels, "invoices-v4.0-1", field, json!(date));
    }
    let schema = "/docTypes/invoices-v3.1-1/fieldSchema/Total/type";
    pair.set(TARGET, Collection::DocumentModels, "invoices-v3.1-1", schema, json!("string"));
    let mut other = pair.emulator.get(TARGET, Collection::DocumentModels, "invoices-v4.0-1").unwrap();
    other["modelId"] = json!("other");
    pair.emulator.put(TARGET, Collection::DocumentModels, "other", other);
    let why = ["the recorded model was trained", "the document types are not those of the recorded model"];
    let output = backup.check_target(&[]).expect(9, &why);
    for line in [
        "+ model invoices-v3.0-1",
        "* model invoices-v4.0-1",
        "* model invoices-v3.1-1",
        "= classifier classifier-v4.0-1",
        "- model other",
    ] {
        assert!(output.stdout.lines().any(|other| other == line), "{line} is missing in {output:#?}");
    }
    let output = backup.check_target(&["--one-way", "classifier-v4.0-1"]).expect(0, &[]);
    assert_eq!(output.stdout, "= classifier classifier-v4.0-1\n");
    backup.check_target(&["--include", "no-such-*"]).expect(5, &["matches no-such-*"]);
    let counts = "2 same as recorded, 1 missing on the target, 1 not in the manifest, 2 changed since";
    backup.check_target(&[]).expect(9, &[counts]);
}

#[test]
fn copies_of_several_sources_and_of_none_are_pointed_out() {
    let backup = Backup::new();
    let other = "https://contoso-east.cognitiveservices.azure.com";
    backup.change(|copy| {
        if copy["kind"] == "classifier" {
            copy["source"]["endpoint"] = json!(other);
        }
    });
    let several = "the target has copies of several sources, of which --from selects one: ";
    let output = backup.check_target(&[]).expect(0, &[several, "5 same"]);
    assert!(output.stderr.contains(other), "{output:#?}");
    let output = backup.check_target(&["--source-endpoint", other]).expect(0, &["1 same as recorded"]);
    assert!(!output.stderr.contains("several sources"), "{output:#?}");
    // A mistyped endpoint.
    let none = "warning: the manifest records no such copies on the target";
    backup.check_target(&["--source-endpoint", "https://contoso-esat.cognitiveservices.azure.com"]).expect(5, &[none]);
}

#[test]
fn a_source_that_cannot_be_reached_never_looks_like_a_good_backup() {
    let backup = Backup::new();
    let manifest = backup.manifest();
    let mut command = backup.pair.command(&["check", "--timeout", "2s", "--manifest", manifest.to_str().unwrap()]);
    // Nothing listens there.
    let closed = "http://127.0.0.1:1";
    backup.change(|copy| copy["source"]["endpoint"] = json!(closed));
    let what = "the source is not available: its copies are compared with what the manifest records";
    let age = "5 same as recorded\nlast verified: just now (20";
    let output = run(command.args(["--max-age", "26h"]).env("FRCOPY_SOURCE_ENDPOINT", closed))
        .expect(7, &[what, age, "error: "]);
    assert!(!output.stderr.contains("too old"), "the target has told its time: {output:#?}");
    assert_eq!(output.stdout.lines().filter(|line| line.starts_with("= ")).count(), 5, "{output:#?}");
    assert!(output.stdout.contains(&format!(" {}\n", backup.ids()[&backup.pair.custom_model()])), "{output:#?}");
    // Without a manifest there is nothing to compare with.
    let mut command = backup.pair.command(&["check", "--timeout", "2s"]);
    assert_eq!(run(command.env("FRCOPY_SOURCE_ENDPOINT", closed)).expect(7, &[]).stdout, "");
}

#[test]
fn a_copy_that_was_verified_too_long_ago_is_a_difference() {
    let backup = Backup::new();
    backup.change(|copy| {
        copy["verifiedAt"] = match copy["kind"].as_str() {
            Some("classifier") => Value::Null,
            _ => json!("2026-01-01T00:00:00Z"),
        }
    });
    let why = ["too old: verified ", " days ago", "too old: never verified", "5 too old"];
    backup.check_target(&["--max-age", "26h"]).expect(9, &why);
    let age =
        ["5 same as recorded\noldest verification: ", "days ago (2026-01-01T00:00:00Z); 1 copies were never verified"];
    backup.check_target(&[]).expect(0, &age);
    // A check of both sides verifies, and records that.
    backup.check(&["--max-age", "26h"]).expect(0, &["5 same"]);
    backup.check_target(&["--max-age", "26h"]).expect(0, &["5 same"]);
    for arguments in [&["check", "--max-age", "26h"][..], &["check", "--target-only"]] {
        backup.pair.run(arguments).expect(2, &["--manifest <PATH>"]);
    }
}

#[test]
fn a_check_of_both_sides_records_copies_that_were_made_without_a_manifest() {
    let backup = Backup::new();
    let ids = backup.ids();
    fs::write(backup.manifest(), r#"{"schema":"frcopy.manifest/1","copies":[]}"#).unwrap();
    backup.check(&["--output", "json"]).expect(0, &[]);
    assert_eq!(backup.ids(), ids);
    backup.check_target(&[]).expect(0, &["5 same"]);
    // What differs is not verified.
    backup.change(|copy| copy["verifiedAt"] = json!("2026-01-01T00:00:00Z"));
    backup.pair.retrain("invoices-v4.0-1");
    let why = ["1 different, 1 too old", "invoices-v4.0-1: too old: verified "];
    let output = backup.check(&["--max-age", "26h", "--output", "json"]).expect(9, &why);
    assert!(output.stdout.contains(r#""verifiedAt":"2026-01-01T00:00:00Z","tooOld":true"#), "{output:#?}");
    let copies = backup.json();
    let old = copies["copies"].as_array().unwrap().iter().filter(|copy| copy["verifiedAt"] == "2026-01-01T00:00:00Z");
    assert_eq!(old.map(|copy| copy["source"]["modelId"].clone()).collect::<Vec<_>>(), ["invoices-v4.0-1"]);
}

#[test]
fn a_source_that_hangs_and_a_target_that_hangs_end_the_check_at_its_timeout() {
    let backup = Backup::new();
    // The system accepts the connections, and nothing is ever answered.
    let [source, target] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    backup.change(|copy| copy["source"]["endpoint"] = json!(url(&source)));
    let manifest = backup.manifest();
    let mut command =
        backup.pair.command(&["check", "--manifest", manifest.to_str().unwrap(), "--timeout", "3s", "--one-way"]);
    command.env("FRCOPY_SOURCE_ENDPOINT", url(&source)).env("FRCOPY_TARGET_ENDPOINT", url(&target));
    let began = Instant::now();
    run(&mut command).expect(7, &[]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_target_with_an_unreadable_entry_does_not_lack_a_recorded_copy() {
    let backup = Backup::new();
    for (collection, id, field) in [
        (Collection::DocumentModels, "invoices-v4.0-1".to_owned(), "/modelId"),
        (Collection::DocumentClassifiers, "classifier-v4.0-1".to_owned(), "/classifierId"),
        (Collection::CustomModels, backup.ids()[&backup.pair.custom_model()].clone(), "/modelInfo/modelId"),
    ] {
        let before = backup.pair.emulator.get(TARGET, collection, &id).unwrap();
        backup.pair.set(TARGET, collection, &id, field, json!(7));
        let why = ["the list of the target does not show it", "1 unread"];
        for output in [backup.check_target(&[]), backup.check(&[])] {
            let output = output.expect(9, &why);
            assert_eq!(output.stdout.lines().filter(|line| line.starts_with('!')).count(), 1, "{output:#?}");
            assert_eq!(output.stdout.lines().filter(|line| line.starts_with('=')).count(), 4, "{output:#?}");
        }
        backup.pair.emulator.put(TARGET, collection, &id, before);
    }
    backup.check_target(&[]).expect(0, &["5 same"]);
}
