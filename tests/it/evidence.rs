//! Evidence: an answer decides only about what was asked, and what may be another process's is left alone.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::raw_server::{read_request, serve_each};
use crate::support::{
    Authorization, CommandOutput, DOCUMENT_VERSIONS, Model, Operation, ScriptedService, Step, TARGET_KEY, V2_1,
    Version, error_reply, frcopy, on_each, on_every_version, reply, run,
};

/// An operation that is about another copy: another target, or in v2.1 another model.
fn operation_about_another(version: Version, status: &str) -> ResponseTemplate {
    if version.is_v2_1() {
        let copy = json!({"modelId": "11111111-1111-4111-8111-111111111111"});
        return reply(200).set_body_json(json!({"status": status, "copyResult": copy}));
    }
    Operation::with_status(version, status).on_target("https://other.example").answer()
}

#[test]
fn an_operation_about_another_copy_is_no_success_without_the_copy_itself() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [operation_about_another(version, "succeeded")]);
        service.on(Step::Verify, [Model::reserved(version)]);
        let texts = ["the operation names another target", "frcopy wait --target-model-id", version.copy_id()];
        run(service.copy().args(["--timeout", "3s"])).expect(8, &texts);
        assert_eq!(service.count(Step::Release), 0);

        let shown = ScriptedService::new(version);
        shown.on(Step::Poll, [operation_about_another(version, "succeeded")]);
        let output = run(shown.copy().args(["--output", "json"])).expect(0, &["could not be verified"]);
        assert_eq!(output.json()["verified"], false);
    });
}

#[test]
fn the_failure_of_another_copy_is_no_verdict() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [operation_about_another(version, "failed")]);
        service.on(Step::Verify, [Model::reserved(version)]);
        let texts = ["the operation names another target", "frcopy wait --target-model-id", version.copy_id()];
        run(service.copy().args(["--timeout", "3s"])).expect(8, &texts);
        assert_eq!(service.count(Step::Release), 0);

        let shown = ScriptedService::new(version);
        shown.on(Step::Poll, [operation_about_another(version, "failed")]);
        run(&mut shown.copy()).expect(0, &[]);
    });
}

#[test]
fn a_poll_that_shows_another_kind_of_operation_is_polled_again() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        let with_kind = |kind, status| Operation::with_status(version, status).with("kind", kind).answer();
        let build = with_kind("documentModelBuild", "failed");
        let copied = with_kind("documentModelCopyTo", "succeeded");
        service.on(Step::Poll, [build.clone(), build.clone(), build.clone(), build, copied]);
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!(service.count(Step::Poll), 5);
    });
}

fn ago(seconds: i64) -> String {
    format!("{:.0}", Timestamp::now() - SignedDuration::from_secs(seconds))
}

fn dated(answer: ResponseTemplate) -> ResponseTemplate {
    let now = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()).unwrap();
    answer.insert_header("Date", now.as_str())
}

fn listed(version: Version, status: &str, created: &str) -> Value {
    let mut item = Operation::list_item(version, created);
    item["status"] = json!(status);
    item
}

/// A service whose source has a clock, and whose start gets this answer.
fn service_with_clock(version: Version, start: ResponseTemplate) -> ScriptedService {
    let service = ScriptedService::new(version);
    service.on(Step::GetSource, [dated(Model::example(version).answer())]);
    service.on(Step::Start, [start]);
    service
}

#[test]
fn an_operation_that_failed_before_the_authorization_is_no_verdict() {
    for version in DOCUMENT_VERSIONS {
        let service = service_with_clock(version, reply(500));
        service.on(Step::Start, [reply(500), service.accepted()]);
        service.on(Step::ListOperations, [dated(Operation::list([listed(version, "failed", &ago(2))]))]);
        service.on(
            Step::Verify,
            [Model::reserved(version), Model::reserved(version), Model::copy_of_example(version).answer()],
        );
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!((service.count(Step::Start), service.count(Step::Release)), (2, 0));
    }
}

#[test]
fn a_running_copy_is_found_although_the_list_has_another_clock_than_the_date_header() {
    for version in DOCUMENT_VERSIONS {
        let service = service_with_clock(version, reply(500));
        service.on(Step::ListOperations, [dated(Operation::list([listed(version, "running", &ago(30))]))]);
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!((service.count(Step::Start), service.count(Step::Release)), (1, 0));
    }
}

#[test]
fn a_list_with_the_oldest_operations_first_is_read_to_its_end() {
    for version in DOCUMENT_VERSIONS {
        let service = service_with_clock(version, reply(500));
        let other = |created: &str| {
            let mut item = listed(version, "succeeded", created);
            item["resourceLocation"] = json!("https://x.example/documentModels/another?api-version=1");
            item
        };
        let next = format!("{}{}", service.source.uri(), version.operations().unwrap());
        let first = json!({"value": [other(&ago(90_000)), other(&ago(80_000))], "nextLink": next});
        let last = Operation::list([listed(version, "running", &ago(0))]);
        service.on(Step::ListOperations, [dated(reply(200).set_body_json(first)), dated(last)]);
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!((service.count(Step::Start), service.count(Step::ListOperations)), (1, 2));
    }
}

#[test]
fn a_copy_that_has_just_ended_is_adopted_although_the_target_does_not_show_it_yet() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        let location = format!("{}/documentModels/{}?api-version=1", service.target.uri(), version.copy_id());
        let mut item = listed(version, "succeeded", &ago(1));
        item["resourceLocation"] = json!(location);
        service.on(Step::GetSource, [dated(Model::example(version).answer())]);
        service.on(Step::Authorize, [error_reply(409, "Conflict", "ModelExists")]);
        service.on(Step::ListOperations, [dated(Operation::list([item.clone()]))]);
        service.on(Step::Poll, [Operation::with_status(version, "succeeded").located_at(&location).answer()]);
        let shown = Model::copy_of_example(version).answer();
        service.on(Step::GetTarget, [Model::not_found(version), Model::not_found(version), shown]);
        let output = run(service.copy().args(["--if-exists", "skip"])).expect(0, &[]);
        assert_eq!(output.stdout, format!("{}\n", version.copy_id()));

        // A copy that ended long ago was deleted since.
        item["lastUpdatedDateTime"] = json!(ago(60));
        let service = ScriptedService::new(version);
        item["resourceLocation"] = json!(format!("{}/documentModels/{}", service.target.uri(), version.copy_id()));
        service.on(Step::Authorize, [error_reply(409, "Conflict", "ModelExists")]);
        service.on(Step::ListOperations, [dated(Operation::list([item]))]);
        run(service.copy().args(["--if-exists", "skip"])).expect(6, &["is reserved by an authorization"]);
    });
}

#[test]
fn nothing_is_authorized_while_the_source_has_not_answered_a_single_request() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        // The server closes each connection without an answer.
        let silent = serve_each(|mut stream| drop(read_request(&mut stream)));
        let mut command = service.copy();
        command.env("FRCOPY_SOURCE_ENDPOINT", format!("http://{silent}")).args(["--timeout", "5s"]);
        let begun = Instant::now();
        run(&mut command).expect(7, &["the source did not answer"]);
        assert_eq!(service.count(Step::Authorize), 0);
        assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    });
}

/// `frcopy authorize` against a target whose first answer is lost and whose second one is a conflict.
fn authorize_after_a_lost_answer(version: Version, service: &ScriptedService) -> CommandOutput {
    let created = Authorization::answer(version, version.copy_id());
    service.on(Step::Authorize, [reply(504), error_reply(409, "Conflict", "ModelExists"), created]);
    let mut command = frcopy();
    command.env("FRCOPY_TARGET_ENDPOINT", service.target.uri()).env("FRCOPY_TARGET_KEY", TARGET_KEY).args([
        "authorize",
        version.copy_id(),
        "--api-version",
        version.number,
        "--out",
        "-",
    ]);
    // Stdout has the access token.
    CommandOutput::of(&mut command)
}

#[test]
fn an_id_for_another_party_is_released_after_a_lost_answer_only_while_no_copy_appears() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        authorize_after_a_lost_answer(version, &service).expect(0, &["released"]);
        assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (3, 1));

        // Another process has authorized and copied meanwhile.
        let copied = ScriptedService::new(version);
        let shown = Model::copy_of_example(version).answer();
        copied.on(Step::GetTarget, [Model::not_found(version), shown]);
        authorize_after_a_lost_answer(version, &copied).expect(6, &["is reserved"]);
        assert_eq!((copied.count(Step::Authorize), copied.count(Step::Release)), (2, 0));
    });
}

#[test]
fn an_id_to_which_a_copy_appears_right_before_its_deletion_is_not_deleted() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = service_with_clock(version, reply(500));
        service.on(Step::Authorize, [reply(504), error_reply(409, "Conflict", "ModelExists")]);
        let empty = || dated(Operation::list([]));
        // The fourth list is the one right before the deletion.
        let running = dated(Operation::list([listed(version, "running", &ago(1))]));
        service.on(Step::ListOperations, [empty(), empty(), empty(), running]);
        run(&mut service.copy());
        assert_eq!((service.count(Step::Release), service.count(Step::Start)), (0, 0));
        assert!(service.count(Step::ListOperations) >= 4);
    });
}

#[test]
fn an_id_that_gets_a_model_during_a_slow_look_is_not_deleted() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [reply(504), error_reply(409, "Conflict", "ModelExists")]);
        let empty = || Operation::list([]);
        let slow = empty().set_delay(Duration::from_millis(2500));
        service.on(Step::ListOperations, [empty(), empty(), empty(), slow, empty()]);
        let absent = || Model::not_found(version);
        service.on(Step::GetTarget, [absent(), absent(), Model::copy_of_example(version).answer()]);
        run(&mut service.copy()).expect(6, &["has a ready model", version.copy_id()]);
        assert_eq!(service.count(Step::Release), 0, "{:#?}", service.seen());
    });
}

#[test]
fn a_failed_look_for_a_running_copy_is_repeated_before_an_id_is_given_up() {
    on_each(DOCUMENT_VERSIONS, |version| {
        // The third look is right before the deletion.
        on_each([0, 2, 3], |failed| {
            let service = ScriptedService::new(version);
            let conflict = error_reply(409, "ModelExists", "It exists.");
            service.on(Step::Authorize, [reply(500), conflict, Authorization::answer(version, version.copy_id())]);
            service.on(Step::Release, [reply(204)]);
            let empty = || Operation::list([]);
            let lists = std::iter::repeat_with(empty).take(failed).chain([reply(404), empty()]);
            service.on(Step::ListOperations, lists);
            run(&mut service.copy()).expect(0, &[]);
            assert_eq!((service.count(Step::Release), service.count(Step::Authorize)), (1, 3), "{version:?} {failed}");
        });
    });
}

#[test]
fn an_id_whose_running_copy_cannot_be_looked_for_is_not_called_unused() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [error_reply(409, "ModelExists", "It exists.")]);
        service.on(Step::ListOperations, [reply(404)]);
        run(&mut service.copy()).expect(6, &["does not show whether a copy to it is running", "--if-exists skip"]);
    });
}

#[test]
fn a_failed_read_does_not_end_a_verification_that_waits_for_the_copy() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let ready = Model::copy_of_example(version).answer();
        service.on(Step::Verify, [Model::reserved(version), reply(404), reply(405), ready]);
        let output = run(service.copy().args(["--output", "json"])).expect(0, &[]);
        assert_eq!(output.json()["verified"], true, "{version:?}");
    });
}

#[test]
fn a_copy_is_invalid_only_if_the_target_says_so_twice() {
    let with_status = |status| Model::copy_of_example(V2_1).status(status).answer();
    let service = ScriptedService::new(V2_1);
    service.on(Step::Verify, ["invalid", "ready"].map(with_status));
    run(&mut service.copy()).expect(0, &[]);
    assert_eq!(service.count(Step::Release), 0);

    let service = ScriptedService::new(V2_1);
    service.on(Step::Verify, [with_status("invalid")]);
    run(&mut service.copy()).expect(3, &["the target says that the copy", "is invalid", "released: "]);
    assert_eq!(service.count(Step::Release), 1);
}

#[test]
fn an_answer_may_begin_with_a_byte_order_mark() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let body = format!("\u{feff}{}", Authorization::json(version, version.copy_id()));
        service.on(Step::Authorize, [reply(if version.is_v2_1() { 201 } else { 200 }).set_body_string(body)]);
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!(service.count(Step::Authorize), 1);
    });
}

#[test]
fn a_copy_that_the_source_lists_late_is_found_before_its_id_is_called_unused() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [error_reply(409, "ModelExists", "It exists.")]);
        let target = service.target.uri();
        let mut item = Operation::list_item(version, &ago(5));
        item["resourceLocation"] = json!(format!("{target}{}", version.model(version.copy_id())));
        item["status"] = json!("running");
        service.on(Step::ListOperations, [Operation::list([]), Operation::list([item])]);
        run(&mut service.copy()).expect(6, &["is already running, or has just ended", "frcopy wait"]);
    });
}
