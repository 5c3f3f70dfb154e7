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
use serde_json::value::RawValue;

use super::analysis::read_document_analysis;
use super::json_digest::json_digest;
use super::service_error::words;
use super::{
    Analysis, Answer, AuthorizeAnswer, Call, Capacity, ListedCopy, MaybeBlank, Naming, NewCopy, Page, Quota, Request,
    WireFormat, check_id, date, not_pollable, read_deletion, read_start, readable_models,
};
use crate::authorization::CopyAuthorization;
use crate::document::Document;
use crate::error::{Delivery, Error, Finding};
use crate::model::{Component, DocumentType, Kind, Model, ModelId, Readiness};
use crate::operation::{Operation, OperationStatus, OperationUrl};
use crate::redactor::remember;
use crate::resource::Endpoint;
use crate::text::UntrustedText;

/// How long an authorization is valid.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// The wire format of one version from v3.0 on. The versions differ in these values only.
pub(super) struct DocumentModels {
    /// The first segment of every path.
    pub(super) service: &'static str,
    /// The `api-version` of every query.
    pub(super) date: &'static str,
    pub(super) has_classifiers: bool,
    pub(super) copies_classifiers: bool,
    /// Whether results of models can be deleted. Those of classifiers cannot, in any version.
    pub(super) deletes_analyses: bool,
}

impl DocumentModels {
    /// The path of the collection of a kind, or of something below it: `/{id}`, `/{id}:copyTo`, `:authorizeCopy`.
    fn path(&self, kind: Kind, rest: &str) -> String {
        let collection = match kind {
            Kind::Model => "documentModels",
            Kind::Classifier => "documentClassifiers",
        };
        format!("/{}/{collection}{rest}?api-version={}", self.service, self.date)
    }
}

impl WireFormat for DocumentModels {
    fn service_names_the_copy(&self) -> bool {
        false
    }

    fn needs_target_address(&self) -> bool {
        false
    }

    fn lists_operations(&self) -> bool {
        true
    }

    fn limits_starts_per_minute(&self) -> bool {
        false
    }

    fn has(&self, kind: Kind) -> bool {
        kind == Kind::Model || self.has_classifiers
    }

    fn copies(&self, kind: Kind) -> bool {
        kind == Kind::Model || self.copies_classifiers
    }

    fn may_have_id(&self, _: &ModelId) -> bool {
        true
    }

    fn is_operation(&self, url: &OperationUrl) -> bool {
        let path = url.path_and_query();
        path.contains(&format!("/{}/operations/", self.service)) && path.contains(&format!("api-version={}", self.date))
    }

    fn authorize<'a>(&self, copy: &'a NewCopy) -> Call<'a, AuthorizeAnswer> {
        // Strings always serialize.
        let body = serde_json::to_string(&AuthorizeRequest::new(copy)).unwrap_or_default();
        let request = Request::post(self.path(copy.kind, ":authorizeCopy"), Some(body), "authorize the copy");
        Call::new(request, |answer| Ok(AuthorizeAnswer::new(read_authorization(copy, answer), answer)))
    }

    fn start<'a>(
        &self,
        source_id: &ModelId,
        copy: &NewCopy,
        authorization: &CopyAuthorization,
        source: &'a Endpoint,
    ) -> Call<'a, OperationUrl> {
        let path = self.path(copy.kind, &format!("/{source_id}:copyTo"));
        let request = Request::post(path, Some(authorization.payload().get().to_owned()), "start the copy");
        Call::new(request.answered_by_head(), |answer| read_start(answer, source))
    }

    fn operation(&self, url: &OperationUrl) -> Call<'static, Operation> {
        Call::new(Request::get(url.path_and_query().to_owned(), "show the operation"), read_operation)
    }

    fn model(&self, kind: Kind, id: &ModelId) -> Call<'static, Model> {
        let asked = id.clone();
        Call::new(Request::get(self.path(kind, &format!("/{id}")), format!("show {kind} {id}")), move |answer| {
            check_id(read_model(kind, answer)?, &asked, answer)
        })
    }

    fn blank_model(&self, _: &ModelId) -> Option<Call<'static, MaybeBlank>> {
        None
    }

    fn models(&self, kind: Kind) -> Call<'static, Page<Model>> {
        let request = Request::get(self.path(kind, ""), format!("list the {kind}s")).counted_as(Quota::List);
        Call::new(request, move |answer| read_models(kind, answer))
    }

    fn delete(&self, kind: Kind, id: &ModelId) -> Call<'static, ()> {
        Call::new(Request::delete(self.path(kind, &format!("/{id}")), format!("delete {kind} {id}")), read_deletion)
    }

    fn capacity(&self) -> Call<'static, Capacity> {
        let path = format!("/{}/info?api-version={}", self.service, self.date);
        Call::new(Request::get(path, "count the models").counted_as(Quota::List), |answer| {
            let ResourceDetails { custom_document_models } = answer.json()?;
            Ok(custom_document_models)
        })
    }

    fn operations(&self) -> Option<Call<'static, Page<ListedCopy>>> {
        let path = format!("/{}/operations?api-version={}", self.service, self.date);
        Some(Call::new(Request::get(path, "list the operations").counted_as(Quota::List), read_operations))
    }

    fn analyze<'a>(
        &self,
        kind: Kind,
        id: &ModelId,
        document: &Document,
        resource: &'a Endpoint,
    ) -> Call<'a, OperationUrl> {
        let path = self.path(kind, &format!("/{id}:analyze"));
        let request = Request::post_document(path, document, "analyze a document");
        Call::new(request.answered_by_head(), |answer| read_start(answer, resource))
    }

    fn analysis(&self, id: &ModelId, url: &OperationUrl) -> Call<'static, Analysis> {
        let (asked, request) = (id.clone(), Request::get(url.path_and_query().to_owned(), "show the analysis"));
        Call::new(request.counted_as(Quota::AnalyzeResult), move |answer| read_document_analysis(&asked, answer))
    }

    fn delete_analysis(&self, kind: Kind, url: &OperationUrl) -> Option<Call<'static, ()>> {
        let request = Request::delete(url.path_and_query().to_owned(), "delete the result of an analysis");
        (self.deletes_analyses && kind == Kind::Model).then(|| Call::new(request, |_| Ok(())))
    }

    fn operation_url(&self, id: &UntrustedText, source: &Endpoint) -> Result<OperationUrl, Error> {
        let id = id.raw();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)) {
            return Err(not_pollable());
        }
        OperationUrl::new(&format!("/{}/operations/{id}?api-version={}", self.service, self.date), source)
    }
}

fn read_authorization(copy: &NewCopy, answer: &Answer) -> Result<CopyAuthorization, Error> {
    let (body, payload): (Authorization, _) = answer.json_and_payload()?;
    remember(&body.access_token);
    let id = match copy.kind {
        Kind::Model => body.target_model_id,
        Kind::Classifier => body.target_classifier_id,
    };
    let target_model_id = answer.reserved_id(&id.unwrap_or_default())?;
    if let Some(asked) = copy.id().filter(|asked| **asked != target_model_id) {
        return Err(answer.unusable(&format!("an authorization for {target_model_id} instead of {asked}")));
    }
    let issued = answer.date_or_received();
    let location = body.target_model_location.or(body.target_classifier_location);
    Ok(CopyAuthorization {
        target_model_id,
        target_resource_id: body.target_resource_id.map(|id| Answer::text(&id)),
        target_region: body.target_resource_region.map(|region| Answer::text(&region)),
        target_location: location.map(|location| Answer::text(without_query(&location))),
        issued,
        expires: date(&body.expiration_date_time).unwrap_or(issued + LIFETIME),
        access_token: body.access_token,
        payload: payload.into(),
    })
}

fn read_model(kind: Kind, answer: &Answer) -> Result<Model, Error> {
    let details: Details<'_> = answer.json()?;
    let model = details.model(kind).ok_or_else(|| answer.unusable(&format!("a body that is not a {kind}")))?;
    Ok(Model { is_complete: true, ..model })
}

fn read_models(kind: Kind, answer: &Answer) -> Result<Page<Model>, Error> {
    let ListPage { value, next_link } = answer.json()?;
    let (items, unreadable) = readable_models(value, |details: Details<'_>| details.model(kind));
    Ok(Page { items, unreadable, next_link: next_link.filter(|link| !link.is_empty()) })
}

fn read_operation(answer: &Answer) -> Result<Operation, Error> {
    let OperationDetails { status, error, kind, resource_location } = answer.json()?;
    if let Some(other) = kind.as_str().filter(|_| copied_kind(&kind).is_none()) {
        let what = format!("{} shows an operation {}, which is no copy", answer.resource, Answer::text(other));
        return Err(Error::settings(what, "give the URL of the operation of a copy")
            .with_delivery(Delivery::Final(Finding::NotACopy))
            .with_request_id(answer.request_id()));
    }
    let error = Some(&error).filter(|error| error.is_object());
    Ok(Operation {
        status: OperationStatus::new(&Answer::text(&status)),
        error: words(error),
        target_model_id: target_of(&resource_location).and_then(Answer::id),
        target_location: resource_location.as_str().map(|location| Answer::text(without_query(location))),
        kind: copied_kind(&kind),
    })
}

/// The id at the end of a `resourceLocation`: `…/documentModels/{id}?api-version=…`.
fn target_of(location: &Value) -> Option<&str> {
    let (parent, id) = without_query(location.as_str()?).rsplit_once('/')?;
    let is_collection = ["/documentModels", "/documentClassifiers"].iter().any(|name| parent.ends_with(name));
    is_collection.then_some(id)
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

fn read_operations(answer: &Answer) -> Result<Page<ListedCopy>, Error> {
    let ListPage::<Value> { value, next_link } = answer.json()?;
    // Most operations are not copies.
    let copies: Vec<_> = value.iter().filter(|item| !is_other_operation(item)).collect();
    let items: Vec<_> = copies.iter().filter_map(|item| read_listed_copy(item)).collect();
    let unreadable = copies.len() - items.len();
    Ok(Page { items, unreadable, next_link: next_link.filter(|link| !link.is_empty()) })
}

/// Whether a list entry is certainly not a copy: its kind is readable and another one.
fn is_other_operation(item: &Value) -> bool {
    item.get("kind").is_some_and(|kind| kind.is_string() && copied_kind(kind).is_none())
}

fn read_listed_copy(item: &Value) -> Option<ListedCopy> {
    let location = item.get("resourceLocation")?;
    Some(ListedCopy {
        id: Answer::text(item.get("operationId")?.as_str()?),
        kind: copied_kind(item.get("kind")?)?,
        target_model_id: Answer::id(target_of(location)?)?,
        target_location: Answer::text(without_query(location.as_str()?)),
        created: date(item.get("createdDateTime")?)?,
        updated: item.get("lastUpdatedDateTime").and_then(date),
        status: OperationStatus::new(&Answer::text(item.get("status")?.as_str()?)),
    })
}

/// `GetOperationsResponse`, `GetDocumentModelsResponse`, `GetDocumentClassifiersResponse`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListPage<T> {
    value: Vec<T>,
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
struct AuthorizeRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classifier_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
}

impl<'a> AuthorizeRequest<'a> {
    fn new(copy: &'a NewCopy) -> Self {
        let (id, description, tags) = match &copy.naming {
            Naming::ByCaller { id, description, tags } => (Some(id.as_str()), description.as_deref(), tags.as_ref()),
            Naming::ByService(_) => (None, None, None),
        };
        let (model_id, classifier_id) = match copy.kind {
            Kind::Model => (id, None),
            Kind::Classifier => (None, id),
        };
        Self { model_id, classifier_id, description, tags }
    }
}

/// `CopyAuthorization`, `ClassifierCopyAuthorization`. The other fields only matter to the service.
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
    /// Any form: it must not make the rest unreadable.
    #[serde(default)]
    expiration_date_time: Value,
}

/// `DocumentModelDetails`, `DocumentClassifierDetails` and their summaries. There is no status: a model that is shown is ready.
/// The fields may have any form: a new form must not make the model unreadable.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Details<'a> {
    model_id: Value,
    classifier_id: Value,
    api_version: Value,
    description: Value,
    tags: Value,
    created_date_time: Value,
    modified_date_time: Value,
    expiration_date_time: Value,
    /// It may be large, and so is read piece by piece.
    #[serde(borrow)]
    doc_types: Option<&'a RawValue>,
}

impl Details<'_> {
    /// None where the id is missing or belongs to another kind.
    fn model(&self, kind: Kind) -> Option<Model> {
        // A composed model of v4.0 has both: its own id, and that of its classifier.
        let id = match kind {
            Kind::Model => &self.model_id,
            Kind::Classifier => &self.classifier_id,
        };
        let id = id.as_str()?;
        let text = |value: &Value| value.as_str().map(Answer::text);
        let tags = self.tags.as_object().into_iter().flatten();
        let types = self.document_types();
        Some(Model {
            id: Answer::id(id)?,
            kind,
            readiness: Readiness::Ready,
            api_version: text(&self.api_version),
            name: None,
            description: text(&self.description),
            tags: tags.filter_map(|(name, value)| Some((Answer::text(name), text(value)?))).collect(),
            created: date(&self.created_date_time),
            modified: date(&self.modified_date_time),
            expires: date(&self.expiration_date_time),
            components: if kind == Kind::Model { self.components(id, &types) } else { Vec::new() },
            unreadable: self.unreadable(&types),
            document_types: types.iter().map(|(name, of)| of.document_type(Answer::text(name))).collect(),
            is_complete: self.doc_types.is_some_and(is_object),
        })
    }

    /// A field that tells trainings apart, and that has an unknown form.
    fn unreadable(&self, types: &BTreeMap<String, TypeDetails<'_>>) -> Option<&'static str> {
        let is_date = |value: &Value| value.is_null() || date(value).is_some();
        let are_types = self.doc_types.is_none_or(is_object) && types.values().all(TypeDetails::is_readable);
        let fields = [
            ("date of creation", is_date(&self.created_date_time)),
            ("date of modification", is_date(&self.modified_date_time)),
            ("date of expiry", is_date(&self.expiration_date_time)),
            ("document types", are_types),
        ];
        fields.into_iter().find_map(|(field, is_readable)| (!is_readable).then_some(field))
    }

    fn document_types(&self) -> BTreeMap<String, TypeDetails<'_>> {
        let types: Option<BTreeMap<String, &RawValue>> =
            self.doc_types.and_then(|types| serde_json::from_str(types.get()).ok());
        let types = types.unwrap_or_default().into_iter();
        types.map(|(name, of)| (name, TypeDetails::of(of))).collect()
    }

    /// v4.0 names the model of each document type; before, the document types have the names of their models.
    fn components(&self, own_id: &str, types: &BTreeMap<String, TypeDetails<'_>>) -> Vec<Component> {
        let named = |(name, details): (&String, &TypeDetails<'_>)| {
            let id = details.model_id.as_str().unwrap_or(name);
            let id = Answer::id(Some(id).filter(|id| *id != own_id)?)?;
            Some(Component { kind: Kind::Model, id })
        };
        let classifier = self.classifier_id.as_str().and_then(Answer::id);
        let classifier = classifier.map(|id| Component { kind: Kind::Classifier, id });
        types.iter().filter_map(named).chain(classifier).collect()
    }
}

/// `DocumentTypeDetails`. The fields may have any form.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TypeDetails<'a> {
    model_id: Value,
    build_mode: Value,
    #[serde(borrow)]
    field_schema: Option<&'a RawValue>,
    #[serde(skip)]
    is_object: bool,
}

impl<'a> TypeDetails<'a> {
    fn of(json: &'a RawValue) -> Self {
        let details = serde_json::from_str(json.get()).ok().filter(|_| is_object(json));
        details.map(|details| Self { is_object: true, ..details }).unwrap_or_default()
    }

    fn is_readable(&self) -> bool {
        let is_mode = self.build_mode.is_null() || self.build_mode.is_string();
        self.is_object && is_mode && self.field_schema.is_none_or(is_object)
    }

    fn document_type(&self, name: UntrustedText) -> DocumentType {
        DocumentType {
            name,
            field_schema: self.field_schema.filter(|schema| is_object(schema)).map(json_digest),
            build_mode: self.build_mode.as_str().map(Into::into),
        }
    }
}

fn is_object(json: &RawValue) -> bool {
    json.get().starts_with('{')
}

/// `OperationDetails`, as far as a copy needs it. `percentCompleted` is absent until the end, and 100 on a failure.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationDetails {
    status: String,
    /// Any form: the rest must not make the status unreadable.
    #[serde(default)]
    error: Value,
    #[serde(default)]
    kind: Value,
    #[serde(default)]
    resource_location: Value,
}

#[cfg(test)]
mod tests;
