//! The target's leave to copy one model into it: single use, passed on exactly as it came.

use std::fmt;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::value::RawValue;

use crate::model::ModelId;

/// What the target answered to an authorize request.
///
/// It lives 24 hours in v2.1 and one hour later, and a copy that was accepted or refused has used it up. Its payload
/// is kept byte for byte: numbers in it do not survive a double, and the service refuses what was changed.
pub struct CopyAuthorization {
    /// The id that the authorization has reserved on the target.
    pub target_model_id: ModelId,
    /// The target's resource id, as the target says (v3.0 and later).
    pub target_resource_id: Option<String>,
    /// The target's region, as the target says (v3.0 and later).
    pub target_region: Option<String>,
    /// Where the copy will be, as the target says, without the query (v3.0 and later).
    pub target_location: Option<String>,
    /// When it was given out, by the service's own clock where the answer tells it.
    pub issued: Timestamp,
    /// When it expires, as the target says or as long as such ones live.
    pub expires: Timestamp,
    /// The secret in the payload, to find it where it does not belong.
    pub access_token: SecretString,
    /// The whole answer. It contains the access token.
    pub payload: Box<RawValue>,
}

impl fmt::Debug for CopyAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyAuthorization").field("target_model_id", &self.target_model_id).finish_non_exhaustive()
    }
}
