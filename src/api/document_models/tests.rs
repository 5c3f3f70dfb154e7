//! Tests of the wire format of v3.0 and later.

use super::super::tests::{answer, lines};
use super::*;
use crate::api::version::ApiVersion;
use crate::error::ErrorKind;

fn copy(kind: Kind) -> NewCopy {
    let id = "copy-1".parse().unwrap();
    NewCopy { kind, naming: Naming::ByCaller { id, description: None, tags: None } }
}

fn start(version: ApiVersion, kind: Kind, payload: &str) -> Request {
    let (copy, source) = (copy(kind), "https://a.example".parse().unwrap());
    let authorization = read_authorization(&copy, &answer(200, &[], payload)).unwrap();
    version.wire().start(&"model_1".parse().unwrap(), &copy, &authorization, &source).request
}

fn authorization(name: &str) -> String {
    format!(
        r#"{{ "targetResourceId":"/r", "targetResourceRegion":"westus2","{name}":"copy-1","accessToken":"t","expirationDateTime":"2024-12-10T03:35:23Z","new":1.0 }}"#
    )
}

#[test]
fn each_request_has_the_documented_method_and_path_in_every_version() {
    let models = "documentModels";
    let (model, classifier) = ("targetModelId", "targetClassifierId");
    for (version, kind, name, service, collection, date) in [
        (ApiVersion::V3_0, Kind::Model, model, "formrecognizer", models, "2022-08-31"),
        (ApiVersion::V3_1, Kind::Model, model, "formrecognizer", models, "2023-07-31"),
        (ApiVersion::V4_0, Kind::Model, model, "documentintelligence", models, "2024-11-30"),
        (ApiVersion::V4_0, Kind::Classifier, classifier, "documentintelligence", "documentClassifiers", "2024-11-30"),
    ] {
        let (copy, wire) = (copy(kind), version.wire());
        let model = wire.model(kind, &"model_1".parse().unwrap());
        let start = start(version, kind, &authorization(name));
        let requests = [wire.authorize(&copy).request, start, model.request];
        assert_eq!(
            lines(&requests),
            [
                format!("POST /{service}/{collection}:authorizeCopy?api-version={date}"),
                format!("POST /{service}/{collection}/model_1:copyTo?api-version={date}"),
                format!("GET /{service}/{collection}/model_1?api-version={date}"),
            ]
        );
    }
}

#[test]
fn an_authorize_request_names_the_copy_and_leaves_out_what_was_not_given() {
    let body = |copy: &NewCopy| ApiVersion::V4_0.wire().authorize(copy).request.json().unwrap().to_owned();
    let mut copy = copy(Kind::Model);
    assert_eq!(body(&copy), r#"{"modelId":"copy-1"}"#);
    copy.naming = Naming::ByCaller {
        id: "copy-1".parse().unwrap(),
        description: Some(String::new()),
        tags: Some(BTreeMap::from([("a".into(), "1".into())])),
    };
    assert_eq!(body(&copy), r#"{"modelId":"copy-1","description":"","tags":{"a":"1"}}"#);
    copy.kind = Kind::Classifier;
    assert!(body(&copy).starts_with(r#"{"classifierId":"copy-1""#));
}

#[test]
fn the_authorization_is_the_body_of_the_start_request_byte_for_byte() {
    for (kind, name) in [(Kind::Model, "targetModelId"), (Kind::Classifier, "targetClassifierId")] {
        let payload = authorization(name);
        let read = read_authorization(&copy(kind), &answer(200, &[], &payload)).unwrap();
        assert_eq!(read.target_region, Some("westus2".into()));
        assert_eq!(start(ApiVersion::V4_0, kind, &payload).json().unwrap(), payload);
    }
}

#[test]
fn what_is_no_authorization_is_unforeseen_and_not_shown() {
    for body in ["", "{}", r#"{"targetModelId":"x/y","accessToken":"s3cret"}"#, r#"{"accessToken":"s3cret"}"#] {
        let error = read_authorization(&copy(Kind::Model), &answer(200, &[], body)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unforeseen, "{body}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}

#[test]
fn a_model_that_is_shown_is_ready_and_tells_what_a_copy_may_keep() {
    let body = r#"{"modelId":"m1","apiVersion":"2023-07-31","description":"d","tags":{"a":"1"},
        "expirationDateTime":"2026-12-13T23:12:18Z","docTypes":{}}"#;
    let model = read_model(Kind::Model, &answer(200, &[], body)).unwrap();
    assert_eq!(model.readiness, Readiness::Ready);
    assert_eq!((model.api_version, model.description), (Some("2023-07-31".into()), Some("d".into())));
    assert_eq!(model.expires.unwrap().to_string(), "2026-12-13T23:12:18Z");
    let composed = r#"{"modelId":"m1","classifierId":"c1","description":"d","tags":{"a":"1","b":null}}"#;
    let composed = read_model(Kind::Model, &answer(200, &[], composed)).unwrap();
    assert_eq!((composed.description, composed.tags.len()), (Some("d".into()), 1));
    let bare = read_model(
        Kind::Classifier,
        &answer(200, &[], r#"{"classifierId":"c1","expirationDateTime":"one day","tags":null}"#),
    );
    assert_eq!(bare.unwrap().expires, None);
    for other in [r#"{"value":[]}"#, r#"{"modelId":[]}"#, r#"{"modelId":null,"classifierId":7}"#] {
        assert!(read_model(Kind::Model, &answer(200, &[], other)).is_err(), "{other}");
    }
}

#[test]
fn an_operation_that_failed_hides_the_useful_words_inside() {
    for (error, words) in [
        (r#"{"code":"A","message":"a","innererror":{"code":"B","message":"b"}}"#, "B: b"),
        (r#"{"code":"A","message":"a","details":[{"code":"B","message":"b"}]}"#, "B: b"),
        (r#"{"code":"A","message":"a"}"#, "A: a"),
        (r#"{"code":"A","message":"a","details":null,"innererror":null}"#, "A: a"),
        (r#"{"code":1.5,"message":"a","details":"odd"}"#, "1.5: a"),
    ] {
        let body = format!(r#"{{"status":"failed","percentCompleted":100,"error":{error}}}"#);
        let operation = read_operation(&answer(200, &[], &body)).unwrap();
        assert_eq!(operation.status, OperationStatus::Failed);
        assert_eq!(operation.error.unwrap().to_string(), words);
    }
    let body = r#"{"status":"succeeded","percentCompleted":100,"result":{"modelId":"x"}}"#;
    assert_eq!(read_operation(&answer(200, &[], body)).unwrap().status, OperationStatus::Succeeded);
}
