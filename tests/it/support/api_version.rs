//! The four API versions: paths, bodies and builders for what the service answers.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::scripted_service::reply;
use super::{ACCESS_TOKEN, COPY_OF_V2_1, MODEL, RESOURCE_ID};

/// How one API version writes what a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// As `--api-version` takes it.
    pub(crate) number: &'static str,
    /// Path segment and api-version of v3.0 and later.
    document: Option<(&'static str, &'static str)>,
}

pub(crate) const V2_1: Version = Version { number: "2.1", document: None };
pub(crate) const V3_0: Version = Version { number: "3.0", document: Some(("formrecognizer", "2022-08-31")) };
pub(crate) const V3_1: Version = Version { number: "3.1", document: Some(("formrecognizer", "2023-07-31")) };
pub(crate) const V4_0: Version = Version { number: "4.0", document: Some(("documentintelligence", "2024-11-30")) };
pub(crate) const VERSIONS: [Version; 4] = [V2_1, V3_0, V3_1, V4_0];

/// Tests every version, all at the same time: most of the time is spent waiting.
pub(crate) fn on_every_version(test: impl Fn(Version) + Sync) {
    std::thread::scope(|scope| {
        for version in VERSIONS {
            let test = &test;
            scope.spawn(move || test(version));
        }
    });
}

impl Version {
    pub(crate) fn is_v2_1(self) -> bool {
        self.document.is_none()
    }

    /// The id that the copy gets unless the test asks for another.
    pub(crate) fn copy_id(self) -> &'static str {
        if self.is_v2_1() { COPY_OF_V2_1 } else { MODEL }
    }

    pub(crate) fn model(self, id: &str) -> String {
        self.path(&format!("/{id}"))
    }

    pub(crate) fn authorize(self) -> String {
        self.path(if self.is_v2_1() { "/copyAuthorization" } else { ":authorizeCopy" })
    }

    pub(crate) fn start(self, id: &str) -> String {
        self.path(&if self.is_v2_1() { format!("/{id}/copy") } else { format!("/{id}:copyTo") })
    }

    /// The list of operations, which v2.1 has not.
    pub(crate) fn operations(self) -> Option<String> {
        self.document.map(|(service, date)| format!("/{service}/operations?api-version={date}"))
    }

    /// This copy as a list of operations shows it.
    pub(crate) fn listed(self, created: &str) -> Value {
        json!({"operationId": "31533879936_426a3e4c-b9d6-48b8-9d26-a7ab9a1b3c5d", "kind": "documentModelCopyTo",
            "status": "running", "createdDateTime": created, "lastUpdatedDateTime": created,
            "resourceLocation": format!("https://x.example/documentModels/{}?api-version=1", self.copy_id())})
    }

    pub(crate) fn operation(self) -> String {
        match self.document {
            None => self.path(&format!("/{MODEL}/copyresults/02989ba8-1296-499f-aaf4-55cfff41b8f1")),
            Some((service, date)) => {
                format!("/{service}/operations/31533879936_426a3e4c-b9d6-48b8-9d26-a7ab9a1b3c5d?api-version={date}")
            }
        }
    }

    fn path(self, rest: &str) -> String {
        match self.document {
            None => format!("/formrecognizer/v2.1/custom/models{rest}"),
            Some((service, date)) => format!("/{service}/documentModels{rest}?api-version={date}"),
        }
    }

    pub(crate) fn model_body(self, id: &str) -> Value {
        match self.document {
            None => json!({"modelInfo": {"modelId": id, "status": "ready", "createdDateTime": "2020-02-26T16:59:28Z",
                "lastUpdatedDateTime": "2020-02-26T16:59:34Z"}}),
            Some((_, date)) => json!({"modelId": id, "createdDateTime": "2024-12-01T00:00:00Z", "apiVersion": date}),
        }
    }

    /// The service's own word that it has no such model.
    pub(crate) fn no_such_model(self) -> ResponseTemplate {
        reply(404).set_body_json(match self.document {
            None => json!({"error": {"code": "1022", "message": "Model with 'id=…' not found."}}),
            Some(_) => json!({"error": {"code": "NotFound", "message": "Resource not found.",
                "innererror": {"code": "ModelNotFound", "message": "The requested model was not found."}}}),
        })
    }

    /// An authorization with numbers and blanks that only a verbatim copy keeps.
    pub(crate) fn authorization(self, id: &str) -> String {
        match self.document {
            None => format!(
                r#"{{ "modelId":"{id}",  "accessToken":"{ACCESS_TOKEN}","expirationDateTimeTicks":637233481531659440 }}"#
            ),
            Some(_) => format!(
                r#"{{ "targetResourceId":"{RESOURCE_ID}",  "targetResourceRegion":"westus2","targetModelId":"{id}","targetModelLocation":"https://x.example/{id}","accessToken":"{ACCESS_TOKEN}","expirationDateTime":"2026-11-23T01:00:00Z","new":0.10000000000000000001 }}"#
            ),
        }
    }

    pub(crate) fn operation_body(self, status: &str) -> Value {
        match self.document {
            None => json!({"status": status, "createdDateTime": "2020-04-23T18:18:01Z",
                "lastUpdatedDateTime": "2020-04-23T18:18:01Z", "copyResult": {"modelId": COPY_OF_V2_1}}),
            Some(_) => json!({"operationId": "31533879936_426a3e4c", "kind": "documentModelCopyTo", "status": status,
                "createdDateTime": "2024-12-01T00:00:00Z", "lastUpdatedDateTime": "2024-12-01T00:00:01Z",
                "resourceLocation": "https://x.example"}),
        }
    }

    /// A failed operation with a code where this version puts it.
    pub(crate) fn failed_body(self, code: &str, message: &str) -> Value {
        let mut body = self.operation_body("failed");
        if self.is_v2_1() {
            body["copyResult"]["errors"] = json!([{"code": code, "message": message}]);
        } else {
            body["error"] = json!({"code": "Forbidden", "message": "Access forbidden due to policy.",
                "innererror": {"code": code, "message": message}});
        }
        body
    }
}
