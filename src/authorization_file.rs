//! The file that hands a copy authorization from the target's operator to the source's operator: its JSON form, and the
//! checks when it is read.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::version::ApiVersion;
use crate::api::{self, Naming, NewCopy};
use crate::authorization::CopyAuthorization;
use crate::error::Error;
use crate::model::{Kind, ModelId};
use crate::resource::{Endpoint, TargetAddress};

const SCHEMA: &str = "frcopy.authorization/1";
const ASK_FOR_NEW_ONE: &str = "ask the target's operator for a new one (frcopy authorize)";

/// A copy authorization and what the source's operator needs to know to use it.
#[derive(Debug)]
pub(crate) struct AuthorizationFile {
    /// The resource that has issued it.
    pub target: Endpoint,
    /// The version to copy with.
    pub version: ApiVersion,
    /// A model or a classifier.
    pub kind: Kind,
    /// Where the target is in Azure. A v2.1 start must name it; in later versions the authorization contains it.
    pub address: Option<TargetAddress>,
    /// The authorization.
    pub authorization: CopyAuthorization,
}

/// The file's JSON. Fields are added, never changed; the authorization stands as it came.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    schema: String,
    api_version: String,
    kind: String,
    target: Target,
    target_model_id: String,
    issued_at: Timestamp,
    expires_at: Timestamp,
    authorization: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    endpoint: String,
    resource_id: Option<String>,
    region: Option<String>,
}

impl AuthorizationFile {
    /// The file's content: one JSON object. It contains the access token.
    #[must_use]
    pub(crate) fn to_json(&self) -> SecretString {
        let Self { target, version, kind, address, authorization } = self;
        to_json(&target.to_string(), *version, *kind, address.as_ref(), authorization)
    }

    /// Reads the file's content. Values that it contains twice must be equal.
    ///
    /// # Errors
    /// When it is another file, or was changed. The error does not repeat the access token.
    pub(crate) fn from_json(json: &str) -> Result<Self, Error> {
        let content: Content = serde_json::from_str(json.trim_start_matches('\u{feff}')).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            unusable("is not an authorization that frcopy authorize has written").with_source(place)
        })?;
        if content.schema != SCHEMA {
            return Err(unusable("is not an authorization of this version of frcopy"));
        }
        let version = part("apiVersion", &content.api_version)?;
        let kind = match content.kind.as_str() {
            "model" => Kind::Model,
            "classifier" => Kind::Classifier,
            _ => return Err(unusable("has an unknown kind")),
        };
        let id: ModelId = part("targetModelId", &content.target_model_id)?;
        let address = content.target.address(version)?;
        let copy = new_copy(version, kind, &id, address.clone())?;
        let authorization = api::parse_authorization(version, &copy, content.authorization.get(), content.issued_at)
            .ok()
            .filter(|authorization| authorization.target_model_id == id)
            .ok_or_else(|| changed("authorization", format!("it is not the target's for {id}")))?;
        if content.expires_at != authorization.expires {
            return Err(changed("expiresAt", "the authorization has another date"));
        }
        Ok(Self { target: part("target.endpoint", &content.target.endpoint)?, version, kind, address, authorization })
    }

    /// The copy that the start request asks for.
    ///
    /// # Errors
    /// When the version needs the target's address and the file does not have it.
    pub(crate) fn copy(&self) -> Result<NewCopy, Error> {
        new_copy(self.version, self.kind, &self.authorization.target_model_id, self.address.clone())
    }

    /// Whether it has expired by this machine's clock, which may be wrong: the service decides.
    #[must_use]
    pub(crate) fn seems_expired(&self, now: Timestamp) -> bool {
        self.authorization.expires <= now
    }
}

/// The JSON of an authorization and what is needed to use it. It contains the access token.
#[must_use]
pub(crate) fn to_json(
    target: &str,
    version: ApiVersion,
    kind: Kind,
    address: Option<&TargetAddress>,
    authorization: &CopyAuthorization,
) -> SecretString {
    let content = Content {
        schema: SCHEMA.into(),
        api_version: version.to_string(),
        kind: kind.to_string(),
        target: Target {
            endpoint: target.to_owned(),
            resource_id: address.map(|address| address.resource_id.as_str().to_owned()),
            region: address.map(|address| address.region.as_str().to_owned()),
        },
        target_model_id: authorization.target_model_id.to_string(),
        issued_at: authorization.issued,
        expires_at: authorization.expires,
        authorization: authorization.payload(),
    };
    // Strings, dates and JSON that was parsed before cannot fail to be written.
    serde_json::to_string(&content).unwrap_or_default().into()
}

impl Target {
    fn address(&self, version: ApiVersion) -> Result<Option<TargetAddress>, Error> {
        match (&self.resource_id, &self.region) {
            _ if !version.wire().needs_target_address() => Ok(None),
            (Some(id), Some(region)) => {
                let (resource_id, region) = (part("target.resourceId", id)?, part("target.region", region)?);
                Ok(Some(TargetAddress { resource_id, region }))
            }
            _ => Err(changed("target", no_address(version))),
        }
    }
}

fn new_copy(version: ApiVersion, kind: Kind, id: &ModelId, address: Option<TargetAddress>) -> Result<NewCopy, Error> {
    let naming = match address {
        _ if !version.wire().service_names_the_copy() => {
            Naming::ByCaller { id: id.clone(), description: None, tags: None }
        }
        Some(address) => Naming::ByService(address),
        None => return Err(changed("target", no_address(version))),
    };
    Ok(NewCopy { kind, naming })
}

fn no_address(version: ApiVersion) -> String {
    format!("resourceId and region are missing, which {version} needs")
}

fn part<T: FromStr<Err = Error>>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: Error| changed(field, error.to_string()))
}

fn changed(field: &str, why: impl Display) -> Error {
    unusable("was changed").with_source(format!("{field}: {why}"))
}

fn unusable(why: &str) -> Error {
    Error::settings(format!("the file {why}"), ASK_FOR_NEW_ONE)
}
