//! The wire format of every API version, without I/O: the request of each call, and how its answer is read.
//!
//! [`WireFormat`] has every call and every capability. v2.1 implements it in `custom_models`, v3.0 and later in
//! `document_models`; the rows of [`version`] say which version uses which. Code outside this module asks a version for
//! its format ([`version::ApiVersion::wire`]) and the format for its capabilities, and never which version it is.

mod analysis;
mod call_rate_limit;
pub(crate) mod catalogue;
mod custom_models;
mod document_models;
mod json_digest;
mod request;
mod response;
pub(crate) mod service_error;
pub(crate) mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::auth::AuthMethod;
use crate::authorization::CopyAuthorization;
use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::label::Label;
use crate::model::{Kind, Model, ModelId};
use crate::operation::{Operation, OperationStatus, OperationUrl};
use crate::resource::{Endpoint, Side, TargetAddress};
use crate::text::UntrustedText;
pub(crate) use analysis::Analysis;
pub(crate) use call_rate_limit::rate_limits;
pub(crate) use request::{Quota, Request};
pub(crate) use response::{Answer, Response};
use version::ApiVersion;

/// Every call that a copy needs, and what a version can do.
pub trait WireFormat: Sync {
    /// Whether the target chooses the id of the copy (v2.1). Such a copy has no description and no tags of its own.
    fn service_names_the_copy(&self) -> bool;

    /// Whether the start request must name the target's resource id and region (v2.1).
    fn needs_target_address(&self) -> bool;

    /// Whether the source lists its operations (v3.0 and later), so that a lost start can be found.
    fn lists_operations(&self) -> bool;

    /// Whether starts have a limit per minute (v2.1).
    fn limits_starts_per_minute(&self) -> bool;

    /// Whether a resource has models of this kind in this version.
    fn has(&self, kind: Kind) -> bool;

    /// Whether this version copies models of this kind.
    fn copies(&self, kind: Kind) -> bool;

    /// Whether a model of this version can have this id.
    fn may_have_id(&self, id: &ModelId) -> bool;

    /// Whether the URL is that of an operation of this version.
    fn is_operation(&self, url: &OperationUrl) -> bool;

    /// Asks the target to authorize a copy. The target reserves an id.
    fn authorize<'a>(&self, copy: &'a NewCopy) -> Call<'a, AuthorizeAnswer>;

    /// Asks the source to copy a model with an authorization, which the copy uses up.
    fn start<'a>(
        &self,
        source_id: &ModelId,
        copy: &NewCopy,
        authorization: &CopyAuthorization,
        source: &'a Endpoint,
    ) -> Call<'a, OperationUrl>;

    /// Reads the status of an operation.
    fn operation(&self, url: &OperationUrl) -> Call<'static, Operation>;

    /// Reads one model.
    fn model(&self, kind: Kind, id: &ModelId) -> Call<'static, Model>;

    /// Reads a model, and whether it is blank: created for a copy that has not reached it. None where such models do not
    /// appear.
    fn blank_model(&self, id: &ModelId) -> Option<Call<'static, MaybeBlank>>;

    /// Reads the first page of the models of a kind. Prebuilt models are left out.
    fn models(&self, kind: Kind) -> Call<'static, Page<Model>>;

    /// Deletes a model, or releases a reserved id.
    fn delete(&self, kind: Kind, id: &ModelId) -> Call<'static, ()>;

    /// Reads how many models the resource has and may have. Classifiers are not counted.
    fn capacity(&self) -> Call<'static, Capacity>;

    /// Reads the first page of the copies among the source's operations, the newest first; none where the version has no
    /// such list.
    fn operations(&self) -> Option<Call<'static, Page<ListedCopy>>>;

    /// Sends a document to a model or classifier, which analyzes it. Each call is billed.
    fn analyze<'a>(
        &self,
        kind: Kind,
        id: &ModelId,
        document: &Document,
        resource: &'a Endpoint,
    ) -> Call<'a, OperationUrl>;

    /// Reads the status and the result of an analysis with a model.
    fn analysis(&self, id: &ModelId, url: &OperationUrl) -> Call<'static, Analysis>;

    /// Deletes the result of an analysis; none where the version has no such call, and the service deletes it after a day.
    fn delete_analysis(&self, kind: Kind, url: &OperationUrl) -> Option<Call<'static, ()>>;

    /// The URL of a listed operation.
    ///
    /// # Errors
    /// When its id cannot stand in a path, or the version lists no operations.
    fn operation_url(&self, id: &UntrustedText, source: &Endpoint) -> Result<OperationUrl, Error>;
}

/// A model, and whether it is blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybeBlank {
    /// The model.
    pub model: Model,
    /// Whether it is being created, and shows no trace of a training: no name, no result.
    pub is_blank: bool,
}

/// Reads the answer of a success.
type ReadAnswer<'a, T> = Box<dyn Fn(&Answer) -> Result<T, Error> + 'a>;

/// A request, and how its answer is read.
pub struct Call<'a, T> {
    /// The request.
    pub request: Request,
    read: ReadAnswer<'a, T>,
}

impl<'a, T> Call<'a, T> {
    fn new(request: Request, read: impl Fn(&Answer) -> Result<T, Error> + 'a) -> Self {
        Self { request, read: Box::new(read) }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When the service refused, or the answer cannot be read.
    pub fn read(&self, answer: &Answer) -> Result<Response<T>, Error> {
        if !answer.status.is_success() {
            return Err(service_error::refusal(answer));
        }
        let value = (self.read)(answer)?;
        Ok(Response { value, request_id: answer.request_id(), date: answer.date(), region: answer.region() })
    }

    /// The same call with another request: the next page of a list.
    #[must_use]
    pub fn with_request(self, request: Request) -> Self {
        Self { request, ..self }
    }
}

/// What an authorize request was answered with.
pub enum AuthorizeAnswer {
    /// An authorization.
    Authorized(CopyAuthorization),
    /// A success without an authorization that can be used. An id may be reserved.
    Unusable {
        /// What is wrong with the answer.
        error: Error,
        /// The reserved id, as the body names it.
        id: Option<ModelId>,
        /// The URL of the reserved model, as the `Location` header names it.
        location: Option<UntrustedText>,
    },
}

impl AuthorizeAnswer {
    fn new(read: Result<CopyAuthorization, Error>, answer: &Answer) -> Self {
        let error = match read {
            Ok(authorization) => return Self::Authorized(authorization),
            Err(error) => error,
        };
        let body: Value = serde_json::from_slice(answer.text_of_body()).unwrap_or_default();
        let id = ["modelId", "targetModelId", "targetClassifierId"].iter().find_map(|name| body.get(name)?.as_str());
        let location = answer.header("location").map(Answer::text);
        Self::Unusable { error, id: id.and_then(Answer::id), location }
    }
}

/// The copy that is asked for.
pub struct NewCopy {
    /// A model or a classifier.
    pub kind: Kind,
    /// How it is named.
    pub naming: Naming,
}

/// How a copy is named on the target.
pub enum Naming {
    /// The service chooses the id, and the start request names the target's resource id and region.
    ByService(TargetAddress),
    /// The caller chooses the id.
    ByCaller {
        /// The id of the copy.
        id: ModelId,
        /// Its description; empty clears it, `None` leaves it to the service.
        description: Option<String>,
        /// Its tags; `None` leaves them to the service.
        tags: Option<BTreeMap<String, String>>,
    },
}

impl NewCopy {
    /// Where the target is in Azure, if the start request must say it.
    #[must_use]
    pub fn address(&self) -> Option<&TargetAddress> {
        match &self.naming {
            Naming::ByService(address) => Some(address),
            Naming::ByCaller { .. } => None,
        }
    }

    /// The id of the copy, if the caller chooses it.
    #[must_use]
    pub fn id(&self) -> Option<&ModelId> {
        match &self.naming {
            Naming::ByService(_) => None,
            Naming::ByCaller { id, .. } => Some(id),
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries that can be read.
    pub items: Vec<T>,
    /// How many entries cannot be read.
    pub unreadable: usize,
    /// Where the next page is, as the service says. It must be checked before it is used.
    pub next_link: Option<String>,
}

/// How many models a resource has, and how many it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Capacity {
    /// How many there are.
    pub count: u64,
    /// How many there may be.
    pub limit: u64,
}

impl Capacity {
    /// How many more there may be.
    pub(crate) fn room(self) -> u64 {
        self.limit.saturating_sub(self.count)
    }
}

/// A copy as a list of operations shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCopy {
    /// The operation's id.
    pub id: UntrustedText,
    /// A model or a classifier.
    pub kind: Kind,
    /// The id of the copy.
    pub target_model_id: ModelId,
    /// Where the copy will be, without the query.
    pub target_location: UntrustedText,
    /// When the source accepted it, by the source's clock.
    pub created: Timestamp,
    /// When its status changed last, by the source's clock.
    pub updated: Option<Timestamp>,
    /// Its status.
    pub status: OperationStatus,
}

impl ListedCopy {
    /// Whether it is a copy of this kind to this id.
    #[must_use]
    pub(crate) fn is_to(&self, kind: Kind, id: &ModelId) -> bool {
        self.kind == kind && self.target_model_id.is_same_as(id)
    }
}

/// Reads an authorization from a file, as if the target had just answered with it.
///
/// # Errors
/// When it is not an authorization for this copy.
pub(crate) fn parse_authorization(
    version: ApiVersion,
    copy: &NewCopy,
    payload: &str,
    issued: Timestamp,
) -> Result<CopyAuthorization, Error> {
    let call = version.wire().authorize(copy);
    let answer = Answer {
        resource: Arc::new(Label::of_side(&Side::Target.to_string(), String::new())),
        purpose: call.request.purpose.clone(),
        auth_method: AuthMethod::Key,
        received: issued,
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: payload.into(),
    };
    match call.read(&answer)?.value {
        AuthorizeAnswer::Authorized(authorization) => Ok(authorization),
        AuthorizeAnswer::Unusable { error, .. } => Err(error),
    }
}

/// Reads the answer to an accepted start request: 202 with an Operation-Location on the source itself.
fn read_start(answer: &Answer, source: &Endpoint) -> Result<OperationUrl, Error> {
    let location = answer.header("operation-location").filter(|location| !location.trim().is_empty());
    let location = location.ok_or_else(|| answer.unusable("no Operation-Location"))?;
    let url = OperationUrl::new(location, source).map_err(|error| {
        error.with_source(format!("it is {:?}", Answer::text(location))).with_request_id(answer.request_id())
    })?;
    if url.is_collection() {
        return Err(answer.unusable("an Operation-Location without the id of an operation"));
    }
    Ok(url)
}

/// Reads the answer to a DELETE. A success with an HTML page is the answer of a proxy: the service sends no content.
fn read_deletion(answer: &Answer) -> Result<(), Error> {
    let is_page = answer.header("content-type").is_some_and(|media_type| media_type.starts_with("text/html"));
    if is_page { Err(answer.unusable("an HTML page")) } else { Ok(()) }
}

/// The entries of a list that can be read, and how many cannot. Prebuilt models are neither: they cannot be copied.
fn readable_models<'a, T: Deserialize<'a>>(
    list: Vec<&'a RawValue>,
    read: impl Fn(T) -> Option<Model>,
) -> (Vec<Model>, usize) {
    let custom = list.into_iter().filter(|item| !is_prebuilt(item));
    let mut unreadable = 0;
    let items = custom.filter_map(|item| {
        let model = serde_json::from_str(item.get()).ok().and_then(&read);
        unreadable += usize::from(model.is_none());
        model
    });
    (items.collect(), unreadable)
}

fn is_prebuilt(item: &RawValue) -> bool {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Ids {
        model_id: Value,
        classifier_id: Value,
    }
    let Ids { model_id, classifier_id } = serde_json::from_str(item.get()).unwrap_or_default();
    [model_id, classifier_id].iter().filter_map(Value::as_str).any(|id| id.starts_with("prebuilt-"))
}

/// A date in a body; none where it cannot be read.
fn date(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Accepts a model only if it is the one that was asked for.
fn check_id(model: Model, asked: &ModelId, answer: &Answer) -> Result<Model, Error> {
    if model.id.is_same_as(asked) {
        return Ok(model);
    }
    Err(answer.unusable(&format!("the model {} instead of {asked}", model.id)))
}

/// An error for an operation that cannot be polled.
fn not_pollable() -> Error {
    Error::new(ErrorKind::Unforeseen, "the list of operations has an entry whose id is not valid")
}

#[cfg(test)]
pub(crate) mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// An answer of the source to `start the copy`, with JSON that a test writes down.
    pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let header = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        Answer {
            resource: Arc::new(Label::of_side("source", "https://a.example".into())),
            purpose: "start the copy".into(),
            auth_method: AuthMethod::Key,
            received: "2026-11-23T00:00:00Z".parse().unwrap(),
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.iter().map(header).collect(),
            body: body.into(),
        }
    }

    /// Method and path of each request.
    pub(crate) fn lines(requests: &[Request]) -> Vec<String> {
        requests.iter().map(|request| format!("{request:?}")).collect()
    }

    #[test]
    fn an_operation_location_is_found_whatever_the_case_of_its_name() {
        let source = "https://a.example".parse().unwrap();
        for name in ["Operation-Location", "operation-location", "OPERATION-LOCATION"] {
            let url = read_start(&answer(202, &[(name, "https://a.example/o/1")], ""), &source).unwrap();
            assert_eq!(url.path_and_query(), "/o/1");
        }
    }

    #[test]
    fn a_start_without_a_usable_operation_location_is_not_a_refusal() {
        let source = "https://a.example".parse().unwrap();
        for headers in [
            &[][..],
            &[("operation-location", "https://evil.example/o/1")],
            &[("operation-location", "https://:")],
            &[("operation-location", "https://a.example/formrecognizer/operations?api-version=2022-08-31")],
            &[("operation-location", "https://a.example/formrecognizer/v2.1/custom/models/x/copyresults/")],
        ] {
            let error = read_start(&answer(202, headers, ""), &source).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unforeseen);
        }
    }

    #[test]
    fn an_unreadable_body_is_described_and_never_shown() {
        let body = r#"{"modelId":"x","accessToken":{"s3cret":1},"expirationDateTimeTicks":"s3cret"}"#;
        let error = answer(200, &[("content-type", "text/html; charset=utf-8")], body).json::<u8>().unwrap_err();
        let said = format!("{error:?} {}", error.causes().next().unwrap());
        assert!(said.contains("text/html") && !said.contains("s3cret"), "{said}");
    }
}
