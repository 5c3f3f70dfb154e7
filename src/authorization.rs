//! A copy authorization: single use, passed on exactly as it came.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use crate::model::ModelId;
use crate::text::UntrustedText;

/// The shortest documented time for which an authorization is valid.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What the target answered to an authorize request.
///
/// It is valid for 24 hours in v2.1 and for one hour in later versions. The service accepts it for one copy only.
pub struct CopyAuthorization {
    /// The id that the authorization has reserved on the target.
    pub target_model_id: ModelId,
    /// The target's resource id, as the target says (v3.0 and later).
    pub target_resource_id: Option<UntrustedText>,
    /// The target's region, as the target says (v3.0 and later).
    pub target_region: Option<UntrustedText>,
    /// Where the copy will be, as the target says, without the query (v3.0 and later).
    pub target_location: Option<UntrustedText>,
    /// When it was issued, by the target's clock where its answer has a date.
    pub issued: Timestamp,
    /// When it expires, by the target's clock; computed from the documented lifetime where the target does not say.
    pub expires: Timestamp,
    /// The access token in the payload, to mask it in the log of a CI system.
    pub access_token: SecretString,
    /// The whole answer.
    pub payload: Payload,
}

impl CopyAuthorization {
    /// For how long it is valid, by the target's clock alone; where its dates contradict each other, the shortest
    /// documented time.
    #[must_use]
    pub(crate) fn lifetime(&self) -> Duration {
        let lifetime = Duration::try_from(self.issued.duration_until(self.expires)).unwrap_or_default();
        if lifetime.is_zero() { SHORTEST_LIFETIME } else { lifetime }
    }

    /// The whole answer, byte for byte: the service refuses a payload that was changed.
    #[must_use]
    pub fn payload(&self) -> Box<RawValue> {
        // The text was parsed before.
        RawValue::from_string(self.payload.0.expose_secret().to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }
}

/// JSON that contains an access token, kept byte for byte: its numbers do not survive a conversion to a double.
pub struct Payload(SecretString);

impl From<Box<RawValue>> for Payload {
    fn from(json: Box<RawValue>) -> Self {
        Self(json.get().into())
    }
}

impl fmt::Debug for CopyAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyAuthorization").field("target_model_id", &self.target_model_id).finish_non_exhaustive()
    }
}
