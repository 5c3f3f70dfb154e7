//! Errors that `--fail CODE` injects into the next copy.

use super::reply::Failure;

/// An error of the service, and the step of a copy in which it occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The service's error code.
    pub code: &'static str,
    pub(super) step: Step,
    status: u16,
    outer: &'static str,
    message: &'static str,
}

/// The step of a copy in which a fault occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Authorize,
    Start,
    /// The start is accepted, and the operation fails.
    Operation,
}

const fn fault(code: &'static str, step: Step, status: u16, outer: &'static str, message: &'static str) -> Fault {
    Fault { code, step, status, outer, message }
}

const NOT_READY: &str =
    "Model is not ready for the requested operation. Wait for training to complete or check for operation errors.";

/// All faults that can be injected.
pub const FAULTS: &[Fault] = &[
    fault("1001", Step::Start, 400, "InvalidRequest", "Specified model not found or not ready."),
    fault("1002", Step::Start, 400, "InvalidRequest", "Copy request is invalid."),
    fault("1022", Step::Start, 404, "NotFound", "Model not found."),
    fault(
        "2024",
        Step::Operation,
        200,
        "Forbidden",
        "Could not retrieve authorization metadata. If this issue persists use a different target model to copy into.",
    ),
    fault(
        "AuthorizationError",
        Step::Operation,
        200,
        "Forbidden",
        "Authorization failure due to missing or invalid authorization claims.",
    ),
    fault(
        "ResourceResolverError",
        Step::Operation,
        200,
        "Forbidden",
        "Could not fetch information for Cognitive resource.",
    ),
    fault(
        "DataProtectionTransformServiceError",
        Step::Operation,
        200,
        "Forbidden",
        "Data transfer request is not allowed as it downgrades to a less secure data protection scheme.",
    ),
    fault(
        "AuthorizationFailed",
        Step::Operation,
        200,
        "Forbidden",
        "Authorization failed: the copy authorization is not valid.",
    ),
    fault("InvalidDataProtectionKey", Step::Operation, 200, "Forbidden", "Data protection key is invalid."),
    fault(
        "OutboundAccessForbidden",
        Step::Operation,
        200,
        "Forbidden",
        "The request contains a domain name that is not allowed by the current access control policy.",
    ),
    fault("Unknown", Step::Operation, 200, "InternalServerError", "Unknown error."),
    fault("ModelNotFound", Step::Start, 404, "NotFound", "The requested model was not found."),
    fault("ModelNotReady", Step::Start, 400, "InvalidRequest", NOT_READY),
    fault("ModelReadOnly", Step::Start, 400, "InvalidRequest", "The requested model is read-only."),
    fault(
        "NotSupportedApiVersion",
        Step::Start,
        400,
        "InvalidRequest",
        "The requested operation requires a newer API version.",
    ),
    fault("ModelExists", Step::Authorize, 409, "Conflict", "A model with the provided name already exists."),
    fault("DocumentModelLimit", Step::Authorize, 400, "InvalidRequest", "Account cannot create more models."),
    fault("InternalServerError", Step::Start, 500, "InternalServerError", "An unexpected error occurred."),
    fault("ServiceUnavailable", Step::Start, 503, "ServiceUnavailable", "A transient error has occurred. Try again."),
];

impl Fault {
    /// Finds a fault by its code.
    #[must_use]
    pub fn find(code: &str) -> Option<Self> {
        FAULTS.iter().find(|fault| fault.code == code).copied()
    }

    pub(super) fn failure(self) -> Failure {
        Failure::new(self.status, self.outer, self.code, self.message)
    }
}
