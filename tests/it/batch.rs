//! A batch: selection of models, skipped models, exit code and summary.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use frcopy::emulator::{Collection, Fault, Options, Tier};
use serde_json::{Value, json};

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{CommandOutput, Model, on_each, run};

/// The lines of stdout, one id each.
fn ids(output: &CommandOutput) -> BTreeSet<&str> {
    output.stdout.lines().collect()
}

/// The lines of stdout, one JSON object each.
fn objects(output: &CommandOutput) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of `frcopy check` with another sign than `=`.
fn differences(output: &CommandOutput) -> Vec<&str> {
    output.stdout.lines().filter(|line| !line.starts_with("= ")).collect()
}

#[test]
fn two_hundred_models_of_all_versions_are_copied_checked_and_then_skipped() {
    let pair = EmulatedPair::new(40);
    let output = pair.copy(&["--all"]).expect(0, &["of 200 models and classifiers: 200 copied"]);
    assert_eq!(ids(&output).len(), 200);
    assert_eq!(pair.count(429), 0);
    let output = pair.run(&["check"]).expect(0, &["of 200 models and classifiers: 200 same"]);
    assert_eq!((output.stdout.lines().count(), differences(&output).len()), (200, 0));
    pair.mutating_requests();
    let again = pair.copy(&["--all", "--if-exists", "skip"]).expect(0, &["200 already there"]);
    assert_eq!((ids(&again).len(), pair.mutating_requests()), (200, Vec::new()));

    pair.emulator.remove(TARGET, Collection::DocumentModels, "invoices-v3.0-7");
    pair.emulator.remove(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-3");
    for id in ["invoices-v3.1-5", "invoices-v4.0-9"] {
        pair.retrain(id);
    }
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(30 * 24)).to_string();
    for resource in [SOURCE, TARGET] {
        pair.set(resource, Collection::DocumentModels, "invoices-v4.0-2", "/expirationDateTime", json!(soon));
    }
    let expires = format!("invoices-v4.0-2: expires {}", &soon[..10]);
    let output = pair.run(&["check", "--expiring-within", "800d"]).expect(9, &[&expires]);
    let found = [
        "+ model invoices-v3.0-7",
        "* model invoices-v3.1-5",
        "* model invoices-v4.0-9",
        "- classifier classifier-v4.0-3",
    ];
    assert_eq!(differences(&output), found);
    assert_eq!(differences(&pair.run(&["check", "--one-way"]).expect(9, &[])), found[..3]);
    pair.copy(&["--all", "--if-exists", "replace"]).expect(0, &["1 copied, 2 replaced, 196 already there"]);
    pair.run(&["check", "--one-way"]).expect(0, &[]);
}

#[test]
fn copying_between_f0_resources_gets_only_a_few_429_answers() {
    let options = Options { models: 1, tier: Tier::F0, operation_time: Duration::from_secs(2), ..Options::default() };
    let pair = EmulatedPair::with_options(&options);
    pair.run(&["copy", "--all"]).expect(0, &["5 copied"]);
    assert!(pair.count(429) <= 8, "{}", pair.count(429));
}

#[test]
fn one_failure_does_not_stop_the_rest_and_is_repeated_in_the_summary() {
    let options =
        Options { models: 2, operation_time: Duration::ZERO, fail: Fault::find("ModelNotReady"), ..Options::default() };
    let pair = EmulatedPair::with_options(&options);
    let models = ["invoices-v4.0-1", "invoices-v4.0-2", "invoices-v3.1-1"];
    let output = pair.copy(&models).expect(3, &["2 copied, 1 failed", "help: wait until the model's training"]);
    assert_eq!(output.stdout.lines().count(), 2);
    let failed = models.iter().find(|id| !ids(&output).contains(**id)).unwrap();
    let mentioned = output.stderr.lines().filter(|line| line.contains(failed) && line.contains("refused to start"));
    assert_eq!(mentioned.count(), 2, "{}", output.stderr);
}

#[test]
fn the_exit_code_of_a_batch_is_that_of_the_most_urgent_failure() {
    let pair = EmulatedPair::new(2);
    pair.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    pair.copy(&["invoices-v4.0-1", "invoices-v4.0-2"]).expect(6, &["1 copied, 1 failed"]);
    pair.copy(&["invoices-v4.0-1", "no-such-model"])
        .expect(5, &["the source has no model or classifier no-such-model"]);
    let custom = pair.custom_model();
    let mut command = pair.command(&["copy", "no-such-model", &custom]);
    command.env_remove("FRCOPY_TARGET_REGION");
    run(&mut command).expect(2, &["a v2.1 copy needs the resource id and the region of the target"]);
}

#[test]
fn patterns_ids_and_files_select_the_models() {
    let pair = EmulatedPair::new(3);
    let planned = |arguments: &[&str]| {
        let arguments = [&["--dry-run", "--output", "json"], arguments].concat();
        let objects = objects(&pair.copy(&arguments).expect(0, &[]));
        objects.iter().map(|one| one["source"]["modelId"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let set = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let all = ["--include", "invoices-v4*", "--exclude", "*-2"];
    assert_eq!(planned(&all), set(&["invoices-v4.0-1", "invoices-v4.0-3"]));
    pair.copy(&["--all", "--exclude", "*v*", "--kind", "classifier", "--dry-run"]).expect(5, &["nothing is selected"]);
    // A pattern also matches the name of a v2.1 model.
    assert_eq!(planned(&["--include", "invoices ?"]), pair.ids(SOURCE, Collection::CustomModels));
    assert_eq!(planned(&["--all", "--kind", "classifier"]).len(), 3);
    assert_eq!(planned(&["--all", "--api-version", "3.0"]).len(), 3);
    assert_eq!(planned(&["--all", "--api-version", "2.1"]).len(), 3);
    assert_eq!(planned(&["--all"]).len(), 15);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ids");
    fs::write(&file, "# nightly\ninvoices-v4.0-1\n\n  invoices-v3.0-2 \r\ninvoices-v4.0-1\n").unwrap();
    let file = file.to_str().unwrap();
    let both = set(&["invoices-v4.0-1", "invoices-v3.0-2"]);
    assert_eq!(planned(&["--from-file", file]), both);
    assert_eq!(planned(&["--from-file", file, "invoices-v4.0-1", "--model-id", "classifier-v4.0-1"]).len(), 3);
    let mut command = pair.command(&["copy", "--from-file", "-", "--dry-run"]);
    command.write_stdin("invoices-v4.0-1\ninvoices-v4.0-2\n");
    run(&mut command).expect(0, &["2 would be copied"]);
    assert_eq!(pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn bad_input_is_refused_before_any_mutating_request() {
    let pair = EmulatedPair::new(2);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (empty, bad) = (path("empty"), path("bad"));
    fs::write(&bad, "# one good, one bad\nab\na/b\n").unwrap();
    fs::write(&empty, "# nothing\n").unwrap();
    let nofile = path("no-such-file");
    for (arguments, code, what) in [
        (&["ab", "a/b"][..], 2, r#"the model id "a/b" is not usable"#),
        (&["ab", "cd", "--target-model-id", "ef"], 2, "--target-model-id names one copy"),
        (&["--all", "--target-model-id", "ef"], 2, "--target-model-id names one copy"),
        (&["--include", "nothing-*"], 5, "no model or classifier on the source matches nothing-*"),
        (&["--all", "--exclude", "nothing-*"], 5, "no model or classifier on the source matches nothing-*"),
        (&["--include", "a["], 2, "is not a pattern"),
        (&["--all", "ab"], 2, "cannot be used with"),
        (&["--exclude", "ab"], 2, "the command line lacks"),
        (&["--all", "--jobs", "1001"], 2, "1001 is not in 1..=1000"),
        (&["--from-file", &nofile], 2, "the ids cannot be read from"),
        (&["--from-file", &empty], 2, "there is no id in"),
        (&["--from-file", &bad], 2, &format!(r#"the model id "a/b" in line 3 of {bad} is not usable"#)),
        (&["--all", "--kind", "classifier", "--api-version", "3.1"], 2, "v3.1 does not copy classifiers"),
        (&["--all", "--api-version", "2.1", "--description", "x"], 2, "--description is not possible"),
    ] {
        let output = pair.copy(arguments).expect(code, &[what]);
        assert_eq!((output.stdout.as_str(), pair.mutating_requests()), ("", Vec::new()), "{arguments:?}");
    }
}

#[test]
fn a_composed_model_is_copied_after_its_components() {
    let pair = EmulatedPair::new(3);
    let mut composed = pair.emulator.get(SOURCE, Collection::DocumentModels, "invoices-v4.0-1").unwrap();
    let part = composed["docTypes"]["invoices-v4.0-1"].clone();
    composed["modelId"] = json!("a-composed");
    composed["classifierId"] = json!("classifier-v4.0-2");
    let mut parts = json!({"first": part, "second": part});
    parts["first"]["modelId"] = json!("invoices-v4.0-2");
    parts["second"]["modelId"] = json!("invoices-v4.0-3");
    composed["docTypes"] = parts;
    pair.emulator.put(SOURCE, Collection::DocumentModels, "a-composed", composed);
    let mut custom = pair.ids(SOURCE, Collection::CustomModels).into_iter();
    let (first, second) = (custom.next().unwrap(), custom.next().unwrap());
    let mut composed = pair.emulator.get(SOURCE, Collection::CustomModels, &first).unwrap();
    let id = "00000000-0000-4000-8000-00000000000c";
    composed["modelInfo"]["modelId"] = json!(id);
    composed["modelInfo"]["attributes"]["isComposed"] = json!(true);
    composed["composedTrainResults"] = json!([{"modelId": first}, {"modelId": second}]);
    pair.emulator.put(SOURCE, Collection::CustomModels, id, composed);
    for selection in [
        &["--all"][..],
        &[
            id,
            &first,
            &second,
            "a-composed",
            "invoices-v4.0-2",
            "invoices-v4.0-3",
            "classifier-v4.0-2",
            "--target-region",
            "westus2",
        ],
    ] {
        pair.mutating_requests();
        let output = pair.copy(&[selection, &["--output", "json"]].concat()).expect(0, &[]);
        let order: Vec<_> =
            objects(&output).iter().map(|one| one["source"]["modelId"].as_str().unwrap().to_owned()).collect();
        let place = |id: &str| order.iter().position(|other| other == id).unwrap();
        for part in ["invoices-v4.0-2", "invoices-v4.0-3", "classifier-v4.0-2"] {
            assert!(place(part) < place("a-composed"), "{order:?}");
        }
        assert!(place(&first) < place(id) && place(&second) < place(id), "{order:?}");
        for (collection, ids) in [
            (Collection::DocumentModels, pair.ids(TARGET, Collection::DocumentModels)),
            (Collection::DocumentClassifiers, pair.ids(TARGET, Collection::DocumentClassifiers)),
        ] {
            for id in &ids {
                pair.emulator.remove(TARGET, collection, id);
            }
        }
    }
}

#[test]
fn an_id_of_a_model_and_a_classifier_needs_a_kind() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["classifier-v4.0-1"]).expect(0, &["copied classifier classifier-v4.0-1"]);
    let mut twin = pair.emulator.get(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-1").unwrap();
    twin["classifierId"] = json!("invoices-v4.0-1");
    pair.emulator.put(SOURCE, Collection::DocumentClassifiers, "invoices-v4.0-1", twin);
    pair.copy(&["invoices-v4.0-1"]).expect(2, &["has a model and a classifier invoices-v4.0-1", "--kind"]);
    pair.copy(&["invoices-v4.0-1", "--kind", "classifier"]).expect(0, &["copied classifier"]);
    pair.copy(&["invoices-v4.0-1", "--kind", "model"]).expect(0, &["copied model"]);
    pair.run(&["check"]).expect(9, &["3 same, 3 only on the source"]);
}

#[test]
fn a_classifier_of_an_older_version_is_refused() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["classifier-v4.0-1", "--kind", "classifier", "--api-version", "3.1"])
        .expect(2, &["v3.1 does not copy classifiers", "give v4.0"]);
    pair.set(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-1", "/apiVersion", json!("2023-07-31"));
    for selection in [&["classifier-v4.0-1"][..], &["--all", "--kind", "classifier"]] {
        pair.copy(selection)
            .expect(2, &["was trained with v3.1, and only v4.0 copies its own", "train the classifier again"]);
    }
    assert_eq!(pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn a_model_that_is_not_ready_is_left_out() {
    let pair = EmulatedPair::new(1);
    let id = "00000000-0000-4000-8000-00000000000b";
    let blank = Model::blank_v2_1(id, "2026-01-01T00:00:00Z").body();
    for resource in [SOURCE, TARGET] {
        pair.emulator.put(resource, Collection::CustomModels, id, blank.clone());
    }
    pair.copy(&["--all"]).expect(0, &[&format!("left out, because they are not ready: 1 ({id})"), "5 copied"]);
    pair.run(&["check"]).expect(0, &["5 same", "not ready: 1 models of the target"]);
    pair.copy(&["--all", "--if-exists", "skip"]).expect(0, &["5 already there"]);
}

#[test]
fn description_and_tags_are_copied_unless_others_are_given() {
    let pair = EmulatedPair::new(2);
    pair.copy(&["invoices-v3.0-1", "invoices-v4.0-1"]).expect(0, &[]);
    pair.copy(&["invoices-v3.0-2", "invoices-v4.0-2", "--description", "", "--tag", "a=b"]).expect(0, &[]);
    for (number, description, tags) in
        [(1, "Invoices, training 1", json!({"team": "invoices"})), (2, "", json!({"a": "b"}))]
    {
        for version in ["3.0", "4.0"] {
            let id = format!("invoices-v{version}-{number}");
            let copy = pair.emulator.get(TARGET, Collection::DocumentModels, &id).unwrap();
            assert_eq!((&copy["description"], &copy["tags"]), (&json!(description), &tags), "{id}");
        }
    }
}

#[test]
fn a_description_or_tag_for_a_classifier_is_refused() {
    let pair = EmulatedPair::new(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorization.json");
    let out = file.to_str().unwrap();
    for (option, value) in [("--description", "x"), ("--tag", "a=b")] {
        let text = format!("{option} is not possible with a classifier");
        for arguments in [
            &["copy", "classifier-v4.0-1", option, value][..],
            &["copy", "classifier-v4.0-1", option, value, "--kind", "classifier"],
            &["copy", "classifier-v4.0-1", option, value, "--dry-run"],
            &["copy", "--all", "--kind", "classifier", option, value],
            &["copy", "--include", "classifier-*", option, value],
            &["authorize", "backup", "--kind", "classifier", option, value, "--out", out],
        ] {
            pair.run(arguments).expect(2, &[&text, "help: leave out "]);
        }
    }
    assert_eq!(pair.mutating_requests(), Vec::<String>::new());
    assert!(!file.exists());
}

#[test]
fn a_description_applies_to_the_models_of_a_batch_and_not_to_its_classifiers() {
    let pair = EmulatedPair::new(2);
    let selected = ["classifier-v4.0-1", "classifier-v4.0-2", "invoices-v4.0-1"];
    let arguments = [&selected[..], &["--description", "backup"]].concat();
    let note = "--description and --tag apply to models only: the copies of 2 classifiers";
    let output = pair.copy(&arguments).expect(0, &["3 copied"]);
    assert_eq!(output.stderr.matches(note).count(), 1, "{output:#?}");
    let model = pair.emulator.get(TARGET, Collection::DocumentModels, "invoices-v4.0-1").unwrap();
    assert_eq!(model["description"], "backup");
    pair.copy(&["--all", "--if-exists", "skip", "--description", "x", "--api-version", "4.0", "--dry-run"])
        .expect(0, &[note]);
}

#[test]
fn a_batch_warns_before_its_first_authorization_that_the_target_may_be_full() {
    let options = Options { models: 2, operation_time: Duration::ZERO, max_models: Some(1), ..Options::default() };
    let pair = EmulatedPair::with_options(&options);
    let selected = ["invoices-v4.0-1", "invoices-v3.1-1", "--output", "json"];
    let dry_run = pair.copy(&[&selected[..], &["--dry-run"]].concat()).expect(3, &["the target has room for 1 models"]);
    assert_eq!(pair.mutating_requests(), Vec::<String>::new());
    let output = pair.copy(&selected).expect(dry_run.code, &["DocumentModelLimit", "1 copied, 1 failed"]);
    let warning = "warning: the target has room for 1 models of v3.0 and later, and 2 are selected";
    let (before, _) = output.stderr.split_once("DocumentModelLimit").unwrap();
    assert!(before.contains(warning), "{output:#?}");
}

#[test]
fn json_output_is_one_object_per_model_and_line() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    let arguments = ["invoices-v4.0-1", "invoices-v3.1-1", "no-such-model", "--if-exists", "skip", "--output", "json"];
    let output = pair.copy(&arguments).expect(5, &[]);
    let mut seen: Vec<_> = objects(&output)
        .into_iter()
        .map(|one| {
            assert_eq!(one["schema"], "frcopy.copy/1");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&one["source"]["modelId"]), text(&one["status"]), text(&one["action"]), text(&one["error"]["kind"]))
        })
        .collect();
    seen.sort();
    let expected = [
        ("invoices-v3.1-1", "succeeded", "copy", ""),
        ("invoices-v4.0-1", "skipped", "none", ""),
        ("no-such-model", "refused", "", "notFound"),
    ];
    let expected = expected.map(|(id, status, action, error)| (id.into(), status.into(), action.into(), error.into()));
    assert_eq!(seen, expected);
}

#[test]
fn without_a_terminal_there_is_one_line_for_each_finished_model() {
    let pair = EmulatedPair::new(2);
    let output = pair.copy(&["--all"]).expect(0, &[]);
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 13, "{lines:#?}");
    assert_eq!(lines[..2], ["reading the source", "10 models and classifiers are selected"]);
    assert!(lines[2..12].iter().all(|line| line.starts_with("copied ")), "{lines:#?}");
    assert!(lines[12].starts_with("of 10 models and classifiers: 10 copied"));
    assert_eq!(pair.copy(&["--all", "--if-exists", "skip", "-q"]).expect(0, &[]).stderr, "");
}

#[test]
fn a_dry_run_only_reads_and_has_the_exit_code_of_the_real_run() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["invoices-v4.0-1", "invoices-v3.0-1"]).expect(0, &[]);
    pair.retrain("invoices-v3.0-1");
    pair.mutating_requests();
    for (arguments, code, texts) in [
        (&["--all"][..], 6, &["3 would be copied, 2 failed", "has 2 of at most 20000", "has 0 of at most 5000"][..]),
        (&["--all", "--if-exists", "skip"], 6, &["3 would be copied, 1 already there, 1 failed", "was trained"]),
        (&["--all", "--if-exists", "replace"], 0, &["3 would be copied, 1 would be replaced, 1 already there"]),
        (&["invoices-v3.1-1"], 0, &["would copy model invoices-v3.1-1", "with API v3.1"]),
        (&["invoices-v3.0-1", "--if-exists", "replace"], 0, &["would replace invoices-v3.0-1 on http"]),
        (&["no-such-model"], 5, &["the source has no model or classifier"]),
    ] {
        let output = pair.copy(&[arguments, &["--dry-run"]].concat()).expect(code, texts);
        let there = usize::from(output.stderr.contains("already there"));
        assert_eq!(
            (output.stdout.lines().count(), pair.mutating_requests()),
            (there, Vec::new()),
            "{arguments:?} {output:?}"
        );
    }
}

#[test]
fn a_dry_run_fails_when_the_target_has_too_little_capacity() {
    let options = Options { models: 3, max_models: Some(4), ..Options::default() };
    let pair = EmulatedPair::with_options(&options);
    pair.copy(&["--include", "invoices-v4*", "--dry-run"]).expect(0, &["has 0 of at most 4 models of v3.0 and later"]);
    let output = pair
        .copy(&["--include", "invoices-v*", "--dry-run"])
        .expect(3, &["has room for 4 models, and 9 would be copied"]);
    assert_eq!(output.stdout, "");
    pair.copy(&["invoices-v4.0-1", "--dry-run"]).expect(0, &["the target has 0 of at most 4 models"]);
    pair.copy(&["--include", "invoices-v*", "-q"]).expect(3, &["DocumentModelLimit", "it is full"]);
}

#[test]
fn a_dry_run_counts_the_capacity_for_the_staging_copy() {
    let pair = EmulatedPair::with_options(&Options {
        operation_time: Duration::ZERO,
        max_models: Some(1),
        ..Options::default()
    });
    pair.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    pair.retrain("invoices-v4.0-1");
    for arguments in [&["invoices-v4.0-1"][..], &["--include", "invoices-v4*"]] {
        let replace = [arguments, &["--if-exists", "replace"]].concat();
        pair.copy(&[&replace[..], &["--dry-run"]].concat()).expect(3, &["room for 0 models, and 1 would be copied"]);
        pair.copy(&replace).expect(3, &["DocumentModelLimit"]);
    }
    pair.run(&["list", "target", "--include", "invoices-v4.0-1"]).expect(0, &[]);
}

#[test]
fn the_ids_of_many_failed_copies_are_released_within_the_rate_limits() {
    on_each([Tier::S0, Tier::F0], |tier| {
        let options = Options {
            models: 4,
            tier,
            operation_time: Duration::from_millis(500),
            encrypted: vec!["source".into()],
            ..Options::default()
        };
        let pair = EmulatedPair::with_options(&options);
        let output = pair.run(&["copy", "--include", "invoices-v*"]).expect(3, &["12 failed", "--allow-degrade"]);
        assert_eq!(output.stderr.matches("released: ").count(), 12, "{}", output.stderr);
        assert!(!output.stderr.contains("reserved on the target, without a copy"), "{}", output.stderr);
        assert!(pair.count(429) <= 10, "{}", pair.count(429));
    });
}

#[test]
fn v2_1_models_that_wait_for_the_rate_limit_do_not_block_other_models() {
    let options = Options { models: 4, tier: Tier::S0, operation_time: Duration::ZERO, ..Options::default() };
    let pair = EmulatedPair::with_options(&options);
    let output = pair.run(&["copy", "--all", "--jobs", "3", "--timeout", "20s"]).expect(7, &["17 copied, 3 failed"]);
    assert_eq!(ids(&output).iter().filter(|id| id.contains("-v")).count(), 16);
    // A copy without time for its start is not authorized.
    let authorized = pair.mutating_requests().iter().filter(|change| change.ends_with("/copyAuthorization")).count();
    assert!(authorized <= 2, "{authorized}");
}

#[test]
fn a_staging_copy_on_the_source_is_left_out() {
    let pair = EmulatedPair::new(1);
    let staging = "invoices-v4.0-1.frcopy-staging";
    let mut left = pair.emulator.get(SOURCE, Collection::DocumentModels, "invoices-v4.0-1").unwrap();
    left["modelId"] = json!(staging);
    pair.emulator.put(SOURCE, Collection::DocumentModels, staging, left);
    for _ in 0..2 {
        pair.copy(&["--all", "--if-exists", "replace"]).expect(0, &["left out, because they are staging copies: 1"]);
    }
    assert!(!pair.ids(TARGET, Collection::DocumentModels).contains(staging));
    pair.copy(&[staging, "--if-exists", "replace"]).expect(2, &["is the id of a staging copy"]);
}

#[test]
fn a_dry_run_of_a_batch_detects_refused_credentials_on_the_target() {
    let pair = EmulatedPair::new(1);
    let mut command = pair.command(&["copy", "--all", "--api-version", "2.1", "--dry-run"]);
    run(command.env("FRCOPY_TARGET_KEY", "wrong"))
        .expect(4, &["the target refused to count the v2.1 models (HTTP 401)"]);
}

#[test]
fn skip_accepts_the_same_model_and_fails_on_a_different_one() {
    let pair = EmulatedPair::new(1);
    let custom = pair.custom_model();
    for id in [custom.as_str(), "invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"] {
        let first = pair.copy(&[id]).expect(0, &[]);
        pair.mutating_requests();
        let again = pair.copy(&[id, "--if-exists", "skip"]).expect(0, &["skipped", "the target has it already"]);
        assert_eq!((again.stdout, pair.mutating_requests()), (first.stdout, Vec::new()), "{id}");
    }
    for id in ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1"] {
        pair.retrain(id);
        let remedy = "--if-exists replace";
        pair.copy(&[id, "--if-exists", "skip"]).expect(6, &["the target has another model", "was trained", remedy]);
        pair.copy(&[id]).expect(6, &["the target already has a model", remedy]);
    }
}
