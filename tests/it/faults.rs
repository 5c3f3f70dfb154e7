//! What goes wrong: the verdict, the exit code, what was sent how often, and what a tired operator reads.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{
    MODEL, RESOURCE_ID, Step, V2_1, V4_0, VERSIONS, World, error_reply, frcopy, on_every_version, reply, run,
};

/// The answers that refuse, with the exit code of each.
const REFUSALS: [(u16, &str, i32); 6] = [
    (400, "InvalidRequest", 3),
    (401, "401", 4),
    (403, "403", 4),
    (404, "404", 5),
    (409, "Conflict", 6),
    (410, "Gone", 5),
];

#[test]
fn a_refusal_has_its_exit_code_and_is_asked_for_once() {
    on_every_version(|version| {
        for step in [Step::Authorize, Step::Start] {
            for (status, code, exit) in REFUSALS {
                let world = World::new(version);
                world.on(Step::Verify, [version.no_model()]);
                world.on(step, [error_reply(status, code, "The service's own words.")]);
                let texts = [
                    &format!("cause: {code}: The service's own words."),
                    "help: ",
                    &format!("request id: req-{status}"),
                ];
                let ending = run(&mut world.copy()).expect(exit, &texts.map(AsRef::<str>::as_ref));
                assert_eq!(ending.stdout, "");
                assert_eq!(world.count(step), 1);
                assert_eq!(world.count(Step::Follow), 0);
            }
        }
    });
}

#[test]
fn what_the_source_says_of_a_wrong_key_or_id_stops_before_an_id_is_reserved() {
    on_every_version(|version| {
        for (answer, exit, what) in [
            (error_reply(401, "401", "Access denied."), 4, "the source refused to show model"),
            (version.no_model(), 5, "the source has no model"),
        ] {
            let world = World::new(version);
            world.on(Step::LookSource, [answer]);
            run(&mut world.copy()).expect(exit, &[what, "help: ", "request id: "]);
            assert_eq!(world.count(Step::Authorize), 0);
        }
    });
}

#[test]
fn a_v2_1_model_that_is_not_ready_is_not_copied() {
    for (status, text) in [("creating", "still being created"), ("invalid", "its status is invalid")] {
        let world = World::new(V2_1);
        let mut model = V2_1.model_body(MODEL);
        model["modelInfo"]["status"] = json!(status);
        world.on(Step::LookSource, [reply(200).set_body_json(model)]);
        run(&mut world.copy()).expect(3, &[text, "help: "]);
        assert_eq!(world.count(Step::Authorize), 0);
    }
}

#[test]
fn a_target_id_that_is_taken_stops_before_the_authorization_and_a_reserved_one_is_told_from_it() {
    for version in VERSIONS.into_iter().filter(|version| !version.is_v2_1()) {
        let world = World::new(version);
        world.on(Step::LookTarget, [reply(200).set_body_json(version.model_body(MODEL))]);
        run(&mut world.copy()).expect(6, &["the target already has a model", "--target-model-id"]);
        assert_eq!(world.count(Step::Authorize), 0);

        let world = World::new(version);
        let exists = json!({"error": {"code": "Conflict", "message": "Conflict.",
            "innererror": {"code": "ModelExists", "message": "A model with the provided name already exists."}}});
        world.on(Step::Authorize, [reply(409).set_body_json(exists)]);
        run(&mut world.copy()).expect(6, &["is reserved by an authorization that was not used", "ModelExists"]);
        assert_eq!((world.count(Step::Authorize), world.count(Step::Start)), (1, 0));
    }
}

#[test]
fn a_failed_copy_shows_the_innermost_words_the_remedy_and_the_request_id() {
    on_every_version(|version| {
        let world = World::new(version);
        let failed =
            reply(200).set_body_json(version.failed_body("AuthorizationFailed", "Cannot copy encrypted content."));
        world.on(Step::Follow, [reply(200).set_body_json(version.operation_body("running")), failed]);
        let texts = [
            "error: the copy failed",
            "cause: AuthorizationFailed: Cannot copy encrypted content.",
            "help: run the command again for a fresh authorization",
            "request id: req-200",
        ];
        let ending = run(world.copy().args(["--output", "json"])).expect(3, &texts);
        let json = ending.json();
        assert_eq!(json["status"], "failed");
        let error = json!({"kind": "failed", "code": "AuthorizationFailed", "message": "Cannot copy encrypted content.",
            "remedy": json["error"]["remedy"], "requestId": "req-200"});
        assert_eq!(json["error"], error);
        assert_eq!((&json["operation"], &json["verified"]), (&json!(world.operation_url()), &json!(false)));
    });
}

#[test]
fn a_wrong_pair_of_resource_id_and_region_is_named_as_the_usual_cause_of_2024() {
    let world = World::new(V2_1);
    let failed = V2_1.failed_body("2024", "Could not retrieve authorization metadata.");
    world.on(Step::Follow, [reply(200).set_body_json(failed)]);
    run(&mut world.copy())
        .expect(3, &["2024: Could not", "help: make --target-resource-id and --target-region a true pair"]);
}

#[test]
fn a_code_that_nobody_knows_is_shown_as_it_came() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Follow, [reply(200).set_body_json(version.failed_body("7777", "Something\u{1b}[2J\nnew."))]);
        run(&mut world.copy()).expect(3, &["cause: 7777: Something [2J new.", "help: "]);
    });
}

#[test]
fn canceled_and_skipped_are_verdicts_of_their_own() {
    on_every_version(|version| {
        for status in ["canceled", "skipped"] {
            let world = World::new(version);
            world.on(Step::Follow, [reply(200).set_body_json(version.operation_body(status))]);
            let json = run(world.copy().args(["--output", "json"])).expect(3, &[status]).json();
            assert_eq!((&json["status"], &json["error"]["kind"]), (&json!(status), &json!(status)));
        }
    });
}

#[test]
fn a_status_that_nobody_knows_is_warned_of_once_and_is_no_verdict() {
    on_every_version(|version| {
        let world = World::new(version);
        let statuses = ["completed", "completed", "paused", "succeeded"];
        world.on(Step::Follow, statuses.map(|status| reply(200).set_body_json(version.operation_body(status))));
        let ending = run(&mut world.copy()).expect(0, &[]);
        assert_eq!(
            ending.stderr.matches("warning: the service reports the unknown status").count(),
            1,
            "{}",
            ending.stderr
        );
    });
}

#[test]
fn the_deadline_hands_the_operation_over() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Follow, [reply(200).set_body_json(version.operation_body("running"))]);
        let url = world.operation_url();
        let texts = ["still under way when the time was up (status running)", &format!("operation: {url}")];
        let ending = run(world.copy().args(["--timeout", "1500ms", "--output", "json"])).expect(8, &texts);
        let json = ending.json();
        assert_eq!((&json["status"], &json["operation"]), (&json!("running"), &json!(url)));
        assert!(world.count(Step::Follow) > 3);
    });
}

#[test]
fn refused_credentials_while_polling_leave_the_operation_in_hand() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Follow, [error_reply(401, "401", "Access denied.")]);
        let url = format!("operation: {}", world.operation_url());
        let json = run(world.copy().args(["--output", "json"])).expect(4, &[&url, "FRCOPY_SOURCE_KEY"]).json();
        assert_eq!(json["status"], "running");
    });
}

#[test]
fn polls_that_fail_say_nothing_of_the_copy() {
    let moved = reply(302).insert_header("Location", "https://login.example/");
    let busy = error_reply(429, "429", "Too many.").insert_header("Retry-After", "0");
    // In pairs: the backoff of six failures in a row would take half a minute.
    let troubles = [
        [reply(500), error_reply(404, "NotFound", "Not yet.")],
        [busy, reply(200).set_body_string("<html>")],
        [moved, reply(200).set_body_json(json!({"status": 7}))],
    ];
    for version in VERSIONS {
        for pair in &troubles {
            let world = World::new(version);
            let succeeded = reply(200).set_body_json(version.operation_body("succeeded"));
            world.on(Step::Follow, pair.iter().cloned().chain([succeeded]));
            run(&mut world.copy()).expect(0, &[]);
            assert_eq!((world.count(Step::Start), world.count(Step::Follow)), (1, 3));
        }
    }
}

#[test]
fn a_429_does_not_use_up_the_authorization() {
    on_every_version(|version| {
        let world = World::new(version);
        let throttled = error_reply(429, "429", "Rate limit is exceeded.").insert_header("Retry-After", "1");
        let created = reply(200).set_body_raw(version.authorization(version.copy_id()), "application/json");
        world.on(Step::Authorize, [throttled.clone(), created]);
        world.on(Step::Start, [throttled, error_reply(503, "ServiceUnavailable", "Busy."), world.accepted()]);
        let began = Instant::now();
        run(&mut world.copy()).expect(0, &["sending again in 1 s"]);
        assert!(began.elapsed() >= Duration::from_secs(2));
        assert_eq!((world.count(Step::Authorize), world.count(Step::Start)), (2, 3));
        let bodies: Vec<_> = world.seen().into_iter().filter(|seen| seen.step == Some(Step::Start)).collect();
        assert!(bodies.iter().all(|seen| seen.body == bodies[0].body));
    });
}

#[test]
fn told_to_wait_past_the_deadline_it_says_how_long_and_does_not_wait() {
    on_every_version(|version| {
        for step in [Step::LookSource, Step::Authorize, Step::Start] {
            let world = World::new(version);
            world.on(step, [error_reply(429, "429", "Later.").insert_header("Retry-After", "7200")]);
            run(&mut world.copy()).expect(7, &["asks to wait 7200 s, which is past the deadline", "429: Later."]);
            assert_eq!(world.count(step), 1);
        }
    });
}

#[test]
fn a_retry_after_that_is_a_date_is_understood() {
    let world = World::new(V4_0);
    let past = error_reply(429, "429", "Later.").insert_header("Retry-After", "Mon, 23 Nov 2020 00:00:00 GMT");
    world.on(Step::Start, [past, world.accepted()]);
    run(&mut world.copy()).expect(0, &[]);
    let far = error_reply(429, "429", "Later.").insert_header("Retry-After", "Sat, 01 Jan 2999 00:00:00 GMT");
    let world = World::new(V4_0);
    world.on(Step::Start, [far]);
    run(&mut world.copy()).expect(7, &["which is past the deadline"]);
}

#[test]
fn a_used_up_volume_is_not_waited_for() {
    on_every_version(|version| {
        for status in [403, 429] {
            let world = World::new(version);
            let message = "Out of call volume quota for FormRecognizer F0 pricing tier.";
            world.on(Step::Authorize, [error_reply(status, "429", message).insert_header("Retry-After", "60")]);
            run(&mut world.copy()).expect(7, &[message, "pricing tier"]);
            assert_eq!(world.count(Step::Authorize), 1);
        }
    });
}

#[test]
fn a_read_without_an_answer_is_repeated_and_then_done_without() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::LookSource, [reply(500), reply(200).set_body_json(version.model_body(MODEL))]);
        run(&mut world.copy()).expect(0, &[]);
        assert_eq!(world.count(Step::LookSource), 2);

        let world = World::new(version);
        world.on(Step::LookSource, [reply(200).set_body_string("<html>")]);
        run(world.copy().arg("-v")).expect(0, &["continuing without an answer"]);
        assert_eq!((world.count(Step::LookSource), world.count(Step::Authorize)), (3, 1));
    });
}

#[test]
fn an_operation_on_another_host_is_not_followed_and_nothing_is_sent_there() {
    on_every_version(|version| {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        stranger.set_nonblocking(true).unwrap();
        let address = stranger.local_addr().unwrap();
        for location in
            [format!("http://{address}{}", version.operation()), format!("//{address}/x"), "/".into(), String::new()]
        {
            let world = World::new(version);
            world.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
            // Nobody can say what came of it: the lists and the target know nothing either.
            world.on(Step::List, [ResponseTemplate::new(404)]);
            world.on(Step::Verify, [ResponseTemplate::new(404)]);
            let texts = ["whether the copy was started is not known", version.copy_id(), "request id: req-202"];
            run(&mut world.copy()).expect(1, &texts);
            assert!(stranger.accept().is_err(), "something was sent to another host");
            assert_eq!((world.count(Step::Start), world.count(Step::GiveBack)), (1, 0));
        }
    });
}

#[test]
fn a_redirect_is_not_followed() {
    on_every_version(|version| {
        for step in [Step::Authorize, Step::Start] {
            let world = World::new(version);
            let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
            stranger.set_nonblocking(true).unwrap();
            let location = format!("http://{}/", stranger.local_addr().unwrap());
            world.on(step, [reply(307).insert_header("Location", location.as_str())]);
            run(&mut world.copy()).expect(5, &["redirects to", &location, "help: check the"]);
            assert!(stranger.accept().is_err(), "a redirect was followed");
        }
    });
}

#[test]
fn a_page_of_html_instead_of_an_authorization_is_described_and_not_shown() {
    on_every_version(|version| {
        let world = World::new(version);
        let page = "<html><head><title>Sign in</title></head></html>";
        world.on(Step::Authorize, [reply(200).set_body_raw(page, "text/html; charset=utf-8")]);
        let ending = run(&mut world.copy()).expect(1, &["text/html", "no proxy answers in its place"]);
        assert!(!ending.stderr.contains("Sign in"), "{}", ending.stderr);
        // An authorization that was perhaps given out is asked for again, and a start is not made without one.
        assert_eq!((world.count(Step::Authorize), world.count(Step::Start)), (3, 0));
    });
}

#[test]
fn an_authorization_for_what_is_no_model_id_is_not_used() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Authorize, [reply(200).set_body_raw(version.authorization("../x"), "application/json")]);
        run(&mut world.copy()).expect(1, &["something that is no model id"]);
        assert_eq!(world.count(Step::Start), 0);
    });
}

#[test]
fn an_answer_of_more_than_16_mib_is_not_read_to_its_end() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Authorize, [reply(200).set_body_bytes(vec![b' '; 17 << 20])]);
        run(&mut world.copy()).expect(1, &["more than 16 MiB"]);
        assert_eq!(world.count(Step::Start), 0);
    });
}

#[test]
fn a_copy_that_the_target_never_shows_is_neither_a_success_nor_a_failure() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Verify, [version.no_model()]);
        let json = run(world.copy().args(["--timeout", "2s", "--output", "json"]))
            .expect(8, &["the source says that the copy succeeded, but the target does not show", "operation: "])
            .json();
        assert_eq!(json["status"], "running");
    });
}

#[test]
fn a_last_look_without_an_answer_is_a_warning() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Verify, [reply(403)]);
        let ending = run(world.copy().args(["--output", "json"])).expect(0, &["warning: the copy succeeded"]);
        assert_eq!(ending.json()["verified"], false);
    });
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_so_within_the_deadline() {
    on_every_version(|version| {
        let world = World::new(version);
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoint = format!("http://{nobody}");
        let arguments = ["--source-endpoint", &endpoint, "--timeout", "1s"];
        run(world.copy().args(arguments))
            .expect(7, &[&endpoint, "cannot be reached", "cause: ", "help: check the source endpoint"]);
        assert_eq!(world.count(Step::Authorize), 0);
    });
}

#[test]
fn an_unknown_host_fails_at_once() {
    let world = World::new(V4_0);
    let began = Instant::now();
    let arguments = ["--source-endpoint", "https://frcopy.invalid"];
    run(world.copy().args(arguments)).expect(7, &["frcopy.invalid", "help: check the source endpoint"]);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_proxy_is_never_handed_a_request_to_this_machine() {
    let world = World::new(V4_0);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    run(world.copy().env("HTTP_PROXY", &address).env("http_proxy", &address).env("ALL_PROXY", &address)).expect(0, &[]);
    assert!(proxy.accept().is_err(), "the proxy was asked");
}

#[test]
fn a_closed_stdout_does_not_change_the_exit_code() {
    let world = World::new(V4_0);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let command = world.copy();
    let mut child = std::process::Command::new(command.get_program());
    child.args(command.get_args()).env_clear().stdout(writer).stderr(std::process::Stdio::null());
    for (name, value) in command.get_envs() {
        child.env(name, value.unwrap());
    }
    assert_eq!(child.status().unwrap().code(), Some(0));
}

#[test]
fn without_any_settings_the_first_missing_one_is_named_with_where_to_find_it() {
    run(frcopy().args(["copy", MODEL, "--target-resource-id", RESOURCE_ID]))
        .expect(2, &["error: the source endpoint is missing", "help: set FRCOPY_SOURCE_ENDPOINT"]);
}

#[test]
fn a_stderr_that_nobody_reads_does_not_end_a_copy() {
    for verbosity in ["-q", "-v", "-vv"] {
        let world = World::new(V4_0);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let command = world.copy();
        let mut child = std::process::Command::new(command.get_program());
        child.args(command.get_args()).arg(verbosity).env_clear().stderr(writer);
        for (name, value) in command.get_envs() {
            child.env(name, value.unwrap());
        }
        let output = child.output().unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(0), format!("{MODEL}\n").into_bytes()));
    }
}

#[test]
fn an_endless_retry_after_hands_the_operation_over_and_is_named() {
    on_every_version(|version| {
        let world = World::new(version);
        let endless = error_reply(429, "429", "Later.").insert_header("Retry-After", "9223372036854775807");
        world.on(Step::Follow, [endless]);
        let url = format!("operation: {}", world.operation_url());
        let texts = ["cannot be followed any longer", "asks to wait 2592000 s", "help: follow the operation", &url];
        run(&mut world.copy()).expect(8, &texts);
    });
}

#[test]
fn a_used_up_volume_while_polling_hands_the_operation_over() {
    on_every_version(|version| {
        let world = World::new(version);
        let used_up = error_reply(403, "403", "Out of call volume quota for FormRecognizer F0 pricing tier.");
        world.on(Step::Follow, [used_up.insert_header("Retry-After", "259200")]);
        run(&mut world.copy()).expect(8, &["asks to wait 259200 s", "operation: "]);
        assert_eq!(world.count(Step::Follow), 1);
    });
}

#[test]
fn nothing_is_authorized_or_started_when_the_time_is_up() {
    on_every_version(|version| {
        let slow = |answer: ResponseTemplate| answer.set_delay(Duration::from_millis(1500));
        let world = World::new(version);
        world.on(Step::LookSource, [slow(reply(200).set_body_json(version.model_body(MODEL)))]);
        run(world.copy().args(["--timeout", "200ms"])).expect(7, &["the time was up before the copy was started"]);
        assert_eq!(world.count(Step::Authorize), 0);

        let world = World::new(version);
        let authorization = version.authorization(version.copy_id());
        world.on(Step::Authorize, [slow(reply(200).set_body_raw(authorization, "application/json"))]);
        world.on(Step::LookTarget, [version.no_model()]);
        let texts = ["the time was up before the copy was started", "released: the target has deleted"];
        run(world.copy().args(["--timeout", "1s"])).expect(7, &texts);
        assert_eq!((world.count(Step::Start), world.count(Step::GiveBack)), (0, 1));
    });
}

#[test]
fn help_for_a_failed_operation_names_the_side() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Follow, [reply(200).set_body_json(version.failed_body("ModelNotFound", "Gone."))]);
        run(&mut world.copy()).expect(3, &["help: check the model id, that the source endpoint is"]);
    });
}

#[test]
fn a_retired_version_is_not_called_a_missing_model() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::LookSource, [error_reply(410, "Gone", "This API is retired.")]);
        run(&mut world.copy())
            .expect(5, &["the source refused to show", "Gone: This API is retired.", "newer --api-version"]);
        assert_eq!(world.count(Step::Authorize), 0);
    });
}

#[test]
fn an_authorization_for_another_id_than_asked_is_not_used() {
    for version in VERSIONS.into_iter().filter(|version| !version.is_v2_1()) {
        let world = World::new(version);
        world.on(Step::Authorize, [reply(200).set_body_raw(version.authorization("another-id"), "application/json")]);
        run(&mut world.copy()).expect(1, &["an authorization for another-id instead of"]);
        assert_eq!(world.count(Step::Start), 0);
    }
}

#[test]
fn a_copy_that_the_target_calls_invalid_has_failed_and_a_status_that_nobody_knows_is_no_verdict() {
    for (status, exit, what) in [("invalid", 3, "says that the copy"), ("deleting", 8, "is deleting on the target")] {
        let world = World::new(V2_1);
        let mut model = V2_1.model_body(V2_1.copy_id());
        model["modelInfo"]["status"] = json!(status);
        world.on(Step::Verify, [reply(200).set_body_json(model)]);
        run(world.copy().args(["--timeout", "2s"])).expect(exit, &[what, "request id: req-200"]);
    }
}

#[test]
fn a_firewall_and_keys_that_are_switched_off_are_told_from_a_wrong_key() {
    on_every_version(|version| {
        for (status, code, message, remedy) in [
            (
                403,
                "403",
                "Access denied due to Virtual Network/Firewall rules.",
                "in the network rules of the source resource",
            ),
            (403, "AuthenticationTypeDisabled", "Key based authentication is disabled.", "use --source-auth entra"),
            (401, "401", "Access denied due to invalid subscription key.", "check that FRCOPY_SOURCE_KEY is a key of"),
        ] {
            let world = World::new(version);
            world.on(Step::LookSource, [error_reply(status, code, message)]);
            run(&mut world.copy()).expect(4, &[message, remedy, "request id: req-"]);
            assert_eq!(world.count(Step::Authorize), 0);
        }
    });
}
