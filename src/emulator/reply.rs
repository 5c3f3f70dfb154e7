//! Answers as the service gives them: status, headers and the error envelopes of each version.

use http::StatusCode;
use serde_json::{Value, json};

/// One answer, before the headers that every answer has.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    /// Answered by the gateway in front of the service, which leaves out the service's own headers.
    pub(super) by_gateway: bool,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: Option<Value>) -> Self {
        Self { status, headers: Vec::new(), body, by_gateway: false }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, Some(body))
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// An error of the gateway: `{"error":{"code":"404","message":…}}`.
    pub(super) fn gateway(status: StatusCode, message: &str) -> Self {
        let body = json!({"error": {"code": status.as_str(), "message": message}});
        Self { by_gateway: true, ..Self::new(status, Some(body)) }
    }

    /// Nothing is known under this path, or not with this version.
    pub(super) fn nothing_here() -> Self {
        Self::gateway(StatusCode::NOT_FOUND, "Resource not found")
    }
}

/// A failure in the service's words, which each version wraps in its own envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    /// The outer code of v3.0 and later.
    pub(super) outer: &'static str,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(status: u16, outer: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, outer, code, message: message.into() }
    }

    pub(super) fn model_not_found() -> Self {
        Self::new(404, "NotFound", "ModelNotFound", "The requested model was not found.")
    }

    /// v2.1: `{"error":{"code","message"}}`.
    pub(super) fn flat(&self) -> Reply {
        Reply::new(self.status, Some(json!({"error": {"code": self.code, "message": self.message}})))
    }

    /// v3.0 and later: the code that helps is the inner one.
    pub(super) fn nested(&self) -> Reply {
        Reply::new(self.status, Some(json!({"error": self.with_inner("innererror", |inner| inner)})))
    }

    /// How an operation of v3.0 and later says why it failed: in `details`.
    pub(super) fn of_operation(&self) -> Value {
        self.with_inner("details", |inner| json!([inner]))
    }

    fn with_inner(&self, name: &str, wrap: impl Fn(Value) -> Value) -> Value {
        let outer_message = match self.outer {
            "InvalidRequest" => "Invalid request.",
            "InvalidArgument" => "Invalid argument.",
            "Forbidden" => "Access forbidden due to policy or other configuration.",
            "NotFound" => "Resource not found.",
            "Conflict" => {
                "The request could not be completed due to a conflict with the current state of the target resource."
            }
            _ => "An unexpected error occurred.",
        };
        json!({"code": self.outer, "message": outer_message, name: wrap(json!({"code": self.code, "message": self.message}))})
    }
}
