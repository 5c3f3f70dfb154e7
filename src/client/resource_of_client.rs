//! What is known of the resource that a client sends its requests to.

use super::Client;
use crate::resource::{Endpoint, Side};
use crate::resource_name::ResourceName;

impl Client<'_> {
    /// The side of the resource.
    #[must_use]
    pub(crate) fn side(&self) -> Side {
        self.connection.resource.side
    }

    /// The name that the user has given the resource.
    #[must_use]
    pub(crate) fn name(&self) -> Option<&ResourceName> {
        self.connection.resource.name.as_ref()
    }

    /// The endpoint of the resource.
    #[must_use]
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.connection.resource.endpoint
    }
}
