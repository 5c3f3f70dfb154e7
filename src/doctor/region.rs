//! The region of a resource and its resource id, which copies of v2.1 models to it need.

use super::Subject;
use super::account::Account;
use super::finding::{Check, Finding};
use crate::api::version::ApiVersion;
use crate::error::Error;
use crate::resource::{Region, Side, TargetAddress};

/// What is known of the place of a resource.
pub(super) struct Place<'a> {
    pub(super) subject: &'a Subject,
    /// The region as the answers name it.
    pub(super) shown: Option<&'a Region>,
    /// Its account, if Azure was asked.
    pub(super) account: Option<&'a Account>,
    /// How many models of the other resources can be copied to it only with its address.
    pub(super) waiting: u64,
}

impl Place<'_> {
    /// Compares the settings with what is known.
    pub(super) fn finding(&self) -> Finding {
        let shown = self.shown.map_or("its answers do not name it", Region::as_str);
        match (&self.subject.address, self.shown) {
            (Some(given), Some(region)) if given.region != *region => self.wrong_region(region, &given.region),
            (Some(given), _) => self.resource_id(shown, given),
            (None, _) if self.waiting > 0 && self.subject.resource.side != Side::Source => {
                let version = ApiVersion::all().find(|version| version.wire().needs_target_address());
                let version = version.map(|version| version.to_string()).unwrap_or_default();
                let needed_by = format!("which copies of {} {version} models need", self.waiting);
                Finding::warning(
                    Check::Region,
                    format!("{shown}; the resource id or the region is missing, {needed_by}"),
                    format!(
                        "give {} and {} (`az cognitiveservices account show` prints both as id and location)",
                        self.setting("resource-id"),
                        self.setting("region")
                    ),
                )
            }
            (None, _) => Finding::fine(Check::Region, shown),
        }
    }

    fn wrong_region(&self, region: &Region, given: &Region) -> Finding {
        let title = &self.subject.resource.label;
        let setting = self.setting("region");
        let what = format!("{title} is in {}, and {setting} is {}", region.as_str(), given.as_str());
        let remedy = format!("set {setting} to {}, and check {}", region.as_str(), self.setting("resource-id"));
        Finding::failed(Check::Region, Error::settings(what, remedy))
    }

    fn resource_id(&self, shown: &str, given: &TargetAddress) -> Finding {
        let id = given.resource_id.as_str();
        let endpoint = &self.subject.resource.endpoint;
        match self.account.and_then(|account| account.shows_own_id(&given.resource_id, endpoint)) {
            Some(true) => Finding::fine(Check::Region, format!("{shown}; the resource id is its own: {id}")),
            Some(false) => Finding::warning(
                Check::Region,
                format!("{shown}; the resource id is that of another endpoint: {id}"),
                format!(
                    "set {} to the resource id of {endpoint} (`az cognitiveservices account show` prints it as id)",
                    self.setting("resource-id")
                ),
            ),
            None => {
                Finding::fine(Check::Region, format!("{shown}; no read shows whether the resource id is its own: {id}"))
            }
        }
    }

    /// A setting as it is given: `--target-region`, or `region of west`.
    fn setting(&self, name: &str) -> String {
        match &self.subject.resource.name {
            Some(resource) => format!("{name} of {resource}"),
            None => format!("--{}-{name}", self.subject.resource.side),
        }
    }
}
