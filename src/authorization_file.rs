//! An authorization on its way from the party that has the target to the one that has the source: the form of the file,
//! and what is believed of one that arrives.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::version::ApiVersion;
use crate::api::{self, NewModel, Protocol, custom_models_protocol, document_models_protocol};
use crate::authorization::CopyAuthorization;
use crate::error::Error;
use crate::model::{Kind, ModelId};
use crate::resource::{Endpoint, TargetAddress};

const SCHEMA: &str = "frcopy.authorization/1";
const ASK_ANEW: &str = "ask the target's side for another one, made with frcopy authorize";

/// Leave to copy one model into a resource that somebody else has the credential of.
#[derive(Debug)]
pub struct AuthorizationFile {
    /// The resource that has given it.
    pub target: Endpoint,
    /// The version to copy with.
    pub version: ApiVersion,
    /// What may be copied.
    pub kind: Kind,
    /// Where the target is in Azure: the source of a v2.1 copy must be told, a later one reads it in the authorization.
    pub address: Option<TargetAddress>,
    /// What the target has answered.
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
    /// What is handed over: one object of JSON. It contains the access token.
    #[must_use]
    pub fn to_json(&self) -> SecretString {
        let Self { target, version, kind, address, authorization } = self;
        let content = Content {
            schema: SCHEMA.into(),
            api_version: version.to_string(),
            kind: kind.to_string(),
            target: Target {
                endpoint: target.to_string(),
                resource_id: address.as_ref().map(|address| address.resource_id.as_str().to_owned()),
                region: address.as_ref().map(|address| address.region.as_str().to_owned()),
            },
            target_model_id: authorization.target_model_id.to_string(),
            issued_at: authorization.issued,
            expires_at: authorization.expires,
            authorization: authorization.payload.clone(),
        };
        // Strings, dates and JSON that was parsed before cannot fail to be written.
        serde_json::to_string(&content).unwrap_or_default().into()
    }

    /// Understands what was handed over. What is said twice in it must be the same twice.
    ///
    /// # Errors
    /// When it is something else, or was changed on the way. The error does not repeat the access token.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let content: Content = serde_json::from_str(json.trim_start_matches('\u{feff}')).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            unusable("is no authorization that frcopy authorize has made").with_source(place)
        })?;
        if content.schema != SCHEMA {
            return Err(unusable("is not an authorization of this version of frcopy"));
        }
        let version = part("apiVersion", &content.api_version)?;
        let kind = match content.kind.as_str() {
            "model" => Kind::Model,
            "classifier" => Kind::Classifier,
            _ => return Err(unusable("names a kind that is not known")),
        };
        let id: ModelId = part("targetModelId", &content.target_model_id)?;
        let address = content.target.address(version)?;
        let protocol = protocol(version, kind, &id, address.clone())?;
        let authorization = api::read_handed_over(&*protocol, &content.authorization, content.issued_at)
            .ok()
            .filter(|authorization| authorization.target_model_id == id)
            .ok_or_else(|| changed("authorization", format!("it is not the target's for {id}")))?;
        if content.expires_at != authorization.expires {
            return Err(changed("expiresAt", "the authorization says something else"));
        }
        Ok(Self { target: part("target.endpoint", &content.target.endpoint)?, version, kind, address, authorization })
    }

    /// How the source is asked to copy with it.
    ///
    /// # Errors
    /// When it is for v2.1 and does not say where the target is.
    pub fn protocol(&self) -> Result<Box<dyn Protocol + Send + Sync>, Error> {
        protocol(self.version, self.kind, &self.authorization.target_model_id, self.address.clone())
    }

    /// Refuses one that the service would refuse.
    ///
    /// # Errors
    /// When it has expired, by this machine's clock.
    pub fn refuse_expired(&self, now: Timestamp) -> Result<(), Error> {
        let expires = self.authorization.expires;
        if now < expires {
            return Ok(());
        }
        Err(Error::settings(format!("the authorization expired at {expires:.0}, by this machine's clock"), ASK_ANEW))
    }
}

impl Target {
    fn address(&self, version: ApiVersion) -> Result<Option<TargetAddress>, Error> {
        match (&self.resource_id, &self.region) {
            _ if version.has_document_models() => Ok(None),
            (Some(id), Some(region)) => {
                let (resource_id, region) = (part("target.resourceId", id)?, part("target.region", region)?);
                Ok(Some(TargetAddress { resource_id, region }))
            }
            _ => Err(changed("target", "resourceId and region are missing, which v2.1 needs")),
        }
    }
}

/// The protocol of a copy whose id is known.
fn protocol(
    version: ApiVersion,
    kind: Kind,
    id: &ModelId,
    address: Option<TargetAddress>,
) -> Result<Box<dyn Protocol + Send + Sync>, Error> {
    let new = NewModel { id: id.clone(), description: None, tags: None };
    let protocol = document_models_protocol(version, kind, new).or_else(|| address.map(custom_models_protocol));
    protocol.ok_or_else(|| changed("target", "resourceId and region are missing, which v2.1 needs"))
}

fn part<T: FromStr<Err = Error>>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: Error| changed(field, error.to_string()))
}

fn changed(field: &str, why: impl Display) -> Error {
    unusable("was changed on the way").with_source(format!("{field}: {why}"))
}

fn unusable(why: &str) -> Error {
    Error::settings(format!("the file {why}"), ASK_ANEW)
}
