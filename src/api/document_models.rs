//! The wire of v3.0, v3.1 and v4.0: `/{service}/documentModels` and, from v4.0 on, `/documentClassifiers`.
//!
//! Documentation: Document Intelligence REST API, "Authorize Copy Model", "Copy Model To", "Get Operation" and "Get
//! Model", and the same for classifiers. The caller chooses the id of the copy; the authorization is the body of the
//! start request as it stands.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::service_error::words;
use super::{Answer, Capacity, ListedCopy, NewModel, Page, Protocol, Quota, Request, date, listed};
use crate::authorization::CopyAuthorization;
use crate::error::Error;
use crate::model::{Component, DocumentType, Kind, Model, ModelId, Readiness};
use crate::operation::{Operation, OperationStatus};

/// How long an authorization lives.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// Where a version keeps its models or classifiers.
pub(super) struct Collection {
    pub(super) service: &'static str,
    pub(super) date: &'static str,
    pub(super) kind: Kind,
}

impl Collection {
    pub(super) fn model(&self, id: &ModelId) -> Request {
        Request::get(self.of(&format!("/{id}")), format!("show {} {id}", self.kind))
    }

    pub(super) fn list(&self) -> Request {
        Request::get(self.of(""), format!("list the {}s", self.kind)).counted_as(Quota::List)
    }

    pub(super) fn delete(&self, id: &ModelId) -> Request {
        Request::delete(self.of(&format!("/{id}")), format!("delete {} {id}", self.kind))
    }

    /// The path of one thing below the collection: `/{id}`, `/{id}:copyTo`, `:authorizeCopy`.
    fn of(&self, rest: &str) -> String {
        let collection = match self.kind {
            Kind::Model => "documentModels",
            Kind::Classifier => "documentClassifiers",
        };
        format!("/{}/{collection}{rest}?api-version={}", self.service, self.date)
    }
}

pub(super) struct DocumentModels {
    pub(super) collection: Collection,
    pub(super) new: NewModel,
}

impl Protocol for DocumentModels {
    fn authorize(&self) -> Request {
        let (model_id, classifier_id) = match self.collection.kind {
            Kind::Model => (Some(self.new.id.as_str()), None),
            Kind::Classifier => (None, Some(self.new.id.as_str())),
        };
        let order = AuthorizeOrder {
            model_id,
            classifier_id,
            description: self.new.description.as_deref(),
            tags: self.new.tags.as_ref(),
        };
        // Strings cannot fail to be written.
        let body = serde_json::to_string(&order).unwrap_or_default();
        Request::post(self.collection.of(":authorizeCopy"), Some(body), "authorize the copy")
    }

    fn read_authorization(&self, answer: &Answer) -> Result<CopyAuthorization, Error> {
        let (authorization, payload): (Authorization, _) = answer.json_and_payload()?;
        let id = match self.collection.kind {
            Kind::Model => authorization.target_model_id,
            Kind::Classifier => authorization.target_classifier_id,
        };
        let target_model_id = answer.reserved_id(&id.unwrap_or_default())?;
        if target_model_id != self.new.id {
            let with = format!("an authorization for {target_model_id} instead of {}", self.new.id);
            return Err(answer.unusable(&with));
        }
        let issued = answer.server_time();
        Ok(CopyAuthorization {
            target_model_id,
            target_resource_id: authorization.target_resource_id.map(|id| answer.text(&id)),
            target_region: authorization.target_resource_region.map(|region| answer.text(&region)),
            target_location: authorization
                .target_model_location
                .or(authorization.target_classifier_location)
                .map(|location| without_query(&location).to_owned()),
            issued,
            expires: date(&authorization.expiration_date_time).unwrap_or(issued + LIFETIME),
            access_token: authorization.access_token,
            payload,
        })
    }

    fn starting(&self, source: &ModelId) -> Request {
        Request::post(self.collection.of(&format!("/{source}:copyTo")), None, "start the copy")
    }

    fn start(&self, source: &ModelId, authorization: &CopyAuthorization) -> Request {
        let body = authorization.payload.get().to_owned();
        Request { body: Some(body), ..self.starting(source) }
    }
}

pub(super) fn read_model(answer: &Answer) -> Result<Model, Error> {
    let details: Details = answer.json()?;
    let model = details.model(answer).ok_or_else(|| answer.unusable("something that is no model"))?;
    Ok(Model { is_whole: true, ..model })
}

pub(super) fn read_list(answer: &Answer) -> Result<Page<Model>, Error> {
    let ListPage { value, next_link } = answer.json()?;
    let (items, unread) = listed(value, |details: Details| details.model(answer));
    Ok(Page { items, unread, next_link: next_link.filter(|link| !link.is_empty()) })
}

/// How many models a resource has and may have. Classifiers are not counted there.
pub(super) fn info(service: &str, date: &str) -> Request {
    let purpose = "say how many models it has";
    Request::get(format!("/{service}/info?api-version={date}"), purpose).counted_as(Quota::List)
}

pub(super) fn read_info(answer: &Answer) -> Result<Capacity, Error> {
    let ResourceDetails { custom_document_models } = answer.json()?;
    Ok(custom_document_models)
}

pub(super) fn read_operation(answer: &Answer) -> Result<Operation, Error> {
    let OperationDetails { status, error, kind, resource_location } = answer.json()?;
    let error = Some(&error).filter(|error| error.is_object());
    Ok(Operation {
        status: OperationStatus::from(answer.text(&status).as_str()),
        error: words(answer, error),
        target_model_id: target_of(&resource_location).and_then(|id| id.parse().ok()),
        kind: copied_kind(&kind),
    })
}

/// The id at the end of a `resourceLocation`: `…/documentModels/{id}?api-version=…`.
fn target_of(location: &Value) -> Option<&str> {
    without_query(location.as_str()?).rsplit('/').next()
}

fn without_query(location: &str) -> &str {
    location.split('?').next().unwrap_or_default()
}

/// What an operation copies; none where it does something else.
fn copied_kind(kind: &Value) -> Option<Kind> {
    match kind.as_str()? {
        "documentModelCopyTo" => Some(Kind::Model),
        "documentClassifierCopyTo" => Some(Kind::Classifier),
        _ => None,
    }
}

/// The newest operations of a resource, or the page that a nextLink names.
pub(super) fn operations(service: &str, date: &str) -> Request {
    Request::get(format!("/{service}/operations?api-version={date}"), "list the operations").counted_as(Quota::List)
}

pub(super) fn read_operations(answer: &Answer) -> Result<Page<ListedCopy>, Error> {
    let ListPage { value, next_link } = answer.json()?;
    let copy = |item: &Value| {
        let field = |name: &str| item.get(name).cloned().unwrap_or_default();
        Some(ListedCopy {
            id: field("operationId").as_str()?.to_owned(),
            kind: copied_kind(&field("kind"))?,
            target_model_id: target_of(&field("resourceLocation"))?.parse().ok()?,
            target_location: without_query(field("resourceLocation").as_str()?).to_owned(),
            created: date(&field("createdDateTime"))?,
            status: OperationStatus::from(answer.text(field("status").as_str().unwrap_or_default()).as_str()),
        })
    };
    // Most operations are no copies.
    let items: Vec<_> = value.iter().filter_map(copy).collect();
    Ok(Page { items, unread: 0, next_link: next_link.filter(|link| !link.is_empty()) })
}

/// `GetOperationsResponse`, `GetDocumentModelsResponse`, `GetDocumentClassifiersResponse`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListPage {
    value: Vec<Value>,
    next_link: Option<String>,
}

/// `ResourceDetails`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceDetails {
    custom_document_models: Capacity,
}

/// `AuthorizeCopyRequest`, `AuthorizeClassifierCopyRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizeOrder<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classifier_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
}

/// `CopyAuthorization`, `ClassifierCopyAuthorization`. The rest of it is nobody's business but the service's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    target_resource_id: Option<String>,
    target_resource_region: Option<String>,
    target_model_id: Option<String>,
    target_classifier_id: Option<String>,
    target_model_location: Option<String>,
    target_classifier_location: Option<String>,
    access_token: SecretString,
    /// Whatever form it has: it must not hide the rest.
    #[serde(default)]
    expiration_date_time: Value,
}

/// `DocumentModelDetails`, `DocumentClassifierDetails` and their summaries. There is no status: what is shown is ready.
/// The fields may have any form: one that is new must not hide the model.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    model_id: Value,
    classifier_id: Value,
    api_version: Value,
    description: Value,
    tags: Value,
    created_date_time: Value,
    modified_date_time: Value,
    expiration_date_time: Value,
    doc_types: Value,
}

impl Details {
    /// None where it has no id.
    fn model(&self, answer: &Answer) -> Option<Model> {
        // A composed model of v4.0 has both: its own id and that of the classifier in it.
        let (kind, id) = match (self.model_id.as_str(), self.classifier_id.as_str()) {
            (Some(id), _) => (Kind::Model, id),
            (None, id) => (Kind::Classifier, id?),
        };
        let tags = self.tags.as_object().into_iter().flatten();
        Some(Model {
            id: id.parse().ok()?,
            kind,
            readiness: Readiness::Ready,
            api_version: self.api_version.as_str().map(|text| answer.text(text)),
            name: None,
            description: self.description.as_str().map(str::to_owned),
            tags: tags.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
            created: date(&self.created_date_time),
            modified: date(&self.modified_date_time),
            expires: date(&self.expiration_date_time),
            document_types: self
                .document_types()
                .map(|(name, details)| (name.clone(), document_type(details)))
                .collect(),
            components: if kind == Kind::Model { self.components(id) } else { Vec::new() },
            is_whole: self.doc_types.is_object(),
        })
    }

    fn document_types(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.doc_types.as_object().into_iter().flatten()
    }

    /// v4.0 names the model of each document type; before, the document types have the names of their models.
    fn components(&self, own_id: &str) -> Vec<Component> {
        let named = |(name, details): (&String, &Value)| {
            let id = details.get("modelId").and_then(Value::as_str).unwrap_or(name);
            let id = Some(id).filter(|id| *id != own_id)?.parse().ok()?;
            Some(Component { kind: Kind::Model, id })
        };
        let classifier = self.classifier_id.as_str().and_then(|id| id.parse().ok());
        let classifier = classifier.map(|id| Component { kind: Kind::Classifier, id });
        self.document_types().filter_map(named).chain(classifier).collect()
    }
}

fn document_type(details: &Value) -> DocumentType {
    let schema = details.get("fieldSchema").filter(|schema| schema.is_object());
    DocumentType {
        field_schema: schema.map(|schema| schema.to_string().into()),
        build_mode: details.get("buildMode").and_then(Value::as_str).map(Into::into),
    }
}

/// `OperationDetails`, as far as a copy needs it. `percentCompleted` is absent until the end, and 100 on a failure.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationDetails {
    status: String,
    /// Whatever form the rest has: it must not hide the status.
    #[serde(default)]
    error: Value,
    #[serde(default)]
    kind: Value,
    #[serde(default)]
    resource_location: Value,
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, lines};
    use super::super::version::{ApiVersion, Format};
    use super::*;
    use crate::error::ErrorKind;

    fn collection(version: ApiVersion, kind: Kind) -> Collection {
        let Format::DocumentModels { service, date } = version.format() else { panic!("{version}") };
        Collection { service, date, kind }
    }

    fn protocol(version: ApiVersion, kind: Kind) -> DocumentModels {
        let new = NewModel { id: "copy-1".parse().unwrap(), description: None, tags: None };
        DocumentModels { collection: collection(version, kind), new }
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
            (
                ApiVersion::V4_0,
                Kind::Classifier,
                classifier,
                "documentintelligence",
                "documentClassifiers",
                "2024-11-30",
            ),
        ] {
            let protocol = protocol(version, kind);
            let reserved = protocol.read_authorization(&answer(200, &[], &authorization(name))).unwrap();
            let id = "model_1".parse().unwrap();
            let requests = [protocol.authorize(), protocol.start(&id, &reserved), protocol.collection.model(&id)];
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
        let mut protocol = protocol(ApiVersion::V4_0, Kind::Model);
        assert_eq!(protocol.authorize().body.unwrap(), r#"{"modelId":"copy-1"}"#);
        protocol.new.description = Some(String::new());
        protocol.new.tags = Some(BTreeMap::from([("a".into(), "1".into())]));
        assert_eq!(protocol.authorize().body.unwrap(), r#"{"modelId":"copy-1","description":"","tags":{"a":"1"}}"#);
        protocol.collection.kind = Kind::Classifier;
        assert!(protocol.authorize().body.unwrap().starts_with(r#"{"classifierId":"copy-1""#));
    }

    #[test]
    fn the_authorization_is_the_body_of_the_start_request_byte_for_byte() {
        for (kind, name) in [(Kind::Model, "targetModelId"), (Kind::Classifier, "targetClassifierId")] {
            let protocol = protocol(ApiVersion::V4_0, kind);
            let payload = authorization(name);
            let reserved = protocol.read_authorization(&answer(200, &[], &payload)).unwrap();
            assert_eq!(reserved.target_region.as_deref(), Some("westus2"));
            assert_eq!(protocol.start(&"model_1".parse().unwrap(), &reserved).body.unwrap(), payload);
        }
    }

    #[test]
    fn what_is_no_authorization_is_unforeseen_and_not_shown() {
        for body in ["", "{}", r#"{"targetModelId":"x/y","accessToken":"s3cret"}"#, r#"{"accessToken":"s3cret"}"#] {
            let protocol = protocol(ApiVersion::V3_0, Kind::Model);
            let error = protocol.read_authorization(&answer(200, &[], body)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unforeseen, "{body}");
            assert!(!format!("{error:?}").contains("s3cret"));
        }
    }

    #[test]
    fn a_model_that_is_shown_is_ready_and_tells_what_a_copy_may_keep() {
        let body = r#"{"modelId":"m1","apiVersion":"2023-07-31","description":"d","tags":{"a":"1"},
            "expirationDateTime":"2026-12-13T23:12:18Z","docTypes":{}}"#;
        let model = read_model(&answer(200, &[], body)).unwrap();
        assert_eq!(model.readiness, Readiness::Ready);
        assert_eq!((model.api_version.as_deref(), model.description.as_deref()), (Some("2023-07-31"), Some("d")));
        assert_eq!(model.expires.unwrap().to_string(), "2026-12-13T23:12:18Z");
        let composed = r#"{"modelId":"m1","classifierId":"c1","description":"d","tags":{"a":"1","b":null}}"#;
        let composed = read_model(&answer(200, &[], composed)).unwrap();
        assert_eq!((composed.description.as_deref(), composed.tags.len()), (Some("d"), 1));
        let bare = read_model(&answer(200, &[], r#"{"classifierId":"c1","expirationDateTime":"one day","tags":null}"#));
        assert_eq!(bare.unwrap().expires, None);
        for other in [r#"{"value":[]}"#, r#"{"modelId":[]}"#, r#"{"modelId":null,"classifierId":7}"#] {
            assert!(read_model(&answer(200, &[], other)).is_err(), "{other}");
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
}
