//! What is known of the resource that a client sends its requests to.

use super::Client;
use crate::label::Label;
use crate::resource::{Endpoint, Side};

impl Client<'_> {
    /// The side of the resource.
    #[must_use]
    pub(crate) fn side(&self) -> Side {
        self.connection.resource.side
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
