//! Where the settings of a resource come from, and how error messages name them.

use std::fmt;

use crate::resource::Side;
use crate::resource_name::ResourceName;

use super::flags::Setting;

/// Where the settings of a resource come from.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Origin {
    /// From the flags and variables of a side.
    Side(Side),
    /// From the definition of a named resource.
    Named {
        side: Side,
        name: ResourceName,
        /// Where it is defined.
        place: String,
    },
}

impl Origin {
    pub(super) fn side(&self) -> Side {
        match self {
            Self::Side(side) | Self::Named { side, .. } => *side,
        }
    }

    pub(super) fn name(&self) -> Option<&ResourceName> {
        match self {
            Self::Side(_) => None,
            Self::Named { name, .. } => Some(name),
        }
    }

    /// A part of the resource, such as `the source key` or `the key of east`.
    pub(in crate::cli) fn part(&self, what: &str) -> String {
        match self {
            Self::Side(side) => format!("the {side} {what}"),
            Self::Named { name, .. } => format!("the {what} of {name}"),
        }
    }

    /// The setting as it is given: `--source-account`, or `account of east`.
    pub(in crate::cli) fn option(&self, setting: Setting) -> String {
        match self {
            Self::Side(side) => setting.flag(*side),
            Self::Named { name, .. } => format!("{} of {name}", setting.name()),
        }
    }

    /// What to set where the setting is missing.
    pub(super) fn to_set(&self, setting: Setting) -> String {
        let Self::Named { name, place, .. } = self else { return setting.variable(self.side()) };
        let field = if setting == Setting::Key { "key-env, key-file or key-command" } else { setting.name() };
        format!("{field} of {name} ({place}) or {}", self.named_variable(setting).unwrap_or_default())
    }

    /// The variable `FRCOPY_RESOURCE_EAST_KEY`, which the resource has if it has a name.
    fn named_variable(&self, setting: Setting) -> Option<String> {
        let setting = setting.name().to_ascii_uppercase().replace('-', "_");
        self.name().map(|name| format!("FRCOPY_RESOURCE_{}_{setting}", name.in_variables()))
    }
}

/// `source`, or the name.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Side(side) => side.fmt(f),
            Self::Named { name, .. } => name.fmt(f),
        }
    }
}
