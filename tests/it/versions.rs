//! `--api-version auto`: the version is detected with read requests only.

use std::slice;

use wiremock::ResponseTemplate;

use crate::support::{
    CommandOutput, DOCUMENT_VERSIONS, MODEL, Model, RESOURCE_ID, ScriptedService, Step, V2_1, V3_0, V3_1, V4_0,
    error_reply, frcopy, on_each, on_every_version, reply, run,
};

const ADDRESS: [&str; 4] = ["--target-resource-id", RESOURCE_ID, "--target-region", "West US 2"];

#[test]
fn with_resource_id_and_region_v2_1_is_tried_first() {
    let service = ScriptedService::new(V2_1);
    run(service.bare_copy().arg(MODEL).args(ADDRESS)).expect(0, &["copying with API v2.1"]);
    // Both sides are read at the same time, so the count of the target's models may come first.
    let seen = service.seen();
    let first = seen.iter().find(|seen| !seen.line.ends_with("?op=summary")).unwrap();
    assert_eq!(first.line, format!("GET {}", V2_1.model(MODEL)));
    assert_eq!(service.seen().len(), 7, "{:#?}", service.seen());
}

#[test]
fn without_reads_the_version_is_v2_1_with_resource_id_and_region_and_else_v4_0() {
    for (version, arguments) in [(V2_1, &ADDRESS[..]), (V4_0, &[])] {
        let service = ScriptedService::minimal(version);
        let output = run(service.bare_copy().arg(MODEL).args(arguments)).expect(0, &[]);
        assert_eq!(output.stdout, format!("{}\n", version.copy_id()));
    }
}

#[test]
fn the_newest_api_is_asked_which_version_trained_the_model() {
    for (trained_with, version) in [
        ("2022-08-31", V3_0),
        ("2023-02-28-preview", V3_1),
        ("2023-07-31", V3_1),
        ("2024-02-29-preview", V4_0),
        ("2024-11-30", V4_0),
    ] {
        let service = ScriptedService::new(version);
        let newest = ScriptedService::new(V4_0);
        // The source answers reads of v4.0, and the copy with the version under test.
        newest.on(Step::GetSource, [Model::example(V4_0).with("apiVersion", trained_with).answer()]);
        service.also(&newest, Step::GetSource);
        service.also(&newest, Step::GetTarget);
        let label = format!("copying with API v{}", version.number);
        run(service.bare_copy().arg(MODEL)).expect(0, &[&label]);
        assert_eq!((service.count(Step::Authorize), service.count(Step::Start)), (1, 1), "{trained_with}");
    }
}

#[test]
fn older_versions_are_tried_on_a_source_without_the_newest_one() {
    for version in [V3_1, V3_0] {
        let service = ScriptedService::new(version);
        let label = format!("copying with API v{}", version.number);
        run(service.bare_copy().arg(MODEL)).expect(0, &[&label]);
    }
}

#[test]
fn a_v2_1_model_without_resource_id_and_region_is_not_authorized() {
    let service = ScriptedService::new(V2_1);
    let newest = ScriptedService::new(V4_0);
    newest.on(Step::GetSource, [Model::not_found(V4_0)]);
    service.also(&newest, Step::GetSource);
    let texts = ["a v2.1 copy needs the resource id and the region of the target", "--target-resource-id"];
    run(service.bare_copy().arg(MODEL)).expect(2, &texts);
    assert_eq!(service.count(Step::Authorize), 0);
}

#[test]
fn a_model_that_no_version_has_is_not_authorized() {
    let service = ScriptedService::new(V2_1);
    let newest = ScriptedService::new(V4_0);
    service.on(Step::GetSource, [Model::not_found(V2_1)]);
    newest.on(Step::GetSource, [Model::not_found(V4_0)]);
    service.also(&newest, Step::GetSource);
    for arguments in [&ADDRESS[..], &[]] {
        run(service.bare_copy().arg(MODEL).args(arguments)).expect(5, &["ModelNotFound", "request id: req-404"]);
    }
    assert_eq!(service.count(Step::Authorize), 0);
}

#[test]
fn an_id_that_is_not_a_uuid_is_never_requested_with_v2_1() {
    let service = ScriptedService::minimal(V4_0);
    service.on(Step::Authorize, [error_reply(404, "404", "Resource not found")]);
    run(service.bare_copy().arg("my-model").args(ADDRESS)).expect(5, &[]);
    assert!(service.seen().iter().all(|seen| !seen.line.contains("v2.1")), "{:#?}", service.seen());
}

#[test]
fn refused_credentials_end_the_detection_of_the_version() {
    let service = ScriptedService::new(V2_1);
    service.on(Step::GetSource, [error_reply(401, "401", "Access denied.")]);
    run(service.bare_copy().arg(MODEL).args(ADDRESS)).expect(4, &["401: Access denied."]);
    assert_eq!(service.count(Step::GetSource), 1);
    assert_eq!((service.count(Step::Authorize), service.count(Step::GetTarget)), (0, 0));
}

#[test]
fn an_api_version_can_be_given_as_a_date() {
    for (date, version) in [("2022-08-31", V3_0), ("2023-07-31", V3_1), ("2024-11-30", V4_0)] {
        let service = ScriptedService::new(version);
        run(service.bare_copy().args([MODEL, "--api-version", date])).expect(0, &[]);
    }
}

#[test]
fn options_of_document_models_are_refused_for_a_v2_1_model() {
    for option in [["--target-model-id", "other"], ["--description", "x"], ["--tag", "a=b"]] {
        let service = ScriptedService::new(V2_1);
        run(service.copy().args(option)).expect(2, &[option[0], "help: "]);
        assert_eq!(service.seen().len(), 0);
        run(service.bare_copy().arg(MODEL).args(ADDRESS).args(option)).expect(2, &[option[0]]);
        assert_eq!(service.count(Step::Authorize), 0);
    }
}

#[test]
fn a_model_is_not_copied_onto_itself() {
    for version in DOCUMENT_VERSIONS {
        let service = ScriptedService::new(version);
        let same = ["--target-endpoint".to_owned(), service.source.uri()];
        run(service.copy().args(&same)).expect(2, &["the same resource and the same model id"]);
        assert_eq!(service.seen().len(), 0);
        run(service.bare_copy().arg(MODEL).args(&same)).expect(2, &["the same resource and the same model id"]);
    }
}

#[test]
fn a_model_that_v2_1_does_not_have_is_not_authorized() {
    let service = ScriptedService::new(V2_1);
    service.on(Step::GetSource, [Model::not_found(V2_1)]);
    run(service.bare_copy().arg(MODEL).args(ADDRESS)).expect(5, &["the source has no model", "1022"]);
    assert!(service.seen().iter().all(|seen| seen.line.starts_with("GET ")), "{:#?}", service.seen());
}

#[test]
fn a_retired_v2_1_does_not_end_the_detection_of_the_version() {
    let service = ScriptedService::new(V2_1);
    let newest = ScriptedService::new(V4_0);
    service.on(Step::GetSource, [error_reply(410, "Gone", "This API is retired.")]);
    service.also(&newest, Step::GetSource);
    service.also(&newest, Step::GetTarget);
    run(service.bare_copy().arg(MODEL).args(ADDRESS)).expect(5, &["copying with API v4.0"]);
}

/// `frcopy list` on a resource without any API version.
fn list_of_nothing(reply: ResponseTemplate) -> CommandOutput {
    let service = ScriptedService::minimal(V4_0);
    let mut command = frcopy();
    service.default_answer(reply);
    command.env("FRCOPY_SOURCE_ENDPOINT", service.source.uri()).env("FRCOPY_SOURCE_KEY", "key");
    run(command.args(["list", "source"]))
}

#[test]
fn a_resource_without_any_api_version_is_not_an_empty_resource() {
    list_of_nothing(error_reply(404, "404", "Resource not found"))
        .expect(5, &["refused to list the", "Resource not found"]);
    list_of_nothing(error_reply(500, "InternalServerError", "No.")).expect(7, &["could not list the"]);
}

#[test]
fn a_dry_run_ends_as_the_copy_where_the_target_does_not_offer_the_version() {
    let not_offered = || error_reply(404, "404", "Resource not found");
    on_every_version(|version| {
        for arguments in [&[][..], &["--if-exists", "skip"], &["--if-exists", "replace"]] {
            let service = ScriptedService::new(version);
            service.on(Step::GetTarget, [not_offered()]);
            service.on(Step::Authorize, [not_offered()]);
            service.default_answer(not_offered());
            let mut command = service.copy();
            run(command.args(arguments)).expect(5, &["HTTP 404"]);
            let dry = run(command.arg("--dry-run")).expect(5, &["404: Resource not found", "help: check"]);
            assert!(!dry.stderr.contains("would copy"), "{dry:#?}");
        }
    });
}

#[test]
fn one_404_of_the_target_does_not_end_a_dry_run() {
    on_every_version(|version| {
        for arguments in [&[][..], &["--dry-run"]] {
            // From v3.0 on, the target denies the model, and so offers the version.
            let service = ScriptedService::new(version);
            let answer = if version.is_v2_1() { reply(404) } else { error_reply(404, "404", "Resource not found") };
            service.default_answer(answer);
            run(service.copy().args(arguments)).expect(0, &[]);
        }
    });
}

/// Answers that say nothing of a model.
fn meaningless_answers() -> [ResponseTemplate; 5] {
    let body = |text: &str| reply(200).set_body_raw(text, "application/json");
    let page = reply(200).set_body_raw("<html></html>", "text/html");
    [reply(404), body("{\"modelId\": \"my-mod"), body("null"), body(""), page]
}

#[test]
fn the_kind_of_an_id_is_asked_for_again_where_an_answer_says_nothing() {
    let classifier = || {
        let body = serde_json::json!({"classifierId": MODEL, "createdDateTime": "2026-01-01T00:00:00Z",
            "apiVersion": "2024-11-30", "docTypes": {}});
        reply(200).set_body_json(body)
    };
    let absent = || Model::not_found(V4_0);
    on_each(meaningless_answers().into_iter().enumerate(), |(position, answer)| {
        let is_404 = position == 0;
        for pinned in [&["--api-version", "4.0"][..], &[]] {
            let dry_run = |model: &[ResponseTemplate], kind: &[ResponseTemplate]| {
                let service = ScriptedService::new(V4_0);
                service.on(Step::GetSource, model.to_vec());
                service.on(Step::GetClassifier, kind.to_vec());
                run(service.bare_copy().args([MODEL, "--dry-run"]).args(pinned))
            };
            for times in [1, 3] {
                let answers = [vec![answer.clone(); times], vec![absent()]].concat();
                dry_run(&answers, &[classifier()]).expect(0, &["would copy classifier"]);
                let answers = [vec![answer.clone(); times], vec![classifier()]].concat();
                dry_run(&[absent()], &answers).expect(0, &["would copy classifier"]);
            }
            let texts = |kind| [format!("does not show whether it has a {kind} {MODEL}"), "--kind".to_owned()];
            let unknown = dry_run(slice::from_ref(&answer), &[classifier()]);
            unknown.expect(7, &texts("model").each_ref().map(String::as_str));
            // A server without classifiers has no such path.
            let unknown = dry_run(&[absent()], slice::from_ref(&answer));
            if is_404 {
                unknown.expect(5, &["ModelNotFound"]);
            } else {
                unknown.expect(7, &texts("classifier").each_ref().map(String::as_str));
            }
        }
    });
}
