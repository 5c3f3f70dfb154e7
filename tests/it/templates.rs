//! `--target-model-id '{id}-v2'`: ids of copies that are made from the ids of their sources.

use std::collections::BTreeSet;

use frcopy::emulator::Collection;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::run;

/// The pair's source as both sides: a snapshot beside the models.
fn in_one_resource(pair: &EmulatedPair, arguments: &[&str]) -> assert_cmd::Command {
    let environment = pair.environment();
    let value = |name: &str| environment.iter().find(|(other, _)| *other == name).unwrap().1.clone();
    let mut command = pair.command(arguments);
    command.env("FRCOPY_TARGET_ENDPOINT", value("FRCOPY_SOURCE_ENDPOINT"));
    command.env("FRCOPY_TARGET_KEY", value("FRCOPY_SOURCE_KEY"));
    command
}

const TEMPLATE: [&str; 2] = ["--target-model-id", "{id}-v2"];

#[test]
fn every_copy_has_the_id_that_the_template_makes_and_v2_1_keeps_those_of_the_service() {
    let pair = EmulatedPair::new(1);
    let all = [&["--all"][..], &TEMPLATE].concat();
    let dry = pair.copy(&[&all[..], &["--dry-run"]].concat()).expect(0, &["as invoices-v4.0-1-v2"]);
    assert!(pair.mutating_requests().is_empty(), "{dry:#?}");
    let output = pair.copy(&all).expect(0, &["5 copied"]);
    assert!(output.stdout.contains("invoices-v3.0-1-v2"), "{output:#?}");
    let of = |resource, collection| pair.ids(resource, collection);
    for collection in [Collection::DocumentModels, Collection::DocumentClassifiers] {
        let expected: BTreeSet<_> = of(SOURCE, collection).iter().map(|id| format!("{id}-v2")).collect();
        assert_eq!(of(TARGET, collection), expected);
    }
    assert_eq!(of(TARGET, Collection::CustomModels).len(), 1);
    pair.run(&[&["check"][..], &TEMPLATE].concat()).expect(0, &["5 same"]);
    pair.run(&["check"]).expect(9, &["4 only on the source, 4 only on the target"]);
    pair.mutating_requests();
    pair.copy(&[&all[..], &["--if-exists", "skip"]].concat()).expect(0, &["5 already there"]);
    assert!(pair.mutating_requests().is_empty());
}

#[test]
fn a_snapshot_in_the_same_resource_is_not_copied_again_and_leads_back() {
    let pair = EmulatedPair::new(1);
    let snapshot = [&["copy", "--include", "*v4.0*", "--kind", "model"][..], &TEMPLATE].concat();
    run(&mut in_one_resource(&pair, &snapshot)).expect(0, &["1 copied"]);
    let check =
        [&["check", "--api-version", "4.0", "--include", "invoices-v4.0*", "--kind", "model"][..], &TEMPLATE].concat();
    run(&mut in_one_resource(&pair, &check)).expect(0, &["1 same"]);
    pair.mutating_requests();
    let again = [&snapshot[..], &["--if-exists", "skip"]].concat();
    let left_out = "left out, because they have the form of --target-model-id: 1 (invoices-v4.0-1-v2)";
    run(&mut in_one_resource(&pair, &again)).expect(0, &["1 already there", left_out]);
    assert!(pair.mutating_requests().is_empty());

    // A retraining that went wrong: the check finds it, and the snapshot takes its place.
    pair.retrain("invoices-v4.0-1");
    run(&mut in_one_resource(&pair, &check)).expect(9, &["1 different"]);
    let back = ["copy", "invoices-v4.0-1-v2", "--target-model-id", "invoices-v4.0-1", "--if-exists", "replace"];
    run(&mut in_one_resource(&pair, &back)).expect(0, &["replaced"]);
    run(&mut in_one_resource(&pair, &check)).expect(0, &["1 same"]);
}

#[test]
fn an_id_that_cannot_be_made_is_refused_before_anything_is_sent_to_the_target() {
    let pair = EmulatedPair::new(1);
    let long = format!("{{id}}-{}", "x".repeat(55));
    let long = ["--target-model-id", &long];
    pair.copy(&[&["--all"][..], &long].concat()).expect(2, &["which is no model id", "it has"]);
    pair.copy(&[&["ab", "cd"][..], &["--target-model-id", "{id}.frcopy-staging"]].concat())
        .expect(2, &["is the id of a staging copy"]);
    for template in ["{id}", "{id}{id}", "{name}-v2", "{id}/v2"] {
        pair.copy(&["--all", "--target-model-id", template]).expect(2, &["--target-model-id"]);
        pair.run(&["check", "--target-model-id", template]).expect(2, &["--target-model-id"]);
    }
    pair.run(&["check", "--target-model-id", "no-template"]).expect(2, &["it has no {id}"]);
    assert!(pair.mutating_requests().is_empty());
}

#[test]
fn one_named_model_gets_its_id_from_the_template_on_every_version() {
    let pair = EmulatedPair::new(1);
    let custom = pair.custom_model();
    for (model, copy) in [
        ("invoices-v3.0-1", Some("invoices-v3.0-1-v2")),
        ("invoices-v3.1-1", Some("invoices-v3.1-1-v2")),
        ("invoices-v4.0-1", Some("invoices-v4.0-1-v2")),
        ("classifier-v4.0-1", Some("classifier-v4.0-1-v2")),
        (custom.as_str(), None),
    ] {
        let output = pair.copy(&[&[model][..], &TEMPLATE].concat()).expect(0, &[]);
        let id = output.stdout.trim();
        assert!(copy.map_or(id != format!("{model}-v2"), |copy| id == copy), "{output:#?}");
        let note = "--target-model-id does not apply to 1 v2.1 model: the target chooses";
        assert_eq!(output.stderr.contains(note), copy.is_none(), "{output:#?}");
    }
}

#[test]
fn a_check_with_a_template_leaves_out_what_the_template_cannot_make() {
    let pair = EmulatedPair::new(1);
    let id = "invoices-v4.0-1";
    pair.copy(&[id]).expect(0, &[]);
    pair.copy(&[&[id][..], &TEMPLATE].concat()).expect(0, &[]);
    for check in [&["check", id][..], &["check", "--include", "invoices-v4*"]] {
        let output = pair.run(&[check, &TEMPLATE].concat()).expect(0, &["1 same"]);
        assert_eq!(output.stdout, format!("= model {id} {id}-v2\n"), "{output:#?}");
    }
}
