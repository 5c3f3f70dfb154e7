//! `frcopy wait`: polls an operation with only its URL and the credential of the source.

use std::net::TcpListener;

use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{
    DOCUMENT_VERSIONS, MODEL, Model, Operation, SOURCE_KEY, ScriptedService, Step, TARGET_KEY, V2_1, V4_0, VERSIONS,
    Version, error_reply, frcopy, on_every_version, reply, run,
};

fn wait(service: &ScriptedService) -> assert_cmd::Command {
    let mut command = frcopy();
    command.env("FRCOPY_SOURCE_KEY", SOURCE_KEY).args(["wait", &service.operation_url(), "--poll-interval", "10ms"]);
    command
}

fn with_target(service: &ScriptedService) -> assert_cmd::Command {
    let mut command = wait(service);
    command.env("FRCOPY_TARGET_ENDPOINT", service.target.uri()).env("FRCOPY_TARGET_KEY", TARGET_KEY);
    command
}

fn operation(version: Version, status: &str) -> ResponseTemplate {
    Operation::with_status(version, status).answer()
}

#[test]
fn wait_needs_only_the_operation_url_and_the_source_key() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, ["running", "succeeded"].map(|status| operation(version, status)));
        let output = run(&mut wait(&service)).expect(0, &["copied model"]);
        assert_eq!(output.stdout, format!("{}\n", version.copy_id()));
        assert_eq!((service.count(Step::Poll), service.seen().len()), (2, 2));
    });
}

#[test]
fn wait_verifies_the_copy_when_the_target_is_given() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let operation = Operation::with_status(version, "succeeded").on_target(&service.target.uri());
        service.on(Step::Poll, [operation.answer()]);
        // Without a start the service takes the verification for the preflight on the target.
        service.on(Step::GetTarget, [Model::copy_of_example(version).answer()]);
        let json = run(with_target(&service).args(["--output", "json"])).expect(0, &[]).json();
        assert_eq!(
            (json["verified"].as_bool(), json["apiVersion"].as_str()),
            (Some(true), Some(format!("v{}", version.number).as_str()))
        );
        assert_eq!(json["source"]["modelId"], if version.is_v2_1() { json!(MODEL) } else { json!(null) });
        assert_eq!(service.count(Step::GetTarget), 1);
    });
}

#[test]
fn wait_deletes_nothing_and_names_the_blank_model_of_a_failed_copy() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let failed = Operation::failed(version, "AuthorizationFailed", "No.").on_target(&service.target.uri());
        service.on(Step::Poll, [failed.answer()]);
        service.on(Step::GetTarget, [Model::reserved(version)]);
        // Only the source says which id belongs to the copy, and it may be hostile.
        for mut command in [with_target(&service), wait(&service)] {
            let output = run(&mut command).expect(3, &["AuthorizationFailed: No."]);
            assert_eq!(service.count(Step::Release), 0);
            assert_eq!(output.stderr.contains("warning: the blank model"), version.is_v2_1());
        }
    });
}

#[test]
fn wait_does_not_verify_on_another_target_than_the_one_that_the_operation_names() {
    for version in DOCUMENT_VERSIONS {
        let service = ScriptedService::new(version);
        let operation = Operation::with_status(version, "succeeded").on_target("https://other.example");
        service.on(Step::Poll, [operation.answer()]);
        service.on(Step::GetTarget, [Model::copy_of_example(version).answer()]);
        let output = run(with_target(&service).args(["--output", "json"])).expect(0, &["other.example"]);
        assert_eq!(output.json()["verified"], false);
    }
}

#[test]
fn a_copy_to_another_host_that_the_given_target_does_not_show_is_no_success() {
    for version in DOCUMENT_VERSIONS {
        for verify in [&[][..], &["--no-verify"]] {
            let service = ScriptedService::new(version);
            let operation = Operation::with_status(version, "succeeded").on_target("https://other.example");
            service.on(Step::Poll, [operation.answer()]);
            service.on(Step::GetTarget, [Model::not_found(version)]);
            let mut wait = with_target(&service);
            let output = run(wait.args(["--timeout", "2s"]).args(verify));
            assert_eq!(output.expect(8, &["the operation names another target"]).stdout, "");
        }
    }
}

#[test]
fn an_operation_that_is_no_copy_is_not_waited_for() {
    for version in DOCUMENT_VERSIONS {
        for (kind, status) in [("documentModelBuild", "succeeded"), ("documentModelCompose", "running")] {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [Operation::with_status(version, status).with("kind", kind).answer()]);
            for mut wait in [wait(&service), with_target(&service)] {
                let output = run(&mut wait).expect(2, &[kind, "which is no copy"]);
                assert_eq!(output.stdout, "");
            }
        }
    }
}

#[test]
fn wait_prints_the_operation_url_again_at_the_deadline() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [operation(version, "running")]);
        let resume = format!("frcopy wait '{}'", service.operation_url());
        let json = run(wait(&service).args(["--timeout", "1s", "--output", "json"])).expect(8, &[&resume]).json();
        assert_eq!((&json["status"], &json["operation"]), (&json!("running"), &json!(service.operation_url())));
    });
}

#[test]
fn an_unknown_operation_is_not_waited_for() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let code = if version.is_v2_1() { "1022" } else { "OperationNotFound" };
        service.on(Step::Poll, [error_reply(404, code, "The operation was not found.")]);
        let output = run(wait(&service).args(["--output", "json"]));
        let json = output.expect(5, &["the source has no such operation", code, "24 hours"]).json();
        // From v4.0 on it may have been a classifier.
        assert_eq!(json["kind"], if version == VERSIONS[3] { json!(null) } else { json!("model") });
    });
}

#[test]
fn a_key_is_not_sent_to_another_host() {
    let service = ScriptedService::new(VERSIONS[3]);
    run(wait(&service).env("FRCOPY_SOURCE_ENDPOINT", "https://contoso.cognitiveservices.azure.com"))
        .expect(2, &["the source endpoint is another one"]);
    assert_eq!(service.seen().len(), 0);
}

#[test]
fn a_url_that_is_not_an_operation_is_refused() {
    for (url, what) in [
        ("02989ba8-1296-499f-aaf4-55cfff41b8f1", "the operation is not a URL"),
        ("https://a.example/", "the operation is not usable"),
        ("https://a.example/formrecognizer/info?api-version=2023-07-31", "the URL is not that of a copy operation"),
        ("http://a.example/formrecognizer/operations/1?api-version=2023-07-31", "http to a.example is not allowed"),
        ("https://u:p@a.example/formrecognizer/operations/1?api-version=2023-07-31", "user name or a password"),
    ] {
        run(frcopy().env("FRCOPY_SOURCE_KEY", SOURCE_KEY).args(["wait", url])).expect(2, &[what, "help: "]);
    }
}

#[test]
fn an_operation_url_without_an_api_version_is_refused_before_any_request() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [operation(version, "succeeded")]);
        let url = service.operation_url();
        let Some((cut, _)) = url.split_once('?') else { return };
        for url in [cut.to_owned(), format!("{cut}?"), format!("{cut}?api-version="), format!("{cut}?api=1")] {
            let mut command = frcopy();
            command.env("FRCOPY_SOURCE_KEY", SOURCE_KEY).args(["wait", &url, "--timeout", "1s"]);
            run(&mut command).expect(2, &["the operation's URL has no api-version", "help: give the whole URL"]);
        }
        assert_eq!(service.seen().len(), 0);
    });
}

/// Runs the command that an error names, with the target's endpoint and credential.
fn watch(service: &ScriptedService, stderr: &str) -> assert_cmd::Command {
    let start = stderr.find("frcopy wait ").expect("a command");
    let line = stderr[start..].lines().next().unwrap();
    let mut command = frcopy();
    command.env("FRCOPY_TARGET_ENDPOINT", service.target.uri()).env("FRCOPY_TARGET_KEY", TARGET_KEY);
    command.args(line.split_whitespace().skip(1)).args(["--poll-interval", "10ms", "--output", "json"]);
    command
}

#[test]
fn the_printed_command_watches_the_target_after_a_start_without_an_answer() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Start, [error_reply(500, "InternalServerError", "Unexpected error.")]);
        service.on(Step::Verify, [Model::reserved(version)]);
        let stderr = run(service.copy().args(["--timeout", "4s"])).expect(8, &["the copy may be running"]).stderr;

        let service = ScriptedService::new(version);
        // Without a start the service takes each read for the preflight on the target.
        let answers = [Model::reserved(version), reply(500), Model::copy_of_example(version).answer()];
        service.on(Step::GetTarget, answers);
        let json = run(&mut watch(&service, &stderr)).expect(0, &[]).json();
        assert_eq!((json["status"].as_str(), json["verified"].as_bool()), (Some("succeeded"), Some(true)));
        assert_eq!(json["target"]["modelId"], version.copy_id());
        assert_eq!(json["source"], json!({"name": null, "endpoint": null, "modelId": null}));
        assert_eq!((service.count(Step::GetTarget), service.seen().len()), (3, 3));
    });
}

#[test]
fn the_target_is_watched_until_the_deadline_and_the_model_itself_decides() {
    on_every_version(|version| {
        let command = |service: &ScriptedService, version: Version| {
            let line = format!("frcopy wait --target-model-id {} --api-version {}", version.copy_id(), version.number);
            let mut command = watch(service, &line);
            command.args(["--timeout", "1s"]);
            command
        };
        let service = ScriptedService::new(version);
        service.on(Step::GetTarget, [Model::reserved(version)]);
        let late = run(&mut command(&service, version));
        let json = late.expect(8, &["did not show the model", "run the same command again"]).json();
        assert_eq!(json["status"], "running");

        let service = ScriptedService::new(version);
        service.on(Step::GetTarget, [error_reply(401, "401", "Access denied.")]);
        run(&mut command(&service, version)).expect(4, &["Access denied"]);
        assert_eq!(service.seen().len(), 1);
    });
    let service = ScriptedService::new(V2_1);
    service.on(Step::GetTarget, [error_reply(404, "1022", "Model not found.")]);
    let line = format!("frcopy wait --target-model-id {} --api-version 2.1", V2_1.copy_id());
    run(&mut watch(&service, &line)).expect(5, &["the target has no model", "run the copy command again"]);
    run(frcopy().args(["wait", "--target-model-id", "x"])).expect(2, &["--api-version"]);
    run(frcopy().args(["wait"])).expect(2, &["OPERATION_URL"]);
}

#[cfg(feature = "emulator")]
mod several {
    use std::time::Duration;

    use frcopy::emulator::Options;
    use tempfile::tempdir;

    use crate::support::emulated_pair::EmulatedPair;

    /// Two resources whose copies take some seconds.
    fn slow_pair() -> EmulatedPair {
        let operation_time = Duration::from_secs(6);
        EmulatedPair::with_options(&Options { operation_time, ..Options::default() })
    }

    /// The operations that a stderr names.
    fn operations(stderr: &str) -> Vec<&str> {
        stderr.lines().filter_map(|line| line.strip_prefix("operation: ")).collect()
    }

    #[test]
    fn several_operations_are_polled_at_the_same_time() {
        let pair = slow_pair();
        let models = [pair.custom_model(), "invoices-v3.0-1".into(), "classifier-v4.0-1".into()];
        let models: Vec<_> = models.iter().map(String::as_str).collect();
        let stopped = pair.copy(&[&models, &["--timeout", "4s"][..]].concat()).expect(8, &["frcopy wait"]);
        let operations = operations(&stopped.stderr);
        assert_eq!(operations.len(), 3, "{stopped:#?}");
        pair.mutating_requests();
        let wait = [&["wait", "--poll-interval", "20ms"], &*operations].concat();
        let output = pair.run(&wait).expect(0, &["copied model", "copied classifier"]);
        let ids: Vec<_> = output.stdout.lines().collect();
        assert!(ids.len() == 3 && models[1..].iter().all(|model| ids.contains(model)), "{output:#?}");
        // One that is not known does not stop the others.
        let (v2_1, others): (Vec<&str>, Vec<&str>) =
            operations.iter().copied().partition(|url| url.contains("/copyresults/"));
        let unknown = format!("{}/00000000-0000-4000-8000-000000000000", v2_1[0].rsplit_once('/').unwrap().0);
        let output = pair.run(&[&["wait", "--poll-interval", "20ms", &unknown], &*others].concat());
        assert_eq!(output.expect(5, &["the source has no such operation"]).stdout.lines().count(), 2);
        assert_eq!(pair.mutating_requests(), Vec::<String>::new());
        let elsewhere = "http://127.0.0.1:1/formrecognizer/operations/1?api-version=2023-07-31";
        pair.run(&["wait", operations[0], elsewhere]).expect(2, &["the operations are on "]);
    }

    #[test]
    fn the_open_operations_of_a_manifest_are_polled_and_recorded() {
        let (pair, folder) = (slow_pair(), tempdir().unwrap());
        let manifest = folder.path().join("models.json");
        let manifest = ["--manifest", manifest.to_str().unwrap()];
        let v2_1 = pair.custom_model();
        pair.copy(&[&[&*v2_1, "invoices-v4.0-1", "--timeout", "4s"], &manifest[..]].concat()).expect(8, &[]);
        pair.copy(&[&["invoices-v3.1-1", "--target-model-id", "backup", "--timeout", "4s"], &manifest[..]].concat())
            .expect(8, &[]);
        pair.mutating_requests();
        let wait = [&["wait", "--poll-interval", "20ms", "--output", "json"], &manifest[..]].concat();
        let output = pair.run(&wait).expect(0, &["continuing the copy"]);
        assert!(output.stdout.lines().count() == 3 && output.stdout.contains(r#""modelId":"backup""#), "{output:#?}");
        assert_eq!(pair.mutating_requests(), Vec::<String>::new());
        pair.run(&[&["check", "--target-only"], &manifest[..]].concat()).expect(0, &["3 same"]);
        pair.run(&wait).expect(5, &["the journal names no operation"]);
    }

    #[test]
    fn the_open_copies_of_one_model_under_several_ids_are_all_recorded() {
        let (pair, folder) = (slow_pair(), tempdir().unwrap());
        let manifest = folder.path().join("models.json");
        let manifest = ["--manifest", manifest.to_str().unwrap()];
        let models = ["invoices-v3.0-1", "invoices-v3.1-1", "classifier-v4.0-1"];
        let copies: Vec<_> = models.iter().flat_map(|model| [(model, "one"), (model, "other")]).collect();
        std::thread::scope(|scope| {
            for (model, name) in copies {
                let (pair, manifest) = (&pair, &manifest);
                scope.spawn(move || {
                    let id = format!("{model}-{name}");
                    let copy = [model, "--target-model-id", &id, "--timeout", "4s"];
                    pair.copy(&[&copy, &manifest[..]].concat()).expect(8, &[]);
                });
            }
        });
        pair.mutating_requests();
        let wait = [&["wait", "--poll-interval", "20ms"], &manifest[..]].concat();
        let output = pair.run(&wait).expect(0, &["continuing the copy"]);
        assert_eq!(output.stdout.lines().count(), 6, "{output:#?}");
        assert_eq!(pair.mutating_requests(), Vec::<String>::new());
        pair.run(&[&["check", "--target-only"], &manifest[..]].concat()).expect(0, &["6 same"]);
        assert!(!folder.path().join("models.json.journal").exists());
    }
}

#[test]
fn a_host_that_never_answered_is_not_said_to_have_shown_a_running_copy() {
    on_every_version(|version| {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let operation = format!("http://{closed}{}", version.operation());
        let mut wait = frcopy();
        wait.args(["wait", &operation, "--timeout", "1s"]).env("FRCOPY_SOURCE_KEY", "a");
        let texts = ["no poll got an answer from the source", "cannot be reached", "help: check ", "frcopy wait '"];
        let output = run(&mut wait).expect(8, &texts);
        assert!(!output.stderr.contains("still running"), "{output:#?}");

        let mut watch = frcopy();
        watch.envs([("FRCOPY_TARGET_ENDPOINT", format!("http://{closed}")), ("FRCOPY_TARGET_KEY", "b".into())]);
        watch.args(["wait", "--target-model-id", version.copy_id(), "--api-version", version.number]);
        run(watch.args(["--timeout", "1s"])).expect(8, &["no read got an answer from the target", "help: check "]);
    });
}

#[test]
fn a_source_that_answers_no_longer_was_not_unreachable() {
    let service = ScriptedService::new(V4_0);
    service.on(Step::Poll, [error_reply(500, "500", "Oops.")]);
    let mut wait = frcopy();
    wait.args(["wait", &service.operation_url(), "--timeout", "1s"]).env("FRCOPY_SOURCE_KEY", "a");
    run(&mut wait).expect(8, &["the copy was still running when the deadline passed"]);
}
