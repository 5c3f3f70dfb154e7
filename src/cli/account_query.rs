//! Asks the Azure CLI for the account of a resource that `frcopy doctor` examines. A copy does not need the answer.

use std::future::ready;
use std::io;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::az::{AZ, Details};
use super::deadline;
use super::input::without_keys;
use crate::doctor::{Account, AccountQuery};
use crate::program::output_soon;
use crate::resource::{Endpoint, ResourceId};
use crate::text::sanitize;

/// The longest time for the Azure CLI, which needs a second or two.
const MAX_TIME: Duration = Duration::from_secs(20);
/// The longest part of the Azure CLI's error output that is shown.
const MAX_SHOWN: usize = 200;

/// Asks with the least that is needed: not at all if the Azure CLI has said it already, for the account of the resource
/// id, or for the accounts of the default subscription.
pub(super) fn account_query(
    endpoint: &Endpoint,
    details: Option<&Details>,
    resource_id: Option<&ResourceId>,
) -> AccountQuery {
    if let Some(details) = details {
        return Box::pin(ready(Ok(account(details))));
    }
    if endpoint.is_loopback() {
        return Box::pin(ready(Err("it is on this machine".to_owned())));
    }
    match resource_id {
        Some(id) => Box::pin(by_id(id.clone())),
        None if endpoint.is_regional() => {
            Box::pin(ready(Err("the address of a region does not name the account".to_owned())))
        }
        None => Box::pin(by_endpoint(endpoint.clone())),
    }
}

async fn by_id(id: ResourceId) -> Result<Account, String> {
    let [subscription, group, name] = id.names();
    let answer = ask(&["show", "--name", name, "--resource-group", group, "--subscription", subscription]).await?;
    let details: Details = serde_json::from_value(answer).map_err(|_| unknown_format())?;
    Ok(account(&details))
}

async fn by_endpoint(endpoint: Endpoint) -> Result<Account, String> {
    let answer = ask(&["list"]).await?;
    let accounts = answer.as_array().ok_or_else(unknown_format)?;
    let mut accounts = accounts.iter().filter_map(|one| serde_json::from_value::<Details>(one.clone()).ok());
    let own = accounts.find(|details| details.endpoints().contains(&endpoint));
    own.map(|details| account(&details))
        .ok_or_else(|| "the Azure CLI's default subscription has no account with this endpoint".to_owned())
}

async fn ask(what: &[&str]) -> Result<Value, String> {
    let mut az = Command::new(AZ);
    az.args(["cognitiveservices", "account"]).args(what).args(["--output", "json"]);
    let limit = deadline::left().min(MAX_TIME);
    let output = output_soon(&mut az, limit).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "the Azure CLI is not installed".to_owned(),
        io::ErrorKind::TimedOut => format!("the Azure CLI did not answer in {} s", limit.as_secs()),
        _ => format!("the Azure CLI cannot be run: {error}"),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = sanitize(&without_keys(said.trim().lines().next().unwrap_or("it failed")));
        return Err(format!("the Azure CLI: {}", said.chars().take(MAX_SHOWN).collect::<String>()));
    }
    serde_json::from_slice(&output.stdout).map_err(|_| unknown_format())
}

fn account(details: &Details) -> Account {
    Account {
        tier: details.tier(),
        limits: details.rate_limits(),
        endpoints: details.endpoints(),
        id: details.id.parse().ok(),
    }
}

fn unknown_format() -> String {
    "the output of the Azure CLI has an unknown format".into()
}
