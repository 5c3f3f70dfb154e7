//! One request: method, path, headers, body, and the quota that it counts against.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::auth::AuthHeader;
use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::resource::Endpoint;

/// Accepts a copy that is less protected than its source: from customer-managed keys to service-managed ones.
const ALLOW_DEGRADE: HeaderName = HeaderName::from_static("x-ms-forms-copy-degrade");
/// The id that the client gives each request. The service does not repeat it.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");

/// One request to a resource. It names a path and never a host, so it cannot go to another one.
#[derive(Clone)]
pub struct Request {
    /// GET, POST or DELETE.
    pub method: Method,
    /// Path and query on the resource's endpoint, starting with `/`.
    pub path_and_query: String,
    /// Headers beyond those of every request.
    pub headers: HeaderMap,
    /// JSON, or nothing. It may contain an access token.
    pub body: Option<SecretString>,
    /// The document to analyze, instead of JSON.
    pub document: Option<Document>,
    /// What the request does, for messages: `start the copy`.
    pub purpose: String,
    /// The rate limit that the request counts against.
    pub quota: Quota,
    /// Whether status and headers of a success say everything. Its body is not waited for: it may be cut off, or hang.
    pub is_answered_by_head: bool,
}

/// Requests that the service counts together for its rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Reads of one model or operation.
    Get,
    /// Lists, and the counts of all models.
    List,
    /// Authorize, start and delete requests.
    Management,
    /// Starts of v2.1, which have a limit per minute beside the one of [`Quota::Management`].
    CustomModelCopy,
    /// Analyses of documents.
    Analyze,
    /// Reads of the results of analyses.
    AnalyzeResult,
}

impl Request {
    pub(super) fn get(path_and_query: String, purpose: impl Into<String>) -> Self {
        Self::new(Method::GET, path_and_query, purpose)
    }

    pub(super) fn delete(path_and_query: String, purpose: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path_and_query, purpose).answered_by_head()
    }

    pub(super) fn post(path_and_query: String, body: Option<String>, purpose: impl Into<String>) -> Self {
        Self { body: body.map(Into::into), ..Self::new(Method::POST, path_and_query, purpose) }
    }

    /// A document to analyze.
    pub(super) fn post_document(path: String, document: &Document, purpose: impl Into<String>) -> Self {
        let request = Self::new(Method::POST, path, purpose).counted_as(Quota::Analyze);
        Self { document: Some(document.clone()), ..request }
    }

    fn new(method: Method, path_and_query: String, purpose: impl Into<String>) -> Self {
        let quota = if method == Method::GET { Quota::Get } else { Quota::Management };
        let (headers, purpose) = (HeaderMap::new(), purpose.into());
        Self { method, path_and_query, headers, body: None, document: None, purpose, quota, is_answered_by_head: false }
    }

    /// The same request, where the body of a success says nothing.
    pub(super) fn answered_by_head(self) -> Self {
        Self { is_answered_by_head: true, ..self }
    }

    pub(super) fn counted_as(self, quota: Quota) -> Self {
        Self { quota, ..self }
    }

    /// Returns the request with a new client request id, and that id.
    #[must_use]
    pub fn identified(&self) -> (Self, String) {
        let (mut request, id) = (self.clone(), Uuid::new_v4().to_string());
        // A UUID consists of characters that a header may have.
        if let Ok(value) = HeaderValue::from_str(&id) {
            request.headers.insert(CLIENT_REQUEST_ID, value);
        }
        (request, id)
    }

    /// Returns the request with its authentication header.
    #[must_use]
    pub fn with(mut self, auth: &AuthHeader) -> Self {
        let (name, value) = auth.header();
        self.headers.insert(name, value);
        self
    }

    /// Returns the start request that accepts a copy which is less protected than its source.
    #[must_use]
    pub fn allowing_degrade(mut self) -> Self {
        self.headers.insert(ALLOW_DEGRADE, HeaderValue::from_static("true"));
        self
    }

    /// Returns the request for the next page of the list that this request reads.
    ///
    /// # Errors
    /// When the link leads to another origin: nothing may be sent there.
    pub fn next_page(&self, link: &str, endpoint: &Endpoint) -> Result<Self, Error> {
        let url = endpoint.resolve(link).ok().filter(|url| endpoint.is_origin_of(url)).ok_or_else(|| {
            Error::new(ErrorKind::Unforeseen, format!("the nextLink of a list does not lead to {endpoint}"))
                .with_remedy("check that no proxy answers instead of the service, and run the command again")
        })?;
        let path_and_query = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        Ok(Self { path_and_query, ..self.clone() })
    }

    /// The JSON body. It may contain an access token.
    #[must_use]
    pub fn json(&self) -> Option<&str> {
        self.body.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// Leaves out the body, which may contain an access token.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path_and_query)
    }
}
