//! What Azure says of the account of a resource, and no read of the service: its pricing tier and rate limits.

use std::pin::Pin;

use super::finding::{Check, Finding};
use crate::rate_limits::RateLimits;
use crate::resource::{Endpoint, ResourceId};

/// Asks for the account of a resource. The error says in a few words why it is not known, which stops no copy.
pub(crate) type AccountQuery = Pin<Box<dyn Future<Output = Result<Account, String>>>>;

/// The account of a resource.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// The pricing tier, such as S0.
    pub tier: Option<String>,
    /// Its rate limits.
    pub limits: RateLimits,
    /// Its id in Azure Resource Manager.
    pub id: Option<ResourceId>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

impl Account {
    /// Whether a resource id is that of the resource with an endpoint. None where the answer does not show it: it is about
    /// another account, or the address of a region stands for all accounts there.
    pub(super) fn shows_own_id(&self, id: &ResourceId, endpoint: &Endpoint) -> Option<bool> {
        let is_same_id = self.id.as_ref().is_some_and(|own| own.is_same_as(id));
        let has_endpoint = !endpoint.is_regional() && self.endpoints.contains(endpoint);
        let has_own_endpoint = self.endpoints.iter().any(|one| !one.is_regional());
        match (is_same_id, has_endpoint) {
            (is_same_id, true) => Some(is_same_id),
            (true, false) if has_own_endpoint && !endpoint.is_regional() => Some(false),
            (_, false) => None,
        }
    }
}

/// The finding about the tier.
pub(super) fn tier_finding(account: &Result<Account, String>) -> Finding {
    let account = match account {
        Ok(account) => account,
        Err(why) => return Finding::not_checked(Check::Tier, why),
    };
    let Some(tier) = &account.tier else { return Finding::not_checked(Check::Tier, "Azure does not name it") };
    if account.limits.is_free {
        return Finding::fine(Check::Tier, format!("{tier}, the free one: one request per second of all kinds"));
    }
    let RateLimits { reads, lists, management, .. } = account.limits;
    let limits = [("reads", reads), ("lists", lists), ("management calls", management)];
    let limits = limits.into_iter().filter_map(|(what, rate)| Some(format!("; {what}: {}", rate?)));
    Finding::fine(Check::Tier, limits.fold(tier.clone(), |text, limit| text + &limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_id_is_compared_with_the_account_of_the_endpoint() {
        const OWN: &str = "https://contoso.cognitiveservices.azure.com";
        const OTHER: &str = "https://fabrikam.cognitiveservices.azure.com";
        const REGION: &str = "https://westus2.api.cognitive.microsoft.com";
        let id = |name: &str| -> ResourceId {
            let id =
                format!("/subscriptions/1/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/{name}");
            id.parse().unwrap()
        };
        let shows = |account: &str, endpoints: &[&str], given: &str, endpoint: &str| {
            let endpoints = endpoints.iter().map(|one| one.parse().unwrap()).collect();
            let limits = RateLimits::default();
            let account = Account { tier: None, limits, id: Some(id(account)), endpoints };
            account.shows_own_id(&id(given), &endpoint.parse().unwrap())
        };
        assert_eq!(shows("contoso", &[OWN, REGION], "Contoso", &format!("{OWN}/")), Some(true));
        assert_eq!(shows("fabrikam", &[OTHER], "fabrikam", OWN), Some(false), "found by the id");
        assert_eq!(shows("contoso", &[OWN], "fabrikam", OWN), Some(false), "found by the endpoint");
        assert_eq!(shows("contoso", &[REGION], "contoso", OWN), None);
        assert_eq!(shows("contoso", &[REGION], "contoso", REGION), None);
        assert_eq!(shows("contoso", &[OWN], "fabrikam", OTHER), None, "it is about another account");
    }
}
