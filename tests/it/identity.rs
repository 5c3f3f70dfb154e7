//! An answer about another model, and an operation to another target, decide nothing.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::{
    DOCUMENT_VERSIONS, Model, Operation, ScriptedService, Step, Version, error_reply, on_each, on_every_version, reply,
    run,
};

/// A ready model with an id that was not asked for.
fn another_model(version: Version) -> ResponseTemplate {
    let entry = Model::list_entry(version, "11111111-1111-4111-8111-111111111111");
    reply(200).set_body_json(if version.is_v2_1() { json!({"modelInfo": entry}) } else { entry })
}

#[test]
fn a_model_with_another_id_verifies_nothing() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Verify, [another_model(version)]);
        let output = run(service.copy().args(["--output", "json"])).expect(0, &["it could not be verified"]);
        assert_eq!(output.json()["verified"], false);

        // The copy whose start got no answer is not this one.
        let service = ScriptedService::new(version);
        service.on(Step::Start, [reply(500)]);
        service.on(Step::Verify, [another_model(version)]);
        run(service.copy().args(["--timeout", "4s"])).expect(8, &["the copy may be running"]);
        assert_eq!(service.count(Step::Release), 0);
    });
}

#[test]
fn an_id_is_not_released_after_a_read_that_shows_another_model() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Poll, [Operation::failed(version, "1", "no").answer()]);
        service.on(Step::Verify, [another_model(version)]);
        let left = format!("warning: {} remains reserved on the target", version.copy_id());
        run(&mut service.copy()).expect(3, &[&left]);
        assert_eq!(service.count(Step::Release), 0);
    });
}

#[test]
fn a_preflight_read_that_shows_another_model_decides_nothing() {
    on_every_version(|version| {
        // v2.1 has no id to look for on the target.
        let steps = if version.is_v2_1() { &[Step::GetSource][..] } else { &[Step::GetSource, Step::GetTarget] };
        for &step in steps {
            let service = ScriptedService::new(version);
            service.on(step, [another_model(version)]);
            let text = "instead of";
            run(service.copy().arg("-v")).expect(0, &["continuing without an answer", text]);
        }
    });
}

/// A running copy of the same id to another target.
fn elsewhere(version: Version) -> Value {
    let mut item = Operation::list_item(version, "2999-01-01T00:00:00Z");
    item["resourceLocation"] = json!(format!("https://other.example/documentModels/{}", version.copy_id()));
    item
}

#[test]
fn a_copy_of_the_same_id_to_another_target_is_not_followed() {
    on_each(DOCUMENT_VERSIONS, |version| {
        on_each([&[][..], &["--no-verify"]], |verify| {
            let service = ScriptedService::new(version);
            service.on(Step::Start, [reply(500)]);
            service.on(Step::ListOperations, [Operation::list([elsewhere(version)])]);
            service.on(Step::Verify, [Model::reserved(version)]);
            run(service.copy().args(["--timeout", "4s"]).args(verify)).expect(8, &["the copy may be running"]);
            assert_eq!((service.count(Step::Poll), service.count(Step::Release)), (0, 0));

            // A replacement is verified in any case.
            for if_exists in ["fail", "skip"] {
                let service = ScriptedService::new(version);
                service.on(Step::Authorize, [error_reply(409, "Conflict", "ModelExists")]);
                service.on(Step::ListOperations, [Operation::list([elsewhere(version)])]);
                let output = run(service.copy().args(["--if-exists", if_exists]).args(verify));
                let output = output.expect(6, &["is reserved by an authorization that was not used"]);
                assert!(!output.stderr.contains("frcopy wait"), "{output:#?}");
                assert_eq!(service.count(Step::Poll), 0);
            }
        });
    });
}
