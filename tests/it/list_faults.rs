//! Lists that are missing, empty, or name a model twice; models that have ended. None of them looks like a success.

use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use frcopy::emulator::Collection;
use serde_json::{Value, json};
use wiremock::{MockServer, Request, ResponseTemplate};

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{
    MODEL, Model, RESOURCE_ID, ScriptedService, Step, UnusedHost, V2_1, Version, error_reply, frcopy_between,
    mock_server, on_every_version, reply, run,
};

const MODELS: &str = "/documentintelligence/documentModels";
const CLASSIFIERS: &str = "/documentintelligence/documentClassifiers";
const CUSTOM_MODELS: &str = "/formrecognizer/v2.1/custom/models";

/// A resource with v4.0, v3.1 and v2.1 that answers some paths in another way.
fn resource(answer: impl Fn(&str, &Request) -> Option<ResponseTemplate> + Send + Sync + 'static) -> MockServer {
    mock_server(move |request| {
        let path = request.url.path();
        answer(path, request).unwrap_or_else(|| default_answer(path, request))
    })
}

fn default_answer(path: &str, request: &Request) -> ResponseTemplate {
    let is_summary = request.url.query().is_some_and(|query| query.contains("op=summary"));
    match path {
        CUSTOM_MODELS if is_summary => reply(200).set_body_json(json!({"summary": {"count": 0, "limit": 5000}})),
        CUSTOM_MODELS => {
            reply(200).set_body_json(json!({"modelList": [custom("eccc3f13-8289-4020-ba16-9f1d1374e96f")]}))
        }
        MODELS => reply(200).set_body_json(json!({"value": [model("invoices")]})),
        CLASSIFIERS => reply(200).set_body_json(json!({"value": [classifier("sorter")]})),
        "/documentintelligence/info" => {
            reply(200).set_body_json(json!({"customDocumentModels": {"count": 1, "limit": 500}}))
        }
        _ => not_offered(),
    }
}

fn not_offered() -> ResponseTemplate {
    error_reply(404, "404", "Resource not found")
}

fn model(id: &str) -> Value {
    json!({"modelId": id, "createdDateTime": "2026-01-01T00:00:00Z", "apiVersion": "2024-11-30", "docTypes": {}})
}

fn classifier(id: &str) -> Value {
    json!({"classifierId": id, "createdDateTime": "2026-01-01T00:00:00Z", "apiVersion": "2024-11-30", "docTypes": {}})
}

fn custom(id: &str) -> Value {
    Model::list_entry(V2_1, id)
}

fn command(source: &str, target: &str, arguments: &[&str]) -> assert_cmd::Command {
    let mut command = frcopy_between(source, target);
    command.envs([("FRCOPY_TARGET_RESOURCE_ID", RESOURCE_ID), ("FRCOPY_TARGET_REGION", "westus2")]).args(arguments);
    command
}

#[test]
fn one_404_for_one_list_is_not_taken_for_a_version_that_is_not_offered() {
    for (missing, what) in [
        (MODELS, "offers v4.0, but does not show its list of models"),
        (CLASSIFIERS, "offers v4.0, but does not show its list of classifiers"),
        (CUSTOM_MODELS, "offers v2.1, but does not show its list of models"),
    ] {
        let is_missing = move |path: &str, request: &Request| {
            let is_list = path == missing && !request.url.query().is_some_and(|query| query.contains("op=summary"));
            is_list.then(not_offered)
        };
        let (complete, incomplete) = (resource(|_, _| None), resource(is_missing));
        let (complete, incomplete) = (complete.uri(), incomplete.uri());
        let both_incomplete = resource(is_missing);
        let on = |side: &str| format!("the {side} {what}");
        run(&mut command(&incomplete, &complete, &["copy", "--all", "--dry-run"])).expect(5, &[&on("source")]);
        run(&mut command(&incomplete, &complete, &["check"])).expect(5, &[&on("source")]);
        run(&mut command(&complete, &incomplete, &["check"])).expect(5, &[&on("target")]);
        run(&mut command(&incomplete, &both_incomplete.uri(), &["check"])).expect(5, &[what, "help: run the"]);
        run(&mut command(&incomplete, &complete, &["list", "source"])).expect(5, &[&on("source")]);
    }
}

/// A resource with one version, whose list of models has this answer.
fn resource_of(version: Version, list: impl Fn() -> ResponseTemplate + Send + Sync + 'static) -> MockServer {
    let models = version.model("").split('?').next().unwrap().trim_end_matches('/').to_owned();
    mock_server(move |request| {
        let is_summary = request.url.query().is_some_and(|query| query.contains("op=summary"));
        match request.url.path() {
            path if path == models && !is_summary => list(),
            path if path == models => reply(200).set_body_json(json!({"summary": {"count": 0, "limit": 5000}})),
            path if path.ends_with("/info") => {
                reply(200).set_body_json(json!({"customDocumentModels": {"count": 1, "limit": 500}}))
            }
            _ => not_offered(),
        }
    })
}

#[test]
fn one_404_for_the_list_of_any_version_is_not_taken_for_an_empty_list() {
    on_every_version(|version| {
        let (missing, empty) = (resource_of(version, not_offered), resource_of(version, move || list_of(version, &[])));
        let text = format!("the source offers v{}, but does not show its list of models", version.number);
        let scope = ["--api-version", version.number, "--kind", "model"];
        for arguments in [&["copy", "--all", "--dry-run"][..], &["copy", "--all"], &["check"], &["list", "source"]] {
            let arguments = [arguments, &scope].concat();
            let output = run(&mut command(&missing.uri(), &empty.uri(), &arguments)).expect(5, &[&text]);
            assert_eq!(output.stdout, "", "{arguments:?}");
        }
        let output = run(&mut command(&empty.uri(), &missing.uri(), &[&["check"], &scope[..]].concat()));
        output.expect(5, &["but does not show its list of models"]);
    });
}

fn list_of(version: Version, ids: &[&str]) -> ResponseTemplate {
    let field = if version.is_v2_1() { "modelList" } else { "value" };
    let models: Vec<_> = ids.iter().map(|id| Model::list_entry(version, id)).collect();
    reply(200).set_body_json(json!({field: models}))
}

#[test]
fn a_model_that_a_list_of_any_version_names_twice_is_selected_once() {
    on_every_version(|version| {
        let twice = resource_of(version, move || list_of(version, &[MODEL, MODEL]));
        let empty = resource_of(version, move || list_of(version, &[]));
        let scope = ["--api-version", version.number, "--kind", "model", "--output", "json"];
        let output = run(&mut command(&twice.uri(), &empty.uri(), &[&["check"], &scope[..]].concat()));
        assert_eq!(output.expect(9, &[]).stdout.lines().count(), 1);
        // From v3.0 on the list leaves out fields, which are read: the resource does not show them.
        let code = if version.is_v2_1() { 0 } else { 5 };
        let copy = [&["copy", "--all", "--dry-run"], &scope[..]].concat();
        let output =
            run(&mut command(&twice.uri(), &empty.uri(), &copy)).expect(code, &["1 model or classifier is selected"]);
        assert_eq!(output.stdout.lines().count(), 1, "{output:#?}");
    });
}

#[test]
fn a_404_that_passes_is_asked_for_again() {
    let first = AtomicBool::new(true);
    let source = resource(move |path, _| (path == MODELS && first.swap(false, Ordering::SeqCst)).then(not_offered));
    let output = run(&mut command(&source.uri(), "", &["list", "source", "-q"])).expect(0, &[]);
    assert_eq!(output.stdout.lines().count(), 3, "{output:#?}");
}

#[test]
fn a_version_that_is_not_offered_by_two_answers_is_left_out() {
    let source = resource(|path, _| path.starts_with("/formrecognizer/v2.1").then(not_offered));
    let output = run(&mut command(&source.uri(), "", &["list", "source", "-q"])).expect(0, &[]);
    assert_eq!(output.stdout, "invoices\nsorter\n");
}

#[test]
fn a_model_that_two_pages_of_a_list_name_is_listed_once() {
    let source = resource(|path, request| {
        let is_second = request.url.query().is_some_and(|query| query.contains("page=2"));
        let next = format!("{}{path}?api-version=2024-11-30&page=2", origin(request));
        match path {
            MODELS if is_second => Some(reply(200).set_body_json(json!({"value": [model("invoices"), model("last")]}))),
            MODELS => {
                Some(reply(200).set_body_json(json!({"value": [model("first"), model("invoices")], "nextLink": next})))
            }
            _ => None,
        }
    });
    let source = source.uri();
    let target = resource(|_, _| None);
    let output = run(&mut command(&source, "", &["list", "source", "-q", "--kind", "model", "--api-version", "4.0"]));
    assert_eq!(output.expect(0, &[]).stdout, "first\ninvoices\nlast\n");
    let scope = ["--kind", "model", "--api-version", "4.0"];
    let output = run(&mut command(&source, &target.uri(), &[&["check"], &scope[..]].concat()));
    assert_eq!(output.expect(9, &[]).stdout, "+ model first\n= model invoices\n+ model last\n");
}

fn origin(request: &Request) -> String {
    format!("http://{}", request.headers["host"].to_str().unwrap())
}

#[test]
fn a_v2_1_model_that_is_named_in_upper_and_lower_case_is_copied_once() {
    let service = ScriptedService::new(V2_1);
    let upper = MODEL.to_uppercase();
    service.default_answer(Model::example(V2_1).answer());
    let mut command = service.copy();
    command.args([&upper, "--output", "json"]);
    let output = run(&mut command).expect(0, &["1 copied"]);
    assert_eq!((output.stdout.lines().count(), service.count(Step::Authorize)), (1, 1), "{output:#?}");
}

#[test]
fn an_empty_selection_is_no_success() {
    let pair = EmulatedPair::new(0);
    for arguments in [
        &["copy", "--all"][..],
        &["copy", "--all", "--dry-run"],
        &["copy", "--all", "--if-exists", "skip", "--output", "json"],
        &["check"],
        &["check", "-q"],
        &["check", "--one-way"],
    ] {
        let output = pair.run(arguments).expect(5, &["error: nothing is selected", "help: check that"]);
        assert_eq!(output.stdout, "", "{arguments:?}");
    }
    pair.run(&["list", "source"]).expect(0, &["has no custom models and classifiers"]);

    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    pair.copy(&["--all", "--exclude", "*"]).expect(5, &["nothing is selected"]);
    pair.run(&["check", "--exclude", "*"]).expect(5, &["nothing is selected"]);
    for collection in [Collection::CustomModels, Collection::DocumentModels, Collection::DocumentClassifiers] {
        for id in pair.ids(SOURCE, collection) {
            pair.emulator.remove(SOURCE, collection, &id);
        }
    }
    // The source has lost its models: this is not a backup that is complete.
    pair.run(&["check", "--one-way"]).expect(5, &["nothing is selected"]);
    pair.run(&["check"]).expect(9, &["5 only on the target"]);
}

#[test]
fn a_source_with_unusable_models_only_selects_nothing() {
    let pair = EmulatedPair::new(1);
    let custom = pair.custom_model();
    pair.set(SOURCE, Collection::CustomModels, &custom, "/modelInfo/status", json!("invalid"));
    pair.copy(&["--all", "--api-version", "2.1"]).expect(5, &["nothing is selected", "not ready (1)"]);
}

#[test]
fn a_model_of_a_preview_version_is_flagged() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    for resource in [SOURCE, TARGET] {
        pair.set(resource, Collection::DocumentModels, "invoices-v4.0-1", "/apiVersion", json!("2024-02-29-preview"));
    }
    let text = "trained with a preview version, which has ended: train it again";
    pair.run(&["check"]).expect(9, &[&format!("model invoices-v4.0-1: {text}"), "5 same, 1 retired"]);
    pair.run(&["check", "--exclude", "invoices-v4.0-1"]).expect(0, &[]);
    let json = pair.run(&["check", "invoices-v4.0-1", "--output", "json"]).expect(9, &[]).json();
    assert_eq!((&json["sign"], &json["retired"]), (&json!("="), &json!(true)));
    let list = pair.run(&["list", "source"]).expect(0, &[&format!("warning: 1 models of the source were {text}")]);
    assert!(list.stdout.lines().any(|line| line.contains("2024-02-29-preview") && line.contains("(retired)")));
    let json = pair.run(&["list", "source", "--include", "invoices-v4*", "--output", "json"]).expect(0, &[]).json();
    assert_eq!(json["retired"], true);
    for arguments in [&["invoices-v4.0-1"][..], &["--all"]] {
        let arguments = [arguments, &["--dry-run", "--if-exists", "skip"]].concat();
        pair.copy(&arguments).expect(0, &[&format!("the model was {text}")]);
    }
}

#[test]
fn a_source_that_cannot_be_reached_is_one_error_and_unknown_fields_are_null() {
    let host = UnusedHost::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = command(&format!("http://{closed}"), &host.url(), &["copy", "ab", "cd", "ef"]);
    command.args(["--output", "json", "--timeout", "1s"]);
    let output = run(&mut command).expect(7, &["of 3 models and classifiers: 3 not begun"]);
    assert_eq!(output.stderr.matches("error: ").count(), 1, "{output:#?}");
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{output:#?}");
    for line in lines {
        assert_eq!(line["status"], "unavailable");
        for field in ["kind", "apiVersion", "action", "operation"] {
            assert_eq!(line[field], Value::Null, "{field}");
        }
        assert_eq!(line["target"]["modelId"], Value::Null);
    }
}

#[test]
fn a_v2_1_model_is_not_copied_again_while_an_entry_of_the_list_cannot_be_read() {
    let target = resource(|path, request| {
        let is_list = path == CUSTOM_MODELS && !request.url.query().is_some_and(|query| query.contains("op=summary"));
        is_list.then(|| reply(200).set_body_json(json!({"modelList": [{"modelId": 7}]})))
    });
    let source = resource(|path, _| {
        path.strip_prefix(CUSTOM_MODELS)?.strip_prefix('/')?;
        Some(Model::example(V2_1).answer())
    });
    for if_exists in ["skip", "replace"] {
        let arguments = ["copy", MODEL, "--api-version", "2.1", "--if-exists", if_exists];
        let error = "the target lists 1 v2.1 models in an unknown format; one of them may be the copy";
        run(&mut command(&source.uri(), &target.uri(), &arguments)).expect(1, &[error]);
    }
}

/// A list in which the entry of one model cannot be read.
fn list_with_unreadable(version: Version, ids: &[&str]) -> ResponseTemplate {
    let field = if version.is_v2_1() { "modelList" } else { "value" };
    let models = ids.iter().map(|id| Model::list_entry(version, id));
    let models: Vec<_> = models.chain([json!({"modelId": 7})]).collect();
    reply(200).set_body_json(json!({field: models}))
}

#[test]
fn a_list_of_any_version_with_an_unreadable_entry_proves_no_absence() {
    on_every_version(|version| {
        let full = resource_of(version, move || list_of(version, &[MODEL]));
        let (full, incomplete) = (full.uri(), resource_of(version, move || list_with_unreadable(version, &[])));
        let scope = ["--api-version", version.number, "--kind", "model"];
        let check = |source: &str, target: &str, arguments: &[&str]| {
            run(&mut command(source, target, &[&["check"], &scope[..], arguments].concat()))
        };
        let (line, other) = (format!("! model {MODEL}\n"), "33f4d42c-cd2f-4e74-b990-a1aeafab5a50");
        let why = |side| format!("the list of the {side} does not show it, and has entries in an unknown format");
        for selected in [&[][..], &[MODEL]] {
            let output = check(&full, &incomplete.uri(), selected).expect(9, &[&why("target"), "1 unread"]);
            assert_eq!(output.stdout, line, "{selected:?}");
            let output = check(&incomplete.uri(), &full, selected).expect(9, &[&why("source"), "1 unread"]);
            assert_eq!(output.stdout, line, "{selected:?}");
        }
        let output = check(&incomplete.uri(), &full, &["--output", "json"]).expect(9, &[]);
        assert_eq!((&output.json()["sign"], &output.json()["verdict"]), (&json!("!"), &json!("unread")));
        // A model that was asked for by its id, and that neither side shows.
        let output = check(&full, &incomplete.uri(), &[other]).expect(9, &[&why("target"), "1 unread"]);
        assert_eq!(output.stdout, format!("! model {other}\n"));
        let json = check(&full, &incomplete.uri(), &[other, "--output", "json"]).expect(9, &[]).json();
        assert_eq!((&json["copyId"], &json["source"]["modelId"]), (&json!(other), &Value::Null));
        check(&full, &incomplete.uri(), &["--include", "zz*"]).expect(9, &["in an unknown format"]);
    });
}

#[test]
fn only_the_kind_and_version_of_an_incomplete_list_are_unknown() {
    let full = resource(|_, _| None);
    let custom = "eccc3f13-8289-4020-ba16-9f1d1374e96f";
    for (incomplete, signs) in [(MODELS, "!++"), (CLASSIFIERS, "++!"), (CUSTOM_MODELS, "+!+")] {
        let target = resource(move |path, request| {
            let is_summary = request.url.query().is_some_and(|query| query.contains("op=summary"));
            let is_list = [MODELS, CLASSIFIERS, CUSTOM_MODELS].contains(&path) && !is_summary;
            let field = if path == CUSTOM_MODELS { "modelList" } else { "value" };
            let entries = if path == incomplete { json!([{"modelId": 7}]) } else { json!([]) };
            is_list.then(|| reply(200).set_body_json(json!({field: entries})))
        });
        let output = run(&mut command(&full.uri(), &target.uri(), &["check"])).expect(9, &["in an unknown format"]);
        let sign = |id: &str| output.stdout.lines().find(|line| line.ends_with(id)).unwrap().chars().next().unwrap();
        let found: String = ["invoices", custom, "sorter"].map(sign).into_iter().collect();
        assert_eq!(found, signs, "{incomplete}: {output:#?}");
        // An id that a v2.1 model cannot have.
        let code = if incomplete == CUSTOM_MODELS { 5 } else { 9 };
        run(&mut command(&full.uri(), &target.uri(), &["check", "nope"])).expect(code, &["nope"]);
    }
}

/// An answer that is no more than a 404 for some times, as that of a gateway.
fn foreign_404(times: isize, then: impl Fn() -> ResponseTemplate + Send + Sync) -> impl Fn() -> ResponseTemplate {
    let left = AtomicIsize::new(times);
    move || if left.fetch_sub(1, Ordering::SeqCst) > 0 { reply(404) } else { then() }
}

#[test]
fn a_404_for_a_list_that_is_not_the_services_own_is_asked_for_again() {
    on_every_version(|version| {
        let full = resource_of(version, move || list_of(version, &[MODEL]));
        let full = full.uri();
        let scope = ["check", "--api-version", version.number, "--kind", "model", "--one-way"];
        let check = |source: &str, target: &str| run(&mut command(source, target, &scope));
        for times in [1, 2] {
            let side = || resource_of(version, foreign_404(times, move || list_of(version, &[])));
            let output = check(&full, &side().uri()).expect(9, &["1 only on the source"]);
            assert_eq!(output.stdout, format!("+ model {MODEL}\n"));
            check(&side().uri(), &full).expect(5, &["nothing is selected"]);
        }
        let side = resource_of(version, || reply(404));
        let what = |side| format!("the {side} answers, but does not show all of its lists");
        check(&full, &side.uri()).expect(7, &[&what("target"), "no error message of the service"]);
        check(&side.uri(), &full).expect(7, &[&what("source"), "no error message of the service"]);
    });
}

#[test]
fn a_version_is_not_left_out_while_only_one_of_two_answers_is_the_services_own() {
    let source = resource(|path, request| {
        let is_summary = request.url.query().is_some_and(|query| query.contains("op=summary"));
        (path == CUSTOM_MODELS).then(|| if is_summary { reply(404) } else { not_offered() })
    });
    let complete = resource(|_, _| None);
    let what = "the source answers, but does not show all of its lists";
    run(&mut command(&source.uri(), &complete.uri(), &["check"])).expect(7, &[what]);
}

#[test]
fn a_host_that_has_nothing_but_404s_is_no_endpoint() {
    let (other, complete) = (mock_server(|_| reply(404)), resource(|_, _| None));
    run(&mut command(&other.uri(), &complete.uri(), &["check"])).expect(5, &["FRCOPY_SOURCE_ENDPOINT"]);
}

#[test]
fn each_copy_of_a_batch_whose_version_the_target_does_not_offer_ends_as_in_a_dry_run() {
    let pair = EmulatedPair::new(1);
    let not_offered = |request: &Request| {
        let is_newest = request.url.path().starts_with("/documentintelligence/");
        let id = request.url.path_segments().unwrap().next_back().unwrap().to_owned();
        match request.url.path() {
            _ if is_newest => error_reply(404, "404", "Resource not found"),
            path if path.ends_with("/documentModels") => reply(200).set_body_json(json!({"value": []})),
            path if path.ends_with("/documentClassifiers") => reply(200).set_body_json(json!({"value": []})),
            _ => error_reply(404, "ModelNotFound", &id),
        }
    };
    let target = mock_server(not_offered);
    for arguments in [&["invoices-v4.0-1"][..], &["--include", "*v4.0*"], &["--all", "--api-version", "4.0"]] {
        let copy = |option: &[&str]| {
            let mut command = pair.command(&[&["copy"], arguments, option].concat());
            command.env("FRCOPY_TARGET_ENDPOINT", target.uri());
            run(&mut command).expect(5, &["404: Resource not found"])
        };
        copy(&[]);
        copy(&["--dry-run"]);
    }
}
