//! Errors: what happened, what it means for the caller, the service's own words, and what to do.

use std::error::Error as StdError;
use std::time::Duration;

use crate::text::UntrustedText;

/// What the caller may do about an [`Error`]. Coarse on purpose, and exhaustive: the exit codes are one `match` on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The settings contradict each other or the service: correct the call.
    Settings,
    /// The service refuses the key, token or role (401, 403).
    Credentials,
    /// There is no such model, operation, resource or API version.
    NotFound,
    /// The target model id exists, or an authorization has reserved it.
    Exists,
    /// The service understood the request and refuses it.
    Refused,
    /// The copy operation failed: the service's verdict.
    Failed,
    /// The service canceled the copy.
    Canceled,
    /// The service skipped the copy.
    Skipped,
    /// Not reachable, throttled or out of quota, and nothing is running: try again later.
    Unavailable,
    /// The copy was accepted and there is no verdict yet: poll its operation.
    UnderWay,
    /// The command was cancelled.
    Interrupted,
    /// An unexpected answer or state.
    Unforeseen,
}

/// Whether a request that ended in an [`Error`] reached the service, and what its answer proves. It decides whether the
/// request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The request was not sent: no connection could be made, but a later one may succeed.
    NotSent,
    /// The request was not sent: the host name has no address, the TLS handshake failed, or the proxy wants a password. A
    /// repetition helps only if that is temporary.
    WrongHost,
    /// The service refused it unprocessed because of a rate limit (429).
    Throttled {
        /// The wait of the answer's `Retry-After`, counted from the answer.
        retry_after: Option<Duration>,
    },
    /// The service was not available (503). It may have acted on the request.
    Busy {
        /// The wait of the answer's `Retry-After`, counted from the answer.
        retry_after: Option<Duration>,
    },
    /// It was sent, and no usable answer came: lost connection, time-out, 408, 5xx, an unreadable body.
    Unanswered,
    /// It was sent and got no usable answer, and later reads proved that the service did not act on it.
    NotProcessed,
    /// The call volume of the resource is used up; the wait is of days, not of seconds.
    OutOfQuota {
        /// The wait of the answer's `Retry-After`, counted from the answer.
        retry_after: Option<Duration>,
    },
    /// The service answered, or the request can never be sent: sending it again would change nothing.
    Final(Finding),
}

impl Delivery {
    /// The wait that the answer asks for.
    #[must_use]
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Busy { retry_after } | Self::OutOfQuota { retry_after } => {
                retry_after
            }
            Self::NotSent | Self::WrongHost | Self::Unanswered | Self::NotProcessed | Self::Final(_) => None,
        }
    }
}

/// What a final answer proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing: a proxy may have answered, or the code says nothing about the model.
    Inconclusive,
    /// What it says: the service answered in its own error envelope.
    Definitive,
    /// The service itself says that there is no such model.
    NoSuchModel,
    /// The operation is something else than a copy.
    NotACopy,
}

/// Anything that can end a copy.
///
/// Its `Display` says what happened and never repeats its source; the chain of sources says why, with the innermost of
/// the service's own messages first.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    delivery: Delivery,
    message: Box<str>,
    remedy: Option<Box<str>>,
    request_id: Option<UntrustedText>,
    http_status: Option<u16>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error whose message says what happened: lower case, no final full stop, without its cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            delivery: Delivery::Final(Finding::Inconclusive),
            message: message.into().into(),
            remedy: None,
            request_id: None,
            http_status: None,
            source: None,
        }
    }

    /// A [`ErrorKind::Settings`] error with its remedy.
    pub fn settings(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(ErrorKind::Settings, message).with_remedy(remedy)
    }

    /// An [`ErrorKind::Interrupted`] error.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, message)
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into().into();
        self
    }

    /// Adds what to do: one imperative sentence.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into().into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error once more, for another copy that it ends. A cause of another library becomes a text.
    #[must_use]
    pub(crate) fn duplicate(&self) -> Self {
        let source = self.source.as_deref().map(|source| -> Box<dyn StdError + Send + Sync> {
            let source: &(dyn StdError + 'static) = source;
            match (source.downcast_ref::<Self>(), source.downcast_ref::<ServiceError>()) {
                (Some(error), _) => Box::new(error.duplicate()),
                (None, Some(error)) => Box::new(error.clone()),
                (None, None) => chain(source).map(ToString::to_string).collect::<Vec<_>>().join(": ").into(),
            }
        });
        Self {
            kind: self.kind,
            delivery: self.delivery,
            message: self.message.clone(),
            remedy: self.remedy.clone(),
            request_id: self.request_id.clone(),
            http_status: self.http_status,
            source,
        }
    }

    /// Adds the service's id of the request (`apim-request-id`).
    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<UntrustedText>) -> Self {
        self.request_id = request_id;
        self
    }

    /// Adds the HTTP status of the answer.
    #[must_use]
    pub(crate) fn with_http_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }

    /// Says whether the request reached the service; by default it did, with an inconclusive answer.
    #[must_use]
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// What the caller may do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the request reached the service.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Whether the service itself says that there is no such model.
    #[must_use]
    pub fn is_no_such_model(&self) -> bool {
        self.delivery == Delivery::Final(Finding::NoSuchModel)
    }

    /// Whether the service itself says that there is no such operation.
    #[must_use]
    pub fn is_no_such_operation(&self) -> bool {
        let is_definitive = matches!(self.delivery, Delivery::Final(Finding::Definitive | Finding::NoSuchModel));
        self.kind == ErrorKind::NotFound && is_definitive
    }

    /// Whether the operation that was asked for is something else than a copy.
    #[must_use]
    pub(crate) fn is_not_a_copy(&self) -> bool {
        self.delivery == Delivery::Final(Finding::NotACopy)
    }

    /// Whether the resource, or its region, does not offer the API version; that says nothing of its models. Only the
    /// service itself can say so: a list that a proxy refused would be missed silently.
    #[must_use]
    pub fn is_version_not_offered(&self) -> bool {
        let is_final = matches!(self.delivery, Delivery::Final(Finding::Inconclusive | Finding::Definitive));
        self.kind == ErrorKind::NotFound && is_final && self.service().is_some()
    }

    /// Whether it is a 404 that is not the service's own.
    #[must_use]
    pub(crate) fn is_foreign_404(&self) -> bool {
        self.is_refusal_of_proxy() && self.http_status == Some(404)
    }

    /// Whether the service may have carried out the request: it was sent, and its answer was lost, was a 503, or was not the
    /// service's own.
    #[must_use]
    pub(crate) fn may_have_been_processed(&self) -> bool {
        matches!(self.delivery, Delivery::Unanswered | Delivery::Busy { .. }) || self.is_refusal_of_proxy()
    }

    /// Whether it is a refusal (4xx) without the service's own words: a proxy may have answered, whatever became of the
    /// request. One that asks for credentials (401, 407) comes before the request is carried out.
    #[must_use]
    pub(crate) fn is_refusal_of_proxy(&self) -> bool {
        let is_refusal = matches!(self.delivery, Delivery::Final(Finding::Inconclusive) | Delivery::Throttled { .. });
        let may_come_late = matches!(self.http_status, Some(400..=499)) && !matches!(self.http_status, Some(401 | 407));
        is_refusal && may_come_late && self.service().is_none()
    }

    /// Whether the service may have acted on the request: it was sent, and no usable answer came.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.may_have_been_processed() || self.kind == ErrorKind::Unforeseen
    }

    /// Whether a read with this error proves nothing, so that a copy can go on as if the read had not been made.
    #[must_use]
    pub fn is_inconclusive(&self) -> bool {
        match self.delivery {
            // Cancelled is not an answer.
            _ if self.is_interrupted() => false,
            Delivery::Unanswered | Delivery::NotProcessed => true,
            Delivery::Final(finding) => finding == Finding::Inconclusive && self.kind != ErrorKind::Unavailable,
            // The resource is not reachable or throttled: a copy would meet the same.
            Delivery::NotSent
            | Delivery::WrongHost
            | Delivery::Throttled { .. }
            | Delivery::Busy { .. }
            | Delivery::OutOfQuota { .. } => false,
        }
    }

    /// Whether the target id exists or is reserved.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.kind == ErrorKind::Exists
    }

    /// Whether it is the service's verdict on an operation: failed, canceled or skipped.
    #[must_use]
    pub fn is_verdict(&self) -> bool {
        matches!(self.kind, ErrorKind::Failed | ErrorKind::Canceled | ErrorKind::Skipped)
    }

    /// Whether the command was cancelled.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.kind == ErrorKind::Interrupted
    }

    /// The HTTP status of the answer; none where no answer came.
    #[must_use]
    pub(crate) fn http_status(&self) -> Option<u16> {
        self.errors().find_map(|error| error.http_status)
    }

    /// Whether the same mutating request may have another result soon. A final answer of the service, refused credentials, a
    /// used-up call volume and a proof that the service did not act stay as they are.
    #[must_use]
    pub(crate) fn is_worth_repeating(&self) -> bool {
        match self.delivery {
            Delivery::Final(_) => self.is_refusal_of_proxy() && self.kind != ErrorKind::Credentials,
            Delivery::OutOfQuota { .. } | Delivery::NotProcessed => false,
            _ => true,
        }
    }

    /// The wait that the answer asks for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.delivery.retry_after()
    }

    /// What to do, of this error or of the nearest cause that knows.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.errors().find_map(|error| error.remedy.as_deref())
    }

    /// The service's id of the request that failed, of this error or of the nearest cause that has one.
    #[must_use]
    pub fn request_id(&self) -> Option<&UntrustedText> {
        self.errors().find_map(|error| error.request_id.as_ref())
    }

    /// The service's own words, where it answered with an error.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceError> {
        self.causes().find_map(|cause| cause.downcast_ref::<ServiceError>())
    }

    /// Every cause, the nearest first.
    pub fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        chain(self).skip(1)
    }

    fn errors(&self) -> impl Iterator<Item = &Self> {
        chain(self).filter_map(|error| error.downcast_ref::<Self>())
    }
}

/// The service's own words: a code and a message, the innermost first, the outer ones as its sources.
///
/// Decisions use the code. The message is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// Such as `2024` or `ModelNotFound`. Some answers have none.
    pub code: Option<UntrustedText>,
    /// The service's sentence.
    pub message: UntrustedText,
    /// The same failure in the next outer envelope, where that says something else.
    pub outer: Option<Box<ServiceError>>,
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.code {
            Some(code) if self.message.is_empty() => code.fmt(f),
            Some(code) => write!(f, "{code}: {}", self.message),
            None => self.message.fmt(f),
        }
    }
}

impl StdError for ServiceError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.outer.as_deref().map(|outer| outer as _)
    }
}

/// An error and its sources, the outermost first.
pub(crate) fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost source of an error, or the error itself.
pub(crate) fn root_cause<'e>(error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    chain(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_and_the_request_id_of_a_cause_are_those_of_the_whole_error() {
        let cause = Error::new(ErrorKind::Refused, "inner").with_remedy("do it").with_request_id(Some("id".into()));
        let error = Error::new(ErrorKind::UnderWay, "outer").with_source(cause);
        assert_eq!((error.remedy(), error.request_id()), (Some("do it"), Some(&"id".into())));
        assert_eq!(error.to_string(), "outer");
    }
}
