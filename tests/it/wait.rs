//! `frcopy wait`: from nothing but the operation's URL and the source's credential to the verdict.

use serde_json::json;

use crate::support::{
    COPY_OF_V2_1, MODEL, SOURCE_KEY, Step, TARGET_KEY, VERSIONS, Version, World, error_reply, frcopy, on_every_version,
    reply, run,
};

fn wait(world: &World) -> assert_cmd::Command {
    let mut command = frcopy();
    command.env("FRCOPY_SOURCE_KEY", SOURCE_KEY).args(["wait", &world.operation_url(), "--poll-interval", "10ms"]);
    command
}

fn with_target(world: &World) -> assert_cmd::Command {
    let mut command = wait(world);
    command.env("FRCOPY_TARGET_ENDPOINT", world.target.uri()).env("FRCOPY_TARGET_KEY", TARGET_KEY);
    command
}

/// An operation that names its copy as the service does.
fn operation(version: Version, status: &str) -> serde_json::Value {
    let mut body = version.operation_body(status);
    if !version.is_v2_1() {
        body["resourceLocation"] = json!(format!("https://x.example/documentModels/{MODEL}?api-version=1"));
    }
    body
}

#[test]
fn the_url_and_the_key_of_the_source_are_enough() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(
            Step::Follow,
            ["running", "succeeded"].map(|status| reply(200).set_body_json(operation(version, status))),
        );
        let ending = run(&mut wait(&world)).expect(0, &["copied model"]);
        assert_eq!(ending.stdout, format!("{}\n", version.copy_id()));
        assert_eq!((world.count(Step::Follow), world.seen().len()), (2, 2));
    });
}

#[test]
fn with_the_target_the_copy_is_verified() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Follow, [reply(200).set_body_json(operation(version, "succeeded"))]);
        // No start was seen here, so a look at the target is the first one.
        world.on(Step::LookTarget, [reply(200).set_body_json(version.model_body(version.copy_id()))]);
        let json = run(with_target(&world).args(["--output", "json"])).expect(0, &[]).json();
        assert_eq!(
            (json["verified"].as_bool(), json["apiVersion"].as_str()),
            (Some(true), Some(format!("v{}", version.number).as_str()))
        );
        assert_eq!(json["source"]["modelId"], if version.is_v2_1() { json!(MODEL) } else { json!(null) });
        assert_eq!(world.count(Step::LookTarget), 1);
    });
}

#[test]
fn a_failed_copy_is_told_and_its_blank_model_given_back() {
    on_every_version(|version| {
        let world = World::new(version);
        let mut failed = version.failed_body("AuthorizationFailed", "No.");
        if !version.is_v2_1() {
            failed["resourceLocation"] = operation(version, "failed")["resourceLocation"].clone();
        }
        world.on(Step::Follow, [reply(200).set_body_json(failed)]);
        let blank = json!({"modelInfo": {"modelId": COPY_OF_V2_1, "status": "creating",
            "createdDateTime": "2020-02-26T16:59:28Z", "lastUpdatedDateTime": "2020-02-26T16:59:34Z"}});
        world.on(
            Step::LookTarget,
            [if version.is_v2_1() { reply(200).set_body_json(blank) } else { version.no_model() }],
        );
        // From v3.0 on somebody may have reserved the id anew.
        let given_back = usize::from(version.is_v2_1());
        let ending = run(&mut with_target(&world)).expect(3, &["AuthorizationFailed: No."]);
        assert_eq!((world.count(Step::GiveBack), ending.stderr.contains("released")), (given_back, version.is_v2_1()));
        run(&mut wait(&world)).expect(3, &["AuthorizationFailed: No."]);
        assert_eq!(world.count(Step::GiveBack), given_back);
        // Leaving out the verification of a success is not leaving behind the blank model of a failure.
        run(with_target(&world).arg("--no-verify")).expect(3, &["AuthorizationFailed: No."]);
        assert_eq!(world.count(Step::GiveBack), 2 * given_back);
    });
}

#[test]
fn at_the_deadline_it_hands_over_again() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Follow, [reply(200).set_body_json(operation(version, "running"))]);
        let resume = format!("frcopy wait '{}'", world.operation_url());
        let json = run(wait(&world).args(["--timeout", "200ms", "--output", "json"])).expect(8, &[&resume]).json();
        assert_eq!((&json["status"], &json["operation"]), (&json!("running"), &json!(world.operation_url())));
    });
}

#[test]
fn an_operation_that_the_service_has_forgotten_is_not_waited_for() {
    on_every_version(|version| {
        let world = World::new(version);
        let code = if version.is_v2_1() { "1022" } else { "OperationNotFound" };
        world.on(Step::Follow, [error_reply(404, code, "The operation was not found.")]);
        run(&mut wait(&world)).expect(5, &["the source knows no such operation", code, "24 hours"]);
    });
}

#[test]
fn a_key_is_not_sent_to_another_host_than_it_was_given_for() {
    let world = World::new(VERSIONS[3]);
    run(wait(&world).env("FRCOPY_SOURCE_ENDPOINT", "https://contoso.cognitiveservices.azure.com"))
        .expect(2, &["the source endpoint is another one"]);
    assert_eq!(world.seen().len(), 0);
}

#[test]
fn what_is_no_operation_is_refused() {
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
