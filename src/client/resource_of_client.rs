//! What is known of the resource that a client sends its requests to.

use super::Client;
use crate::label::Label;
use crate::resource::{Endpoint, Resource, Side};

impl Client<'_> {
    /// The side of the resource.
    #[must_use]
    pub(crate) fn side(&self) -> Side {
        self.connection.resource.side
    }

    /// The name of the resource, else its side, for the log.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        let Resource { name, side, .. } = &*self.connection.resource;
        name.as_ref().map_or_else(|| side.to_string(), ToString::to_string)
    }

    /// How messages name the resource.
    #[must_use]
    pub(crate) fn label(&self) -> &Label {
        &self.connection.resource.label
    }

    /// The endpoint of the resource.
    #[must_use]
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.connection.resource.endpoint
    }
}
