//! What a request asks for, and changes of an answer.

use http::Method;
use serde_json::{Value, json};

use crate::api::{Answer, Request};

/// The last segment of the path.
pub(super) fn id_in(request: &Request) -> String {
    let path = request.path_and_query.split('?').next().unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

pub(super) fn is_list(request: &Request) -> bool {
    let path = request.path_and_query.split('?').next().unwrap();
    let collections = ["/operations", "/documentModels", "/documentClassifiers", "/custom/models"];
    request.method == Method::GET && collections.iter().any(|collection| path.ends_with(collection))
}

/// Leaves out entries of a list.
pub(super) fn retain(answer: &mut Answer, name: &str, keep: impl FnMut(&Value) -> bool) {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
    if let Some(entries) = body.get_mut(name).and_then(Value::as_array_mut) {
        entries.retain(keep);
        answer.body = body.to_string().into();
    }
}

/// Replaces every model id in a body.
pub(super) fn name_another_model(body: &mut Value) {
    match body {
        Value::Object(fields) => {
            for (name, value) in fields {
                if ["modelId", "targetModelId", "classifierId", "targetClassifierId"].contains(&name.as_str()) {
                    *value = json!("11111111-1111-4111-8111-111111111111");
                } else {
                    name_another_model(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(name_another_model),
        _ => {}
    }
}
