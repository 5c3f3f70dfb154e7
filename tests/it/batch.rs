//! A whole resource: many models in one run, what is selected, what is skipped, and what is said at the end.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use frcopy::emulator::{Collection, Fault, Options, Tier};
use serde_json::{Value, json};

use crate::lab::{Lab, SOURCE, TARGET};
use crate::support::{Ending, run};

/// The ids on stdout, one a line.
fn ids(ending: &Ending) -> BTreeSet<&str> {
    ending.stdout.lines().collect()
}

/// The objects on stdout, one a line.
fn objects(ending: &Ending) -> Vec<Value> {
    ending.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `frcopy check` says of everything that is not the same.
fn differences(ending: &Ending) -> Vec<&str> {
    ending.stdout.lines().filter(|line| !line.starts_with("= ")).collect()
}

#[test]
fn two_hundred_models_of_all_versions_are_copied_and_checked_and_not_copied_again() {
    let lab = Lab::new(40);
    let ending = lab.copy(&["--all"]).expect(0, &["of 200 models and classifiers: 200 copied"]);
    assert_eq!(ids(&ending).len(), 200);
    assert_eq!(lab.count(429), 0);
    let ending = lab.run(&["check"]).expect(0, &["of 200 models and classifiers: 200 same"]);
    assert_eq!((ending.stdout.lines().count(), differences(&ending).len()), (200, 0));
    lab.changes();
    let again = lab.copy(&["--all", "--if-exists", "skip"]).expect(0, &["200 already there"]);
    assert_eq!((ids(&again).len(), lab.changes()), (200, Vec::new()));

    lab.emulator.remove(TARGET, Collection::DocumentModels, "invoices-v3.0-7");
    lab.emulator.remove(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-3");
    for id in ["invoices-v3.1-5", "invoices-v4.0-9"] {
        lab.retrain(id);
    }
    for resource in [SOURCE, TARGET] {
        let soon = json!("2026-12-24T00:00:00Z");
        lab.set(resource, Collection::DocumentModels, "invoices-v4.0-2", "/expirationDateTime", soon);
    }
    let ending = lab.run(&["check", "--expiring-within", "800d"]).expect(9, &["invoices-v4.0-2: expires 2026-12-24"]);
    let found = ["+ invoices-v3.0-7", "* invoices-v3.1-5", "* invoices-v4.0-9", "- classifier-v4.0-3"];
    assert_eq!(differences(&ending), found);
    assert_eq!(differences(&lab.run(&["check", "--one-way"]).expect(9, &[])), found[..3]);
    lab.copy(&["--all", "--if-exists", "replace"]).expect(0, &["1 copied, 2 replaced, 196 already there"]);
    lab.run(&["check", "--one-way"]).expect(0, &[]);
}

#[test]
fn a_free_resource_is_copied_from_and_to_with_a_handful_of_429() {
    let options = Options { models: 1, tier: Tier::F0, operation_time: Duration::from_secs(2), ..Options::default() };
    let lab = Lab::with(&options);
    lab.run(&["copy", "--all"]).expect(0, &["5 copied"]);
    assert!(lab.count(429) <= 8, "{}", lab.count(429));
}

#[test]
fn one_failure_does_not_stop_the_rest_and_is_told_again_at_the_end() {
    let options =
        Options { models: 2, operation_time: Duration::ZERO, fail: Fault::find("ModelNotReady"), ..Options::default() };
    let lab = Lab::with(&options);
    let models = ["invoices-v4.0-1", "invoices-v4.0-2", "invoices-v3.1-1"];
    let ending = lab.copy(&models).expect(3, &["2 copied, 1 failed", "help: wait until the model's training"]);
    assert_eq!(ending.stdout.lines().count(), 2);
    let failed = models.iter().find(|id| !ids(&ending).contains(**id)).unwrap();
    let told = ending.stderr.lines().filter(|line| line.contains(failed) && line.contains("refused to start"));
    assert_eq!(told.count(), 2, "{}", ending.stderr);
}

#[test]
fn the_exit_code_is_the_one_that_needs_a_person_first() {
    let lab = Lab::new(2);
    lab.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    lab.copy(&["invoices-v4.0-1", "invoices-v4.0-2"]).expect(6, &["1 copied, 1 failed"]);
    lab.copy(&["invoices-v4.0-1", "no-such-model"]).expect(5, &["the source has no model or classifier no-such-model"]);
    let custom = lab.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap();
    let mut command = lab.command(&["copy", "no-such-model", &custom]);
    command.env_remove("FRCOPY_TARGET_REGION");
    run(&mut command).expect(2, &["a v2.1 copy needs the target's resource id and region"]);
}

#[test]
fn what_is_selected_is_what_patterns_ids_and_files_say() {
    let lab = Lab::new(3);
    let planned = |arguments: &[&str]| {
        let arguments = [&["--dry-run", "--output", "json"], arguments].concat();
        let objects = objects(&lab.copy(&arguments).expect(0, &[]));
        objects.iter().map(|one| one["source"]["modelId"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let set = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let all = ["--include", "invoices-v4*", "--exclude", "*-2"];
    assert_eq!(planned(&all), set(&["invoices-v4.0-1", "invoices-v4.0-3"]));
    assert_eq!(planned(&["--all", "--exclude", "*v*", "--kind", "classifier"]).len(), 0);
    // v2.1 models have names as well.
    assert_eq!(planned(&["--include", "invoices ?"]), lab.ids(SOURCE, Collection::CustomModels));
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
    let mut command = lab.command(&["copy", "--from-file", "-", "--dry-run"]);
    command.write_stdin("invoices-v4.0-1\ninvoices-v4.0-2\n");
    run(&mut command).expect(0, &["2 would be copied"]);
    assert_eq!(lab.changes(), Vec::<String>::new());
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let lab = Lab::new(2);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (empty, bad, damaged, foreign) = (path("empty"), path("bad"), path("damaged"), path("foreign"));
    fs::write(&bad, "# one good, one bad\nab\na/b\n").unwrap();
    fs::write(&empty, "# nothing\n").unwrap();
    fs::write(&damaged, r#"{"schema":"frcopy.id-map/1","models":"#).unwrap();
    let other = r#"{"schema":"frcopy.id-map/1","source":"https://a.example","target":"https://b.example","models":{}}"#;
    fs::write(&foreign, other).unwrap();
    let (nowhere, nofile) = (path("no/such/folder/map"), path("no-such-file"));
    for (arguments, code, what) in [
        (&["ab", "a/b"][..], 2, r#"the model id "a/b" is not usable"#),
        (&["ab", "cd", "--target-model-id", "ef"], 2, "--target-model-id names one copy"),
        (&["--all", "--target-model-id", "ef"], 2, "--target-model-id names one copy"),
        (&["--include", "nothing-*"], 5, "no model or classifier on the source matches nothing-*"),
        (&["--all", "--exclude", "nothing-*"], 5, "no model or classifier on the source matches nothing-*"),
        (&["--include", "a["], 2, "is not a pattern"),
        (&["--all", "ab"], 2, "cannot be used with"),
        (&["--exclude", "ab"], 2, "Usage"),
        (&["--all", "--jobs", "51"], 2, "51 is not in 1..=50"),
        (&["--from-file", &nofile], 2, "the ids cannot be read from"),
        (&["--from-file", &empty], 2, "there is no id in"),
        (&["--from-file", &bad], 2, &format!(r#"the model id "a/b" in line 3 of {bad} is not usable"#)),
        (&["--all", "--id-map", &damaged], 2, "is damaged"),
        (&["--all", "--id-map", &foreign], 2, "is for copies from https://a.example to https://b.example"),
        (&["--all", "--id-map", &nowhere], 2, "cannot be written"),
        (&["--all", "--id-map", folder.path().to_str().unwrap()], 2, "cannot be read"),
        (&["--all", "--kind", "classifier", "--api-version", "3.1"], 2, "v3.1 does not copy classifiers"),
        (&["--all", "--api-version", "2.1", "--description", "x"], 2, "--description is not possible"),
    ] {
        let ending = lab.copy(arguments).expect(code, &[what]);
        assert_eq!((ending.stdout.as_str(), lab.changes()), ("", Vec::new()), "{arguments:?}");
    }
    assert_eq!(fs::read_to_string(&damaged).unwrap().len(), 37, "a damaged map is left alone");
}

#[test]
fn a_composed_model_comes_after_its_components() {
    let lab = Lab::new(3);
    let mut composed = lab.emulator.get(SOURCE, Collection::DocumentModels, "invoices-v4.0-1").unwrap();
    let part = composed["docTypes"]["invoices-v4.0-1"].clone();
    composed["modelId"] = json!("a-composed");
    composed["classifierId"] = json!("classifier-v4.0-2");
    let mut parts = json!({"first": part, "second": part});
    parts["first"]["modelId"] = json!("invoices-v4.0-2");
    parts["second"]["modelId"] = json!("invoices-v4.0-3");
    composed["docTypes"] = parts;
    lab.emulator.put(SOURCE, Collection::DocumentModels, "a-composed", composed);
    let mut custom = lab.ids(SOURCE, Collection::CustomModels).into_iter();
    let (first, second) = (custom.next().unwrap(), custom.next().unwrap());
    let mut composed = lab.emulator.get(SOURCE, Collection::CustomModels, &first).unwrap();
    let id = "00000000-0000-4000-8000-00000000000c";
    composed["modelInfo"]["modelId"] = json!(id);
    composed["modelInfo"]["attributes"]["isComposed"] = json!(true);
    composed["composedTrainResults"] = json!([{"modelId": first}, {"modelId": second}]);
    lab.emulator.put(SOURCE, Collection::CustomModels, id, composed);
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
        lab.changes();
        let ending = lab.copy(&[selection, &["--output", "json"]].concat()).expect(0, &[]);
        let order: Vec<_> =
            objects(&ending).iter().map(|one| one["source"]["modelId"].as_str().unwrap().to_owned()).collect();
        let place = |id: &str| order.iter().position(|other| other == id).unwrap();
        for part in ["invoices-v4.0-2", "invoices-v4.0-3", "classifier-v4.0-2"] {
            assert!(place(part) < place("a-composed"), "{order:?}");
        }
        assert!(place(&first) < place(id) && place(&second) < place(id), "{order:?}");
        for (collection, ids) in [
            (Collection::DocumentModels, lab.ids(TARGET, Collection::DocumentModels)),
            (Collection::DocumentClassifiers, lab.ids(TARGET, Collection::DocumentClassifiers)),
        ] {
            for id in &ids {
                lab.emulator.remove(TARGET, collection, id);
            }
        }
    }
}

#[test]
fn an_id_that_is_both_needs_a_kind_and_a_classifier_is_found_without_one() {
    let lab = Lab::new(1);
    lab.copy(&["classifier-v4.0-1"]).expect(0, &["copied classifier classifier-v4.0-1"]);
    let mut twin = lab.emulator.get(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-1").unwrap();
    twin["classifierId"] = json!("invoices-v4.0-1");
    lab.emulator.put(SOURCE, Collection::DocumentClassifiers, "invoices-v4.0-1", twin);
    lab.copy(&["invoices-v4.0-1"]).expect(2, &["has a model and a classifier invoices-v4.0-1", "--kind"]);
    lab.copy(&["invoices-v4.0-1", "--kind", "classifier"]).expect(0, &["copied classifier"]);
    lab.copy(&["invoices-v4.0-1", "--kind", "model"]).expect(0, &["copied model"]);
    lab.run(&["check"]).expect(9, &["3 same, 3 only on the source"]);
}

#[test]
fn a_classifier_of_an_older_version_is_refused_with_the_version_that_it_takes() {
    let lab = Lab::new(1);
    lab.copy(&["classifier-v4.0-1", "--kind", "classifier", "--api-version", "3.1"])
        .expect(2, &["v3.1 does not copy classifiers", "use --api-version 4.0"]);
    lab.set(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-1", "/apiVersion", json!("2023-07-31"));
    for selection in [&["classifier-v4.0-1"][..], &["--all", "--kind", "classifier"]] {
        lab.copy(selection)
            .expect(2, &["was trained with v3.1, and only v4.0 copies its own", "train the classifier again"]);
    }
    assert_eq!(lab.changes(), Vec::<String>::new());
}

#[test]
fn what_is_not_ready_is_left_out_of_everything() {
    let lab = Lab::new(1);
    let id = "00000000-0000-4000-8000-00000000000b";
    let blank = json!({"modelInfo": {"modelId": id, "status": "creating", "createdDateTime": "2026-01-01T00:00:00Z",
        "lastUpdatedDateTime": "2026-01-01T00:00:00Z"}});
    for resource in [SOURCE, TARGET] {
        lab.emulator.put(resource, Collection::CustomModels, id, blank.clone());
    }
    lab.copy(&["--all"]).expect(0, &[&format!("left out, because they are not ready: 1 ({id})"), "5 copied"]);
    lab.run(&["check"]).expect(0, &["5 same", "not ready: 1 models of the target"]);
    lab.copy(&["--all", "--if-exists", "skip"]).expect(0, &["5 already there"]);
}

#[test]
fn description_and_tags_travel_unless_others_are_given() {
    let lab = Lab::new(2);
    lab.copy(&["invoices-v3.0-1", "invoices-v4.0-1"]).expect(0, &[]);
    lab.copy(&["invoices-v3.0-2", "invoices-v4.0-2", "--description", "", "--tag", "a=b"]).expect(0, &[]);
    for (number, description, tags) in
        [(1, "Invoices, training 1", json!({"team": "invoices"})), (2, "", json!({"a": "b"}))]
    {
        for version in ["3.0", "4.0"] {
            let id = format!("invoices-v{version}-{number}");
            let copy = lab.emulator.get(TARGET, Collection::DocumentModels, &id).unwrap();
            assert_eq!((&copy["description"], &copy["tags"]), (&json!(description), &tags), "{id}");
        }
    }
}

#[test]
fn json_is_an_object_a_line_for_each_model_whatever_became_of_it() {
    let lab = Lab::new(1);
    lab.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    let arguments = ["invoices-v4.0-1", "invoices-v3.1-1", "no-such-model", "--if-exists", "skip", "--output", "json"];
    let ending = lab.copy(&arguments).expect(5, &[]);
    let mut seen: Vec<_> = objects(&ending)
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
fn elsewhere_than_on_a_terminal_there_is_one_line_for_each_model_that_has_ended() {
    let lab = Lab::new(2);
    let ending = lab.copy(&["--all"]).expect(0, &[]);
    let lines: Vec<_> = ending.stderr.lines().collect();
    assert_eq!(lines.len(), 13, "{lines:#?}");
    assert_eq!(lines[..2], ["reading the source", "10 models and classifiers are selected"]);
    assert!(lines[2..12].iter().all(|line| line.starts_with("copied ")), "{lines:#?}");
    assert!(lines[12].starts_with("of 10 models and classifiers: 10 copied"));
    assert_eq!(lab.copy(&["--all", "--if-exists", "skip", "-q"]).expect(0, &[]).stderr, "");
}

#[test]
fn a_dry_run_only_reads_and_ends_as_the_real_run_would() {
    let lab = Lab::new(1);
    lab.copy(&["invoices-v4.0-1", "invoices-v3.0-1"]).expect(0, &[]);
    lab.retrain("invoices-v3.0-1");
    lab.changes();
    for (arguments, code, texts) in [
        (&["--all"][..], 6, &["3 would be copied, 2 failed", "has 2 of at most 20000", "has 0 of at most 5000"][..]),
        (&["--all", "--if-exists", "skip"], 6, &["3 would be copied, 1 already there, 1 failed", "was trained"]),
        (&["--all", "--if-exists", "replace"], 0, &["3 would be copied, 1 would be replaced, 1 already there"]),
        (&["invoices-v3.1-1"], 0, &["would copy model invoices-v3.1-1", "with API v3.1"]),
        (&["invoices-v3.0-1", "--if-exists", "replace"], 0, &["would replace model invoices-v3.0-1"]),
        (&["no-such-model"], 5, &["the source has no model or classifier"]),
    ] {
        let ending = lab.copy(&[arguments, &["--dry-run"]].concat()).expect(code, texts);
        let there = usize::from(ending.stderr.contains("already there"));
        assert_eq!((ending.stdout.lines().count(), lab.changes()), (there, Vec::new()), "{arguments:?} {ending:?}");
    }
}

#[test]
fn a_dry_run_says_when_the_target_has_too_little_room() {
    let options = Options { models: 3, most_models: Some(4), ..Options::default() };
    let lab = Lab::with(&options);
    lab.copy(&["--include", "invoices-v4*", "--dry-run"]).expect(0, &["has 0 of at most 4 models of v3.0 and later"]);
    let ending = lab
        .copy(&["--include", "invoices-v*", "--dry-run"])
        .expect(3, &["has room for 4 models, and 9 would be copied"]);
    assert_eq!(ending.stdout, "");
    lab.copy(&["invoices-v4.0-1", "--dry-run"]).expect(0, &["the target has 0 of at most 4 models"]);
    lab.copy(&["--include", "invoices-v*", "-q"]).expect(3, &["DocumentModelLimit", "it is full"]);
}

#[test]
fn a_dry_run_counts_the_place_of_the_staging_copy() {
    let lab = Lab::with(&Options { operation_time: Duration::ZERO, most_models: Some(1), ..Options::default() });
    lab.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    lab.retrain("invoices-v4.0-1");
    for arguments in [&["invoices-v4.0-1"][..], &["--include", "invoices-v4*"]] {
        let replace = [arguments, &["--if-exists", "replace"]].concat();
        lab.copy(&[&replace[..], &["--dry-run"]].concat()).expect(3, &["room for 0 models, and 1 would be copied"]);
        lab.copy(&replace).expect(3, &["DocumentModelLimit"]);
    }
    lab.run(&["list", "target", "--include", "invoices-v4.0-1"]).expect(0, &[]);
}

#[test]
fn what_many_failed_copies_have_reserved_is_given_back_within_the_limits() {
    for tier in [Tier::S0, Tier::F0] {
        let options = Options {
            models: 4,
            tier,
            operation_time: Duration::from_millis(500),
            encrypted: vec!["source".into()],
            ..Options::default()
        };
        let lab = Lab::with(&options);
        let ending = lab.run(&["copy", "--include", "invoices-v*"]).expect(3, &["12 failed", "--allow-degrade"]);
        assert_eq!(ending.stderr.matches("released: ").count(), 12, "{}", ending.stderr);
        assert!(!ending.stderr.contains("reserved on the target, without a copy"), "{}", ending.stderr);
        assert!(lab.count(429) <= 10, "{}", lab.count(429));
    }
}

#[test]
fn models_of_v2_1_that_wait_for_their_minute_hold_up_no_others() {
    let options = Options { models: 4, tier: Tier::S0, operation_time: Duration::ZERO, ..Options::default() };
    let lab = Lab::with(&options);
    let ending = lab.run(&["copy", "--all", "--jobs", "3", "--timeout", "20s"]).expect(7, &["17 copied, 3 failed"]);
    assert_eq!(ids(&ending).iter().filter(|id| id.contains("-v")).count(), 16);
    // What had no time to be started was not authorized either.
    let authorized = lab.changes().iter().filter(|change| change.ends_with("/copyAuthorization")).count();
    assert!(authorized <= 2, "{authorized}");
}

#[test]
fn a_staging_copy_on_the_source_is_no_model_of_its_own() {
    let lab = Lab::new(1);
    let staging = "invoices-v4.0-1.frcopy-staging";
    let mut left = lab.emulator.get(SOURCE, Collection::DocumentModels, "invoices-v4.0-1").unwrap();
    left["modelId"] = json!(staging);
    lab.emulator.put(SOURCE, Collection::DocumentModels, staging, left);
    for _ in 0..2 {
        lab.copy(&["--all", "--if-exists", "replace"]).expect(0, &["left out, because they are staging copies: 1"]);
    }
    assert!(!lab.ids(TARGET, Collection::DocumentModels).contains(staging));
    lab.copy(&[staging, "--if-exists", "replace"]).expect(2, &["is the id of a staging copy"]);
}

#[test]
fn the_id_map_tells_which_copy_belongs_to_which_model_of_v2_1() {
    let lab = Lab::new(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.json");
    let map = path.to_str().unwrap();
    let read = || serde_json::from_str::<Value>(&fs::read_to_string(&path).unwrap()).unwrap();
    let custom: Vec<_> = lab.ids(SOURCE, Collection::CustomModels).into_iter().collect();
    lab.copy(&[&custom[0], "--id-map", map, "--dry-run"]).expect(0, &[]);
    assert!(!path.exists(), "a rehearsal writes nothing");
    let first = lab.copy(&[&custom[0], "--id-map", map]).expect(0, &[]);
    assert_eq!(read()["models"][&custom[0]]["targetModelId"], first.stdout.trim());
    // Merged with what is there, and what is known is not copied again.
    let all = lab.copy(&["--all", "--if-exists", "skip", "--id-map", map]).expect(0, &["1 already there"]);
    let content = read();
    assert_eq!(
        (content["schema"].as_str(), content["models"].as_object().unwrap().len()),
        (Some("frcopy.id-map/1"), 2)
    );
    for id in &custom {
        let entry = &content["models"][id];
        assert!(ids(&all).contains(entry["targetModelId"].as_str().unwrap()));
        assert!(entry["name"].as_str().unwrap().starts_with("invoices ") && entry["copiedAt"].is_string(), "{entry}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
    lab.run(&["check", "--id-map", map]).expect(0, &["10 same"]);
    // Among several copies of one model the one that the applications know is meant.
    let known = content["models"][&custom[0]]["targetModelId"].as_str().unwrap().to_owned();
    lab.copy(&[&custom[0]]).expect(0, &[]);
    lab.copy(&[&custom[0]]).expect(0, &[]);
    let skipped = lab.copy(&[&custom[0], "--if-exists", "skip", "--id-map", map]).expect(0, &["skipped"]);
    assert_eq!(skipped.stdout.trim(), known);
    lab.run(&["check"]).expect(0, &["10 same", "the target has 2 additional copies of v2.1 models"]);
    // The applications would look for it in vain, though the target has other copies of the same training.
    lab.emulator.remove(TARGET, Collection::CustomModels, &known);
    let ending =
        lab.run(&["check", "--id-map", map]).expect(9, &["which the target has not: its copy is", "1 different"]);
    assert!(ending.stdout.contains(&format!("* {}", custom[0])), "{ending:#?}");
    lab.copy(&[&custom[0], "--if-exists", "skip", "--id-map", map]).expect(0, &["skipped"]);
    lab.run(&["check", "--id-map", map]).expect(0, &["10 same"]);
}

#[cfg(unix)]
#[test]
fn an_id_map_keeps_its_permissions_and_what_a_later_version_has_added() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.json");
    let map = path.to_str().unwrap();
    let custom = lab.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap();
    lab.copy(&[&custom, "--id-map", map]).expect(0, &[]);
    let mut content: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    content["newer"] = json!(1);
    content["models"][&custom]["newer"] = json!([2]);
    fs::write(&path, content.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    lab.copy(&[&custom, "--if-exists", "skip", "--id-map", map]).expect(0, &[]);
    let again: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(again, content);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    lab.run(&["check", "--id-map", "/dev/zero"]).expect(2, &["cannot be read"]);
    lab.run(&["check", "--id-map", "no-such-map"]).expect(2, &["the id map no-such-map cannot be read"]);
}

#[test]
fn a_rehearsal_of_many_finds_a_target_that_lets_nobody_in() {
    let lab = Lab::new(1);
    let mut command = lab.command(&["copy", "--all", "--api-version", "2.1", "--dry-run"]);
    run(command.env("FRCOPY_TARGET_KEY", "wrong"))
        .expect(4, &["the limit of models of v2.1 on the target is not known"]);
}

#[test]
fn skip_leaves_alone_what_is_the_same_and_fails_where_it_is_not() {
    let lab = Lab::new(1);
    let custom = lab.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap();
    for id in [custom.as_str(), "invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"] {
        let first = lab.copy(&[id]).expect(0, &[]);
        lab.changes();
        let again = lab.copy(&[id, "--if-exists", "skip"]).expect(0, &["skipped", "the target has it already"]);
        assert_eq!((again.stdout, lab.changes()), (first.stdout, Vec::new()), "{id}");
    }
    for id in ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1"] {
        lab.retrain(id);
        let remedy = "--if-exists replace";
        lab.copy(&[id, "--if-exists", "skip"]).expect(6, &["the target has another model", "was trained", remedy]);
        lab.copy(&[id]).expect(6, &["the target already has a model", remedy]);
    }
}
