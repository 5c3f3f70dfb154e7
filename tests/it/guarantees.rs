//! Lost answers and what is given back: no POST is repeated blindly, and no id remains reserved without a word.

use std::net::TcpListener;

use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{COPY_OF_V2_1, Step, VERSIONS, Version, World, error_reply, on_every_version, reply, run};

/// The target as it looks while the id is only reserved.
fn reserved(version: Version) -> ResponseTemplate {
    if !version.is_v2_1() {
        return version.no_model();
    }
    reply(200).set_body_json(json!({"modelInfo": {"modelId": COPY_OF_V2_1, "status": "creating",
        "createdDateTime": "2020-02-26T16:59:28Z", "lastUpdatedDateTime": "2020-02-26T16:59:34Z"}}))
}

fn listed(version: Version, created: &str) -> ResponseTemplate {
    reply(200).set_body_json(json!({"value": [version.listed(created)]}))
}

/// The answers that leave open whether a start was taken.
fn lost() -> [ResponseTemplate; 6] {
    [
        reply(408),
        reply(500),
        error_reply(502, "502", "Bad gateway."),
        reply(504),
        reply(202),
        reply(202).insert_header("Operation-Location", "https://evil.example/x"),
    ]
}

#[test]
fn a_start_whose_answer_is_lost_is_found_and_followed_and_never_sent_again() {
    on_every_version(|version| {
        for answer in lost() {
            let world = World::new(version);
            world.on(Step::Start, [answer]);
            let empty = reply(200).set_body_json(json!({"value": []}));
            world.on(Step::List, [empty, listed(version, "2999-01-01T00:00:00Z")]);
            let ready = reply(200).set_body_json(version.model_body(version.copy_id()));
            world.on(Step::Verify, [reserved(version), ready]);
            let ending = run(&mut world.copy()).expect(0, &["looking for the copy"]);
            assert_eq!(ending.stdout, format!("{}\n", version.copy_id()));
            assert_eq!(
                (world.count(Step::Start), world.count(Step::Authorize), world.count(Step::GiveBack)),
                (1, 1, 0)
            );
        }
    });
}

#[test]
fn a_start_that_was_not_taken_is_given_back_and_begun_anew_with_a_fresh_authorization() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Start, [reply(500), world.accepted()]);
        // The looks while nothing comes of it and one before the deletion, then the copy.
        let looks = if version.is_v2_1() { 7 } else { 4 };
        let ready = reply(200).set_body_json(version.model_body(version.copy_id()));
        let script = std::iter::repeat_n(reserved(version), looks + 1).chain([ready]);
        world.on(Step::Verify, script);
        run(&mut world.copy()).expect(0, &["released: the target has deleted", "starting again"]);
        assert_eq!((world.count(Step::Start), world.count(Step::Authorize), world.count(Step::GiveBack)), (2, 2, 1));
    });
}

#[test]
fn a_source_that_never_takes_a_start_is_asked_three_times_at_most_and_nothing_stays_reserved() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Start, [reply(500)]);
        world.on(Step::Verify, [reserved(version)]);
        run(&mut world.copy()).expect(7, &["the source has not started the copy", "request id: req-500"]);
        assert_eq!((world.count(Step::Start), world.count(Step::Authorize), world.count(Step::GiveBack)), (3, 3, 3));
    });
}

#[test]
fn where_nobody_can_say_what_came_of_a_start_it_is_neither_repeated_nor_given_back() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Start, [reply(500)]);
        world.on(Step::List, [ResponseTemplate::new(404)]);
        world.on(Step::Verify, [ResponseTemplate::new(404)]);
        let json = run(world.copy().args(["--output", "json"]))
            .expect(1, &["whether the copy was started is not known", version.copy_id()])
            .json();
        assert_eq!((world.count(Step::Start), world.count(Step::GiveBack)), (1, 0));
        assert_eq!((&json["status"], &json["operation"]), (&json!("running"), &json!(null)));
    });
}

#[test]
fn an_operation_of_another_day_model_or_kind_is_not_taken_for_this_one() {
    for version in VERSIONS.into_iter().filter(|version| !version.is_v2_1()) {
        let mut other_model = version.listed("2999-01-01T00:00:00Z");
        other_model["resourceLocation"] = json!("https://x.example/documentModels/another?api-version=1");
        let mut other_kind = version.listed("2999-01-01T00:00:00Z");
        other_kind["kind"] = json!("documentClassifierCopyTo");
        let world = World::new(version);
        let others = json!({"value": [version.listed("2020-01-01T00:00:00Z"), other_model, other_kind, {"odd": 1}]});
        world.on(Step::List, [reply(200).set_body_json(others)]);
        world.on(Step::Start, [reply(500)]);
        world.on(Step::Verify, [reserved(version)]);
        run(&mut world.copy()).expect(7, &[]);
        assert_eq!(world.count(Step::Follow), 0);
    }
}

#[test]
fn a_list_is_read_to_its_end_and_never_from_another_host() {
    for version in VERSIONS.into_iter().filter(|version| !version.is_v2_1()) {
        let world = World::new(version);
        let list = version.operations().unwrap();
        let next = format!("{}{list}", world.source.uri());
        let first = reply(200).set_body_json(json!({"value": [], "nextLink": next}));
        world.on(Step::Start, [reply(500)]);
        world.on(Step::List, [first, listed(version, "2999-01-01T00:00:00Z")]);
        run(&mut world.copy()).expect(0, &[]);
        assert_eq!(world.count(Step::List), 2);

        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        stranger.set_nonblocking(true).unwrap();
        let world = World::new(version);
        let elsewhere = format!("http://{}{list}", stranger.local_addr().unwrap());
        world.on(Step::Verify, [version.no_model()]);
        world.on(Step::Start, [reply(500)]);
        world.on(Step::List, [reply(200).set_body_json(json!({"value": [], "nextLink": elsewhere}))]);
        run(&mut world.copy()).expect(1, &["whether the copy was started is not known"]);
        assert!(stranger.accept().is_err(), "a list was read from another host");
    }
}

#[test]
fn an_authorize_whose_answer_is_lost_is_sent_again_and_its_reservation_is_found_out() {
    on_every_version(|version| {
        let created = reply(200).set_body_raw(version.authorization(version.copy_id()), "application/json");
        let world = World::new(version);
        if version.is_v2_1() {
            world.on(Step::Authorize, [reply(504), created]);
            run(&mut world.copy()).expect(0, &["a blank model may remain"]);
            assert_eq!((world.count(Step::Authorize), world.count(Step::GiveBack)), (2, 0));
        } else {
            world.on(Step::Authorize, [reply(504), error_reply(409, "Conflict", "ModelExists"), created]);
            run(&mut world.copy()).expect(0, &["released"]);
            assert_eq!((world.count(Step::Authorize), world.count(Step::GiveBack)), (3, 1));
        }
    });
}

#[test]
fn somebody_elses_reservation_is_never_deleted() {
    for version in VERSIONS.into_iter().filter(|version| !version.is_v2_1()) {
        let world = World::new(version);
        world.on(Step::Authorize, [error_reply(409, "Conflict", "Exists.")]);
        run(&mut world.copy()).expect(6, &["is reserved by an authorization that was not used"]);
        // Where the first look said nothing, a conflict after a lost answer may be about somebody's model.
        let unseen = World::new(version);
        unseen.on(Step::LookTarget, [ResponseTemplate::new(404)]);
        unseen.on(Step::Authorize, [reply(500), error_reply(409, "Conflict", "Exists.")]);
        run(&mut unseen.copy()).expect(6, &["Exists."]);
        assert_eq!(world.count(Step::GiveBack) + unseen.count(Step::GiveBack), 0);
    }
}

#[test]
fn what_was_reserved_and_not_used_is_given_back_on_every_way_out() {
    on_every_version(|version| {
        for (step, answer, exit) in [
            (Step::Start, error_reply(400, "1002", "Copy request is invalid."), 3),
            (Step::Start, error_reply(401, "401", "Access denied."), 4),
            (Step::Start, error_reply(404, "404", "Resource not found"), 5),
            (Step::Start, error_reply(429, "429", "Later.").insert_header("Retry-After", "7200"), 7),
            (Step::Follow, reply(200).set_body_json(version.failed_body("AuthorizationFailed", "No.")), 3),
            (Step::Follow, reply(200).set_body_json(version.operation_body("canceled")), 3),
            (Step::Follow, reply(200).set_body_json(version.operation_body("skipped")), 3),
        ] {
            let world = World::new(version);
            world.on(step, [answer]);
            world.on(Step::Verify, [reserved(version)]);
            let given_back = format!("released: the target has deleted the reserved {}", version.copy_id());
            run(&mut world.copy()).expect(exit, &[&given_back]);
            let deleted = world.only(Step::GiveBack);
            assert_eq!(deleted.line, format!("DELETE {}", version.model(version.copy_id())));
        }
    });
}

#[test]
fn a_ready_model_is_never_deleted_and_what_cannot_be_given_back_is_named() {
    on_every_version(|version| {
        let failed = reply(200).set_body_json(version.failed_body("AuthorizationFailed", "No."));
        let world = World::new(version);
        world.on(Step::Follow, [failed.clone()]);
        world.on(Step::Verify, [reply(200).set_body_json(version.model_body(version.copy_id()))]);
        run(&mut world.copy()).expect(3, &["the target has a ready model", "it is not deleted"]);
        assert_eq!(world.count(Step::GiveBack), 0);
        let cases = [
            (reply(500), reply(204), 0, "the target could not show model"),
            (reserved(version), error_reply(404, "404", "Resource not found"), 1, "the target refused to delete model"),
        ];
        for (seen, deleted, deletions, why) in cases {
            let world = World::new(version);
            world.on(Step::Follow, [failed.clone()]);
            world.on(Step::Verify, [seen]);
            world.on(Step::GiveBack, [deleted]);
            let left = format!("warning: {} remains reserved on the target", version.copy_id());
            run(&mut world.copy()).expect(3, &[&left, why]);
            assert_eq!(world.count(Step::GiveBack), deletions);
        }
    });
}

#[test]
fn a_copy_that_goes_on_is_not_given_back() {
    on_every_version(|version| {
        for answer in
            [error_reply(401, "401", "Access denied."), reply(200).set_body_json(version.operation_body("running"))]
        {
            let world = World::new(version);
            world.on(Step::Follow, [answer]);
            let resume = format!("to wait for it: frcopy wait '{}'", world.operation_url());
            let ending = run(world.copy().args(["--timeout", "1500ms"]));
            assert!(ending.stderr.contains(&resume) && [4, 8].contains(&ending.code), "{ending:#?}");
            assert_eq!(world.count(Step::GiveBack), 0);
        }
    });
}
