//! What proves that no copy is running: without it, no id is released.

use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::{
    DOCUMENT_VERSIONS, Model, Operation, ScriptedService, Step, VERSIONS, Version, error_reply, reply, run,
};

/// A service whose source answers the start with a conflict, which may be about the copy itself: it is looked for, and the
/// start is not repeated.
fn service_with_conflict(version: Version) -> ScriptedService {
    let service = ScriptedService::new(version);
    service.on(Step::GetSource, [dated(Model::example(version).answer())]);
    service.on(Step::Start, [error_reply(409, "Conflict", "No.")]);
    service.on(Step::ListOperations, [dated(Operation::list([]))]);
    service.on(Step::Verify, [Model::reserved(version)]);
    service
}

fn dated(answer: ResponseTemplate) -> ResponseTemplate {
    let now = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()).unwrap();
    answer.insert_header("Date", now.as_str())
}

fn ago(seconds: i64) -> String {
    format!("{:.0}", Timestamp::now() - SignedDuration::from_secs(seconds))
}

/// A running copy that cannot be read, because this field has a form that is not documented.
fn unreadable(version: Version, field: &str) -> Value {
    let mut item = Operation::list_item(version, &ago(0));
    item[field] = json!(7);
    item
}

const FIELDS: [&str; 5] = ["operationId", "kind", "status", "createdDateTime", "resourceLocation"];

/// Lists that show no copy, and do not prove that there is none.
fn lists_without_proof(service: &ScriptedService) -> Vec<ResponseTemplate> {
    let version = service.version;
    let mut items: Vec<_> = FIELDS.iter().map(|field| unreadable(version, field)).collect();
    // The same target under another host name, perhaps.
    let mut elsewhere = Operation::list_item(version, &ago(0));
    elsewhere["resourceLocation"] = json!(format!("https://y.example/documentModels/{}", version.copy_id()));
    items.push(elsewhere);
    let lists = items.into_iter().map(|item| dated(Operation::list([item])));
    let next = format!("{}{}", service.source.uri(), version.operations().unwrap_or_default());
    lists.chain([dated(Operation::page(&next)), reply(404)]).collect()
}

#[test]
fn an_id_is_released_after_three_looks_over_seven_seconds_at_a_complete_list() {
    thread::scope(|scope| {
        for version in DOCUMENT_VERSIONS {
            scope.spawn(move || {
                let service = service_with_conflict(version);
                // One look that fails breaks the row.
                let list = || dated(Operation::list([]));
                service.on(Step::ListOperations, [list(), list(), list(), dated(Operation::list([json!({})])), list()]);
                let began = Instant::now();
                run(&mut service.copy()).expect(6, &["released: "]);
                assert!(began.elapsed() >= Duration::from_secs(14), "{:?}", began.elapsed());
                // Two looks before a repetition would be sent, one that counts, the one that fails, three that count; one right
                // before the release; and three for the reason of the conflict.
                assert_eq!((service.count(Step::ListOperations), service.count(Step::Release)), (11, 1));
            });
        }
    });
}

#[test]
fn an_id_is_not_released_while_a_list_may_hide_a_copy() {
    thread::scope(|scope| {
        for version in VERSIONS {
            // v2.1 has no list, so nothing is ever proved.
            let cases = if version.is_v2_1() { 1 } else { FIELDS.len() + 3 };
            for case in 0..cases {
                scope.spawn(move || {
                    let service = service_with_conflict(version);
                    let list = lists_without_proof(&service).swap_remove(case);
                    service.on(Step::ListOperations, [list]);
                    let texts = ["the copy may be running", "frcopy wait --target-model-id", version.copy_id()];
                    run(service.copy().args(["--timeout", "12s"])).expect(8, &texts);
                    assert_eq!((service.count(Step::Release), service.count(Step::Authorize)), (0, 1), "{case}");
                });
            }
        }
    });
}

#[test]
fn an_id_that_a_lost_authorize_request_may_have_reserved_is_kept_while_a_list_may_hide_a_copy() {
    thread::scope(|scope| {
        for version in DOCUMENT_VERSIONS {
            for case in 0..FIELDS.len() + 3 {
                scope.spawn(move || {
                    let service = ScriptedService::new(version);
                    service.on(Step::Authorize, [reply(504), error_reply(409, "Conflict", "ModelExists")]);
                    let list = lists_without_proof(&service).swap_remove(case);
                    service.on(Step::ListOperations, [list]);
                    let texts = ["is reserved perhaps by this command's own request", version.copy_id()];
                    run(service.copy().args(["--timeout", "25s"])).expect(6, &texts);
                    assert_eq!((service.count(Step::Release), service.count(Step::Start)), (0, 0), "{case}");
                });
            }
        }
    });
}

#[test]
fn a_copy_on_a_late_page_of_the_list_is_found() {
    for version in DOCUMENT_VERSIONS {
        let service = ScriptedService::new(version);
        let list = format!("{}{}", service.source.uri(), version.operations().unwrap());
        let pages = |item: Value| std::iter::repeat_n(Operation::page(&list), 40).chain([Operation::list([item])]);
        service.on(Step::Start, [reply(500)]);
        service.on(Step::Verify, [Model::reserved(version), Model::copy_of_example(version).answer()]);
        service.on(Step::ListOperations, pages(Operation::list_item(version, "2999-01-01T00:00:00Z")));
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!((service.count(Step::Start), service.count(Step::ListOperations)), (1, 41));

        let adopting = ScriptedService::new(version);
        let list = format!("{}{}", adopting.source.uri(), version.operations().unwrap());
        let pages = |item: Value| std::iter::repeat_n(Operation::page(&list), 40).chain([Operation::list([item])]);
        let mut item = Operation::list_item(version, &ago(1));
        let location = format!("{}/documentModels/{}", adopting.target.uri(), version.copy_id());
        item["resourceLocation"] = json!(location);
        adopting.on(Step::Authorize, [error_reply(409, "Conflict", "ModelExists")]);
        adopting.on(Step::ListOperations, pages(item));
        adopting.on(Step::Poll, [Operation::with_status(version, "succeeded").located_at(&location).answer()]);
        let shown = Model::copy_of_example(version).answer();
        adopting.on(Step::GetTarget, [Model::not_found(version), shown]);
        run(adopting.copy().args(["--if-exists", "skip"])).expect(0, &["is already running, and is polled"]);
        assert_eq!(adopting.count(Step::ListOperations), 41);
    }
}
