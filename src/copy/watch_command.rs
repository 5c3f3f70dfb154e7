//! The command that watches the target for a copy whose operation is not known.

use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::model::{Kind, ModelId};
use crate::resource_name::name_option;

/// The command. Without a target, its party runs it.
pub(super) fn watch_command(version: ApiVersion, kind: Kind, id: &ModelId, target: Option<&Client<'_>>) -> String {
    let kind = if kind == Kind::Classifier { " --kind classifier" } else { "" };
    let to = name_option("--to", target.and_then(Client::name));
    format!("frcopy wait --target-model-id {id} --api-version {version}{kind}{to}")
}
