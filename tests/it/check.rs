//! `frcopy check`: a sign and an id for each model, and an exit code for a monitor.

use frcopy::emulator::Collection;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request};

use crate::lab::{Lab, SOURCE, TARGET};
use crate::support::{error_reply, frcopy, reply, run};

#[test]
fn each_difference_has_its_sign_and_its_reason() {
    let lab = Lab::new(2);
    lab.copy(&["--include", "*-1"]).expect(0, &[]);
    lab.copy(&["--include", "invoices 1"]).expect(0, &[]);
    lab.retrain("invoices-v3.0-1");
    let schema = "/docTypes/invoices-v4.0-1/fieldSchema/Total/type";
    lab.set(SOURCE, Collection::DocumentModels, "invoices-v4.0-1", schema, json!("string"));
    lab.emulator.remove(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-1");
    let custom: Vec<_> = lab.ids(SOURCE, Collection::CustomModels).into_iter().collect();
    let named = |name: &str| {
        let is_named = |id: &&String| {
            lab.emulator.get(SOURCE, Collection::CustomModels, id).unwrap()["modelInfo"]["modelName"] == name
        };
        custom.iter().find(is_named).unwrap()
    };
    let why = [
        "model invoices-v3.0-1: the source was trained 2026-11-22T08:00:00Z",
        "the fields of document type invoices-v4.0-1 differ",
    ];
    let ending = lab.run(&["check"]).expect(9, &why);
    let mut signs: Vec<_> = ending.stdout.lines().collect();
    signs.sort_unstable();
    let mut expected = [
        "* invoices-v3.0-1".to_owned(),
        "* invoices-v4.0-1".to_owned(),
        "+ classifier-v4.0-2".to_owned(),
        "+ invoices-v3.0-2".to_owned(),
        "+ invoices-v3.1-2".to_owned(),
        "+ invoices-v4.0-2".to_owned(),
        format!("+ {}", named("invoices 2")),
        "- classifier-v4.0-1".to_owned(),
        "= invoices-v3.1-1".to_owned(),
        format!("= {}", named("invoices 1")),
    ];
    expected.sort_unstable();
    assert_eq!(signs, expected);

    let quiet = lab.run(&["check", "-q"]).expect(9, &[]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    lab.run(&["check", "invoices-v3.1-1"]).expect(0, &[]);
    lab.run(&["check", "--include", "*v3.1-1", "--include", "invoices 1"]).expect(0, &["2 same"]);
    lab.run(&["check", "--kind", "classifier", "--one-way", "--exclude", "*-2"]).expect(0, &[]);
    lab.run(&["check", "--api-version", "2.1"]).expect(9, &["1 same, 1 only on the source"]);
}

#[test]
fn json_has_both_sides_and_every_difference() {
    let lab = Lab::new(1);
    lab.copy(&["invoices-v3.1-1"]).expect(0, &[]);
    lab.retrain("invoices-v3.1-1");
    let ending = lab.run(&["check", "invoices-v3.1-1", "--output", "json", "--expiring-within", "1d"]).expect(9, &[]);
    let object: Value = serde_json::from_str(ending.stdout.trim()).unwrap();
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
fn a_model_that_expires_soon_is_found_and_one_that_has_expired_as_well() {
    let lab = Lab::new(1);
    lab.copy(&["--all"]).expect(0, &[]);
    let in_days = |days: i32| json!((jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24) * days).to_string());
    for resource in [SOURCE, TARGET] {
        lab.set(resource, Collection::DocumentModels, "invoices-v4.0-1", "/expirationDateTime", in_days(24));
        lab.set(resource, Collection::DocumentModels, "invoices-v3.1-1", "/expirationDateTime", in_days(-1));
    }
    lab.run(&["check"]).expect(0, &["5 same"]);
    lab.run(&["check", "--expiring-within", "60d"])
        .expect(9, &["(in 23 days)", "invoices-v3.1-1: expired on ", "5 same, 2 about to expire"]);
    lab.run(&["check", "--expiring-within", "sixty"]).expect(2, &["is not a duration", "60d"]);
}

#[test]
fn what_cannot_be_compared_is_an_error_and_no_difference() {
    let lab = Lab::new(1);
    lab.run(&["check", "no-such-model"])
        .expect(5, &["there is no model or classifier no-such-model on either resource"]);
    lab.run(&["check", "no-such-model", "nor-this-one"])
        .expect(5, &["there is no model or classifier no-such-model, nor-this-one on either resource"]);
    lab.run(&["check", "a/b"]).expect(2, &["the model id is not usable"]);
    run(lab.command(&["check"]).env("FRCOPY_TARGET_KEY", "wrong")).expect(4, &["401"]);
    let source = lab.emulator.resources()[0].endpoint.clone();
    run(lab.command(&["check"]).env("FRCOPY_TARGET_ENDPOINT", source)).expect(2, &["are the same resource"]);
}

#[test]
fn a_model_that_is_asked_for_and_not_ready_is_said_to_be_so() {
    let lab = Lab::new(1);
    let custom = lab.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap();
    lab.set(SOURCE, Collection::CustomModels, &custom, "/modelInfo/status", json!("creating"));
    let ending =
        lab.run(&["check", &custom]).expect(9, &["the model of the source is not ready, and cannot be compared"]);
    assert_eq!(ending.stdout, format!("! {custom}\n"));
}

/// A resource of v3.1 whose list shows two models; one of them cannot be read.
async fn resource_with_an_unreadable_model() -> MockServer {
    let server = MockServer::start().await;
    let body = |id: &str| json!({"modelId": id, "createdDateTime": "2026-01-01T00:00:00Z", "apiVersion": "2023-07-31"});
    let answer = move |request: &Request| match request.url.path() {
        "/formrecognizer/documentModels" => reply(200).set_body_json(json!({"value": [body("bad-1"), body("good-1")]})),
        "/formrecognizer/documentModels/good-1" => reply(200).set_body_json(body("good-1")),
        "/formrecognizer/documentModels/bad-1" => error_reply(403, "Forbidden", "Not this one."),
        _ => error_reply(404, "404", "Resource not found"),
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

#[test]
fn a_list_that_names_what_nobody_can_read_is_neither_in_sync_nor_copied() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        let item = json!({"modelId": {"new": "form"}});
        let answer = move |request: &Request| match request.url.path() {
            "/documentintelligence/documentModels" => reply(200).set_body_json(json!({"value": [item]})),
            _ => error_reply(404, "404", "Resource not found"),
        };
        Mock::given(any()).respond_with(answer).mount(&server).await;
        server
    });
    let lab = Lab::new(0);
    for (arguments, code) in [(&["check"][..], 9), (&["check", "-q"], 9), (&["copy", "--all"], 1)] {
        let mut command = lab.command(arguments);
        let quiet = arguments.contains(&"-q");
        let said = if quiet { "" } else { "the source lists 1 models in an unknown format" };
        run(command.env("FRCOPY_SOURCE_ENDPOINT", server.uri())).expect(code, &[said]);
    }
}

#[test]
fn a_model_that_cannot_be_read_is_said_to_be_and_the_others_are_compared() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (source, target) = runtime
        .block_on(async { (resource_with_an_unreadable_model().await, resource_with_an_unreadable_model().await) });
    let mut command = frcopy();
    command.env("FRCOPY_SOURCE_ENDPOINT", source.uri()).env("FRCOPY_TARGET_ENDPOINT", target.uri());
    command.env("FRCOPY_SOURCE_KEY", "a").env("FRCOPY_TARGET_KEY", "b").arg("check");
    let ending = run(&mut command).expect(9, &["error: model bad-1: ", "Forbidden: Not this one.", "1 same, 1 unread"]);
    assert_eq!(ending.stdout, "! bad-1\n= good-1\n");
    let quiet = run(command.arg("-q")).expect(9, &["error: model bad-1: ", "Forbidden: Not this one."]);
    assert!(!quiet.stderr.contains("same"), "{quiet:#?}");
}
