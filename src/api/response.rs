//! One answer: status, headers and body, and what is read from it.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::auth::AuthMethod;
use crate::error::{Delivery, Error, ErrorKind};
use crate::label::Label;
use crate::model::ModelId;
use crate::redactor::redact;
use crate::text::UntrustedText;

/// The service's id of a request, which Azure support asks for.
const REQUEST_ID: &str = "apim-request-id";

/// The region of the resource, in answers of the service itself.
const REGION: &str = "x-ms-region";

/// One answer as it came, not yet read.
pub struct Answer {
    /// The resource that answered, for messages.
    pub resource: Arc<Label>,
    /// What the request was to do, for messages.
    pub purpose: String,
    /// The authentication method of the request.
    pub auth_method: AuthMethod,
    /// When the answer came, by the local clock. It only serves to read a `Retry-After` date without a `Date` header.
    pub received: Timestamp,
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers; names match in any case.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
}

/// What was read from an answer, and what the answer's headers say of it.
#[derive(Debug)]
pub struct Response<T> {
    /// What the body says.
    pub value: T,
    /// The service's id of the request.
    pub request_id: Option<UntrustedText>,
    /// The service's own clock (`Date`).
    pub date: Option<Timestamp>,
    /// The region of the resource (`x-ms-region`).
    pub region: Option<UntrustedText>,
}

impl<T> Response<T> {
    /// The same answer with another value.
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Response<U> {
        let Self { value, request_id, date, region } = self;
        Response { value: map(value), request_id, date, region }
    }

    /// A value that no header belongs to.
    pub(crate) fn without_headers(value: T) -> Self {
        Self { value, request_id: None, date: None, region: None }
    }
}

impl Answer {
    /// The service's id of the request.
    #[must_use]
    pub fn request_id(&self) -> Option<UntrustedText> {
        self.header(REQUEST_ID).map(Self::text).filter(|id| !id.is_empty())
    }

    /// The service's own clock (`Date`).
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        parse_http_date(self.header("date")?)
    }

    /// The region of the resource, as the service names it: `East US`.
    pub(crate) fn region(&self) -> Option<UntrustedText> {
        self.header(REGION).map(Self::text)
    }

    /// The service's own clock, or the local one where the answer has no `Date`.
    pub(super) fn date_or_received(&self) -> Timestamp {
        self.date().unwrap_or(self.received)
    }

    /// Text of this answer, with secrets replaced.
    pub(super) fn text(text: &str) -> UntrustedText {
        redact(text).into()
    }

    /// An id of this answer; none where it is not valid, or repeats a secret.
    pub(super) fn id(id: &str) -> Option<ModelId> {
        Self::text(id).raw().parse().ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body without a byte order mark, which a parser of JSON may ignore.
    pub(super) fn text_of_body(&self) -> &[u8] {
        self.body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.body)
    }

    /// Reads the body. What is read may borrow from it.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_slice(self.text_of_body()).map_err(|error| self.unreadable(&error))
    }

    /// Reads the body, and keeps it as it came.
    pub(super) fn json_and_payload<T: DeserializeOwned>(&self) -> Result<(T, Box<RawValue>), Error> {
        let payload: Box<RawValue> = self.json()?;
        let value = serde_json::from_str(payload.get()).map_err(|error| self.unreadable(&error))?;
        Ok((value, payload))
    }

    /// Checks the id that an authorization has reserved: it goes into paths.
    pub(super) fn reserved_id(&self, id: &str) -> Result<ModelId, Error> {
        Self::text(id).raw().parse().map_err(|error: Error| {
            self.unusable("an authorization whose model id is not valid").with_source(error.to_string())
        })
    }

    /// Says where the JSON is wrong, and not what stands there: it may be an access token.
    fn unreadable(&self, error: &serde_json::Error) -> Error {
        let problem = match error.classify() {
            serde_json::error::Category::Data => "JSON of another form",
            _ => "not JSON",
        };
        let cause = format!("{problem} (line {}, column {}; {})", error.line(), error.column(), self.content());
        self.unusable("a body that is not the service's JSON").with_source(cause)
    }

    /// An error for an answer of success without the content that success means.
    pub(super) fn unusable(&self, with: &str) -> Error {
        let status = self.status.as_u16();
        Error::new(
            ErrorKind::Unforeseen,
            format!("{} answered HTTP {status} with {with} ({})", self.resource, self.purpose),
        )
        .with_delivery(Delivery::Unanswered)
        .with_request_id(self.request_id())
        .with_remedy(format!(
            "check that {} is that of a Form Recognizer or Document Intelligence resource \
                 and that no proxy answers instead of it",
            self.resource.endpoint()
        ))
    }

    /// Length and media type of the body, without its content.
    pub(super) fn content(&self) -> String {
        let media_type = self.header("content-type").and_then(|value| value.split(';').next());
        match (self.body.len(), media_type) {
            (0, _) => "an empty body".into(),
            (bytes, Some(media_type)) => format!("{}, {bytes} bytes", Self::text(media_type)),
            (bytes, None) => format!("{bytes} bytes"),
        }
    }
}

/// Reads a date as HTTP headers have it.
pub(super) fn parse_http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text.trim()).ok()
}
