//! The wire of v2.1: `/formrecognizer/v2.1/custom/models`.
//!
//! Documentation: Form Recognizer API v2.1, "Generate Copy Authorization", "Copy Custom Model", "Get Custom Model Copy
//! Result" and "Get Custom Model". The service chooses the id of the copy, and the start request must say where the
//! target is. An operation that fails is an answer of HTTP 200.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::analysis::read_custom_analysis;
use super::service_error::words;
use super::{
    Analysis, Answer, AuthorizeAnswer, Call, Capacity, ListedCopy, MaybeBlank, NewCopy, Page, Quota, Request,
    WireFormat, check_id, date, not_pollable, read_deletion, read_start, readable_models,
};
use crate::authorization::CopyAuthorization;
use crate::document::Document;
use crate::error::Error;
use crate::model::{Component, Kind, Model, ModelId, Readiness};
use crate::operation::{Operation, OperationStatus, OperationUrl};
use crate::redactor::remember;
use crate::resource::Endpoint;
use crate::text::UntrustedText;

const MODELS: &str = "/formrecognizer/v2.1/custom/models";
/// How long an authorization is valid.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// The wire format of v2.1.
pub(super) struct CustomModels;

impl WireFormat for CustomModels {
    fn service_names_the_copy(&self) -> bool {
        true
    }

    fn needs_target_address(&self) -> bool {
        true
    }

    fn lists_operations(&self) -> bool {
        false
    }

    fn limits_starts_per_minute(&self) -> bool {
        true
    }

    fn has(&self, kind: Kind) -> bool {
        kind == Kind::Model
    }

    fn copies(&self, kind: Kind) -> bool {
        kind == Kind::Model
    }

    fn may_have_id(&self, id: &ModelId) -> bool {
        id.is_uuid()
    }

    fn is_operation(&self, url: &OperationUrl) -> bool {
        url.path_and_query().to_ascii_lowercase().contains("/copyresults/")
    }

    fn authorize<'a>(&self, _: &'a NewCopy) -> Call<'a, AuthorizeAnswer> {
        let request = Request::post(format!("{MODELS}/copyAuthorization"), None, "authorize the copy");
        Call::new(request, |answer| Ok(AuthorizeAnswer::new(read_authorization(answer), answer)))
    }

    fn start<'a>(
        &self,
        source_id: &ModelId,
        copy: &NewCopy,
        authorization: &CopyAuthorization,
        source: &'a Endpoint,
    ) -> Call<'a, OperationUrl> {
        let address = copy.address();
        let body = CopyRequest {
            target_resource_id: address.map(|address| address.resource_id.as_str()),
            target_resource_region: address.map(|address| address.region.as_str()),
            copy_authorization: authorization.payload(),
        };
        // Two strings and JSON that was parsed before always serialize.
        let body = serde_json::to_string(&body).unwrap_or_default();
        let request = Request::post(format!("{MODELS}/{source_id}/copy"), Some(body), "start the copy");
        Call::new(request.counted_as(Quota::CustomModelCopy).answered_by_head(), |answer| read_start(answer, source))
    }

    fn operation(&self, url: &OperationUrl) -> Call<'static, Operation> {
        Call::new(Request::get(url.path_and_query().to_owned(), "show the operation"), read_operation)
    }

    fn model(&self, _: Kind, id: &ModelId) -> Call<'static, Model> {
        let asked = id.clone();
        Call::new(Request::get(format!("{MODELS}/{id}"), format!("show model {id}")), move |answer| {
            check_id(read_model(answer)?, &asked, answer)
        })
    }

    fn blank_model(&self, id: &ModelId) -> Option<Call<'static, MaybeBlank>> {
        let asked = id.clone();
        Some(Call::new(Request::get(format!("{MODELS}/{id}"), format!("show model {id}")), move |answer| {
            let model = check_id(read_model(answer)?, &asked, answer)?;
            let CustomModel { model_info, train_result, composed_train_results } = answer.json()?;
            let is_empty = |value: &Value| match value {
                Value::Null => true,
                Value::Array(values) => values.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                _ => false,
            };
            let is_composed = model_info.attributes.get("isComposed").and_then(Value::as_bool).unwrap_or_default();
            let is_blank = model.readiness == Readiness::Creating
                && model.name.is_none()
                && !is_composed
                && [&train_result, &composed_train_results].into_iter().all(is_empty);
            Ok(MaybeBlank { model, is_blank })
        }))
    }

    fn models(&self, _: Kind) -> Call<'static, Page<Model>> {
        let request = Request::get(format!("{MODELS}?op=full"), "list the v2.1 models");
        Call::new(request.counted_as(Quota::List), read_models)
    }

    fn delete(&self, _: Kind, id: &ModelId) -> Call<'static, ()> {
        Call::new(Request::delete(format!("{MODELS}/{id}"), format!("delete model {id}")), read_deletion)
    }

    fn capacity(&self) -> Call<'static, Capacity> {
        let request = Request::get(format!("{MODELS}?op=summary"), "count the v2.1 models");
        Call::new(request.counted_as(Quota::List), |answer| {
            let SummaryOfModels { summary } = answer.json()?;
            Ok(summary)
        })
    }

    fn operations(&self) -> Option<Call<'static, Page<ListedCopy>>> {
        None
    }

    fn analyze<'a>(
        &self,
        _: Kind,
        id: &ModelId,
        document: &Document,
        resource: &'a Endpoint,
    ) -> Call<'a, OperationUrl> {
        let request = Request::post_document(format!("{MODELS}/{id}/analyze"), document, "analyze a document");
        Call::new(request.answered_by_head(), |answer| read_start(answer, resource))
    }

    fn analysis(&self, id: &ModelId, url: &OperationUrl) -> Call<'static, Analysis> {
        let (asked, request) = (id.clone(), Request::get(url.path_and_query().to_owned(), "show the analysis"));
        Call::new(request.counted_as(Quota::AnalyzeResult), move |answer| read_custom_analysis(&asked, answer))
    }

    fn delete_analysis(&self, _: Kind, _: &OperationUrl) -> Option<Call<'static, ()>> {
        None
    }

    fn operation_url(&self, _: &UntrustedText, _: &Endpoint) -> Result<OperationUrl, Error> {
        Err(not_pollable())
    }
}

fn read_authorization(answer: &Answer) -> Result<CopyAuthorization, Error> {
    let (body, payload): (Authorization, _) = answer.json_and_payload()?;
    remember(&body.access_token);
    let issued = answer.date_or_received();
    Ok(CopyAuthorization {
        target_model_id: answer.reserved_id(&body.model_id)?,
        target_resource_id: None,
        target_region: None,
        target_location: None,
        issued,
        expires: expiration(&body.expiration_date_time_ticks).unwrap_or(issued + LIFETIME),
        access_token: body.access_token,
        payload: payload.into(),
    })
}

fn read_model(answer: &Answer) -> Result<Model, Error> {
    let CustomModel { model_info, composed_train_results, .. } = answer.json()?;
    let id = |part: &Value| Answer::id(part.get("modelId")?.as_str()?);
    let parts = composed_train_results.as_array().into_iter().flatten().filter_map(id);
    let components = parts.map(|id| Component { kind: Kind::Model, id }).collect();
    let model = model_info.model().ok_or_else(|| answer.unusable("a body that is not a model"))?;
    Ok(Model { components, is_complete: true, ..model })
}

fn read_models(answer: &Answer) -> Result<Page<Model>, Error> {
    let ModelList { model_list, next_link } = answer.json()?;
    let (items, unreadable) = readable_models(model_list, ModelInfo::model);
    // The last page has an empty link.
    Ok(Page { items, unreadable, next_link: next_link.filter(|link| !link.is_empty()) })
}

fn read_operation(answer: &Answer) -> Result<Operation, Error> {
    let CopyOperation { status, copy_result } = answer.json()?;
    let errors = copy_result.get("errors").and_then(Value::as_array);
    Ok(Operation {
        status: OperationStatus::new(&Answer::text(&status)),
        error: words(errors.into_iter().flatten()),
        target_model_id: copy_result.get("modelId").and_then(Value::as_str).and_then(Answer::id),
        target_location: None,
        kind: None,
    })
}

/// `CopyAuthorizationResult`. The other fields only matter to the service.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    model_id: String,
    access_token: SecretString,
    /// Any form: it must not make the rest unreadable.
    #[serde(default)]
    expiration_date_time_ticks: Value,
}

/// Seconds since 1970 in fact, and .NET ticks (of 100 ns, since the year 1) in the documentation's example.
fn expiration(ticks: &Value) -> Option<Timestamp> {
    const TICKS_IN_A_SECOND: i64 = 10_000_000;
    const SECONDS_FROM_YEAR_1_TO_1970: i64 = 62_135_596_800;
    let number = ticks.as_i64()?;
    let seconds =
        if number < 100_000_000_000 { number } else { number / TICKS_IN_A_SECOND - SECONDS_FROM_YEAR_1_TO_1970 };
    Timestamp::from_second(seconds).ok()
}

/// `CopyRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CopyRequest<'a> {
    target_resource_id: Option<&'a str>,
    target_resource_region: Option<&'a str>,
    copy_authorization: Box<RawValue>,
}

/// `Model`, as far as a copy needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomModel {
    model_info: ModelInfo,
    /// Any form, as below.
    #[serde(default)]
    train_result: Value,
    /// Any form: it must not make the status unreadable.
    #[serde(default)]
    composed_train_results: Value,
}

/// `Models`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelList<'a> {
    #[serde(borrow)]
    model_list: Vec<&'a RawValue>,
    next_link: Option<String>,
}

/// `Models`, with `op=summary`.
#[derive(Deserialize)]
struct SummaryOfModels {
    summary: Capacity,
}

/// `ModelInfo`. All fields but the status may have any form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelInfo {
    status: String,
    #[serde(default)]
    model_id: Value,
    #[serde(default)]
    model_name: Value,
    #[serde(default)]
    created_date_time: Value,
    #[serde(default)]
    last_updated_date_time: Value,
    #[serde(default)]
    attributes: Value,
}

impl ModelInfo {
    /// None where it has no id.
    fn model(self) -> Option<Model> {
        let is_composed = self.attributes.get("isComposed").and_then(Value::as_bool).unwrap_or_default();
        Some(Model {
            id: Answer::id(self.model_id.as_str()?)?,
            kind: Kind::Model,
            readiness: match self.status.as_str() {
                "ready" => Readiness::Ready,
                "creating" => Readiness::Creating,
                "invalid" => Readiness::Invalid,
                other => Readiness::Unknown(Answer::text(other)),
            },
            api_version: None,
            name: self.model_name.as_str().filter(|name| !name.is_empty()).map(Answer::text),
            description: None,
            tags: BTreeMap::new(),
            created: date(&self.created_date_time),
            modified: date(&self.last_updated_date_time),
            expires: None,
            document_types: Vec::new(),
            components: Vec::new(),
            is_complete: !is_composed,
            unreadable: None,
        })
    }
}

/// `CopyOperationResult`. Its dates are left alone: the service overwrites `createdDateTime` at the end.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CopyOperation {
    status: String,
    /// Any form: it must not make the status unreadable.
    #[serde(default)]
    copy_result: Value,
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, lines};
    use super::*;
    use crate::api::Naming;
    use crate::error::ErrorKind;
    use crate::resource::TargetAddress;

    const ID: &str = "eccc3f13-8289-4020-ba16-9f1d1374e96f";
    const RESOURCE_ID: &str = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/fr";

    fn copy() -> NewCopy {
        let address = TargetAddress { resource_id: RESOURCE_ID.parse().unwrap(), region: "westus2".parse().unwrap() };
        NewCopy { kind: Kind::Model, naming: Naming::ByService(address) }
    }

    fn start(payload: &str) -> Request {
        let authorization = read_authorization(&answer(201, &[], payload)).unwrap();
        let source = "https://a.example".parse().unwrap();
        CustomModels.start(&ID.parse().unwrap(), &copy(), &authorization, &source).request
    }

    #[test]
    fn each_request_has_the_documented_method_and_path() {
        let id = ID.parse().unwrap();
        let payload = format!(r#"{{"modelId":"{ID}","accessToken":"t","expirationDateTimeTicks":1}}"#);
        let (copy, model) = (copy(), CustomModels.model(Kind::Model, &id));
        let requests = [CustomModels.authorize(&copy).request, start(&payload), model.request];
        assert_eq!(
            lines(&requests),
            [
                "POST /formrecognizer/v2.1/custom/models/copyAuthorization".to_owned(),
                format!("POST /formrecognizer/v2.1/custom/models/{ID}/copy"),
                format!("GET /formrecognizer/v2.1/custom/models/{ID}"),
            ]
        );
        assert_eq!((requests[0].json(), requests[2].json()), (None, None));
    }

    #[test]
    fn the_authorization_is_passed_on_with_every_digit_and_blank() {
        let payload = format!(
            r#"{{ "expirationDateTimeTicks":637233481531659440,"modelId":"{ID}", "new":1.0,"accessToken":"t" }}"#
        );
        assert_eq!(
            start(&payload).json().unwrap(),
            format!(
                r#"{{"targetResourceId":"{RESOURCE_ID}","targetResourceRegion":"westus2","copyAuthorization":{payload}}}"#
            )
        );
    }

    #[test]
    fn what_is_no_authorization_is_unforeseen_and_not_shown() {
        for body in ["", "[]", r#"{"modelId":"x"}"#, r#"{"modelId":"../x","accessToken":"s3cret"}"#, "<html>"] {
            let error = read_authorization(&answer(201, &[], body)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unforeseen, "{body}");
            assert!(!format!("{error:?}").contains("s3cret"));
        }
    }

    #[test]
    fn the_status_of_a_model_says_whether_it_is_ready() {
        for (status, readiness) in [
            ("ready", Readiness::Ready),
            ("creating", Readiness::Creating),
            ("invalid", Readiness::Invalid),
            ("deleting", Readiness::Unknown("deleting".into())),
        ] {
            let body = format!(r#"{{"modelInfo":{{"modelId":"{ID}","status":"{status}"}}}}"#);
            assert_eq!(read_model(&answer(200, &[], &body)).unwrap().readiness, readiness);
        }
    }

    #[test]
    fn an_operation_fails_with_http_200_and_its_errors_in_the_result() {
        let read = |body: &str| read_operation(&answer(200, &[], body)).unwrap();
        let failed = read(
            r#"{"status":"failed","createdDateTime":"x","copyResult":{"modelId":"x","errors":[
                {"code":"2024","innerError":{"requestId":"r"},"message":"m"},{"code":"other","message":"o"}]}}"#,
        );
        assert_eq!(failed.status, OperationStatus::Failed);
        assert_eq!(failed.error.unwrap().to_string(), "2024: m");
        for succeeded in [
            r#"{"status":"succeeded","copyResult":{}}"#,
            r#"{"status":"succeeded"}"#,
            r#"{"status":"succeeded","copyResult":{"modelId":"x","errors":null}}"#,
            r#"{"status":"succeeded","copyResult":[7]}"#,
        ] {
            let read = read(succeeded);
            assert_eq!((read.status, read.error), (OperationStatus::Succeeded, None));
        }
        assert!(read_operation(&answer(200, &[], r#"{"state":"succeeded"}"#)).is_err());
    }
}
