//! Whether the target offers the API version of a copy. Only a dry run asks: otherwise the authorize request shows it.

use super::context::Job;
use super::preflight::SourceModel;
use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::error::Error;
use crate::model::Kind;

impl Job<'_> {
    /// Checks that the target offers the version to copy with. It is asked once by all copies.
    ///
    /// # Errors
    /// When the target itself says in two answers that it does not.
    pub(super) async fn check_target_offers(&self, SourceModel { version, .. }: &SourceModel) -> Result<(), Error> {
        let mut known = self.shared.refused_versions.lock().await;
        if !known.iter().any(|(of, _)| of == version) {
            known.push((*version, refusal(self.target, *version).await));
        }
        let refusal = known.iter().find_map(|(of, refusal)| refusal.as_ref().filter(|_| of == version));
        refusal.map_or(Ok(()), |refusal| Err(refusal.duplicate()))
    }
}

/// The answer of a target that does not offer a version. One answer proves nothing, and neither does a lost one.
async fn refusal(target: &Client<'_>, version: ApiVersion) -> Option<Error> {
    let is_refusal = |error: &Error| error.is_version_not_offered();
    target.read(&version.wire().capacity()).await.err().filter(is_refusal)?;
    let refusal = target.read(&version.wire().models(Kind::Model)).await.err().filter(is_refusal)?;
    Some(refusal.with_message(format!("{} does not offer {version}, with which the model is copied", target.label())))
}
