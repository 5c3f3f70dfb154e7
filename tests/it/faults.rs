//! Errors: verdict, exit code, number of requests, and the printed cause and help.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{
    Authorization, DOCUMENT_VERSIONS, MODEL, Model, Operation, RESOURCE_ID, ScriptedService, Step, UnusedHost, V2_1,
    V4_0, VERSIONS, error_reply, frcopy, on_each, on_every_version, reply, run, std_command,
};

/// Refusals: status, code and exit code.
const REFUSALS: [(u16, &str, i32); 6] = [
    (400, "InvalidRequest", 3),
    (401, "401", 4),
    (403, "403", 4),
    (404, "404", 5),
    (409, "Conflict", 6),
    (410, "Gone", 5),
];

#[test]
fn a_refusal_has_its_exit_code_and_is_not_retried() {
    on_every_version(|version| {
        for step in [Step::Authorize, Step::Start] {
            for (status, code, exit) in REFUSALS {
                // A conflict at the start may be about the copy itself, which is looked for.
                if step == Step::Start && status == 409 {
                    continue;
                }
                let service = ScriptedService::new(version);
                service.on(Step::Verify, [Model::not_found(version)]);
                service.on(step, [error_reply(status, code, "The service's own words.")]);
                let texts = [
                    &format!("cause: {code}: The service's own words."),
                    "help: ",
                    &format!("request id: req-{status}"),
                ];
                let output = run(&mut service.copy()).expect(exit, &texts.map(AsRef::<str>::as_ref));
                assert_eq!(output.stdout, "");
                assert_eq!(service.count(step), 1);
                assert_eq!(service.count(Step::Poll), 0);
            }
        }
    });
}

#[test]
fn a_wrong_source_key_or_model_id_stops_before_an_id_is_reserved() {
    on_every_version(|version| {
        for (answer, exit, what) in [
            (error_reply(401, "401", "Access denied."), 4, "the source refused to show model"),
            (Model::not_found(version), 5, "the source has no model"),
        ] {
            let service = ScriptedService::new(version);
            service.on(Step::GetSource, [answer]);
            run(&mut service.copy()).expect(exit, &[what, "help: ", "request id: "]);
            assert_eq!(service.count(Step::Authorize), 0);
        }
    });
}

#[test]
fn a_v2_1_model_that_is_not_ready_is_not_copied() {
    for (status, text) in [("creating", "still being created"), ("invalid", "its status is invalid")] {
        let service = ScriptedService::new(V2_1);
        service.on(Step::GetSource, [Model::example(V2_1).status(status).answer()]);
        run(&mut service.copy()).expect(3, &[text, "help: "]);
        assert_eq!(service.count(Step::Authorize), 0);
    }
}

#[test]
fn an_existing_target_id_and_a_reserved_one_are_distinguished() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::GetTarget, [Model::example(version).answer()]);
        run(&mut service.copy()).expect(6, &["the target already has a model", "--target-model-id"]);
        assert_eq!(service.count(Step::Authorize), 0);

        let service = ScriptedService::new(version);
        let exists = json!({"error": {"code": "Conflict", "message": "Conflict.",
            "innererror": {"code": "ModelExists", "message": "A model with the provided name already exists."}}});
        service.on(Step::Authorize, [reply(409).set_body_json(exists)]);
        run(&mut service.copy()).expect(6, &["is reserved by an authorization that was not used", "ModelExists"]);
        assert_eq!((service.count(Step::Authorize), service.count(Step::Start)), (1, 0));
    });
}

#[test]
fn a_failed_copy_shows_the_innermost_error_the_remedy_and_the_request_id() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let failed = Operation::failed(version, "AuthorizationFailed", "Cannot copy encrypted content.").answer();
        service.on(Step::Poll, [Operation::with_status(version, "running").answer(), failed]);
        let texts = [
            "error: the copy failed",
            "cause: AuthorizationFailed: Cannot copy encrypted content.",
            "help: run the command again for a fresh authorization",
            "request id: req-200",
        ];
        let output = run(service.copy().args(["--output", "json"])).expect(3, &texts);
        let json = output.json();
        assert_eq!(json["status"], "failed");
        let error = json!({"kind": "failed", "code": "AuthorizationFailed", "message": "Cannot copy encrypted content.",
            "remedy": json["error"]["remedy"], "requestId": "req-200"});
        assert_eq!(json["error"], error);
        assert_eq!((&json["operation"], &json["verified"]), (&json!(service.operation_url()), &json!(false)));
    });
}

#[test]
fn code_2024_gets_the_remedy_for_a_wrong_resource_id_or_region() {
    let service = ScriptedService::new(V2_1);
    let failed = Operation::failed(V2_1, "2024", "Could not retrieve authorization metadata.");
    service.on(Step::Poll, [failed.answer()]);
    run(&mut service.copy())
        .expect(3, &["2024: Could not", "help: set --target-resource-id and --target-region to those of the target"]);
}

#[test]
fn an_unknown_error_code_is_shown_with_control_characters_removed() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [Operation::failed(version, "7777", "Something\u{1b}[2J\nnew.").answer()]);
        run(&mut service.copy()).expect(3, &["cause: 7777: Something [2J new.", "help: "]);
    });
}

#[test]
fn canceled_and_skipped_are_distinct_verdicts() {
    on_every_version(|version| {
        for status in ["canceled", "skipped"] {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [Operation::with_status(version, status).answer()]);
            let json = run(service.copy().args(["--output", "json"])).expect(3, &[status]).json();
            assert_eq!((&json["status"], &json["error"]["kind"]), (&json!(status), &json!(status)));
        }
    });
}

#[test]
fn an_unknown_status_gets_one_warning_and_is_not_a_verdict() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let statuses = ["completed", "completed", "paused", "succeeded"];
        service.on(Step::Poll, statuses.map(|status| Operation::with_status(version, status).answer()));
        let output = run(&mut service.copy()).expect(0, &[]);
        assert_eq!(
            output.stderr.matches("warning: the service reports the unknown status").count(),
            1,
            "{}",
            output.stderr
        );
    });
}

#[test]
fn at_the_deadline_the_operation_url_is_printed() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [Operation::with_status(version, "running").answer()]);
        let url = service.operation_url();
        let texts = ["still running when the deadline passed (status running)", &format!("operation: {url}")];
        let output = run(service.copy().args(["--timeout", "4s", "--output", "json"])).expect(8, &texts);
        let json = output.json();
        assert_eq!((&json["status"], &json["operation"]), (&json!("running"), &json!(url)));
        assert!(service.count(Step::Poll) > 3);
    });
}

#[test]
fn refused_credentials_while_polling_print_the_operation_url() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [error_reply(401, "401", "Access denied.")]);
        let url = format!("operation: {}", service.operation_url());
        let json = run(service.copy().args(["--output", "json"])).expect(4, &[&url, "FRCOPY_SOURCE_KEY"]).json();
        assert_eq!(json["status"], "running");
    });
}

#[test]
fn a_failed_poll_is_not_a_verdict() {
    let moved = reply(302).insert_header("Location", "https://login.example/");
    let busy = error_reply(429, "429", "Too many.").insert_header("Retry-After", "0");
    // Two failures per run: the backoff of six in a row would take half a minute.
    let troubles = [
        [reply(500), error_reply(404, "NotFound", "Not yet.")],
        [busy, reply(200).set_body_string("<html>")],
        [moved, reply(200).set_body_json(json!({"status": 7}))],
    ];
    for version in VERSIONS {
        for pair in &troubles {
            let service = ScriptedService::new(version);
            let succeeded = Operation::with_status(version, "succeeded").answer();
            service.on(Step::Poll, pair.iter().cloned().chain([succeeded]));
            run(&mut service.copy()).expect(0, &[]);
            assert_eq!((service.count(Step::Start), service.count(Step::Poll)), (1, 3));
        }
    }
}

#[test]
fn a_429_is_retried_with_the_same_authorization() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let throttled = error_reply(429, "429", "Rate limit is exceeded.").insert_header("Retry-After", "1");
        let created = Authorization::answer(version, version.copy_id());
        service.on(Step::Authorize, [throttled.clone(), created]);
        service.on(Step::Start, [throttled.clone(), throttled, service.accepted()]);
        let began = Instant::now();
        run(&mut service.copy()).expect(0, &["sending again in 1 s"]);
        assert!(began.elapsed() >= Duration::from_secs(2));
        assert_eq!((service.count(Step::Authorize), service.count(Step::Start)), (2, 3));
        let bodies: Vec<_> = service.seen().into_iter().filter(|seen| seen.step == Some(Step::Start)).collect();
        assert!(bodies.iter().all(|seen| seen.body == bodies[0].body));
    });
}

#[test]
fn a_poll_is_repeated_when_the_service_asks_for_it_and_not_later() {
    on_every_version(|version| {
        let throttled = error_reply(429, "429", "Rate limit is exceeded.").insert_header("Retry-After", "1");
        let service = ScriptedService::new(version);
        let succeeded = Operation::with_status(version, "succeeded").answer();
        service.on(Step::Poll, std::iter::repeat_n(throttled, 5).chain([succeeded]));
        // With a growing backoff, the sixth poll would be sent after half a minute.
        run(service.copy().args(["--timeout", "12s"])).expect(0, &[]);
    });
}

#[test]
fn a_retry_after_beyond_the_deadline_is_not_waited_for() {
    on_every_version(|version| {
        for step in [Step::GetSource, Step::Authorize, Step::Start] {
            let service = ScriptedService::new(version);
            service.on(step, [error_reply(429, "429", "Later.").insert_header("Retry-After", "7200")]);
            run(&mut service.copy()).expect(7, &["asks to wait 7200 s, which is past the deadline", "429: Later."]);
            assert_eq!(service.count(step), 1);
        }
    });
}

#[test]
fn a_retry_after_can_be_a_date() {
    let service = ScriptedService::new(V4_0);
    let past = error_reply(429, "429", "Later.").insert_header("Retry-After", "Mon, 23 Nov 2020 00:00:00 GMT");
    service.on(Step::Start, [past, service.accepted()]);
    run(&mut service.copy()).expect(0, &[]);
    let far = error_reply(429, "429", "Later.").insert_header("Retry-After", "Sat, 01 Jan 2999 00:00:00 GMT");
    let service = ScriptedService::new(V4_0);
    service.on(Step::Start, [far]);
    run(&mut service.copy()).expect(7, &["which is past the deadline"]);
}

#[test]
fn an_exhausted_call_volume_is_not_waited_for() {
    on_every_version(|version| {
        for status in [403, 429] {
            let service = ScriptedService::new(version);
            let message = "Out of call volume quota for FormRecognizer F0 pricing tier.";
            service.on(Step::Authorize, [error_reply(status, "429", message).insert_header("Retry-After", "60")]);
            run(&mut service.copy()).expect(7, &[message, "pricing tier"]);
            assert_eq!(service.count(Step::Authorize), 1);
        }
    });
}

#[test]
fn a_read_without_an_answer_is_retried_and_then_skipped() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::GetSource, [reply(500), Model::example(version).answer()]);
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!(service.count(Step::GetSource), 2);

        let service = ScriptedService::new(version);
        service.on(Step::GetSource, [reply(200).set_body_string("<html>")]);
        run(service.copy().arg("-v")).expect(0, &["continuing without an answer"]);
        assert_eq!((service.count(Step::GetSource), service.count(Step::Authorize)), (3, 1));
    });
}

#[test]
fn an_operation_url_on_another_host_is_not_polled() {
    on_every_version(|version| {
        let unused_host = UnusedHost::new();
        let address = unused_host.address();
        for location in
            [format!("http://{address}{}", version.operation()), format!("//{address}/x"), "/".into(), String::new()]
        {
            let service = ScriptedService::new(version);
            service.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
            // The outcome is unknown: the list of operations and the target do not show the copy.
            service.on(Step::ListOperations, [ResponseTemplate::new(404)]);
            service.on(Step::Verify, [ResponseTemplate::new(404)]);
            let texts =
                ["the start request got no answer; the copy may be running", version.copy_id(), "request id: req-202"];
            run(service.copy().args(["--timeout", "4s"])).expect(8, &texts);
            assert!(unused_host.got_no_connection(), "something was sent to another host");
            assert_eq!((service.count(Step::Poll), service.count(Step::Release)), (0, 0));
        }
    });
}

#[test]
fn a_redirect_is_not_followed() {
    on_every_version(|version| {
        for step in [Step::Authorize, Step::Start] {
            let service = ScriptedService::new(version);
            let unused_host = UnusedHost::new();
            let location = unused_host.url();
            service.on(step, [reply(307).insert_header("Location", location.as_str())]);
            run(&mut service.copy()).expect(5, &["redirects to", &location, "help: check the"]);
            assert!(unused_host.got_no_connection(), "a redirect was followed");
        }
    });
}

#[test]
fn an_html_answer_to_authorize_is_described_and_not_printed() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let page = "<html><head><title>Sign in</title></head></html>";
        service.on(Step::Authorize, [reply(200).set_body_raw(page, "text/html; charset=utf-8")]);
        let output = run(&mut service.copy()).expect(1, &["text/html", "no proxy answers instead of it"]);
        assert!(!output.stderr.contains("Sign in"), "{}", output.stderr);
        // The authorization may have been issued. In v2.1 each repetition would leave one more blank model.
        let authorizations = if version.is_v2_1() { 1 } else { 3 };
        assert_eq!((service.count(Step::Authorize), service.count(Step::Start)), (authorizations, 0));
    });
}

#[test]
fn an_authorization_with_an_invalid_model_id_is_not_used() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [Authorization::answer(version, "../x")]);
        run(&mut service.copy()).expect(1, &["whose model id is not valid"]);
        assert_eq!(service.count(Step::Start), 0);
    });
}

#[test]
fn an_answer_of_more_than_16_mib_is_not_read() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [reply(200).set_body_bytes(vec![b' '; 17 << 20])]);
        run(&mut service.copy()).expect(1, &["larger than 16 MiB"]);
        assert_eq!(service.count(Step::Start), 0);
    });
}

#[test]
fn a_copy_that_never_appears_on_the_target_has_no_verdict() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Verify, [Model::not_found(version)]);
        let json = run(service.copy().args(["--timeout", "4s", "--output", "json"]))
            .expect(8, &["the source says that the copy succeeded, but the target does not show", "operation: "])
            .json();
        assert_eq!(json["status"], "running");
    });
}

#[test]
fn a_verification_without_an_answer_is_a_warning() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Verify, [reply(403)]);
        let output = run(service.copy().args(["--output", "json"])).expect(0, &["warning: the copy succeeded"]);
        assert_eq!(output.json()["verified"], false);
    });
}

#[test]
fn a_verification_is_repeated_while_the_target_answers_with_errors_that_may_pass() {
    on_every_version(|version| {
        on_each([408, 429, 500, 502, 503, 504], |status| {
            let service = ScriptedService::new(version);
            let ready = Model::copy_of_example(version).answer();
            service.on(Step::Verify, std::iter::repeat_n(reply(status), 4).chain([ready]));
            let output = run(service.copy().args(["--output", "json"])).expect(0, &[]);
            assert_eq!(output.json()["verified"], true, "{status} {output:#?}");
        });
    });
}

#[test]
fn a_verification_that_gets_no_answer_for_ten_seconds_is_a_warning() {
    on_every_version(|version| {
        on_each([(None, 0), (Some(Model::reserved(version)), 8)], |(last_said, code)| {
            let service = ScriptedService::new(version);
            service.on(Step::Verify, last_said.into_iter().chain([reply(500)]));
            let began = Instant::now();
            let output = run(service.copy().args(["--output", "json"])).expect(code, &["the copy succeeded"]);
            assert_eq!(output.json()["verified"], false, "{output:#?}");
            let took = began.elapsed().as_secs_f64();
            assert!((8.0..13.0).contains(&took), "{took} {output:#?}");
        });
    });
}

#[test]
fn an_unreachable_server_is_reported_within_the_deadline() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoint = format!("http://{address}");
        let arguments = ["--source-endpoint", &endpoint, "--timeout", "1s"];
        run(service.copy().args(arguments))
            .expect(7, &[&endpoint, "cannot be reached", "cause: ", "help: check the source endpoint"]);
        assert_eq!(service.count(Step::Authorize), 0);
    });
}

#[test]
fn an_unknown_host_fails_at_once() {
    let service = ScriptedService::new(V4_0);
    let began = Instant::now();
    let arguments = ["--source-endpoint", "https://frcopy.invalid"];
    run(service.copy().args(arguments)).expect(7, &["frcopy.invalid", "help: check the source endpoint"]);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_request_to_loopback_never_uses_a_proxy() {
    let service = ScriptedService::new(V4_0);
    let proxy = UnusedHost::new();
    let address = proxy.url();
    run(service.copy().env("HTTP_PROXY", &address).env("http_proxy", &address).env("ALL_PROXY", &address))
        .expect(0, &[]);
    assert!(proxy.got_no_connection(), "the proxy got a request");
}

#[test]
fn a_closed_stdout_does_not_change_the_exit_code() {
    let service = ScriptedService::new(V4_0);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = std_command(&service.copy());
    child.stdout(writer).stderr(std::process::Stdio::null());
    assert_eq!(child.status().unwrap().code(), Some(0));
}

#[test]
fn without_settings_the_first_missing_one_is_named() {
    run(frcopy().args(["copy", MODEL, "--target-resource-id", RESOURCE_ID]))
        .expect(2, &["error: the source endpoint is missing", "help: set FRCOPY_SOURCE_ENDPOINT"]);
}

#[test]
fn a_closed_stderr_does_not_end_a_copy() {
    for verbosity in ["-q", "-v", "-vv"] {
        let service = ScriptedService::new(V4_0);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = std_command(service.copy().arg(verbosity));
        child.stderr(writer);
        let output = child.output().unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(0), format!("{MODEL}\n").into_bytes()));
    }
}

#[test]
fn an_endless_retry_after_while_polling_prints_the_operation_url() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let endless = error_reply(429, "429", "Later.").insert_header("Retry-After", "9223372036854775807");
        service.on(Step::Poll, [endless]);
        let url = format!("operation: {}", service.operation_url());
        let texts = ["cannot be polled any longer", "asks to wait 2592000 s", "help: poll the operation", &url];
        run(&mut service.copy()).expect(8, &texts);
    });
}

#[test]
fn an_exhausted_call_volume_while_polling_prints_the_operation_url() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let used_up = error_reply(403, "403", "Out of call volume quota for FormRecognizer F0 pricing tier.");
        service.on(Step::Poll, [used_up.insert_header("Retry-After", "259200")]);
        run(&mut service.copy()).expect(8, &["asks to wait 259200 s", "operation: "]);
        assert_eq!(service.count(Step::Poll), 1);
    });
}

#[test]
fn after_the_deadline_nothing_is_authorized_or_started() {
    on_every_version(|version| {
        let slow = |answer: ResponseTemplate, seconds| answer.set_delay(Duration::from_secs(seconds));
        let service = ScriptedService::new(version);
        service.on(Step::GetSource, [slow(Model::example(version).answer(), 4)]);
        run(service.copy().args(["--timeout", "2s"])).expect(7, &["the deadline passed before the copy was started"]);
        assert_eq!(service.count(Step::Authorize), 0);

        let service = ScriptedService::new(version);
        // It comes within a second after the deadline: later answers are not waited for.
        service.on(Step::Authorize, [slow(Authorization::answer(version, version.copy_id()), 3)]);
        service.on(Step::GetTarget, [Model::not_found(version)]);
        let texts = ["the deadline passed before the copy was started", "released: the target has deleted"];
        run(service.copy().args(["--timeout", "3s"])).expect(7, &texts);
        assert_eq!((service.count(Step::Start), service.count(Step::Release)), (0, 1));
    });
}

#[test]
fn the_remedy_of_a_failed_operation_names_the_side() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [Operation::failed(version, "ModelNotFound", "Gone.").answer()]);
        run(&mut service.copy()).expect(3, &["help: check the model id, that the source endpoint http"]);
    });
}

#[test]
fn a_retired_version_is_not_reported_as_a_missing_model() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::GetSource, [error_reply(410, "Gone", "This API is retired.")]);
        run(&mut service.copy())
            .expect(5, &["the source refused to show", "Gone: This API is retired.", "newer --api-version"]);
        assert_eq!(service.count(Step::Authorize), 0);
    });
}

#[test]
fn an_authorization_for_another_id_is_not_used() {
    for version in DOCUMENT_VERSIONS {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [Authorization::answer(version, "another-id")]);
        run(&mut service.copy()).expect(1, &["an authorization for another-id instead of"]);
        assert_eq!(service.count(Step::Start), 0);
    }
}

#[test]
fn an_invalid_copy_has_failed_and_an_unknown_model_status_is_not_a_verdict() {
    for (status, exit, what) in [("invalid", 3, "says that the copy"), ("deleting", 8, "is deleting on the target")] {
        let service = ScriptedService::new(V2_1);
        service.on(Step::Verify, [Model::copy_of_example(V2_1).status(status).answer()]);
        run(service.copy().args(["--timeout", "2s"])).expect(exit, &[what, "request id: req-200"]);
    }
}

#[test]
fn a_firewall_disabled_keys_and_a_wrong_key_have_different_remedies() {
    on_every_version(|version| {
        for (status, code, message, remedy) in [
            (
                403,
                "403",
                "Access denied due to Virtual Network/Firewall rules.",
                "in the network rules of the source endpoint http",
            ),
            (403, "AuthenticationTypeDisabled", "Key based authentication is disabled.", "use --source-auth entra"),
            (
                401,
                "401",
                "Access denied due to invalid subscription key.",
                "check that the source key from FRCOPY_SOURCE_KEY is a key of",
            ),
        ] {
            let service = ScriptedService::new(version);
            service.on(Step::GetSource, [error_reply(status, code, message)]);
            run(&mut service.copy()).expect(4, &[message, remedy, "request id: req-"]);
            assert_eq!(service.count(Step::Authorize), 0);
        }
    });
}
