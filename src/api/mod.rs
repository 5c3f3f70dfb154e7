//! The wire, without I/O: what to send for each step of a copy, and how to read the answer.
//!
//! A request names a path on its resource and never a host, so it cannot go anywhere else. v2.1 speaks
//! `custom_models`, everything later `document_models`; the rows of [`version`] say which.

mod custom_models;
mod document_models;
pub mod service_error;
pub mod version;

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::auth::{AuthHeader, AuthMethod};
use crate::authorization::CopyAuthorization;
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{Kind, Model, ModelId};
use crate::operation::{Operation, OperationStatus, OperationUrl};
use crate::redactor::Redactor;
use crate::resource::{Endpoint, Side, TargetAddress};
use crate::text::sanitize;
use version::{ApiVersion, Format};

/// Accepts a copy that is less protected than its source: from a resource with its own encryption keys to one without.
const ALLOW_DEGRADE: HeaderName = HeaderName::from_static("x-ms-forms-copy-degrade");
/// The id that the client gives each request. The service does not repeat it.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// Where the service says under which id its support finds a request.
const REQUEST_ID: &str = "apim-request-id";

/// One request, to be sent to the resource that it is meant for.
#[derive(Clone)]
pub struct Request {
    /// GET, POST or DELETE.
    pub method: Method,
    /// On the resource's endpoint, starting with `/`.
    pub path_and_query: String,
    /// What goes with it beyond what every request has.
    pub headers: HeaderMap,
    /// JSON, or nothing.
    pub body: Option<String>,
    /// What the resource is asked to do, for messages: `start the copy`.
    pub purpose: String,
    /// What the service counts it with.
    pub quota: Quota,
}

/// What the service counts together, and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Reads of one thing.
    Get,
    /// Lists of many, and what is in all.
    List,
    /// Authorizations, copies and deletions.
    Management,
    /// Copies of v2.1, which have a limit of their own beside that of the others.
    CustomModelCopy,
}

impl Request {
    fn new(method: Method, path_and_query: String, purpose: impl Into<String>) -> Self {
        let purpose = purpose.into();
        let quota = if method == Method::GET { Quota::Get } else { Quota::Management };
        Self { method, path_and_query, headers: HeaderMap::new(), body: None, purpose, quota }
    }

    fn get(path_and_query: String, purpose: impl Into<String>) -> Self {
        Self::new(Method::GET, path_and_query, purpose)
    }

    fn delete(path_and_query: String, purpose: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path_and_query, purpose)
    }

    fn post(path_and_query: String, body: Option<String>, purpose: impl Into<String>) -> Self {
        Self { body, ..Self::new(Method::POST, path_and_query, purpose) }
    }

    fn counted_as(self, quota: Quota) -> Self {
        Self { quota, ..self }
    }

    /// The same request with an id of this sending, by which the client's logs and the service's can be brought together.
    /// Returns the id as well.
    #[must_use]
    pub fn identified(&self) -> (Self, String) {
        let (mut request, id) = (self.clone(), Uuid::new_v4().to_string());
        // A UUID contains only characters that a header value may have.
        if let Ok(value) = HeaderValue::from_str(&id) {
            request.headers.insert(CLIENT_REQUEST_ID, value);
        }
        (request, id)
    }

    /// The same request with what it is let in with.
    #[must_use]
    pub fn with(mut self, pass: &AuthHeader) -> Self {
        let (name, value) = pass.header();
        self.headers.insert(name, value);
        self
    }

    /// Accepts that the copy may be less protected than the source.
    #[must_use]
    pub fn allowing_degrade(mut self) -> Self {
        self.headers.insert(ALLOW_DEGRADE, HeaderValue::from_static("true"));
        self
    }
}

/// Without the body, which may hold an access token.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path_and_query)
    }
}

/// One answer, whole and not yet understood.
pub struct Answer {
    /// Who answered.
    pub side: Side,
    /// What it was asked to do.
    pub purpose: String,
    /// Which way in was tried.
    pub auth_method: AuthMethod,
    /// What it may repeat and nobody may read.
    pub secrets: Redactor,
    /// When the answer came, to read a `Retry-After` that is a date.
    pub received: Timestamp,
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers; names match whatever their case.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The id under which the service's support finds the request.
    #[must_use]
    pub fn request_id(&self) -> Option<String> {
        self.header(REQUEST_ID).map(|id| self.text(id)).filter(|id| !id.is_empty())
    }

    /// The server's clock, or this machine's where the server does not tell it.
    fn server_time(&self) -> Timestamp {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
        self.header("date").and_then(|date| parser.parse_timestamp(date).ok()).unwrap_or(self.received)
    }

    /// Words of this answer, fit to be shown.
    fn text(&self, words: &str) -> String {
        sanitize(&self.secrets.redact(words))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body of a success; anything else is an error.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if !self.status.is_success() {
            return Err(service_error::refusal(self));
        }
        serde_json::from_slice(&self.body).map_err(|error| self.unreadable(&error))
    }

    /// The body of a success twice: understood, and as it came.
    fn json_and_payload<T: DeserializeOwned>(&self) -> Result<(T, Box<RawValue>), Error> {
        let payload: Box<RawValue> = self.json()?;
        let understood = serde_json::from_str(payload.get()).map_err(|error| self.unreadable(&error))?;
        Ok((understood, payload))
    }

    /// The id that an authorization has reserved, which goes into paths and so must be one.
    fn reserved_id(&self, id: &str) -> Result<ModelId, Error> {
        id.parse().map_err(|error: Error| {
            self.unusable("an authorization for something that is no model id").with_source(error.to_string())
        })
    }

    /// Says where the JSON went wrong and not what stood there: it may have been an access token.
    fn unreadable(&self, error: &serde_json::Error) -> Error {
        let problem = match error.classify() {
            serde_json::error::Category::Data => "JSON of another form",
            _ => "no JSON",
        };
        let cause = format!("{problem} (line {}, column {}; {})", error.line(), error.column(), self.nature());
        self.unusable("something that is not the service's JSON").with_source(cause)
    }

    /// An answer of success that does not do what success means.
    fn unusable(&self, with: &str) -> Error {
        let what =
            format!("asked to {}, the {} answered HTTP {} with {with}", self.purpose, self.side, self.status.as_u16());
        Error::new(ErrorKind::Unforeseen, what)
            .with_delivery(Delivery::Unanswered)
            .with_request_id(self.request_id())
            .with_remedy(format!(
                "check that the {} endpoint is that of a Form Recognizer or Document Intelligence resource \
                 and that no proxy answers in its place",
                self.side
            ))
    }

    /// What the body is, without showing it.
    fn nature(&self) -> String {
        let media_type = self.header("content-type").and_then(|value| value.split(';').next());
        match (self.body.len(), media_type) {
            (0, _) => "an empty body".into(),
            (bytes, Some(media_type)) => format!("{}, {bytes} bytes", self.text(media_type)),
            (bytes, None) => format!("{bytes} bytes"),
        }
    }
}

/// The request for what a resource knows of one of its models.
#[must_use]
pub fn model(version: ApiVersion, kind: Kind, id: &ModelId) -> Request {
    match version.format() {
        Format::CustomModels => custom_models::model(id),
        Format::DocumentModels { service, date } => document_models::Collection { service, date, kind }.model(id),
    }
}

/// Reads the answer to [`model`].
///
/// # Errors
/// When there is no such model, or no readable answer.
pub fn read_model(version: ApiVersion, answer: &Answer) -> Result<Model, Error> {
    match version.format() {
        Format::CustomModels => custom_models::read_model(answer),
        Format::DocumentModels { .. } => document_models::read_model(answer),
    }
}

/// The request for how far an operation is.
#[must_use]
pub fn operation(url: &OperationUrl) -> Request {
    Request::get(url.path_and_query().to_owned(), "show the operation")
}

/// Reads the answer to [`operation`].
///
/// # Errors
/// When the answer is not that of an operation, which says nothing of the copy.
pub fn read_operation(version: ApiVersion, answer: &Answer) -> Result<Operation, Error> {
    match version.format() {
        Format::CustomModels => custom_models::read_operation(answer),
        Format::DocumentModels { .. } => document_models::read_operation(answer),
    }
}

/// The request to delete a model or classifier, or to give a reserved id back.
#[must_use]
pub fn delete(version: ApiVersion, kind: Kind, id: &ModelId) -> Request {
    match version.format() {
        Format::CustomModels => custom_models::delete(id),
        Format::DocumentModels { service, date } => document_models::Collection { service, date, kind }.delete(id),
    }
}

/// Reads the answer to [`delete`].
///
/// # Errors
/// When nothing was deleted.
pub fn read_deleted(answer: &Answer) -> Result<(), Error> {
    if answer.status.is_success() { Ok(()) } else { Err(service_error::refusal(answer)) }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What it names, as far as it can be read.
    pub items: Vec<T>,
    /// How many things it names that cannot be read.
    pub unread: usize,
    /// Where the next page is, as the service says. It must be checked.
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

/// The request for the first page of a resource's models or classifiers; none where the version has none of this kind.
#[must_use]
pub fn list(version: ApiVersion, kind: Kind) -> Option<Request> {
    match version.format() {
        _ if kind == Kind::Classifier && !version.has_classifiers() => None,
        Format::CustomModels => Some(custom_models::list()),
        Format::DocumentModels { service, date } => Some(document_models::Collection { service, date, kind }.list()),
    }
}

/// Reads a page of [`list`]. Prebuilt models, which every resource has, are left out.
///
/// # Errors
/// When the answer is not such a list.
pub fn read_list(version: ApiVersion, answer: &Answer) -> Result<Page<Model>, Error> {
    match version.format() {
        Format::CustomModels => custom_models::read_list(answer),
        Format::DocumentModels { .. } => document_models::read_list(answer),
    }
}

/// The request for how many models a resource has and may have. Nobody counts classifiers.
#[must_use]
pub fn capacity(version: ApiVersion) -> Request {
    match version.format() {
        Format::CustomModels => custom_models::summary(),
        Format::DocumentModels { service, date } => document_models::info(service, date),
    }
}

/// Reads the answer to [`capacity`].
///
/// # Errors
/// When the answer is not one.
pub fn read_capacity(version: ApiVersion, answer: &Answer) -> Result<Capacity, Error> {
    match version.format() {
        Format::CustomModels => custom_models::read_summary(answer),
        Format::DocumentModels { .. } => document_models::read_info(answer),
    }
}

/// The things of a list that can be read, and how many cannot. Prebuilt models, whose id is none that can be copied,
/// are neither.
fn listed<T: DeserializeOwned>(list: Vec<Value>, read: impl Fn(T) -> Option<Model>) -> (Vec<Model>, usize) {
    let custom = list.into_iter().filter(|item| !is_prebuilt(item));
    let mut unread = 0;
    let items = custom.filter_map(|item| {
        let model = serde_json::from_value(item).ok().and_then(&read);
        unread += usize::from(model.is_none());
        model
    });
    (items.collect(), unread)
}

fn is_prebuilt(item: &Value) -> bool {
    let ids = ["modelId", "classifierId"].iter().filter_map(|name| item.get(name)?.as_str());
    ids.into_iter().any(|id| id.starts_with("prebuilt-"))
}

/// A date in an answer. One that cannot be read is none.
fn date(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// A copy as a list of operations shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCopy {
    /// The operation's id.
    pub id: String,
    /// What is copied.
    pub kind: Kind,
    /// The id of the copy.
    pub target_model_id: ModelId,
    /// Where the copy will be, without the query.
    pub target_location: String,
    /// When the source accepted it.
    pub created: Timestamp,
    /// How far it is.
    pub status: OperationStatus,
}

/// The request for a source's operations; v2.1 has no such list.
#[must_use]
pub fn operations(version: ApiVersion) -> Option<Request> {
    match version.format() {
        Format::CustomModels => None,
        Format::DocumentModels { service, date } => Some(document_models::operations(service, date)),
    }
}

/// The request for the next page of a list.
///
/// # Errors
/// When its link leads away from the resource that sent it: nothing may be sent there.
pub fn next_page(link: &str, endpoint: &Endpoint, of: &Request) -> Result<Request, Error> {
    let url = endpoint.resolve(link).ok().filter(|url| endpoint.is_origin_of(url)).ok_or_else(|| {
        Error::new(ErrorKind::Unforeseen, format!("the nextLink of a list does not lead to {endpoint}"))
    })?;
    let path_and_query = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
    Ok(Request { path_and_query, ..of.clone() })
}

/// Reads the answer to [`operations`].
///
/// # Errors
/// When the answer is not such a list.
pub fn read_operations(answer: &Answer) -> Result<Page<ListedCopy>, Error> {
    document_models::read_operations(answer)
}

/// Where a listed operation is followed; none for v2.1.
///
/// # Errors
/// When its id is none that could stand in a path.
pub fn operation_url(version: ApiVersion, id: &str, source: &Endpoint) -> Result<OperationUrl, Error> {
    let safe = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
    match version.format() {
        Format::DocumentModels { service, date } if safe => {
            OperationUrl::new(&format!("/{service}/operations/{id}?api-version={date}"), source)
        }
        _ => Err(Error::new(ErrorKind::Unforeseen, "the list of operations names one that cannot be followed")),
    }
}

/// The version whose operation a URL names, told by its path.
#[must_use]
pub fn version_of_operation(url: &OperationUrl) -> Option<ApiVersion> {
    let path = url.path_and_query();
    if path.to_ascii_lowercase().contains("/copyresults/") {
        return Some(ApiVersion::V2_1);
    }
    let date = path.split_once("api-version=").map(|(_, date)| date.split('&').next().unwrap_or_default());
    path.contains("/operations/").then(|| date.map_or(ApiVersion::NEWEST, ApiVersion::for_model_of))
}

/// Reads the answer to a request to start a copy: 202 with an Operation-Location on the source itself.
///
/// # Errors
/// When the source refused, or accepted without a usable Operation-Location: then a copy is under way that cannot be
/// followed.
pub fn read_start(answer: &Answer, source: &Endpoint) -> Result<OperationUrl, Error> {
    if !answer.status.is_success() {
        return Err(service_error::refusal(answer));
    }
    let location = answer.header("operation-location").filter(|location| !location.trim().is_empty());
    let location = location.ok_or_else(|| answer.unusable("no Operation-Location"))?;
    let url = OperationUrl::new(location, source).map_err(|error| {
        error.with_source(format!("it is {:?}", answer.text(location))).with_request_id(answer.request_id())
    })?;
    Ok(url.without(&answer.secrets))
}

/// The two requests that set a copy going, which differ with the version and with what the target is to hold.
pub trait Protocol {
    /// Asks the target for leave. It reserves an id there.
    fn authorize(&self) -> Request;

    /// Reads the answer to [`Protocol::authorize`].
    ///
    /// # Errors
    /// When the target refused, or its answer is not an authorization.
    fn read_authorization(&self, answer: &Answer) -> Result<CopyAuthorization, Error>;

    /// What [`Protocol::start`] will be, as far as that is known without an authorization: it is not to be sent.
    fn starting(&self, source: &ModelId) -> Request;

    /// Asks the source to copy. It uses the authorization up.
    fn start(&self, source: &ModelId, authorization: &CopyAuthorization) -> Request;
}

/// Reads an authorization that somebody else has obtained, from the answer that he got.
///
/// # Errors
/// When it is none.
pub fn read_handed_over(
    protocol: &dyn Protocol,
    payload: &RawValue,
    issued: Timestamp,
) -> Result<CopyAuthorization, Error> {
    protocol.read_authorization(&Answer {
        side: Side::Target,
        purpose: "authorize the copy".into(),
        auth_method: AuthMethod::Key,
        secrets: Redactor::default(),
        received: issued,
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: payload.get().into(),
    })
}

/// What a v3.0 or later target is asked to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModel {
    /// The id of the copy.
    pub id: ModelId,
    /// Its description; empty clears it, `None` leaves it to the service.
    pub description: Option<String>,
    /// Its tags; `None` leaves them to the service.
    pub tags: Option<BTreeMap<String, String>>,
}

/// The protocol of a v2.1 copy: the target names the copy, and the source must be told where the target is.
#[must_use]
pub fn custom_models_protocol(target: TargetAddress) -> Box<dyn Protocol + Send + Sync> {
    Box::new(custom_models::CustomModels { target })
}

/// The protocol of a copy with v3.0 or later; `None` for v2.1.
#[must_use]
pub fn document_models_protocol(
    version: ApiVersion,
    kind: Kind,
    new: NewModel,
) -> Option<Box<dyn Protocol + Send + Sync>> {
    match version.format() {
        Format::CustomModels => None,
        Format::DocumentModels { service, date } => Some(Box::new(document_models::DocumentModels {
            collection: document_models::Collection { service, date, kind },
            new,
        })),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An answer of the source to `start the copy`, with JSON that a test writes down.
    pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let header = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        Answer {
            side: Side::Source,
            purpose: "start the copy".into(),
            auth_method: AuthMethod::Key,
            secrets: Redactor::default(),
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
            assert_eq!(operation(&url).path_and_query, "/o/1");
        }
    }

    #[test]
    fn a_start_without_a_usable_operation_location_is_not_a_refusal() {
        let source = "https://a.example".parse().unwrap();
        for headers in
            [&[][..], &[("operation-location", "https://evil.example/o/1")], &[("operation-location", "https://:")]]
        {
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
