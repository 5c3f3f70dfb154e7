//! What the emulated resources hold at the start: the same models in every run, trained in the month before.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::{Collection, V4_0};
use super::state::{Stored, date};

/// How long a model of v3.1 and later lives after its training.
const MODELS_LIVE: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Returns the UUID (version 5) of a name: the same in every run.
pub(super) fn named_uuid(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// A seeded model: where it stands, its id and what it is.
pub(super) type Seed = ((Collection, String), Stored);

/// The custom models of a source: `count` of each version and of v4.0's classifiers.
pub(super) fn custom(count: usize, now: Timestamp) -> Vec<Seed> {
    (1..=count)
        .flat_map(|number| {
            let trained = now - DAY * (1 + i32::try_from(number % 28).unwrap_or_default());
            [
                custom_model(number, trained),
                document_model(number, "3.0", "2022-08-31", trained),
                document_model(number, "3.1", "2023-07-31", trained),
                document_model(number, "4.0", V4_0, trained),
                classifier(number, trained),
            ]
        })
        .collect()
}

/// The models that every resource has.
pub(super) fn prebuilt() -> impl Iterator<Item = Seed> {
    [
        ("prebuilt-invoice", "Prebuilt model to extract key information from English invoices."),
        ("prebuilt-layout", "Prebuilt model to extract text, selection marks, tables, and other layout information."),
        ("prebuilt-read", "Extract text from documents."),
    ]
    .into_iter()
    .map(|(id, description)| {
        let body = json!({"modelId": id, "createdDateTime": "2021-07-30T00:00:00Z", "apiVersion": V4_0, "description": description});
        ((Collection::DocumentModels, id.to_owned()), Stored { body, blank: false, prebuilt: true })
    })
}

/// The v2.1 model of a number. Its id is a UUID, as v2.1 wants it.
fn custom_model(number: usize, trained: Timestamp) -> Seed {
    let id = named_uuid(&format!("v2.1 model {number}")).to_string();
    let document = |name: &str| json!({"documentName": name, "pages": 1, "errors": [], "status": "succeeded"});
    let body = json!({
        "modelInfo": {
            "modelId": id,
            "modelName": format!("invoices {number}"),
            "attributes": {"isComposed": false},
            "status": "ready",
            "createdDateTime": date(trained),
            "lastUpdatedDateTime": date(trained + SignedDuration::from_secs(6)),
        },
        "trainResult": {
            "averageModelAccuracy": 0.96,
            "trainingDocuments": [document("invoice_1.pdf"), document("invoice_2.pdf")],
            "fields": [{"fieldName": "Total", "accuracy": 0.995}, {"fieldName": "Vendor", "accuracy": 0.925}],
            "errors": [],
        },
    });
    ((Collection::CustomModels, id), stored(body))
}

fn document_model(number: usize, version: &str, api_version: &str, trained: Timestamp) -> Seed {
    let id = format!("invoices-v{version}-{number}");
    let mut body = json!({
        "modelId": id,
        "description": format!("Invoices, training {number}"),
        "createdDateTime": date(trained),
        "apiVersion": api_version,
        "tags": {"team": "invoices"},
        "docTypes": {id.clone(): {
            "fieldSchema": {"Total": {"type": "number"}, "Vendor": {"type": "string"}},
            "buildMode": "template",
            "fieldConfidence": {"Total": 0.995, "Vendor": 0.925},
        }},
    });
    age(&mut body, api_version, trained);
    ((Collection::DocumentModels, id), stored(body))
}

fn classifier(number: usize, trained: Timestamp) -> Seed {
    let id = format!("classifier-v4.0-{number}");
    let documents = |prefix: &str| json!({"kind": "azureBlob", "azureBlobSource": {"containerUrl": "https://example.blob.core.windows.net/train", "prefix": prefix}});
    let mut body = json!({
        "classifierId": id,
        "description": format!("Forms, training {number}"),
        "createdDateTime": date(trained),
        "apiVersion": V4_0,
        "docTypes": {"invoice": documents("invoice/"), "receipt": documents("receipt/")},
    });
    age(&mut body, V4_0, trained);
    ((Collection::DocumentClassifiers, id), stored(body))
}

/// The dates that came with later versions.
fn age(body: &mut Value, api_version: &str, trained: Timestamp) {
    if api_version > "2022-08-31" {
        body["expirationDateTime"] = json!(date(trained + MODELS_LIVE));
    }
    if api_version == V4_0 {
        body["modifiedDateTime"] = json!(date(trained));
    }
}

fn stored(body: Value) -> Stored {
    Stored { body, blank: false, prebuilt: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_seeded_models_do_not_change_between_releases() {
        assert_eq!(named_uuid("v2.1 model 1").to_string(), "b88f9c8c-4feb-5c8f-8f96-cf6eed8b996c");
    }
}
