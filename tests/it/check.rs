//! `frcopy check`: one sign and id per model, and the exit code.

use frcopy::emulator::Collection;
use serde_json::{Value, json};
use wiremock::MockServer;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{error_reply, frcopy, mock_server, reply, run};

#[test]
fn each_difference_has_a_sign_and_a_reason() {
    let pair = EmulatedPair::new(2);
    pair.copy(&["--include", "*-1"]).expect(0, &[]);
    pair.copy(&["--include", "invoices 1"]).expect(0, &[]);
    pair.retrain("invoices-v3.0-1");
    let schema = "/docTypes/invoices-v4.0-1/fieldSchema/Total/type";
    pair.set(SOURCE, Collection::DocumentModels, "invoices-v4.0-1", schema, json!("string"));
    pair.emulator.remove(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-1");
    let custom: Vec<_> = pair.ids(SOURCE, Collection::CustomModels).into_iter().collect();
    let named = |name: &str| {
        let is_named = |id: &&String| {
            pair.emulator.get(SOURCE, Collection::CustomModels, id).unwrap()["modelInfo"]["modelName"] == name
        };
        custom.iter().find(is_named).unwrap()
    };
    let why = [
        "model invoices-v3.0-1: the source was trained 2026-11-22T08:00:00Z",
        "the fields of document type invoices-v4.0-1 differ",
    ];
    let output = pair.run(&["check"]).expect(9, &why);
    let copies = pair.ids(TARGET, Collection::CustomModels);
    let mut signs: Vec<_> = output.stdout.lines().collect();
    signs.sort_unstable();
    let mut expected = [
        "* model invoices-v3.0-1".to_owned(),
        "* model invoices-v4.0-1".to_owned(),
        "+ classifier classifier-v4.0-2".to_owned(),
        "+ model invoices-v3.0-2".to_owned(),
        "+ model invoices-v3.1-2".to_owned(),
        "+ model invoices-v4.0-2".to_owned(),
        format!("+ model {}", named("invoices 2")),
        "- classifier classifier-v4.0-1".to_owned(),
        "= model invoices-v3.1-1".to_owned(),
        format!("= model {} {}", named("invoices 1"), copies.first().unwrap()),
    ];
    expected.sort_unstable();
    assert_eq!(signs, expected);

    let quiet = pair.run(&["check", "-q"]).expect(9, &[]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    pair.run(&["check", "invoices-v3.1-1"]).expect(0, &[]);
    pair.run(&["check", "--include", "*v3.1-1", "--include", "invoices 1"]).expect(0, &["2 same"]);
    pair.run(&["check", "--kind", "classifier", "--one-way", "--exclude", "*-2"]).expect(5, &["nothing is selected"]);
    pair.run(&["check", "--api-version", "2.1"]).expect(9, &["1 same, 1 only on the source"]);
}

#[test]
fn json_output_has_both_sides_and_every_difference() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["invoices-v3.1-1"]).expect(0, &[]);
    pair.retrain("invoices-v3.1-1");
    let output = pair.run(&["check", "invoices-v3.1-1", "--output", "json", "--expiring-within", "1d"]).expect(9, &[]);
    let object: Value = serde_json::from_str(output.stdout.trim()).unwrap();
    for (field, value) in [
        ("schema", json!("frcopy.check/1")),
        ("sign", json!("*")),
        ("verdict", json!("differs")),
        ("kind", json!("model")),
        ("expiresSoon", json!(false)),
        ("error", json!(null)),
    ] {
        assert_eq!(object[field], value, "{field}");
    }
    for side in ["source", "target"] {
        assert_eq!(object[side]["modelId"], "invoices-v3.1-1");
        assert!(object[side]["endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    }
    assert!(object["differences"][0].as_str().unwrap().starts_with("the source was trained"), "{object}");
    assert!(object["expiresAt"].is_string());
}

#[test]
fn expiring_and_expired_models_are_reported() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    let in_days = |days: i32| json!((jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24) * days).to_string());
    for resource in [SOURCE, TARGET] {
        pair.set(resource, Collection::DocumentModels, "invoices-v4.0-1", "/expirationDateTime", in_days(24));
        pair.set(resource, Collection::DocumentModels, "invoices-v3.1-1", "/expirationDateTime", in_days(-1));
    }
    pair.run(&["check"]).expect(9, &["invoices-v3.1-1: expired on ", "5 same, 1 expired"]);
    pair.run(&["check", "--exclude", "invoices-v3.1-1"]).expect(0, &["4 same"]);
    pair.run(&["check", "--expiring-within", "60d"])
        .expect(9, &["(in 23 days)", "invoices-v3.1-1: expired on ", "5 same, 1 about to expire, 1 expired"]);
    let output = pair.run(&["check", "invoices-v3.1-1", "--output", "json"]).expect(9, &[]).json();
    assert_eq!((&output["verdict"], &output["expired"]), (&json!("same"), &json!(true)));
    assert_eq!((&output["expiresSoon"], &output["retired"]), (&json!(false), &json!(false)));
    pair.run(&["check", "--expiring-within", "sixty"]).expect(2, &["is not a duration", "60d"]);
}

#[test]
fn a_failure_to_compare_is_an_error_and_not_a_difference() {
    let pair = EmulatedPair::new(1);
    pair.run(&["check", "no-such-model"])
        .expect(5, &["there is no model or classifier no-such-model on either resource"]);
    pair.run(&["check", "no-such-model", "nor-this-one"])
        .expect(5, &["there is no model or classifier no-such-model, nor-this-one on either resource"]);
    pair.run(&["check", "a/b"]).expect(2, &["the model id is not usable"]);
    run(pair.command(&["check"]).env("FRCOPY_TARGET_KEY", "wrong")).expect(4, &["401"]);
    let source = pair.emulator.resources()[0].endpoint.clone();
    run(pair.command(&["check"]).env("FRCOPY_TARGET_ENDPOINT", source)).expect(2, &["are the same resource"]);
}

#[test]
fn a_requested_model_that_is_not_ready_is_reported() {
    let pair = EmulatedPair::new(1);
    let custom = pair.custom_model();
    pair.set(SOURCE, Collection::CustomModels, &custom, "/modelInfo/status", json!("creating"));
    let output =
        pair.run(&["check", &custom]).expect(9, &["the model of the source is not ready, and cannot be compared"]);
    assert_eq!(output.stdout, format!("! model {custom}\n"));
}

/// A resource with v3.1 that lists two models. One of them cannot be read.
fn resource_with_an_unreadable_model() -> MockServer {
    let body = |id: &str| json!({"modelId": id, "createdDateTime": "2026-01-01T00:00:00Z", "apiVersion": "2023-07-31"});
    mock_server(move |request| match request.url.path() {
        "/formrecognizer/documentModels" => reply(200).set_body_json(json!({"value": [body("bad-1"), body("good-1")]})),
        "/formrecognizer/documentClassifiers" => reply(200).set_body_json(json!({"value": []})),
        "/formrecognizer/documentModels/good-1" => reply(200).set_body_json(body("good-1")),
        "/formrecognizer/documentModels/bad-1" => error_reply(403, "Forbidden", "Not this one."),
        _ => error_reply(404, "404", "Resource not found"),
    })
}

#[test]
fn a_list_item_of_an_unknown_form_is_neither_in_sync_nor_copied() {
    let item = json!({"modelId": {"new": "form"}});
    let server = mock_server(move |request| match request.url.path() {
        "/documentintelligence/documentModels" => reply(200).set_body_json(json!({"value": [item]})),
        "/documentintelligence/documentClassifiers" => reply(200).set_body_json(json!({"value": []})),
        _ => error_reply(404, "404", "Resource not found"),
    });
    let pair = EmulatedPair::new(0);
    for (arguments, code) in [
        (&["check"][..], 9),
        (&["check", "-q"], 9),
        (&["copy", "--all"], 1),
        (&["list", "source"], 1),
        (&["list", "source", "--output", "json"], 1),
    ] {
        let mut command = pair.command(arguments);
        let quiet = arguments.contains(&"-q");
        let message = if quiet { "" } else { "the source lists 1 models in an unknown format" };
        run(command.env("FRCOPY_SOURCE_ENDPOINT", server.uri())).expect(code, &[message]);
    }
}

#[test]
fn an_unreadable_model_is_reported_and_the_others_are_compared() {
    let (source, target) = (resource_with_an_unreadable_model(), resource_with_an_unreadable_model());
    let mut command = frcopy();
    command.env("FRCOPY_SOURCE_ENDPOINT", source.uri()).env("FRCOPY_TARGET_ENDPOINT", target.uri());
    command.env("FRCOPY_SOURCE_KEY", "a").env("FRCOPY_TARGET_KEY", "b").arg("check");
    let output = run(&mut command).expect(9, &["error: model bad-1: ", "Forbidden: Not this one.", "1 same, 1 unread"]);
    assert_eq!(output.stdout, "! model bad-1\n= model good-1\n");
    let quiet = run(command.arg("-q")).expect(9, &["error: model bad-1: ", "Forbidden: Not this one."]);
    assert!(!quiet.stderr.contains("same"), "{quiet:#?}");
}

#[test]
fn fields_that_cannot_be_read_are_not_the_same() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    let id = "invoices-v4.0-1";
    let schema = "/docTypes/invoices-v4.0-1/fieldSchema";
    for (path, value, field) in
        [("/expirationDateTime", json!("soon"), "date of expiry"), (schema, json!(5), "document types")]
    {
        let before = pair.emulator.get(SOURCE, Collection::DocumentModels, id).unwrap();
        for side in [SOURCE, TARGET] {
            pair.set(side, Collection::DocumentModels, id, path, value.clone());
        }
        let why = format!("shows the {field} of the model {id} in an unknown form");
        let output = pair.run(&["check", id]).expect(9, &[&why]);
        assert_eq!(output.stdout, format!("! model {id}\n"));
        pair.copy(&[id, "--if-exists", "skip"]).expect(1, &[&why]);
        pair.copy(&[id, "--if-exists", "replace"]).expect(1, &[&why]);
        for side in [SOURCE, TARGET] {
            pair.set(side, Collection::DocumentModels, id, path, before.pointer(path).unwrap().clone());
        }
    }
    pair.run(&["check", id]).expect(0, &[]);
}
