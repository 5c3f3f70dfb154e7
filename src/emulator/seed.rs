//! The models of the emulated resources at the start: the same in every run, trained in the last month.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Collection;
use super::state::{Stored, date};
use super::version::Version;

/// A model with an expiration date expires this long after its training.
const MODEL_LIFETIME: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Returns the UUID (version 5) of a name: the same in every run.
pub(super) fn named_uuid(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// A seeded model with its collection and its id.
pub(super) type Seed = ((Collection, String), Stored);

/// The custom models of the source: `count` of each version, and `count` classifiers.
pub(super) fn custom(count: usize, now: Timestamp) -> Vec<Seed> {
    (1..=count)
        .flat_map(|number| {
            let trained = now - DAY * (1 + i32::try_from(number % 28).unwrap_or_default());
            let document_models = Version::ALL.map(|version| document_model(number, version, trained));
            document_models.into_iter().chain([custom_model(number, trained), classifier(number, trained)])
        })
        .collect()
}

/// The same models, after the date on which they expire.
pub(super) fn expired(mut seeds: Vec<Seed>, now: Timestamp) -> Vec<Seed> {
    for (_, stored) in &mut seeds {
        if let Some(expires) = stored.body.get_mut("expirationDateTime") {
            *expires = json!(date(now - DAY));
        }
    }
    seeds
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
        let body = json!({"modelId": id, "createdDateTime": "2021-07-30T00:00:00Z", "apiVersion": Version::LATEST.date(), "description": description});
        ((Collection::DocumentModels, id.to_owned()), Stored { prebuilt: true, ..Stored::ready(body) })
    })
}

/// The v2.1 model with this number. Its id is a UUID, as in the service.
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
    ((Collection::CustomModels, id), Stored::ready(body))
}

fn document_model(number: usize, version: Version, trained: Timestamp) -> Seed {
    let id = format!("invoices-v{}-{number}", version.number());
    let mut body = json!({
        "modelId": id,
        "description": format!("Invoices, training {number}"),
        "createdDateTime": date(trained),
        "apiVersion": version.date(),
        "tags": {"team": "invoices"},
        "docTypes": {id.clone(): {
            "fieldSchema": {"Total": {"type": "number"}, "Vendor": {"type": "string"}},
            "buildMode": "template",
            "fieldConfidence": {"Total": 0.995, "Vendor": 0.925},
        }},
    });
    add_dates(&mut body, version, trained);
    ((Collection::DocumentModels, id), Stored::ready(body))
}

fn classifier(number: usize, trained: Timestamp) -> Seed {
    let version = Version::LATEST;
    let id = format!("classifier-v{}-{number}", version.number());
    let documents = |prefix: &str| json!({"kind": "azureBlob", "azureBlobSource": {"containerUrl": "https://example.blob.core.windows.net/train", "prefix": prefix}});
    let mut body = json!({
        "classifierId": id,
        "description": format!("Forms, training {number}"),
        "createdDateTime": date(trained),
        "apiVersion": version.date(),
        "docTypes": {"invoice": documents("invoice/"), "receipt": documents("receipt/")},
    });
    add_dates(&mut body, version, trained);
    ((Collection::DocumentClassifiers, id), Stored::ready(body))
}

/// Adds the dates that not every version has.
fn add_dates(body: &mut Value, version: Version, trained: Timestamp) {
    if version.has_expiration_date() {
        body["expirationDateTime"] = json!(date(trained + MODEL_LIFETIME));
    }
    if version.has_modification_date() {
        body["modifiedDateTime"] = json!(date(trained));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_seeded_models_do_not_change_between_releases() {
        assert_eq!(named_uuid("v2.1 model 1").to_string(), "b88f9c8c-4feb-5c8f-8f96-cf6eed8b996c");
    }
}
