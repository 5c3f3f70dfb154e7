//! A copy that is under way: where to ask for it, and what the service says of it.

use std::fmt;

use url::Url;

use crate::error::{Error, ErrorKind, ServiceError};
use crate::model::{Kind, ModelId};
use crate::redactor::Redactor;
use crate::resource::Endpoint;
use crate::text::sanitize;

/// Where an operation is followed: an Operation-Location on the source's own scheme, host and port.
///
/// Its path and query are the service's business and are used as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationUrl {
    url: Url,
    /// What people see of it: a service that puts a secret there does not get it printed.
    shown: String,
}

impl OperationUrl {
    /// Checks an Operation-Location that the source sent, which may be relative to it.
    ///
    /// # Errors
    /// When it is no URL or leads elsewhere. Nothing may be sent there: the credential is the source's alone.
    pub fn new(location: &str, source: &Endpoint) -> Result<Self, Error> {
        let url = source.resolve(location).ok().filter(|url| source.is_origin_of(url) && url.path() != "/");
        let url = url.ok_or_else(|| {
            Error::new(ErrorKind::Unforeseen, format!("the Operation-Location does not name an operation on {source}"))
        })?;
        // Whoever pastes it into a shell puts it between single quotes.
        Ok(Self { shown: url.as_str().replace('\'', "%27"), url })
    }

    /// Shows it without these secrets.
    #[must_use]
    pub fn without(mut self, secrets: &Redactor) -> Self {
        self.shown = secrets.redact(&self.shown);
        self
    }

    /// The id of the model that is copied, which v2.1 has in the path: `…/models/{id}/copyresults/…`.
    #[must_use]
    pub fn source_model_id(&self) -> Option<ModelId> {
        let segments: Vec<_> = self.url.path_segments()?.collect();
        let at = segments.iter().position(|segment| segment.eq_ignore_ascii_case("copyresults"))?;
        segments.get(at.checked_sub(1)?)?.parse().ok()
    }

    /// Path and query, to be asked of the source.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

impl fmt::Display for OperationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What the service says of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// How far it is.
    pub status: OperationStatus,
    /// Why it failed, when it did and the service says why.
    pub error: Option<ServiceError>,
    /// The id of the copy, where the answer names it.
    pub target_model_id: Option<ModelId>,
    /// What is being copied, where the answer says so.
    pub kind: Option<Kind>,
}

/// How far an operation is. Only a terminal status is a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationStatus {
    /// Accepted, waiting for its turn.
    NotStarted,
    /// Being carried out.
    Running,
    /// Done: the copy is there.
    Succeeded,
    /// Done: there is no copy.
    Failed,
    /// Given up on the service's side.
    Canceled,
    /// Left out on the service's side (v4.0).
    Skipped,
    /// A status that this version of frcopy does not know. It is not a verdict.
    Unknown(String),
}

impl OperationStatus {
    /// Whether the operation has ended.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled | Self::Skipped)
    }
}

impl From<&str> for OperationStatus {
    fn from(word: &str) -> Self {
        match word {
            "notStarted" => Self::NotStarted,
            "running" => Self::Running,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            "skipped" => Self::Skipped,
            other => Self::Unknown(sanitize(other)),
        }
    }
}

impl fmt::Display for OperationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "notStarted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Unknown(word) => word,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_url_is_used_as_it_came() {
        let source = "https://a.example".parse().unwrap();
        let location =
            "https://a.example/formrecognizer/v2.1/custom/models/x/copyresults/31_Y?api-version=2024-11-30&z=%2F";
        let url = OperationUrl::new(location, &source).unwrap();
        assert_eq!(url.to_string(), location);
        assert_eq!(url.path_and_query(), &location["https://a.example".len()..]);
    }

    #[test]
    fn an_operation_url_that_leads_away_from_the_source_is_refused() {
        let source = "https://a.example".parse().unwrap();
        for location in [
            "https://evil.example/x",
            "http://a.example/x",
            "https://a.example:8443/x",
            "//evil.example/x",
            "https://k@a.example/",
            "https://",
            "",
            "/",
        ] {
            assert!(OperationUrl::new(location, &source).is_err(), "{location}");
        }
    }

    #[test]
    fn only_an_end_is_a_verdict() {
        for word in ["succeeded", "failed", "canceled", "skipped"] {
            assert!(OperationStatus::from(word).is_terminal(), "{word}");
        }
        for word in ["notStarted", "running", "completed", "Succeeded", ""] {
            assert!(!OperationStatus::from(word).is_terminal(), "{word}");
        }
    }
}
