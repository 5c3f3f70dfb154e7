//! A manifest with several copies of one model on one target, under several ids.

use frcopy::emulator::Collection;
use serde_json::{Value, json};

use crate::support::emulated_pair::TARGET;
use crate::support::recorded_pair::{NAMED, RecordedPair, collection, lines, with_kind};

#[test]
fn each_copy_of_a_model_has_a_record_of_its_own_on_every_version() {
    let lab = RecordedPair::new();
    for model in NAMED {
        lab.copy(&[model]).expect(0, &[]);
        lab.copy(&[model, "--target-model-id", &format!("{model}-b")]).expect(0, &[]);
    }
    let custom = lab.pair.custom_model();
    let [first, second] = [(), ()].map(|()| lab.copy(&[&custom]).expect(0, &[]).stdout.trim().to_owned());
    let mut expected: Vec<_> =
        NAMED.iter().flat_map(|model| [(*model, (*model).to_owned()), (*model, format!("{model}-b"))]).collect();
    expected.extend([(custom.as_str(), first.clone()), (custom.as_str(), second.clone())]);
    expected.sort_unstable();
    let recorded = lab.recorded();
    assert_eq!(recorded.iter().map(|(source, target)| (source.as_str(), target.clone())).collect::<Vec<_>>(), expected);
    lab.check_target(&["--max-age", "26h"]).expect(0, &["10 same"]);

    // Each of them can be missing, or too old.
    lab.pair.emulator.remove(TARGET, Collection::CustomModels, &first);
    for model in NAMED {
        lab.pair.emulator.remove(TARGET, collection(model), &format!("{model}-b"));
    }
    let output = lab.check_target(&[]).expect(9, &["5 same as recorded, 5 missing on the target"]);
    for line in [format!("+ model {custom} {first}"), format!("= model {custom} {second}")] {
        assert!(lines(&output).contains(&line.as_str()), "{line} is missing in {output:#?}");
    }
    // v2.1 makes no copy with the missing id again: a command that finds another one forgets it.
    let missing = format!("the manifest records the copy {first}, which west does not have");
    lab.copy(&[&custom, "--if-exists", "skip"]).expect(0, &[&missing, "skipped"]);
    assert_eq!(lines(&lab.check_target(&[&custom]).expect(0, &["1 same"])), [format!("= model {custom} {second}")]);
    lab.change(|copy| {
        if copy["target"]["modelId"] == NAMED[0] {
            copy["verifiedAt"] = json!("2026-01-01T00:00:00Z");
        }
    });
    lab.check_target(&["--max-age", "26h", NAMED[0]]).expect(9, &["1 same", "too old: verified ", "1 too old"]);
}

#[test]
fn check_pairs_models_with_all_their_recorded_copies_on_every_version() {
    let lab = RecordedPair::new();
    for model in NAMED {
        lab.copy(&[model, "--target-model-id", &format!("{model}-b")]).expect(0, &[]);
    }
    let custom = lab.pair.custom_model();
    let [first, second] = [(), ()].map(|()| lab.copy(&[&custom]).expect(0, &[]).stdout.trim().to_owned());
    let of_custom = |sign: &str, copy: &str| format!("{sign} model {custom} {copy}");
    let mut expected: Vec<_> = NAMED.iter().map(|model| format!("= {} {model}-b", with_kind(model))).collect();
    expected.extend([of_custom("=", &first), of_custom("=", &second)]);
    expected.sort_unstable();
    assert_eq!(lines(&lab.check(&[]).expect(0, &["6 same"])), expected);
    lab.pair.run(&["check"]).expect(9, &["1 same, 4 only on the source, 4 only on the target"]);

    // One of two copies is missing, and a recorded copy beside one with the id of its source.
    lab.pair.emulator.remove(TARGET, Collection::CustomModels, &first);
    for model in NAMED {
        lab.copy(&[model]).expect(0, &[]);
        lab.pair.emulator.remove(TARGET, collection(model), &format!("{model}-b"));
    }
    let output = lab.check(&[]).expect(9, &["5 same, 5 only on the source"]);
    let mut expected: Vec<_> = NAMED.iter().map(|model| format!("+ {} {model}-b", with_kind(model))).collect();
    expected.extend(NAMED.iter().map(|model| format!("= {}", with_kind(model))));
    expected.extend([of_custom("+", &first), of_custom("=", &second)]);
    expected.sort_unstable();
    assert_eq!(lines(&output), expected);
    let missing = format!("{}-b", NAMED[2]);
    let object = lab.check(&[&missing, "--output", "json"]).expect(9, &[]).json();
    assert_eq!((&object["sign"], &object["copyId"]), (&json!("+"), &json!(missing)));
    assert_eq!(object["target"]["modelId"], Value::Null);
    lab.check(&["--exclude", "*-b", "--exclude", &first]).expect(0, &["5 same"]);
}

#[test]
fn a_copy_under_another_id_is_compared_with_its_source() {
    let lab = RecordedPair::new();
    let (model, taken) = ("invoices-v4.0-1", "invoices-v3.1-1");
    lab.copy(&[model, "--target-model-id", taken]).expect(0, &[]);
    lab.check(&[model]).expect(0, &["1 same"]);
    // The copy has the id of another model, which has no copy.
    lab.pair.retrain(taken);
    let output =
        lab.check(&["--include", "invoices-v[34].[10]-1", "--exclude", "*3.0*"]).expect(9, &["1 same, 1 different"]);
    assert_eq!(lines(&output), [format!("* model {taken}"), format!("= model {model} {taken}")]);
    lab.pair.retrain(model);
    let output = lab.check(&[model]).expect(9, &["1 different"]);
    assert_eq!(lines(&output), [format!("* model {model} {taken}")]);
    // A template names what is expected, in addition to what is recorded.
    let output = lab.check(&[model, "--target-model-id", "{id}-v2"]).expect(9, &["1 only on the source, 1 different"]);
    assert_eq!(lines(&output), [format!("* model {model} {taken}"), format!("+ model {model} {model}-v2")]);
}
