//! `frcopy list`: all pages of all models, as a table and as JSON.

use std::collections::BTreeSet;

use frcopy::emulator::Collection;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::emulated_pair::{EmulatedPair, SOURCE};
use crate::support::{frcopy, run};

#[test]
fn every_page_of_every_version_is_read_and_prebuilt_models_are_left_out() {
    let pair = EmulatedPair::new(120);
    let output = pair.run(&["list", "source", "-q"]).expect(0, &[]);
    let ids: BTreeSet<_> = output.stdout.lines().collect();
    assert_eq!((ids.len(), ids.iter().filter(|id| id.starts_with("prebuilt")).count()), (600, 0));
    for (arguments, count) in [
        (&["--kind", "classifier"][..], 120),
        (&["--api-version", "2.1"], 120),
        (&["--api-version", "3.1"], 240),
        (&["--include", "*v4.0*", "--exclude", "class*"], 120),
    ] {
        let output = pair.run(&[&["list", "source", "-q"], arguments].concat()).expect(0, &[]);
        assert_eq!(output.stdout.lines().count(), count, "{arguments:?}");
    }
}

#[test]
fn the_table_shows_kind_version_dates_and_description() {
    let pair = EmulatedPair::new(1);
    pair.set(SOURCE, Collection::DocumentModels, "invoices-v4.0-1", "/description", json!("two\nlines \u{1b}[31m"));
    let id = "00000000-0000-4000-8000-00000000000b";
    let info = json!({"modelId": id, "status": "invalid", "modelName": "broken", "createdDateTime": "2026-01-01T00:00:00Z",
        "lastUpdatedDateTime": "2026-01-01T00:00:00Z"});
    pair.emulator.put(SOURCE, Collection::CustomModels, id, json!({"modelInfo": info}));
    let in_a_month = (Timestamp::now() + SignedDuration::from_hours(30 * 24 + 1)).to_string();
    pair.set(SOURCE, Collection::DocumentModels, "invoices-v3.1-1", "/expirationDateTime", json!(in_a_month));
    let table = pair.run(&["list", "source"]).expect(0, &[]).stdout;
    let line = |id: &str| table.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(table.starts_with("MODEL ID "), "{table}");
    assert!(line(id).contains("model       v2.1  2026-01-01") && line(id).ends_with("(invalid) broken"), "{table}");
    assert!(line("invoices-v4.0-1").ends_with("two lines  [31m"), "{table}");
    assert!(line("classifier-v4.0-1").contains("classifier  v4.0"), "{table}");
    assert!(line("invoices-v3.1-1").contains(" (in 30 days)"), "{table}");
    assert_eq!(table.matches(" (in ").count(), 1, "the others expire later, or never: {table}");
    let empty = pair.run(&["list", "target"]).expect(0, &["the target has no custom models and classifiers"]);
    assert_eq!(empty.stdout, "");
}

#[test]
fn json_output_of_list_is_one_object_per_model() {
    let pair = EmulatedPair::new(1);
    let output = pair.run(&["list", "source", "--output", "json"]).expect(0, &[]);
    let objects: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 5);
    let model = objects.iter().find(|one| one["modelId"] == "invoices-v3.1-1").unwrap();
    for (field, value) in [
        ("schema", json!("frcopy.model/1")),
        ("kind", json!("model")),
        ("apiVersion", json!("v3.1")),
        ("status", json!("ready")),
        ("name", json!(null)),
        ("description", json!("Invoices, training 1")),
        ("tags", json!({"team": "invoices"})),
    ] {
        assert_eq!(model[field], value, "{field}");
    }
    assert!(model["expiresAt"].is_string() && model["createdAt"].is_string() && model["modifiedAt"].is_null());
    assert!(objects.iter().any(|one| one["apiVersion"] == "v2.1" && one["name"] == "invoices 1"));
}

#[test]
fn a_list_with_v2_1_models_says_once_when_they_retire() {
    let pair = EmulatedPair::new(2);
    let note = "v2.1 retires on 15 September 2027: train its 2 models again with v4.0 before";
    for arguments in [&["list", "source"][..], &["list", "source", "--output", "json"], &["check"]] {
        let output = pair.run(arguments);
        assert_eq!(output.stderr.matches(note).count(), 1, "{output:#?}");
    }
    for arguments in [&["list", "source", "-q"][..], &["check", "-q"], &["list", "source", "--api-version", "3.1"]] {
        let output = pair.run(arguments);
        assert!(!output.stderr.contains("retires"), "{output:#?}");
    }
}

#[test]
fn list_needs_one_side_only_and_reports_the_error_of_the_service() {
    let pair = EmulatedPair::new(1);
    let mut command = pair.command(&["list", "source"]);
    command.env_remove("FRCOPY_TARGET_ENDPOINT").env_remove("FRCOPY_TARGET_KEY");
    run(&mut command).expect(0, &[]);
    run(pair.command(&["list", "source"]).env("FRCOPY_SOURCE_KEY", "wrong")).expect(4, &["401: Access denied"]);
    run(frcopy().args(["list", "target"])).expect(2, &["the target endpoint is missing"]);
    pair.run(&["list", "source", "--include", "nothing*"]).expect(5, &["matches nothing*"]);
    pair.run(&["list", "source", "--kind", "classifier", "--api-version", "3.0"])
        .expect(2, &["v3.0 has no classifiers"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_not_a_success() {
    let pair = EmulatedPair::new(1);
    for arguments in [&["list", "source"][..], &["copy", "invoices-v4.0-1"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_frcopy"));
        command.env_clear().envs(pair.environment()).args(arguments).stdout(full);
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && stderr.contains("stdout is incomplete"), "{stderr}");
    }
}
