//! A source model that is trained again under the same id after it was read and before its copy is started.

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{CommandOutput, Model, ScriptedService, Step, VERSIONS, Version, on_each, run};

const NEW: &str = "2031-05-01T12:00:00Z";

fn example(version: Version) -> Model {
    Model::example(version)
}

fn copy(version: Version) -> Model {
    Model::copy_of_example(version)
}

/// Copies with a manifest. Returns the output and what the manifest records.
fn copied(service: &ScriptedService) -> (CommandOutput, Value) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("m.json");
    let output = run(service.copy().args(["--output", "json", "--manifest"]).arg(&path));
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    (output, manifest["copies"][0].clone())
}

#[test]
fn the_training_that_was_copied_is_recorded_if_the_source_shows_it_now() {
    on_each(VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::GetSource, [example(version).answer(), example(version).trained(NEW).answer()]);
        service.on(Step::Verify, [copy(version).trained(NEW).answer()]);
        let (output, record) = copied(&service);
        let output = output.expect(0, &["has trained the model again meanwhile", "the copy is of the new training"]);
        assert_eq!(output.json()["verified"], json!(true));
        assert_eq!(record["training"]["createdAt"], NEW, "{record}");
    });
}

#[test]
fn a_training_that_the_source_does_not_show_is_not_recorded() {
    on_each(VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::Verify, [copy(version).trained(NEW).answer()]);
        let (output, record) = copied(&service);
        let output = output.expect(0, &["the copy is not of the training that", "does not record it as verified"]);
        assert_eq!(output.json()["verified"], json!(true));
        assert_eq!((&record["training"], &record["verifiedAt"]), (&Value::Null, &Value::Null));
        assert_eq!((service.count(Step::GetSource), service.count(Step::Verify)), (2, 2));
    });
}

#[test]
fn without_a_new_training_nothing_more_is_read() {
    on_each(VERSIONS, |version| {
        let service = ScriptedService::new(version);
        let (output, record) = copied(&service);
        assert!(output.code == 0 && !output.stderr.contains("training"), "{output:#?}");
        assert!(record["training"]["createdAt"].is_string(), "{record}");
        assert_eq!((service.count(Step::GetSource), service.count(Step::Verify)), (1, 1));
    });
}
