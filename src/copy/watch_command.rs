//! The command that watches the target for a copy whose operation is not known.

use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::label::{Label, resource_options};
use crate::model::{Kind, ModelId};

/// The command.
pub(super) fn command(version: ApiVersion, kind: Kind, id: &ModelId, target: Option<&Label>) -> String {
    let kind = if kind == Kind::Classifier { " --kind classifier" } else { "" };
    let to = resource_options(target.map(|target| ("--to", target)));
    format!("frcopy wait --target-model-id {id} --api-version {version}{kind}{to}")
}

/// What to do, with the command. Without a target, its party runs it.
pub(super) fn watch_it(version: ApiVersion, kind: Kind, id: &ModelId, target: Option<&Client<'_>>) -> String {
    let command = command(version, kind, id, target.map(Client::label));
    match target {
        Some(_) => format!("wait for it before you run the command again: {command}"),
        None => format!("before another authorization is used, the target's party waits for it: {command}"),
    }
}
