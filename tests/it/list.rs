//! `frcopy list`: every model of a resource, page by page, for people and for scripts.

use std::collections::BTreeSet;

use frcopy::emulator::Collection;
use serde_json::{Value, json};

use crate::lab::{Lab, SOURCE};
use crate::support::{frcopy, run};

#[test]
fn every_page_of_every_version_is_read_and_prebuilt_models_are_left_out() {
    let lab = Lab::new(120);
    let ending = lab.run(&["list", "source", "-q"]).expect(0, &[]);
    let ids: BTreeSet<_> = ending.stdout.lines().collect();
    assert_eq!((ids.len(), ids.iter().filter(|id| id.starts_with("prebuilt")).count()), (600, 0));
    for (arguments, count) in [
        (&["--kind", "classifier"][..], 120),
        (&["--api-version", "2.1"], 120),
        (&["--api-version", "3.1"], 240),
        (&["--include", "*v4.0*", "--exclude", "class*"], 120),
    ] {
        let ending = lab.run(&[&["list", "source", "-q"], arguments].concat()).expect(0, &[]);
        assert_eq!(ending.stdout.lines().count(), count, "{arguments:?}");
    }
}

#[test]
fn the_table_shows_what_a_person_wants_to_know() {
    let lab = Lab::new(1);
    lab.set(SOURCE, Collection::DocumentModels, "invoices-v4.0-1", "/description", json!("two\nlines \u{1b}[31m"));
    let id = "00000000-0000-4000-8000-00000000000b";
    let info = json!({"modelId": id, "status": "invalid", "modelName": "broken", "createdDateTime": "2026-01-01T00:00:00Z",
        "lastUpdatedDateTime": "2026-01-01T00:00:00Z"});
    lab.emulator.put(SOURCE, Collection::CustomModels, id, json!({"modelInfo": info}));
    let table = lab.run(&["list", "source"]).expect(0, &[]).stdout;
    let line = |id: &str| table.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(table.starts_with("MODEL ID "), "{table}");
    assert!(line(id).contains("model       v2.1  2026-01-01") && line(id).ends_with("(invalid) broken"), "{table}");
    assert!(line("invoices-v4.0-1").ends_with("two lines  [31m"), "{table}");
    assert!(
        line("classifier-v4.0-1").contains("classifier  v4.0") && line("classifier-v4.0-1").contains(" (in 72"),
        "{table}"
    );
    let empty = lab.run(&["list", "target"]).expect(0, &["the target has no custom models and classifiers"]);
    assert_eq!(empty.stdout, "");
}

#[test]
fn json_is_an_object_a_line_for_each_model() {
    let lab = Lab::new(1);
    let ending = lab.run(&["list", "source", "--output", "json"]).expect(0, &[]);
    let objects: Vec<Value> = ending.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
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
fn one_side_is_enough_and_an_error_is_that_of_the_service() {
    let lab = Lab::new(1);
    let mut command = lab.command(&["list", "source"]);
    command.env_remove("FRCOPY_TARGET_ENDPOINT").env_remove("FRCOPY_TARGET_KEY");
    run(&mut command).expect(0, &[]);
    run(lab.command(&["list", "source"]).env("FRCOPY_SOURCE_KEY", "wrong")).expect(4, &["401: Access denied"]);
    run(frcopy().args(["list", "target"])).expect(2, &["the target endpoint is missing"]);
    lab.run(&["list", "source", "--include", "nothing*"]).expect(5, &["matches nothing*"]);
    lab.run(&["list", "source", "--kind", "classifier", "--api-version", "3.0"])
        .expect(2, &["v3.0 has no classifiers"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_no_success() {
    let lab = Lab::new(1);
    for arguments in [&["list", "source"][..], &["copy", "invoices-v4.0-1"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_frcopy"));
        command.env_clear().envs(lab.environment()).args(arguments).stdout(full);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("stdout is incomplete"), "{said}");
    }
}
