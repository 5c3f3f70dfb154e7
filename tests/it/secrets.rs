//! Keys and access tokens: where they are sent, and that no output contains them at any verbosity.

use std::io::Write;

use serde_json::json;

use crate::support::{
    ACCESS_TOKEN, CommandOutput, DOCUMENT_VERSIONS, MODEL, Model, Operation, SOURCE_KEY, ScriptedService, Step,
    TARGET_KEY, V4_0, VERSIONS, Version, error_reply, frcopy, frcopy_between, on_each, on_every_version, reply, run,
};

/// `run` checks every output for secrets. Here the service echoes them in its answers.
#[test]
fn secrets_that_the_service_echoes_are_not_printed() {
    const STEPS: [Step; 6] = [Step::GetSource, Step::GetTarget, Step::Authorize, Step::Start, Step::Poll, Step::Verify];
    on_every_version(|version| {
        std::thread::scope(|scope| {
            for step in STEPS {
                scope.spawn(move || repeat_secrets(version, step));
            }
        });
    });
}

fn repeat_secrets(version: Version, step: Step) {
    // Each side has its own key and, after the authorization, the access token.
    let key = if matches!(step, Step::GetTarget | Step::Authorize | Step::Verify) { TARGET_KEY } else { SOURCE_KEY };
    let token = if matches!(step, Step::Start | Step::Poll | Step::Verify) { ACCESS_TOKEN } else { "" };
    let known = format!("{key} {token}");
    let escaped = format!("\\u00{:x}{}", key.as_bytes()[0], &key[1..]);
    let url = format!("https://evil.example/?k={key}&t={token}");
    for answer in [
        error_reply(400, "1002", &known),
        error_reply(401, &known, "no"),
        error_reply(400, "1", "2").insert_header("apim-request-id", known.as_str()),
        reply(400)
            .set_body_raw(format!(r#"{{"error":{{"code":"{escaped}","message":"{escaped}"}}}}"#), "application/json"),
        reply(302).insert_header("Location", url.as_str()),
        reply(202).insert_header("Operation-Location", url.as_str()),
        reply(200).set_body_raw(format!("<html>{known}</html>"), format!("text/{key}").as_str()),
        reply(200).set_body_json(json!({"status": "failed", "error": {"code": known, "message": known}})),
        reply(200).set_body_json(
            json!({"status": known, "modelInfo": {"status": known}, "modelId": known, "apiVersion": known}),
        ),
    ] {
        // A deadline of 1.2 s is enough for most answers. On a slow machine it may pass before the step is reached.
        let is_echoed = ["1200ms", "10s", "50s"].into_iter().any(|timeout| {
            let service = ScriptedService::new(version);
            service.on(step, [answer.clone()]);
            run(service.copy().args(["-vv", "--timeout", timeout]));
            service.count(step) > 0 || (step == Step::GetTarget && version.is_v2_1())
        });
        assert!(is_echoed, "{version:?} {step:?}");
    }
}

#[test]
fn a_secret_in_the_operation_location_is_sent_and_not_printed() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let separator = if version.is_v2_1() { '?' } else { '&' };
        let location = format!("{}{separator}t={ACCESS_TOKEN}", service.operation_url());
        service.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
        let output = run(service.copy().args(["-vv", "--timeout", "4s"])).expect(8, &["t=***"]);
        let path = location.trim_start_matches(&service.source.uri());
        assert!(service.seen().iter().any(|seen| seen.line == format!("GET {path}")), "{output:#?}");
    });
}

#[test]
fn at_the_highest_verbosity_a_success_prints_no_secret() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        run(service.copy().args(["-vv", "--output", "json"])).expect(0, &[]);
    });
}

#[test]
fn every_combination_of_verbosity_and_failure_prints_no_secret() {
    on_every_version(|version| {
        for step in [Step::GetSource, Step::GetTarget, Step::Authorize, Step::Start, Step::Poll, Step::Verify] {
            for status in [400, 401, 403, 404, 409, 429, 500] {
                let service = ScriptedService::new(version);
                service.on(step, [error_reply(status, "Code", "Words.").insert_header("Retry-After", "60")]);
                run(service.copy().args(["-vv", "--timeout", "200ms", "--output", "json"]));
            }
        }
    });
}

#[test]
fn a_key_is_read_from_a_file_without_its_last_newline() {
    for (text, key) in [
        (format!("{SOURCE_KEY}\n"), SOURCE_KEY),
        (format!("{SOURCE_KEY}\r\n"), SOURCE_KEY),
        (SOURCE_KEY.to_owned(), SOURCE_KEY),
    ] {
        let service = ScriptedService::new(VERSIONS[3]);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        // The flag overrides the environment, which has another key.
        run(service.copy().env("FRCOPY_SOURCE_KEY", TARGET_KEY).arg("--source-key-file").arg(file.path()))
            .expect(0, &[]);
        assert_eq!(service.only(Step::Start).headers["ocp-apim-subscription-key"], key);
    }
}

#[test]
fn a_key_is_read_from_stdin() {
    let service = ScriptedService::new(VERSIONS[3]);
    let mut command = service.copy();
    command.env_remove("FRCOPY_TARGET_KEY").args(["--target-key-file", "-"]).write_stdin(format!("{TARGET_KEY}\n"));
    run(&mut command).expect(0, &[]);
    assert_eq!(service.only(Step::Authorize).headers["ocp-apim-subscription-key"], TARGET_KEY);
}

#[test]
fn a_key_on_the_command_line_beats_the_environment() {
    let service = ScriptedService::new(VERSIONS[3]);
    run(service.copy().env("FRCOPY_SOURCE_KEY", "wrong").args(["--source-key", SOURCE_KEY])).expect(0, &[]);
    assert_eq!(service.only(Step::Start).headers["ocp-apim-subscription-key"], SOURCE_KEY);
}

#[test]
fn a_key_in_the_wrong_argument_is_not_printed() {
    let tag = format!("{SOURCE_KEY}=1");
    for arguments in [
        vec!["copy", MODEL, "--source-endpoint", SOURCE_KEY],
        vec!["copy", MODEL, SOURCE_KEY],
        vec!["copy", MODEL, "--soruce-key", SOURCE_KEY],
        vec!["copy", MODEL, "--source-key", SOURCE_KEY, "--source-key-file", "x"],
        vec!["copy", MODEL, "--output", SOURCE_KEY],
        vec!["copy", MODEL, "--target-region", SOURCE_KEY],
        vec!["copy", MODEL, "--timeout", SOURCE_KEY],
        vec!["copy", MODEL, "--tag", SOURCE_KEY],
        vec!["copy", MODEL, "--tag", &tag, "--tag", &tag],
        vec!["copy", MODEL, "--source-key-file", SOURCE_KEY],
    ] {
        let output = run(frcopy().env("FRCOPY_SOURCE_ENDPOINT", "https://a.example").args(&arguments));
        assert_eq!(output.code, 2, "{arguments:?}");
    }
}

#[test]
fn help_prints_no_key_of_the_environment() {
    for arguments in [&["copy", "--help"][..], &["--help"], &["copy", "-h"]] {
        run(frcopy().env("FRCOPY_SOURCE_KEY", SOURCE_KEY).env("FRCOPY_TARGET_KEY", TARGET_KEY).args(arguments))
            .expect(0, &[]);
    }
}

#[test]
fn an_id_or_a_location_that_repeats_a_key_is_not_printed() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let cases = [(Step::GetSource, SOURCE_KEY), (Step::GetTarget, TARGET_KEY), (Step::Verify, TARGET_KEY)];
        on_each(cases, |(step, key)| {
            let service = ScriptedService::new(version);
            let model = json!({"modelId": key, "createdDateTime": "2026-11-22T10:00:00Z", "docTypes": {}});
            service.on(step, [reply(200).set_body_json(model)]);
            run(service.copy().args(["-vv", "--timeout", "3s"]));
        });
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [Operation::with_status(version, "succeeded").on_target(SOURCE_KEY).answer()]);
        service.on(Step::Verify, [Model::reserved(version)]);
        run(service.copy().args(["-vv", "--timeout", "10s"])).expect(8, &["the operation names another target"]);
        let service = ScriptedService::new(version);
        let mut item = Operation::list_item(version, "2999-01-01T00:00:00Z");
        item["operationId"] = json!(SOURCE_KEY);
        service.on(Step::Start, [reply(500)]);
        service.on(Step::ListOperations, [Operation::list([item])]);
        run(service.copy().args(["-vv", "--timeout", "3s"]));
    });
}

/// Both keys, as each of the two resources may repeat them.
fn repeated_keys() -> Vec<String> {
    let encoded = |key: &str| format!("%{:02X}{}", key.as_bytes()[0], &key[1..]);
    [SOURCE_KEY, TARGET_KEY].into_iter().flat_map(|key| [key.to_owned(), key.to_uppercase(), encoded(key)]).collect()
}

fn assert_contains_no_key(output: &CommandOutput) {
    let shown = format!("{}{}", output.stdout, output.stderr).to_lowercase();
    for key in [SOURCE_KEY, TARGET_KEY] {
        assert!(!shown.contains(&key[1..]), "{output:#?}");
    }
}

#[test]
fn a_key_in_a_model_of_either_resource_is_not_printed() {
    on_each(repeated_keys(), |key| {
        for step in [Step::GetSource, Step::GetTarget] {
            let service = ScriptedService::new(V4_0);
            let model = |key: &str| {
                let kind = json!({"buildMode": format!("template {key}"), "fieldSchema": {}});
                Model::example(V4_0).with("docTypes", json!({key: kind, "other": kind})).with("description", key)
            };
            service.on(Step::GetSource, [model("x").answer()]);
            service.on(Step::GetTarget, [model("y").answer()]);
            service.on(step, [model(&key).answer()]);
            let between = || frcopy_between(&service.source.uri(), &service.target.uri());
            for command in ["copy --if-exists skip", "copy --if-exists fail", "check"] {
                for more in ["-v", "--output=json"] {
                    let arguments = format!("{command} {MODEL} --api-version 4.0 {more}");
                    assert_contains_no_key(&run(between().args(arguments.split(' '))));
                }
            }
        }
    });
}

#[test]
fn a_key_of_one_resource_in_an_answer_of_the_other_one_is_not_printed() {
    on_every_version(|version| {
        on_each(repeated_keys(), |key| {
            let operation = Operation::failed(version, &key, &key).on_target(&format!("https://{key}.example"));
            for (step, answer) in [
                (Step::GetSource, error_reply(403, &key, &key)),
                (Step::Authorize, error_reply(403, &key, &key)),
                (Step::Start, error_reply(400, &key, &key)),
                (
                    Step::Start,
                    reply(202).insert_header("Operation-Location", format!("https://x.example/{key}").as_str()),
                ),
                (Step::Poll, operation.answer()),
                (Step::Verify, error_reply(401, &key, &key)),
            ] {
                let service = ScriptedService::new(version);
                service.on(step, [answer]);
                for output in ["text", "json"] {
                    assert_contains_no_key(&run(service.copy().args(["-vv", "--timeout", "3s", "--output", output])));
                }
            }
        });
    });
}
