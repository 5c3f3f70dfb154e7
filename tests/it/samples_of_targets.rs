//! `frcopy check --samples` with several targets: the source analyzes each document for all of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::{AnswerTo, Collection, Options};
use serde_json::{Value, json};

use crate::samples::samples;
use crate::support::emulated_pair::{EmulatedPair, TARGET};
use crate::support::{CommandOutput, UnusedHost, run};
use crate::targets::{NORTH, check, copy, ids, objects, three};

/// Two targets that have everything.
fn copied() -> EmulatedPair {
    let lab = three(1);
    run(&mut copy(&lab, &["--all"])).expect(0, &[]);
    lab.mutating_requests();
    lab
}

fn checking(lab: &EmulatedPair, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = check(lab, arguments);
    command.arg("--samples").arg(folder);
    command
}

fn check_samples(lab: &EmulatedPair, folder: &Path, arguments: &[&str]) -> CommandOutput {
    run(&mut checking(lab, folder, arguments))
}

/// How many requests with this method each of the three resources got since the last call.
fn requests(lab: &EmulatedPair, method: &str) -> [usize; 3] {
    let requests = lab.mutating_requests();
    ["source", "target", "resource3"]
        .map(|resource| requests.iter().filter(|request| request.starts_with(&format!("{resource} {method} "))).count())
}

#[test]
fn in_every_version_the_source_analyzes_each_document_twice_for_all_targets() {
    let lab = copied();
    let custom = lab.custom_model();
    let folder = samples(&[&custom, "invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"], 2);
    let output = check_samples(&lab, folder.path(), &[]).expect(
        0,
        &[
            "west: analyzing 10 samples of 5 models, each twice on the source, for all targets together, and once on west",
            "north: analyzing 10 samples of 5 models",
            "pages are billed",
            "west: model invoices-v4.0-1: 2.pdf: 9 values agree",
            &format!("north: model {custom}: 1.pdf: 9 values agree"),
            "west: of 5 models and classifiers: 5 same",
            "north: of 5 models and classifiers: 5 same",
        ],
    );
    assert_eq!((ids(&output, "west").len(), ids(&output, "north").len()), (5, 5));
    assert_eq!(requests(&lab, "POST"), [20, 10, 10]);
    // The results of a v4.0 model are deleted, each once.
    let folder = samples(&["invoices-v4.0-1"], 3);
    check_samples(&lab, folder.path(), &["invoices-v4.0-1"]).expect(0, &[]);
    assert_eq!(requests(&lab, "DELETE"), [6, 3, 3]);
    for (model, version) in [(custom.as_str(), "2.1"), ("invoices-v3.0-1", "3.0"), ("invoices-v3.1-1", "3.1")] {
        let folder = samples(&[model], 1);
        check_samples(&lab, folder.path(), &[model, "--api-version", version]).expect(0, &["north: model "]);
        assert_eq!(requests(&lab, "POST"), [2, 1, 1], "{version}");
    }
}

#[test]
fn the_target_that_reads_otherwise_is_named_in_text_json_and_the_summary_of_a_ci_system() {
    let lab = copied();
    let total = "/docTypes/invoices-v4.0-1/fieldConfidence/Total";
    lab.set(NORTH, Collection::DocumentModels, "invoices-v4.0-1", total, json!(0.5));
    let folder = samples(&["invoices-v4.0-1", "invoices-v3.1-1"], 1);
    let models = ["invoices-v4.0-1", "invoices-v3.1-1"];
    let difference = "north: model invoices-v4.0-1: 1.pdf: document 1, field Total: number ";
    let output = check_samples(&lab, folder.path(), &models)
        .expect(9, &["west: of 2 models and classifiers: 2 same", "1 same, 1 different", difference, " on the target"]);
    assert_eq!(
        (ids(&output, "west"), ids(&output, "north")),
        (
            ["= model invoices-v3.1-1", "= model invoices-v4.0-1"].into(),
            ["* model invoices-v4.0-1", "= model invoices-v3.1-1"].into(),
        )
    );
    let output = check_samples(&lab, folder.path(), &[&models[..], &["--output", "json"]].concat()).expect(9, &[]);
    let outcome = |object: &Value| {
        let [resource, outcome] = [&object["target"]["resource"], &object["samples"]["outcome"]];
        (object["source"]["modelId"] == "invoices-v4.0-1").then(|| [resource, outcome].map(Value::clone))
    };
    let mut outcomes: Vec<_> = objects(&output).iter().filter_map(outcome).collect();
    outcomes.sort_by_key(|[resource, _]| resource.to_string());
    assert_eq!(outcomes, [[json!("north"), json!("differ")], [json!("west"), json!("agree")]]);

    let summary = folder.path().join("summary.md");
    fs::write(&summary, "").unwrap();
    let mut command = checking(&lab, folder.path(), &models);
    run(command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary)).expect(9, &[]);
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.contains("north: model invoices-v4.0-1 | 1 of 1 samples are read otherwise"), "{summary}");
    assert!(!summary.contains("west: "), "{summary}");
}

#[test]
fn a_target_without_the_copy_or_without_an_answer_does_not_stop_the_comparison_with_the_other() {
    let lab = copied();
    lab.emulator.remove(TARGET, Collection::DocumentModels, "invoices-v4.0-1");
    let folder = samples(&["invoices-v4.0-1"], 2);
    let output = check_samples(&lab, folder.path(), &["invoices-v4.0-1"]).expect(9, &["2.pdf: 9 values agree"]);
    assert_eq!(output.stdout, "west\t+ model invoices-v4.0-1\nnorth\t= model invoices-v4.0-1\n");
    assert_eq!(requests(&lab, "POST"), [4, 0, 2]);
    let mut command = checking(&lab, folder.path(), &["invoices-v4.0-1", "--timeout", "8s"]);
    command.env("FRCOPY_RESOURCE_WEST_ENDPOINT", UnusedHost::new().url());
    run(&mut command).expect(7, &["error: west: ", "north: of 1 model or classifier: 1 same"]);
    assert_eq!(requests(&lab, "POST"), [4, 0, 2]);
}

#[test]
fn an_analysis_of_the_source_whose_answer_is_lost_is_not_repeated_for_another_target() {
    let options = Options {
        resources: 3,
        models: 1,
        operation_time: Duration::ZERO,
        lose_answers: vec![AnswerTo::Analyze],
        ..Options::default()
    };
    let lab = EmulatedPair::with_options(&options);
    run(&mut copy(&lab, &["invoices-v3.1-1"])).expect(0, &[]);
    lab.mutating_requests();
    let folder = samples(&["invoices-v3.1-1"], 1);
    let lost = |target: &str| {
        format!("{target}: model invoices-v3.1-1: 1.pdf: not compared: east did not answer the analysis, which may")
    };
    let output = check_samples(&lab, folder.path(), &["invoices-v3.1-1"]).expect(9, &[&lost("west"), &lost("north")]);
    assert_eq!(output.stdout, "west\t! model invoices-v3.1-1\nnorth\t! model invoices-v3.1-1\n");
    assert_eq!(requests(&lab, "POST"), [1, 0, 0]);
}

#[test]
fn a_manifest_records_for_each_target_whether_samples_agreed() {
    let lab = three(1);
    let folder = samples(&["invoices-v4.0-1"], 1);
    let manifest = folder.path().join("models.json");
    let with_manifest = ["invoices-v4.0-1", "--manifest", manifest.to_str().unwrap()];
    run(&mut copy(&lab, &with_manifest)).expect(0, &[]);
    let total = "/docTypes/invoices-v4.0-1/fieldConfidence/Total";
    lab.set(NORTH, Collection::DocumentModels, "invoices-v4.0-1", total, json!(0.5));
    check_samples(&lab, folder.path(), &with_manifest).expect(9, &["north: model invoices-v4.0-1: 1 of 1 samples"]);
    let content: Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    let agreed = |resource: usize| {
        let endpoint = &lab.emulator.resources()[resource].endpoint;
        let copies = content["copies"].as_array().unwrap();
        let copy = copies.iter().find(|copy| copy["target"]["endpoint"] == **endpoint).unwrap();
        copy["samplesAgreedAt"].is_string()
    };
    assert_eq!((agreed(TARGET), agreed(NORTH)), (true, false), "{content:#}");
}
