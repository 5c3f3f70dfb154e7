//! A successful copy with every API version: requests, their order, and output.

use serde_json::json;

use crate::support::{
    ACCESS_TOKEN, Authorization, DOCUMENT_VERSIONS, MODEL, Model, Operation, RESOURCE_ID, SOURCE_KEY, ScriptedService,
    Seen, Step, TARGET_KEY, V2_1, V4_0, VERSIONS, frcopy_between, on_every_version, reply, run,
};

#[test]
fn a_copy_prints_the_id_of_the_copy_and_nothing_else_on_stdout() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let output = run(&mut service.copy()).expect(0, &["copied model"]);
        assert_eq!(output.stdout, format!("{}\n", version.copy_id()));
    });
}

#[test]
fn the_requests_are_sent_in_order_and_none_is_sent_twice() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        run(&mut service.copy()).expect(0, &[]);
        // v2.1: one more read of the target, for its region.
        let is_region_read = |seen: &Seen| seen.line.ends_with("?op=summary");
        let seen = service.seen();
        assert_eq!(seen.iter().filter(|seen| is_region_read(seen)).count(), usize::from(version.is_v2_1()));
        let mut steps: Vec<_> =
            seen.into_iter().filter(|seen| !is_region_read(seen)).map(|seen| seen.step.unwrap()).collect();
        let reads = match version.number {
            "2.1" => 1,
            "4.0" => 3,
            _ => 2,
        };
        // The preflight reads both sides concurrently, in any order. With v4.0 it also reads the classifier.
        let is_preflight = |step| matches!(step, Step::GetSource | Step::GetTarget | Step::GetClassifier);
        assert!(steps.drain(..reads).all(is_preflight));
        assert_eq!(steps, [Step::Authorize, Step::Start, Step::Poll, Step::Poll, Step::Verify], "{version:?}");
    });
}

#[test]
fn each_request_has_the_key_of_its_resource_and_accepts_plain_json() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        run(&mut service.copy()).expect(0, &[]);
        for seen in service.seen() {
            let on_target = matches!(seen.step, None | Some(Step::GetTarget | Step::Authorize | Step::Verify));
            let key = if on_target { TARGET_KEY } else { SOURCE_KEY };
            assert_eq!(seen.headers["ocp-apim-subscription-key"], key, "{seen:?}");
            assert_eq!(seen.headers["accept"], "application/json");
            assert!(seen.headers["user-agent"].starts_with("frcopy/"));
            assert!(!seen.headers.contains_key("accept-encoding"), "{seen:?}");
            assert!(!seen.headers.contains_key("traceparent"), "{seen:?}");
        }
    });
}

#[test]
fn the_authorize_request_of_v2_1_has_an_empty_body_and_content_length_0() {
    let service = ScriptedService::new(V2_1);
    run(&mut service.copy()).expect(0, &[]);
    let authorize = service.only(Step::Authorize);
    assert_eq!((authorize.body.as_str(), authorize.headers["content-length"].as_str()), ("", "0"));
    assert!(!authorize.headers.contains_key("content-type"));
}

#[test]
fn the_authorization_reaches_the_source_byte_for_byte() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        run(&mut service.copy()).expect(0, &[]);
        let start = service.only(Step::Start);
        let authorization = Authorization::json(version, version.copy_id());
        let expected = if version.is_v2_1() {
            format!(
                r#"{{"targetResourceId":"{RESOURCE_ID}","targetResourceRegion":"westus2","copyAuthorization":{authorization}}}"#
            )
        } else {
            authorization
        };
        assert_eq!(start.body, expected);
        assert!(start.body.contains(ACCESS_TOKEN));
        assert_eq!(start.headers["content-type"], "application/json");
        assert!(!start.headers.contains_key("x-ms-forms-copy-degrade"));
    });
}

#[test]
fn allow_degrade_is_sent_to_the_source_only() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        run(service.copy().arg("--allow-degrade")).expect(0, &[]);
        for seen in service.seen() {
            let degrade = seen.headers.get("x-ms-forms-copy-degrade").map(String::as_str);
            assert_eq!(degrade, (seen.step == Some(Step::Start)).then_some("true"), "{seen:?}");
        }
    });
}

#[test]
fn the_copy_keeps_id_description_and_tags_of_its_source_by_default() {
    for version in DOCUMENT_VERSIONS {
        let service = ScriptedService::new(version);
        let model = Model::example(version).with("description", "invoices").with("tags", json!({"team": "a"}));
        // A composed model of v4.0 has the id of its classifier beside its own id.
        service.on(Step::GetSource, [model.with("classifierId", "a-classifier").answer()]);
        run(&mut service.copy()).expect(0, &[]);
        let requested: serde_json::Value = serde_json::from_str(&service.only(Step::Authorize).body).unwrap();
        assert_eq!(requested, json!({"modelId": MODEL, "description": "invoices", "tags": {"team": "a"}}));
    }
}

#[test]
fn id_description_and_tags_of_the_copy_can_be_chosen() {
    for version in DOCUMENT_VERSIONS {
        let service = ScriptedService::new(version);
        service.on(Step::GetSource, [Model::example(version).with("tags", json!({"team": "a"})).answer()]);
        let id = "backup.of_invoices~2";
        service.on(Step::Authorize, [Authorization::answer(version, id)]);
        service.on(Step::Verify, [Model::example(version).with("modelId", id).answer()]);
        let location = format!("https://x.example/documentModels/{id}?api-version=1");
        service.on(Step::Poll, [Operation::with_status(version, "succeeded").located_at(&location).answer()]);
        let chosen = ["--target-model-id", id, "--description", "", "--tag", "x=1=2", "--tag", "y="];
        let output = run(service.copy().args(chosen)).expect(0, &[]);
        assert_eq!(output.stdout, format!("{id}\n"));
        let requested: serde_json::Value = serde_json::from_str(&service.only(Step::Authorize).body).unwrap();
        assert_eq!(requested, json!({"modelId": id, "description": "", "tags": {"x": "1=2", "y": ""}}));
        assert_eq!(service.only(Step::GetTarget).line, format!("GET {}", version.model(id)));
        assert_eq!(service.only(Step::Verify).line, format!("GET {}", version.model(id)));
    }
}

#[test]
fn a_server_with_only_the_three_documented_calls_is_enough_for_a_copy() {
    on_every_version(|version| {
        let service = ScriptedService::minimal(version);
        let output = run(&mut service.copy()).expect(0, &["warning: the copy succeeded"]);
        assert_eq!(output.stdout, format!("{}\n", version.copy_id()));
        assert_eq!((service.count(Step::Authorize), service.count(Step::Start)), (1, 1));
    });
}

#[test]
fn the_json_of_a_success_has_the_documented_fields() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let mut json = run(service.copy().args(["--output", "json", "-q"])).expect(0, &[]).json();
        assert!(json["elapsedSeconds"].take().as_f64().unwrap() < 30.0);
        let started = json["startedAt"].take();
        assert!(started.as_str().unwrap().ends_with('Z') && started.as_str().unwrap().len() == 20, "{started}");
        let authorized = if version.is_v2_1() { "req-201" } else { "req-200" };
        assert_eq!(
            json,
            json!({
                "schema": "frcopy.copy/1", "status": "succeeded", "action": "copy", "kind": "model",
                "apiVersion": format!("v{}", version.number),
                "source": {"name": null, "endpoint": service.source.uri(), "modelId": MODEL},
                "target": {"name": null, "endpoint": service.target.uri(), "modelId": version.copy_id(), "resourceId": RESOURCE_ID,
                    "region": "westus2"},
                "operation": service.operation_url(), "verified": true, "startedAt": null, "elapsedSeconds": null,
                "requestIds": {"authorize": authorized, "start": "req-202", "lastPoll": "req-200"},
                "error": null,
            })
        );
    });
}

#[test]
fn quiet_prints_nothing_for_a_success_and_verbose_prints_each_request() {
    for version in VERSIONS {
        let service = ScriptedService::new(version);
        assert_eq!(run(service.copy().arg("-q")).expect(0, &[]).stderr, "");
    }
    let service = ScriptedService::new(V4_0);
    let stderr = run(service.copy().arg("-v")).expect(0, &[]).stderr;
    for seen in service.seen() {
        assert!(stderr.contains(&seen.line), "{stderr}");
    }
    assert!(stderr.contains("-> 202 in ") && stderr.contains("request id req-202"), "{stderr}");
}

#[test]
fn each_request_has_its_own_id_and_the_trace_context_of_the_caller() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let stderr = run(service.copy().arg("-v").env("TRACEPARENT", trace)).expect(0, &[]).stderr;
        let seen = service.seen();
        let ids: std::collections::HashSet<_> =
            seen.iter().map(|seen| &seen.headers["x-ms-client-request-id"]).collect();
        assert_eq!(ids.len(), seen.len());
        assert!(ids.iter().all(|id| id.len() == 36 && stderr.contains(&format!("client request id {id}"))), "{stderr}");
        assert!(seen.iter().all(|seen| seen.headers["traceparent"] == trace), "{seen:#?}");
        // An invalid trace context is dropped and does not fail the copy.
        let service = ScriptedService::new(version);
        run(service.copy().env("TRACEPARENT", "what\r\never")).expect(0, &[]);
        assert!(service.seen().iter().all(|seen| !seen.headers.contains_key("traceparent")));
    });
}

#[test]
fn no_verify_skips_verification_on_the_target() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let json = run(service.copy().args(["--no-verify", "--output", "json"])).expect(0, &[]).json();
        assert_eq!((json["verified"].as_bool(), service.count(Step::Verify)), (Some(false), 0));
    });
}

#[test]
fn a_copy_that_is_not_on_the_target_yet_is_requested_again() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let (reserved, ready) = (Model::reserved(version), Model::copy_of_example(version).answer());
        service.on(Step::Verify, [reserved.clone(), reserved, ready]);
        run(&mut service.copy()).expect(0, &[]);
        assert_eq!(service.count(Step::Verify), 3);
    });
}

#[test]
fn a_model_that_expires_soon_is_copied_with_a_warning() {
    for version in DOCUMENT_VERSIONS {
        let in_a_week = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(7 * 24 + 1);
        for (date, warning) in [
            ("2024-12-24T00:00:00Z", "warning: the model expired on 2024-12-24"),
            (&in_a_week.to_string(), "warning: the model expires in 7 days"),
        ] {
            let service = ScriptedService::new(version);
            service.on(Step::GetSource, [Model::example(version).with("expirationDateTime", date).answer()]);
            run(&mut service.copy()).expect(0, &[warning]);
        }
    }
}

#[test]
fn a_classifier_is_copied_with_its_own_paths_and_names() {
    use wiremock::matchers::{body_json, method, path, query_param};
    use wiremock::{Mock, MockServer};
    let (runtime, id) = (tokio::runtime::Runtime::new().unwrap(), "my-classifier");
    let server = runtime.block_on(MockServer::start());
    let authorization = json!({"targetResourceId": RESOURCE_ID, "targetResourceRegion": "westus2",
        "targetClassifierId": "copied", "targetClassifierLocation": "https://x.example", "accessToken": ACCESS_TOKEN,
        "expirationDateTime": "2026-11-23T01:00:00Z"});
    let base = "/documentintelligence/documentClassifiers";
    let operation = format!("{}/documentintelligence/operations/1_2?api-version=2024-11-30", server.uri());
    let mount =
        |verb: &str, at: String| Mock::given(method(verb)).and(path(at)).and(query_param("api-version", "2024-11-30"));
    runtime.block_on(async {
        let classifier =
            json!({"classifierId": id, "createdDateTime": "2024-12-01T00:00:00Z", "apiVersion": "2024-11-30"});
        mount("GET", format!("{base}/{id}")).respond_with(reply(200).set_body_json(&classifier)).mount(&server).await;
        let authorize =
            mount("POST", format!("{base}:authorizeCopy")).and(body_json(json!({"classifierId": "copied"})));
        authorize.respond_with(reply(200).set_body_json(&authorization)).expect(1).mount(&server).await;
        let start = mount("POST", format!("{base}/{id}:copyTo")).and(body_json(&authorization));
        let accepted = reply(202).insert_header("operation-location", operation.as_str());
        start.respond_with(accepted).expect(1).mount(&server).await;
        let done = Operation::with_status(V4_0, "succeeded").answer();
        mount("GET", "/documentintelligence/operations/1_2".into()).respond_with(done).mount(&server).await;
    });
    let output = run(frcopy_between(&server.uri(), &server.uri()).args([
        "copy",
        id,
        "--kind",
        "classifier",
        "--target-model-id",
        "copied",
        "--output",
        "json",
    ]));
    let json = output.expect(0, &["copied classifier"]).json();
    assert_eq!((json["kind"].as_str(), json["target"]["modelId"].as_str()), (Some("classifier"), Some("copied")));
}
