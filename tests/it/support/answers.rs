//! Builders for the answers of the service: [`Model`], [`Operation`], [`Authorization`] and errors.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{ACCESS_TOKEN, COPY_OF_V2_1, MODEL, RESOURCE_ID, Version};

/// An answer with a request id, which every answer of the service has.
pub(crate) fn reply(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("apim-request-id", format!("req-{status}").as_str())
}

pub(crate) fn error_reply(status: u16, code: &str, message: &str) -> ResponseTemplate {
    reply(status).set_body_json(json!({"error": {"code": code, "message": message}}))
}

/// A model as the service returns it.
pub(crate) struct Model(Value);

impl Model {
    /// The model of the source, ready.
    pub(crate) fn example(version: Version) -> Self {
        Self::with_id(version, MODEL)
    }

    /// The copy on the target, ready.
    pub(crate) fn copy_of_example(version: Version) -> Self {
        Self::with_id(version, version.copy_id())
    }

    fn with_id(version: Version, id: &str) -> Self {
        let entry = Self::list_entry(version, id);
        Self(if version.is_v2_1() { json!({"modelInfo": entry}) } else { entry })
    }

    /// A ready model as a list shows it.
    pub(crate) fn list_entry(version: Version, id: &str) -> Value {
        match version.date() {
            None => json!({"modelId": id, "status": "ready", "createdDateTime": "2020-02-26T16:59:28Z",
                "lastUpdatedDateTime": "2020-02-26T16:59:34Z"}),
            Some(date) => json!({"modelId": id, "createdDateTime": "2024-12-01T00:00:00Z", "apiVersion": date}),
        }
    }

    /// A v2.1 model without content: reserved by an authorization, or still being copied.
    pub(crate) fn blank_v2_1(id: &str, created: &str) -> Self {
        Self(json!({"modelInfo": {"modelId": id, "status": "creating", "createdDateTime": created,
            "lastUpdatedDateTime": created}}))
    }

    /// The target's answer for an id that is reserved by an authorization.
    pub(crate) fn reserved(version: Version) -> ResponseTemplate {
        if version.is_v2_1() {
            Self::blank_v2_1(COPY_OF_V2_1, "2020-02-26T16:59:28Z").answer()
        } else {
            Self::not_found(version)
        }
    }

    /// The service's error for a model that does not exist.
    pub(crate) fn not_found(version: Version) -> ResponseTemplate {
        reply(404).set_body_json(if version.is_v2_1() {
            json!({"error": {"code": "1022", "message": "Model with 'id=…' not found."}})
        } else {
            json!({"error": {"code": "NotFound", "message": "Resource not found.",
                "innererror": {"code": "ModelNotFound", "message": "The requested model was not found."}}})
        })
    }

    /// Sets the status of a v2.1 model.
    pub(crate) fn status(mut self, status: &str) -> Self {
        self.0["modelInfo"]["status"] = json!(status);
        self
    }

    /// The same model after another training.
    pub(crate) fn trained(mut self, date: &str) -> Self {
        let fields = if self.0["modelInfo"].is_object() { &mut self.0["modelInfo"] } else { &mut self.0 };
        for field in ["createdDateTime", "modifiedDateTime", "lastUpdatedDateTime"] {
            if fields.get(field).is_some() {
                fields[field] = json!(date);
            }
        }
        self
    }

    /// Sets a field of a model of v3.0 or later.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    pub(crate) fn body(self) -> Value {
        self.0
    }

    pub(crate) fn answer(self) -> ResponseTemplate {
        reply(200).set_body_json(self.0)
    }
}

/// A copy operation as the service returns it.
pub(crate) struct Operation {
    version: Version,
    body: Value,
}

impl Operation {
    pub(crate) fn with_status(version: Version, status: &str) -> Self {
        let body = if version.is_v2_1() {
            json!({"status": status, "createdDateTime": "2020-04-23T18:18:01Z",
                "lastUpdatedDateTime": "2020-04-23T18:18:01Z", "copyResult": {"modelId": COPY_OF_V2_1}})
        } else {
            json!({"operationId": "31533879936_426a3e4c", "kind": "documentModelCopyTo", "status": status,
                "createdDateTime": "2024-12-01T00:00:00Z", "lastUpdatedDateTime": "2024-12-01T00:00:01Z",
                "resourceLocation": copy_url(version)})
        };
        Self { version, body }
    }

    /// A failed operation, with the error where this version has it.
    pub(crate) fn failed(version: Version, code: &str, message: &str) -> Self {
        let mut operation = Self::with_status(version, "failed");
        if version.is_v2_1() {
            operation.body["copyResult"]["errors"] = json!([{"code": code, "message": message}]);
        } else {
            operation.body["error"] = json!({"code": "Forbidden", "message": "Access forbidden due to policy.",
                "innererror": {"code": code, "message": message}});
        }
        operation
    }

    /// The same operation with another value of a field.
    pub(crate) fn with(mut self, field: &str, value: &str) -> Self {
        self.body[field] = json!(value);
        self
    }

    /// The same operation with a copy at this URL.
    pub(crate) fn located_at(self, url: &str) -> Self {
        self.with("resourceLocation", url)
    }

    /// The same operation with a copy on the resource with this endpoint.
    pub(crate) fn on_target(mut self, endpoint: &str) -> Self {
        if !self.version.is_v2_1() {
            self.body["resourceLocation"] =
                json!(format!("{endpoint}/documentModels/{}?api-version=1", self.version.copy_id()));
        }
        self
    }

    /// One item of the list of operations: the copy of the example.
    pub(crate) fn list_item(version: Version, created: &str) -> Value {
        json!({"operationId": "31533879936_426a3e4c-b9d6-48b8-9d26-a7ab9a1b3c5d", "kind": "documentModelCopyTo",
            "status": "running", "createdDateTime": created, "lastUpdatedDateTime": created,
            "resourceLocation": copy_url(version)})
    }

    /// The list of operations.
    pub(crate) fn list(items: impl Into<Vec<Value>>) -> ResponseTemplate {
        reply(200).set_body_json(json!({"value": items.into()}))
    }

    /// One page of the list of operations, with the URL of the next page.
    pub(crate) fn page(next: &str) -> ResponseTemplate {
        reply(200).set_body_json(json!({"value": [], "nextLink": next}))
    }

    pub(crate) fn answer(self) -> ResponseTemplate {
        reply(200).set_body_json(self.body)
    }
}

fn copy_url(version: Version) -> String {
    format!("https://x.example/documentModels/{}?api-version=1", version.copy_id())
}

/// A copy authorization as the target issues it.
pub(crate) struct Authorization;

impl Authorization {
    /// The body, with numbers and spaces that change when it is parsed and written again.
    pub(crate) fn json(version: Version, id: &str) -> String {
        if version.is_v2_1() {
            format!(
                r#"{{ "modelId":"{id}",  "accessToken":"{ACCESS_TOKEN}","expirationDateTimeTicks":637233481531659440 }}"#
            )
        } else {
            format!(
                r#"{{ "targetResourceId":"{RESOURCE_ID}",  "targetResourceRegion":"westus2","targetModelId":"{id}","targetModelLocation":"https://x.example/documentModels/{id}","accessToken":"{ACCESS_TOKEN}","expirationDateTime":"2026-11-23T01:00:00Z","new":0.10000000000000000001 }}"#
            )
        }
    }

    pub(crate) fn answer(version: Version, id: &str) -> ResponseTemplate {
        let status = if version.is_v2_1() { 201 } else { 200 };
        reply(status).set_body_raw(Self::json(version, id), "application/json; charset=utf-8")
    }
}
