//! The checks, and what each has found.

use std::fmt;

use crate::error::Error;

/// What is examined, in the order of a copy's needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Endpoint and credential are given, and can be read.
    Settings,
    /// The form of the endpoint.
    Endpoint,
    /// The host name has an address.
    Name,
    /// A server answers, and its certificate is trusted.
    Connection,
    /// The key or the token is accepted.
    Authentication,
    /// The API versions, and what each has.
    Versions,
    /// The number of models that there are and may be.
    Room,
    /// The pricing tier, which only Azure Resource Manager names.
    Tier,
    /// The region, and where it is needed the resource id.
    Region,
    /// The service's clock and the local one.
    Clock,
}

impl Check {
    /// Every check.
    pub(crate) const ALL: [Self; 10] = [
        Self::Settings,
        Self::Endpoint,
        Self::Name,
        Self::Connection,
        Self::Authentication,
        Self::Versions,
        Self::Room,
        Self::Tier,
        Self::Region,
        Self::Clock,
    ];
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settings => "settings",
            Self::Endpoint => "endpoint",
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Authentication => "authentication",
            Self::Versions => "versions",
            Self::Room => "room",
            Self::Tier => "tier",
            Self::Region => "region",
            Self::Clock => "clock",
        })
    }
}

/// The result of one check.
pub(crate) struct Finding {
    /// What was examined.
    pub check: Check,
    /// What was found.
    pub result: CheckResult,
}

/// What a check found.
pub(crate) enum CheckResult {
    /// A copy can rely on it.
    Fine(String),
    /// A copy can work, but something may stop it.
    Warning {
        /// What was found.
        what: String,
        /// One imperative sentence.
        remedy: String,
    },
    /// A copy would end with this error.
    Failed(Error),
    /// It was not checked: for this reason, or because an earlier check failed.
    NotChecked(Option<String>),
}

impl Finding {
    /// A check whose result is fine.
    pub(crate) fn fine(check: Check, what: impl Into<String>) -> Self {
        Self { check, result: CheckResult::Fine(what.into()) }
    }

    /// A check with a warning.
    pub(crate) fn warning(check: Check, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, result: CheckResult::Warning { what: what.into(), remedy: remedy.into() } }
    }

    /// A check that was not made, which stops no copy.
    pub(crate) fn not_checked(check: Check, why: impl Into<String>) -> Self {
        Self { check, result: CheckResult::NotChecked(Some(why.into())) }
    }

    /// A check that failed.
    pub(crate) fn failed(check: Check, error: Error) -> Self {
        Self { check, result: CheckResult::Failed(error) }
    }
}

/// Adds the checks that could not be made, and puts all of them in their order.
pub(crate) fn complete(mut findings: Vec<Finding>) -> Vec<Finding> {
    for check in Check::ALL {
        if findings.iter().all(|finding| finding.check != check) {
            findings.push(Finding { check, result: CheckResult::NotChecked(None) });
        }
    }
    findings.sort_by_key(|finding| Check::ALL.iter().position(|check| *check == finding.check));
    findings
}
