//! Failing back: the manifest of a backup is read in reverse.

use std::collections::BTreeSet;

use frcopy::emulator::Collection;
use serde_json::json;

use crate::support::emulated_pair::{SOURCE, TARGET};
use crate::support::recorded_pair::{NAMED, RecordedPair, collection, lines, with_kind};

const NORTH: usize = 2;
const TEMPLATE: [&str; 3] = ["--all", "--target-model-id", "{id}-v2"];

/// A backup of east in west, whose copies have other ids on every version.
fn renamed() -> RecordedPair {
    let lab = RecordedPair::new();
    lab.copy(&TEMPLATE).expect(0, &["5 copied"]);
    lab.pair.mutating_requests();
    lab
}

/// The only v2.1 model of a resource.
fn custom(lab: &RecordedPair, resource: usize) -> String {
    let mut ids = lab.pair.ids(resource, Collection::CustomModels).into_iter();
    let id = ids.next().unwrap();
    assert_eq!(ids.next(), None);
    id
}

/// The ids of the models of v3.0 and later, and of the classifiers.
fn named(lab: &RecordedPair, resource: usize) -> BTreeSet<String> {
    let ids = |collection| lab.pair.ids(resource, collection);
    &ids(Collection::DocumentModels) | &ids(Collection::DocumentClassifiers)
}

fn lose_everything(lab: &RecordedPair, resource: usize) {
    for collection in [Collection::CustomModels, Collection::DocumentModels, Collection::DocumentClassifiers] {
        for id in lab.pair.ids(resource, collection) {
            lab.pair.emulator.remove(resource, collection, &id);
        }
    }
}

#[test]
fn what_the_source_has_lost_comes_back_under_its_own_ids() {
    let lab = renamed();
    let originals = named(&lab, SOURCE);
    lose_everything(&lab, SOURCE);
    let output = lab.copy_back(&["--all", "--dry-run"]).expect(0, &["5 would be copied"]);
    assert!(
        output.stderr.contains("would copy model invoices-v4.0-1-v2 to east as invoices-v4.0-1 with"),
        "{output:#?}"
    );
    let output = lab.check_back(&[]).expect(9, &["5 only on the source"]);
    let missing = NAMED.map(|model| format!("+ {}-v2 {model}", with_kind(model)));
    assert!(missing.iter().all(|line| lines(&output).contains(&line.as_str())), "{output:#?}");

    lab.copy_back(&["--all"]).expect(0, &["5 copied"]);
    assert_eq!(named(&lab, SOURCE), originals);
    let (copy, again) = (custom(&lab, TARGET), custom(&lab, SOURCE));
    for output in [lab.check_back(&[]), lab.check(&[])] {
        output.expect(0, &["5 same"]);
    }
    assert!(lab.recorded().contains(&(copy.clone(), again.clone())));
    let output = lab.check(&[]).expect(0, &[]);
    let mut expected: Vec<_> = NAMED.iter().map(|model| format!("= {} {model}-v2", with_kind(model))).collect();
    expected.push(format!("= model {again} {copy}"));
    expected.sort_unstable();
    assert_eq!(lines(&output), expected);

    // Both directions are complete.
    lab.pair.mutating_requests();
    lab.copy_back(&["--all", "--if-exists", "skip"]).expect(0, &["5 already there"]);
    lab.copy(&["--all", "--if-exists", "skip"]).expect(0, &["5 already there"]);
    assert_eq!(lab.pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn what_the_source_still_has_is_not_copied_beside_it() {
    let lab = renamed();
    let (original, copy) = (custom(&lab, SOURCE), custom(&lab, TARGET));
    // The manifest decides among models of the same training.
    let mut twin = lab.pair.emulator.get(SOURCE, Collection::CustomModels, &original).unwrap();
    let other = "00000000-0000-4000-8000-000000000001";
    twin["modelInfo"]["modelId"] = json!(other);
    lab.pair.emulator.put(SOURCE, Collection::CustomModels, other, twin);
    let refused = format!("east already has {original}, of which the manifest records {copy} as a copy");
    lab.copy_back(&["--all"]).expect(6, &[&refused, "east already has a model invoices-v3.0-1"]);
    lab.copy_back(&[&copy]).expect(6, &[&refused, "--if-exists skip"]);
    lab.copy_back(&["--all", "--if-exists", "skip"]).expect(0, &["5 already there"]);
    let output = lab.copy_back(&[&copy, "--if-exists", "skip"]).expect(0, &["skipped"]);
    assert_eq!(output.stdout.trim(), original);
    let output = lab.check_back(&[]).expect(0, &["5 same"]);
    assert!(lines(&output).contains(&format!("= model {copy} {original}").as_str()), "{output:#?}");
    assert_eq!(lab.pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn what_was_trained_during_the_outage_takes_the_place_of_its_original() {
    let lab = renamed();
    for model in NAMED {
        let id = format!("{model}-v2");
        let body = lab.pair.emulator.get(TARGET, collection(model), &id).unwrap();
        for field in ["createdDateTime", "modifiedDateTime"].into_iter().filter(|field| body.get(field).is_some()) {
            lab.pair.set(TARGET, collection(model), &id, &format!("/{field}"), json!("2026-11-22T08:00:00Z"));
        }
    }
    let mut new = lab.pair.emulator.get(TARGET, Collection::DocumentModels, "invoices-v4.0-1-v2").unwrap();
    new["modelId"] = json!("receipts");
    lab.pair.emulator.put(TARGET, Collection::DocumentModels, "receipts", new);
    lab.check_back(&[]).expect(9, &["1 same, 1 only on the source, 4 different"]);
    lab.copy_back(&["--all", "--if-exists", "skip"]).expect(6, &["east has another model invoices-v3.0-1"]);
    lab.copy_back(&["--all", "--if-exists", "replace"]).expect(0, &["4 replaced"]);
    lab.check_back(&[]).expect(0, &["6 same"]);
    let expected: BTreeSet<_> = NAMED.iter().copied().chain(["receipts"]).map(str::to_owned).collect();
    assert_eq!(named(&lab, SOURCE), expected);
}

#[test]
fn one_of_several_copies_gets_the_id_of_the_original_and_the_others_keep_their_own() {
    let lab = renamed();
    lab.copy(&["--all", "--if-exists", "skip"]).expect(0, &["4 copied, 1 already there"]);
    lose_everything(&lab, SOURCE);
    lab.copy_back(&["--all"]).expect(0, &["9 copied"]);
    let expected: BTreeSet<_> = NAMED.iter().flat_map(|model| [(*model).to_owned(), format!("{model}-v2")]).collect();
    assert_eq!(named(&lab, SOURCE), expected);
    lab.check_back(&[]).expect(0, &["9 same"]);
}

#[test]
fn two_models_for_one_id_are_refused_before_anything_is_sent() {
    let lab = renamed();
    lose_everything(&lab, SOURCE);
    for model in NAMED {
        let mut own = lab.pair.emulator.get(TARGET, collection(model), &format!("{model}-v2")).unwrap();
        let field = if model.starts_with("classifier") { "classifierId" } else { "modelId" };
        own[field] = json!(model);
        lab.pair.emulator.put(TARGET, collection(model), model, own);
        let refused = format!("{model} and {model}-v2 would both be copied as {model}");
        lab.copy_back(&["--include", &format!("{model}*")]).expect(2, &[&refused, "--exclude"]);
    }
    assert_eq!(lab.pair.mutating_requests(), Vec::<String>::new());
    lab.copy_back(&["--all", "--exclude", "*-v2"]).expect(0, &["5 copied"]);
}

#[test]
fn one_named_model_and_each_of_several_targets_follow_the_manifest() {
    let lab = renamed();
    lose_everything(&lab, SOURCE);
    for model in NAMED {
        let output = lab.copy_back(&[&format!("{model}-v2")]).expect(0, &[]);
        assert_eq!(output.stdout.trim(), model);
        let other = format!("{model}-other");
        let output = lab.copy_back(&[&format!("{model}-v2"), "--target-model-id", &other]).expect(0, &[]);
        assert_eq!(output.stdout.trim(), other);
        lab.pair.emulator.remove(SOURCE, collection(model), model);
        lab.pair.emulator.remove(SOURCE, collection(model), &other);
    }
    let to_both = ["copy", "--from", "west", "--to", "east", "--to", "north", "--all", "--poll-interval", "20ms"];
    let output = lab.run(&to_both).expect(0, &["east: of 5 models and classifiers: 5 copied", "north: of 5"]);
    for model in NAMED {
        assert!(output.stdout.contains(&format!("east\t{model}\n")), "{output:#?}");
        assert!(output.stdout.contains(&format!("north\t{model}-v2\n")), "{output:#?}");
    }
    assert_eq!(named(&lab, NORTH), named(&lab, TARGET));
}

#[test]
fn a_snapshot_in_the_same_resource_leads_back_without_its_template() {
    let lab = RecordedPair::new();
    let within = |arguments: &[&str]| {
        lab.run(&[&["copy", "--from", "east", "--to", "east", "--poll-interval", "20ms"], arguments].concat())
    };
    for model in &NAMED[..3] {
        within(&[model, "--target-model-id", "{id}-snapshot"]).expect(0, &[]);
        lab.pair.retrain(model);
        within(&[&format!("{model}-snapshot")]).expect(6, &["east already has a model"]);
        let output = within(&[&format!("{model}-snapshot"), "--if-exists", "replace"]).expect(0, &["replaced"]);
        assert_eq!(output.stdout.trim(), *model);
    }
    let check =
        ["check", "--from", "east", "--to", "east", "--include", "invoices*", "--target-model-id", "{id}-snapshot"];
    lab.run(&[&check[..], &["--exclude", "invoices 1"]].concat()).expect(0, &["3 same"]);
}
