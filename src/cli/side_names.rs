//! How the lines of a command name the two resources of a copy.

use crate::resource::Resource;

/// How the lines of a command name the source and the target: by their names, else by their sides.
#[derive(Debug, Clone)]
pub(super) struct SideNames {
    pub(super) source: String,
    pub(super) target: String,
}

impl SideNames {
    /// The names of two resources, as far as the command has them.
    pub(super) fn of<'r>(source: impl Into<Option<&'r Resource>>, target: impl Into<Option<&'r Resource>>) -> Self {
        let name = |resource: Option<&Resource>, side: &str| {
            resource.map_or_else(|| format!("the {side}"), |resource| resource.label.to_string())
        };
        Self { source: name(source.into(), "source"), target: name(target.into(), "target") }
    }
}
