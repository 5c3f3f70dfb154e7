//! Two clocks are never compared: times of the source are compared with the source's own, those of the target with the
//! target's own, and the local clock decides nothing.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{
    Authorization, DOCUMENT_VERSIONS, Model, Operation, ScriptedService, Step, Version, error_reply, on_each,
    on_every_version, reply, run,
};

/// The time of the source: decades from the local one.
const NOW: &str = "2081-05-01T12:00:00Z";

fn after(seconds: i64) -> Timestamp {
    NOW.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn dated(answer: ResponseTemplate, time: Timestamp) -> ResponseTemplate {
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap();
    answer.insert_header("Date", date.as_str())
}

/// A service whose target's clock is ahead of the source's, and whose first start gets no answer.
fn service_with_clocks(version: Version, ahead: i64) -> ScriptedService {
    let service = ScriptedService::new(version);
    let on_target = |answer| dated(answer, after(ahead));
    service.on(Step::GetSource, [dated(Model::example(version).answer(), after(0))]);
    service.on(Step::GetTarget, [on_target(Model::not_found(version))]);
    service.on(Step::Authorize, [on_target(Authorization::answer(version, version.copy_id()))]);
    service.on(Step::Start, [dated(reply(500), after(0)), service.accepted()]);
    let reserved = || on_target(Model::reserved(version));
    service.on(Step::Verify, [reserved(), reserved(), on_target(Model::copy_of_example(version).answer())]);
    service
}

/// The copy, with dated answers only: the server adds the local time to the others.
fn copy(service: &ScriptedService) -> assert_cmd::Command {
    let mut command = service.copy();
    command.args(["--kind", "model"]);
    command
}

/// Seconds by which the target's clock is ahead.
const AHEAD: [i64; 5] = [0, 4, -4, 86_400, -86_400];

#[test]
fn a_copy_is_found_by_the_clock_of_the_source_whatever_the_other_clocks_say() {
    for version in DOCUMENT_VERSIONS {
        for ahead in AHEAD {
            for status in ["running", "succeeded"] {
                let service = service_with_clocks(version, ahead);
                let mut item = Operation::list_item(version, &after(0).to_string());
                item["status"] = json!(status);
                service.on(Step::ListOperations, [dated(Operation::list([item]), after(0))]);
                service.on(Step::Verify, [Model::copy_of_example(version).answer()]);
                run(&mut copy(&service)).expect(0, &[]);
                let sent = (service.count(Step::Start), service.count(Step::Authorize), service.count(Step::Poll));
                assert!(sent.0 == 1 && sent.1 == 1 && sent.2 > 0, "{version:?} {ahead} {status}: {sent:?}");
            }
        }
    }
}

#[test]
fn a_copy_of_last_month_by_the_clock_of_the_source_is_another_one() {
    on_each(DOCUMENT_VERSIONS, |version| {
        for status in ["succeeded", "failed", "running"] {
            // By the local clock, and by that of the target, it is in the future.
            let service = service_with_clocks(version, -400 * 86_400);
            let mut old = Operation::list_item(version, &after(-30 * 86_400).to_string());
            old["status"] = json!(status);
            service.on(Step::ListOperations, [dated(Operation::list([old]), after(0))]);
            run(&mut copy(&service)).expect(0, &[]);
            assert_eq!((service.count(Step::Start), service.count(Step::Release)), (2, 0), "{version:?} {status}");
        }
    });
}

#[test]
fn an_authorization_that_is_valid_by_the_clock_of_the_target_is_used_again() {
    on_every_version(|version| {
        for ahead in AHEAD {
            let service = service_with_clocks(version, ahead);
            let expires = after(ahead) + SignedDuration::from_hours(1);
            let mut body: serde_json::Value =
                serde_json::from_str(&Authorization::json(version, version.copy_id())).unwrap();
            if version.is_v2_1() {
                body["expirationDateTimeTicks"] = json!(expires.as_second());
            } else {
                body["expirationDateTime"] = json!(expires.to_string());
            }
            let status = if version.is_v2_1() { 201 } else { 200 };
            service.on(Step::Authorize, [dated(reply(status).set_body_json(body), after(ahead))]);
            run(&mut copy(&service)).expect(0, &[]);
            assert_eq!((service.count(Step::Start), service.count(Step::Authorize)), (2, 1));
        }
    });
}

#[test]
fn a_copy_that_has_just_ended_by_the_clock_of_the_source_is_adopted_and_an_older_one_is_not() {
    on_each(DOCUMENT_VERSIONS, |version| {
        for (ended, is_adopted) in [(-2, true), (-60, false)] {
            let service = service_with_clocks(version, 400 * 86_400);
            let location = format!("{}/documentModels/{}?api-version=1", service.target.uri(), version.copy_id());
            let mut item = Operation::list_item(version, &after(ended).to_string());
            (item["status"], item["resourceLocation"]) = (json!("succeeded"), json!(location));
            service.on(Step::Authorize, [dated(error_reply(409, "Conflict", "ModelExists"), after(0))]);
            service.on(Step::ListOperations, [dated(Operation::list([item]), after(0))]);
            service.on(Step::Poll, [Operation::with_status(version, "succeeded").located_at(&location).answer()]);
            let shown = Model::copy_of_example(version).answer();
            service.on(Step::GetTarget, [Model::not_found(version), Model::not_found(version), shown]);
            let output = run(copy(&service).args(["--if-exists", "skip"]));
            let code = if is_adopted { 0 } else { 6 };
            assert_eq!((output.code, service.count(Step::Poll) > 0), (code, is_adopted), "{output:#?}");
        }
    });
}
