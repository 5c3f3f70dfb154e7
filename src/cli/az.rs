//! Asks the Azure CLI for the endpoint, address and key of a resource that is given by name.

use std::io;
use std::process::Command;
use std::time::Duration;

use super::deadline;
use super::side::flags::Setting;
use super::side::origin::Origin;
use crate::api::rate_limits;
use crate::error::{Error, ErrorKind};
use crate::program::output_within;
use crate::rate_limits::RateLimits;
use crate::resource::Endpoint;
use crate::text::sanitize;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// On Windows the Azure CLI is a batch file, which must be called by its full name.
pub(super) const AZ: &str = if cfg!(windows) { "az.cmd" } else { "az" };

/// The longest time for one call.
const MAX_TIME: Duration = Duration::from_secs(60);

/// The name of a resource in Azure.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// Where it was named.
    pub(super) origin: Origin,
    pub(super) name: String,
    pub(super) resource_group: String,
    /// The Azure CLI's default subscription if absent.
    pub(super) subscription: Option<String>,
}

/// The part of the output of `az cognitiveservices account show` that a copy needs.
#[derive(Debug, Deserialize)]
pub(super) struct Details {
    /// The id in Azure Resource Manager.
    pub(super) id: String,
    /// The region, as it was spelt when the resource was created.
    pub(super) location: String,
    /// Any form: a copy does not need it.
    #[serde(default)]
    sku: Value,
    pub(super) properties: Properties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Properties {
    pub(super) endpoint: String,
    /// Endpoints by name. Any form, likewise.
    #[serde(default)]
    endpoints: Value,
    /// Any form, likewise.
    #[serde(default)]
    call_rate_limit: Value,
}

/// The name of the free pricing tier.
const FREE_TIER: &str = "F0";

impl Details {
    /// The pricing tier, such as S0.
    pub(super) fn tier(&self) -> Option<String> {
        self.sku.get("name").and_then(Value::as_str).map(sanitize)
    }

    /// Every endpoint of the account.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let Properties { endpoint, endpoints, .. } = &self.properties;
        let named = endpoints.as_object().into_iter().flat_map(|named| named.values()).filter_map(Value::as_str);
        [endpoint.as_str()].into_iter().chain(named).filter_map(|endpoint| endpoint.parse().ok()).collect()
    }

    /// The rate limits that Azure names for the account.
    pub(super) fn rate_limits(&self) -> RateLimits {
        let is_free = self.tier().is_some_and(|tier| tier.eq_ignore_ascii_case(FREE_TIER));
        RateLimits { is_free, ..rate_limits(&self.properties.call_rate_limit) }
    }
}

#[derive(Deserialize)]
struct Keys {
    key1: SecretString,
}

impl Account {
    /// Gets the endpoint, resource id and region.
    pub(super) fn details(&self) -> Result<Details, Error> {
        self.ask(&["show"])
    }

    /// Gets one of the two keys.
    pub(super) fn key(&self) -> Result<SecretString, Error> {
        let Keys { key1 } = self.ask(&["keys", "list"])?;
        Ok(key1)
    }

    fn ask<T: DeserializeOwned>(&self, what: &[&str]) -> Result<T, Error> {
        let Self { origin, name, resource_group, subscription } = self;
        let mut az = Command::new(AZ);
        az.args(["cognitiveservices", "account"]).args(what).args(["--name", name, "--resource-group", resource_group]);
        az.args(subscription.iter().flat_map(|id| ["--subscription", id])).args(["--output", "json"]);
        let limit = deadline::left().min(MAX_TIME);
        let option = |setting| origin.option(setting);
        let account = option(Setting::Account);
        let instead = format!("give {} and a credential instead of {account}", option(Setting::Endpoint));
        let output = output_within(&mut az, limit).map_err(|error| {
            if error.kind() == io::ErrorKind::TimedOut {
                let what = format!("the Azure CLI did not answer in {} s for {account}", limit.as_secs());
                let remedy = format!("check that `az account show` works, or {instead}");
                return Error::new(ErrorKind::Unavailable, what).with_remedy(remedy);
            }
            let what = if error.kind() == io::ErrorKind::NotFound {
                format!("{AZ} was not found on PATH; the Azure CLI is needed for {account}")
            } else {
                format!("the Azure CLI, which is needed for {account}, cannot be run")
            };
            Error::settings(what, format!("install it, or {instead}")).with_source(error)
        })?;
        if !output.status.success() {
            let words = sanitize(&String::from_utf8_lossy(&output.stderr));
            let what = match origin {
                Origin::Side(side) => format!("the Azure CLI did not find the {side} {}", sanitize(name)),
                Origin::Named { .. } => format!("the Azure CLI did not find {}, the {account}", sanitize(name)),
            };
            return Err(Error::new(ErrorKind::Credentials, what).with_source(words).with_remedy(format!(
                "sign in with `az login`, and check {account}, {} and {}",
                option(Setting::ResourceGroup),
                option(Setting::Subscription)
            )));
        }
        // The output may contain a key, so it is not repeated.
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::new(ErrorKind::Unforeseen, "the output of the Azure CLI has an unknown format")
                .with_source(place)
                .with_remedy(format!("update it, or {instead}"))
        })
    }
}
