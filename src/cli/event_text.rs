//! What people read about events of a copy, where it depends on more than a name.

use crate::model::ModelId;

/// That a copy is of another training than the one that was read, and whether the source shows that training now.
pub(super) fn trained_again(is_shown: bool, source: &str) -> String {
    if is_shown {
        return format!("{source} has trained the model again meanwhile: the copy is of the new training");
    }
    format!(
        "the copy is not of the training that {source} showed, and {source} does not show its training now; a manifest \
         does not record it as verified"
    )
}

/// What authorize requests without an answer may have left.
pub(super) fn blank_models_may_remain(candidates: &[ModelId], requests: usize, target: &str) -> String {
    let names: Vec<_> = candidates.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    let what = match candidates.len() {
        0 if requests == 1 => "a blank model may remain".to_owned(),
        0 => format!("up to {requests} blank models may remain"),
        found if found < requests => format!("{names} and up to {} more blank models may remain", requests - found),
        found if found == requests => format!("{names} may remain reserved"),
        _ if requests == 1 => format!("one of {names} may remain reserved"),
        _ => format!("{requests} of {names} may remain reserved"),
    };
    let authorizations = if requests == 1 { "an authorization" } else { "several authorizations" };
    format!("{authorizations} got no answer; {what} on {target}")
}
