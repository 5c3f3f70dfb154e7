//! Guarantees: no POST is repeated without a check of its outcome, and no id stays reserved without a message.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::tempdir;
use wiremock::ResponseTemplate;

use crate::support::{
    Authorization, COPY_OF_V2_1, DOCUMENT_VERSIONS, Model, Operation, ScriptedService, Step, UnusedHost, V2_1, Version,
    error_reply, on_each, on_every_version, reply, run,
};

fn operations(version: Version, created: &str) -> ResponseTemplate {
    Operation::list([Operation::list_item(version, created)])
}

/// Answers that do not tell whether the start was accepted. A refusal without the service's own words is that of a proxy.
fn ambiguous_answers() -> [ResponseTemplate; 15] {
    [
        reply(403).set_body_raw("<html>", "text/html"),
        reply(404),
        reply(413),
        reply(425),
        reply(429),
        reply(499),
        reply(408),
        reply(500),
        error_reply(502, "502", "Bad gateway."),
        reply(504),
        reply(303).insert_header("Location", "/"),
        reply(304),
        reply(600),
        reply(202),
        reply(202).insert_header("Operation-Location", "https://evil.example/x"),
    ]
}

#[test]
fn a_lost_start_is_found_in_the_operations_and_polled_and_never_repeated() {
    on_every_version(|version| {
        for answer in ambiguous_answers() {
            let service = ScriptedService::new(version);
            service.on(Step::Start, [answer]);
            let empty = Operation::list([]);
            service.on(Step::ListOperations, [empty, operations(version, "2999-01-01T00:00:00Z")]);
            let ready = Model::copy_of_example(version).answer();
            service.on(Step::Verify, [Model::reserved(version), ready]);
            let output = run(&mut service.copy()).expect(0, &["looking for the copy"]);
            assert_eq!(output.stdout, format!("{}\n", version.copy_id()));
            assert_eq!(
                (service.count(Step::Start), service.count(Step::Authorize), service.count(Step::Release)),
                (1, 1, 0)
            );
        }
    });
}

#[test]
fn a_lost_start_is_repeated_with_the_same_authorization() {
    on_every_version(|version| {
        for answer in [500, 502, 503, 304, 600, 404, 425, 429, 499].map(reply) {
            let service = ScriptedService::new(version);
            service.on(Step::Start, [answer, service.accepted()]);
            let ready = Model::copy_of_example(version).answer();
            service.on(Step::Verify, [Model::reserved(version), Model::reserved(version), ready]);
            run(&mut service.copy()).expect(0, &["looking for the copy"]);
            assert_eq!(
                (service.count(Step::Start), service.count(Step::Authorize), service.count(Step::Release)),
                (2, 1, 0)
            );
            let starts: Vec<_> = service.seen().into_iter().filter(|seen| seen.step == Some(Step::Start)).collect();
            assert_eq!(starts[0].body, starts[1].body);
        }
    });
}

#[test]
fn the_failure_of_a_repeated_start_does_not_judge_the_first_one() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Start, [reply(500), service.accepted()]);
        service.on(
            Step::Poll,
            [Operation::failed(version, "2024", "Could not retrieve authorization metadata.").answer()],
        );
        // The copy of the first start is ready after the repeat has failed.
        let ready = Model::copy_of_example(version).answer();
        service.on(Step::Verify, std::iter::repeat_n(Model::reserved(version), 4).chain([ready]));
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (1, 0));
    });
}

#[test]
fn a_start_that_is_never_answered_is_not_released_without_proof() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Start, [reply(500)]);
        service.on(Step::Verify, [Model::reserved(version)]);
        let texts =
            ["the copy may be running", "request id: req-500", "frcopy wait --target-model-id", version.copy_id()];
        run(service.copy().args(["--timeout", "4s"])).expect(8, &texts);
        assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (1, 0));
    });
}

#[test]
fn a_refused_authorization_may_have_been_used_by_a_request_that_was_rate_limited() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        let throttled = error_reply(429, "429", "Later.").insert_header("Retry-After", "1");
        service.on(Step::Start, [throttled, error_reply(403, "AuthorizationFailed", "No.")]);
        service.on(Step::ListOperations, [operations(version, "2999-01-01T00:00:00Z")]);
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!((service.count(Step::Start), service.count(Step::Release)), (2, 0));
    });
}

#[test]
fn a_start_that_was_refused_after_a_lost_one_is_released_on_proof() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::Start, [reply(500), error_reply(400, "InvalidRequest", "No.")]);
        service.on(Step::Verify, [Model::reserved(version)]);
        run(&mut service.copy()).expect(3, &["InvalidRequest: No.", "released: "]);
        assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (1, 1));
    });
}

#[test]
fn a_start_of_unknown_outcome_is_not_released() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Start, [reply(500), error_reply(400, "InvalidRequest", "No.")]);
        service.on(Step::ListOperations, [ResponseTemplate::new(404)]);
        service.on(Step::Verify, [ResponseTemplate::new(404)]);
        let json = run(service.copy().args(["--output", "json", "--timeout", "4s"]))
            .expect(8, &["the start request got no answer; the copy may be running", version.copy_id()])
            .json();
        assert_eq!((service.count(Step::Start), service.count(Step::Release)), (2, 0));
        assert_eq!((&json["status"], &json["operation"]), (&json!("running"), &json!(null)));
    });
}

#[test]
fn an_operation_of_another_date_model_or_kind_is_not_adopted() {
    for version in DOCUMENT_VERSIONS {
        let mut other_model = Operation::list_item(version, "2999-01-01T00:00:00Z");
        other_model["resourceLocation"] = json!("https://x.example/documentModels/another?api-version=1");
        let mut other_kind = Operation::list_item(version, "2999-01-01T00:00:00Z");
        other_kind["kind"] = json!("documentClassifierCopyTo");
        let service = ScriptedService::new(version);
        let others = json!({"value": [Operation::list_item(version, "2020-01-01T00:00:00Z"), other_model, other_kind, {"odd": 1}]});
        service.on(Step::ListOperations, [reply(200).set_body_json(others)]);
        service.on(Step::Start, [reply(500)]);
        service.on(Step::Verify, [Model::reserved(version)]);
        run(service.copy().args(["--timeout", "4s"])).expect(8, &[]);
        assert_eq!(service.count(Step::Poll), 0);
    }
}

#[test]
fn every_page_of_operations_is_read_and_never_from_another_host() {
    for version in DOCUMENT_VERSIONS {
        let service = ScriptedService::new(version);
        let list = version.operations().unwrap();
        let next = format!("{}{list}", service.source.uri());
        let first = Operation::page(&next);
        service.on(Step::Start, [reply(500)]);
        service.on(Step::ListOperations, [first, operations(version, "2999-01-01T00:00:00Z")]);
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!(service.count(Step::ListOperations), 2);

        let unused_host = UnusedHost::new();
        let service = ScriptedService::new(version);
        let elsewhere = format!("http://{}{list}", unused_host.address());
        service.on(Step::Verify, [Model::not_found(version)]);
        service.on(Step::Start, [reply(500)]);
        service.on(Step::ListOperations, [Operation::page(&elsewhere)]);
        run(service.copy().args(["--timeout", "4s"])).expect(8, &["the copy may be running"]);
        assert!(unused_host.got_no_connection(), "a list was read from another host");
    }
}

#[test]
fn a_lost_authorize_is_retried_and_its_reservation_is_released() {
    on_every_version(|version| {
        let created = Authorization::answer(version, version.copy_id());
        let service = ScriptedService::new(version);
        if version.is_v2_1() {
            service.on(Step::Authorize, [reply(504), created]);
            run(&mut service.copy()).expect(0, &["a blank model may remain"]);
            assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (2, 0));
        } else {
            service.on(Step::Authorize, [reply(504), error_reply(409, "Conflict", "ModelExists"), created]);
            run(&mut service.copy()).expect(0, &["released"]);
            assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (3, 1));
        }
    });
}

#[test]
fn a_refusal_of_a_proxy_may_have_reserved_an_id() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let conflict = || error_reply(409, "Conflict", "ModelExists");
        for status in [404, 425, 429, 499] {
            let service = ScriptedService::new(version);
            let created = Authorization::answer(version, version.copy_id());
            service.on(Step::Authorize, [reply(status), conflict(), created]);
            run(&mut service.copy()).expect(0, &["released: "]);
            assert_eq!((service.count(Step::Release), service.count(Step::Start)), (1, 1));
        }
        // Refused credentials are not tried again.
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [reply(403)]);
        let named = format!("{} may remain reserved", version.copy_id());
        run(&mut service.copy()).expect(4, &[&named]);
        assert_eq!(service.count(Step::Authorize), 1);
    });
}

#[test]
fn a_503_to_an_authorize_request_may_have_reserved_an_id() {
    on_every_version(|version| {
        let created = Authorization::answer(version, version.copy_id());
        let service = ScriptedService::new(version);
        if version.is_v2_1() {
            service.on(Step::Authorize, [reply(503), reply(503), created]);
            run(&mut service.copy()).expect(0, &["up to 2 blank models may remain"]);
            assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (3, 0));
        } else {
            service.on(Step::Authorize, [reply(503), error_reply(409, "Conflict", "ModelExists"), created]);
            run(&mut service.copy()).expect(0, &["released"]);
            assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (3, 1));
        }
    });
}

#[test]
fn an_authorize_request_that_is_answered_with_503_until_the_deadline_ends_with_it() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [reply(503)]);
        service.on(Step::Release, [reply(503)]);
        let begun = Instant::now();
        let named = if version.is_v2_1() { "blank models may remain" } else { version.copy_id() };
        run(service.copy().args(["--timeout", "3s"])).expect(7, &["HTTP 503", named]);
        assert!(begun.elapsed() < Duration::from_millis(4500), "{:?}", begun.elapsed());
    });
}

#[test]
fn the_id_of_a_lost_authorize_is_named_and_not_deleted_where_no_conflict_shows_that_it_is_reserved() {
    on_every_version(|version| {
        let refused = || error_reply(400, "InvalidRequest", "No.");
        let throttled = || reply(429).insert_header("retry-after", "7200");
        for (answers, code) in [
            (vec![reply(500)], 7),
            (vec![reply(500), refused()], 3),
            (vec![reply(503), throttled()], 7),
            (vec![reply(504), error_reply(401, "Unauthorized", "No.")], 4),
            // That of a gateway.
            (vec![reply(504), reply(409)], 6),
        ] {
            let service = ScriptedService::new(version);
            service.on(Step::Authorize, answers);
            let named = if version.is_v2_1() { "blank model" } else { version.copy_id() };
            let output = run(service.copy().args(["--timeout", "3s"])).expect(code, &[named]);
            let texts = ["may remain", "is reserved perhaps by this command's own request"];
            assert!(texts.iter().any(|text| output.stderr.contains(text)), "{output:#?}");
            assert_eq!(service.count(Step::Release), 0, "{output:#?}");
        }
    });
}

#[test]
fn with_a_manifest_the_next_run_releases_the_id_of_a_lost_authorize() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let folder = tempdir().unwrap();
        let service = ScriptedService::new(version);
        let copy = || {
            let mut command = service.copy();
            command.arg("--manifest").arg(folder.path().join("models.json"));
            command
        };
        service.on(Step::Authorize, [reply(500), error_reply(400, "InvalidRequest", "No.")]);
        run(&mut copy()).expect(3, &["may remain reserved", "unless the next run with the same --manifest"]);
        let created = Authorization::answer(version, version.copy_id());
        service.on(Step::Authorize, [error_reply(409, "Conflict", "ModelExists"), created]);
        run(&mut copy()).expect(0, &["released"]);
        assert_eq!((service.count(Step::Release), service.count(Step::Start)), (1, 1), "{:#?}", service.seen());
    });
}

#[test]
fn a_reservation_of_another_process_is_never_deleted() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [error_reply(409, "Conflict", "Exists.")]);
        run(&mut service.copy()).expect(6, &["is reserved by an authorization that was not used"]);
        // Without an answer to the preflight, a conflict may be about a model of another process.
        let unseen = ScriptedService::new(version);
        unseen.on(Step::GetTarget, [ResponseTemplate::new(404)]);
        unseen.on(Step::Authorize, [reply(500), error_reply(409, "Conflict", "Exists.")]);
        run(&mut unseen.copy()).expect(6, &["Exists."]);
        assert_eq!(service.count(Step::Release) + unseen.count(Step::Release), 0);
    });
}

#[test]
fn an_unused_reservation_is_released_after_every_failure() {
    on_every_version(|version| {
        for (step, answer, exit) in [
            (Step::Start, error_reply(400, "1002", "Copy request is invalid."), 3),
            (Step::Start, error_reply(401, "401", "Access denied."), 4),
            (Step::Start, error_reply(404, "404", "Resource not found"), 5),
            (Step::Start, error_reply(429, "429", "Later.").insert_header("Retry-After", "7200"), 7),
            (Step::Poll, Operation::failed(version, "AuthorizationFailed", "No.").answer(), 3),
            (Step::Poll, Operation::with_status(version, "canceled").answer(), 3),
            (Step::Poll, Operation::with_status(version, "skipped").answer(), 3),
        ] {
            let service = ScriptedService::new(version);
            service.on(step, [answer]);
            service.on(Step::Verify, [Model::reserved(version)]);
            let given_back = format!("released: the target has deleted the reserved {}", version.copy_id());
            run(&mut service.copy()).expect(exit, &[&given_back]);
            let deleted = service.only(Step::Release);
            assert_eq!(deleted.line, format!("DELETE {}", version.model(version.copy_id())));
        }
    });
}

#[test]
fn a_ready_model_is_never_deleted_and_an_id_that_stays_reserved_is_named() {
    on_every_version(|version| {
        let failed = Operation::failed(version, "AuthorizationFailed", "No.").answer();
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [failed.clone()]);
        service.on(Step::Verify, [Model::copy_of_example(version).answer()]);
        run(&mut service.copy()).expect(3, &["the target has a ready model", "it is not deleted"]);
        assert_eq!(service.count(Step::Release), 0);
        let cases = [
            (reply(500), reply(204), 0, "the target could not show model"),
            (
                Model::reserved(version),
                error_reply(404, "404", "Resource not found"),
                1,
                "the target refused to delete model",
            ),
        ];
        for (seen, deleted, deletions, why) in cases {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [failed.clone()]);
            service.on(Step::Verify, [seen]);
            service.on(Step::Release, [deleted]);
            let left = format!("warning: {} remains reserved on the target", version.copy_id());
            run(&mut service.copy()).expect(3, &[&left, why]);
            assert_eq!(service.count(Step::Release), deletions);
        }
    });
}

#[test]
fn a_release_is_repeated_only_after_the_target_was_read_again() {
    on_every_version(|version| {
        for answer in [reply(503), error_reply(429, "429", "Later.").insert_header("Retry-After", "1"), reply(500)] {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [Operation::failed(version, "AuthorizationFailed", "No.").answer()]);
            // Another process copies to the id between two sendings.
            service.on(Step::Verify, [Model::reserved(version), Model::copy_of_example(version).answer()]);
            service.on(Step::Release, [answer, reply(204)]);
            run(&mut service.copy()).expect(3, &["the target has a ready model", "it is not deleted"]);
            assert_eq!(service.count(Step::Release), 1);
        }
    });
}

#[test]
fn an_id_that_another_process_copies_to_meanwhile_is_not_released() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let failed = Operation::failed(version, "AuthorizationFailed", "No.").answer();
        let own = || [Operation::list_item(version, "2999-01-01T00:00:00Z")];
        let other = || {
            own().map(|mut item| {
                item["operationId"] = json!("other");
                item
            })
        };
        let elsewhere = || {
            other().map(|mut item| {
                item["resourceLocation"] = json!(format!("https://other.example/documentModels/{}", version.copy_id()));
                item
            })
        };
        for (listed, deletions) in [(other(), 1), (elsewhere(), 2), (own(), 2)] {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [failed.clone()]);
            service.on(Step::Verify, [Model::reserved(version)]);
            service.on(Step::ListOperations, [Operation::list(listed)]);
            // Long enough for another process to take the id over.
            let later = error_reply(429, "429", "Later.").insert_header("Retry-After", "6");
            service.on(Step::Release, [later, reply(204)]);
            let result =
                if deletions == 1 { "is running or has just ended, so the id was not deleted" } else { "released: " };
            run(&mut service.copy()).expect(3, &[result]);
            assert_eq!(service.count(Step::Release), deletions);
        }
    });
}

#[test]
fn the_id_of_a_running_copy_is_not_released() {
    on_every_version(|version| {
        for answer in [error_reply(401, "401", "Access denied."), Operation::with_status(version, "running").answer()] {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [answer]);
            let resume = format!("to wait for it: frcopy wait '{}'", service.operation_url());
            let output = run(service.copy().args(["--timeout", "4s"]));
            assert!(output.stderr.contains(&resume) && [4, 8].contains(&output.code), "{output:#?}");
            assert_eq!(service.count(Step::Release), 0);
        }
    });
}

/// A service whose target has a blank v2.1 model of a given date, and tells a time.
fn service_with_blank(created: &str, date: &str) -> ScriptedService {
    let service = ScriptedService::new(V2_1);
    let blank = Model::blank_v2_1(COPY_OF_V2_1, created);
    // The answer to both forms of the request: the list, and the count with `op=summary`.
    let summary = json!({"count": 1, "limit": 250, "lastUpdatedDateTime": created});
    let list = json!({"summary": summary, "modelList": [blank.body()["modelInfo"]], "nextLink": ""});
    service.default_answer(reply(200).set_body_json(list).insert_header("Date", date));
    let blank = Model::blank_v2_1(COPY_OF_V2_1, created).answer().insert_header("Date", date);
    service.on(Step::GetTarget, [blank]);
    service
}

#[test]
fn skip_waits_for_a_blank_model_that_is_recent_by_the_clock_of_the_target() {
    // The local clock is years behind.
    let service = service_with_blank("2081-05-01T12:00:00Z", "Thu, 01 May 2081 12:00:10 GMT");
    run(service.copy().args(["--if-exists=skip", "--timeout=1s"]))
        .expect(7, &["1 recent v2.1 models that are still blank"]);
    assert_eq!(service.count(Step::Authorize), 0);
}

#[test]
fn skip_does_not_wait_for_a_blank_model_that_is_old_by_the_clock_of_the_target() {
    let now = format!("{:.0}", jiff::Timestamp::now());
    let service = service_with_blank(&now, "Thu, 01 May 2081 12:00:10 GMT");
    run(service.copy().args(["--if-exists=skip", "--timeout=20s"])).expect(0, &["copied model"]);
}
