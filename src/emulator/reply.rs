//! Answers of the service: status, headers and the error envelopes.

use http::StatusCode;
use serde_json::{Value, json};

/// One answer, without the headers that all answers have.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    /// Whether the gateway in front of the service answered. Its answers lack some headers.
    pub(super) by_gateway: bool,
    /// Whether `Content-Type` names a charset. That of an error never does.
    pub(super) has_charset: bool,
    /// Whether the connection is closed instead.
    pub(super) is_lost: bool,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: Option<Value>) -> Self {
        Self { status, headers: Vec::new(), body, by_gateway: false, has_charset: true, is_lost: false }
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

    /// The gateway's answer for an unknown path or API version.
    pub(super) fn not_found() -> Self {
        Self::gateway(StatusCode::NOT_FOUND, "Resource not found")
    }
}

/// An error of the service. Each API version wraps it in its own envelope.
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

    /// The envelope of v2.1: `{"error":{"code","message"}}`.
    pub(super) fn flat(&self) -> Reply {
        Reply::new(self.status, Some(json!({"error": {"code": self.code, "message": self.message}})))
    }

    /// The envelope of v3.0 and later, with the specific code in `innererror`.
    pub(super) fn nested(&self) -> Reply {
        Reply::new(self.status, Some(json!({"error": self.with_inner("innererror", |inner| inner)})))
    }

    /// The error of a failed operation of v3.0 and later, with the specific code in `details`.
    pub(super) fn operation_error(&self) -> Value {
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
