//! Analyses: what a model reads in a document is computed from its training and the bytes of the document.
//!
//! So a copy reads the same as its source, and a model that was trained again reads something else. The content of the
//! document is not looked at.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Collection;
use super::handler::Context;
use super::reply::{Failure, Reply};
use super::seed::named_uuid;
use super::state::{Account, Analysis};
use super::version::Version;

const VENDORS: [&str; 6] = ["Adatum", "Contoso", "Fabrikam", "Litware", "Northwind", "Tailspin"];

/// The analysis with a model that starts now.
pub(super) fn start(model: (Collection, &str), result: Value, cx: &Context<'_>) -> Analysis {
    let (collection, id) = model;
    Analysis { collection, model_id: id.to_owned(), created: cx.now, ends: cx.operation_end(), result }
}

/// Stores an analysis, whose result will be at the URL.
pub(super) fn accept(account: &mut Account, id: String, url: String, analysis: Analysis) -> Reply {
    account.analyses.insert(id, analysis);
    Reply::new(StatusCode::ACCEPTED, None).with("Operation-Location", url)
}

/// The status of an analysis, and its result at the end.
pub(super) fn result(account: &Account, model: (Collection, &str), id: &str, now: Timestamp) -> Option<Reply> {
    let analysis = account.analyses.get(id).filter(|analysis| analysis.is_of(model))?;
    let ended = analysis.ends <= now;
    let mut body = json!({
        "status": if ended { "succeeded" } else { "running" },
        "createdDateTime": account.date(analysis.created),
        "lastUpdatedDateTime": account.date(if ended { analysis.ends } else { analysis.created }),
    });
    if ended {
        body["analyzeResult"] = analysis.result.clone();
    }
    Some(Reply::ok(body))
}

/// Deletes the result of an analysis; says whether there was one.
pub(super) fn delete(account: &mut Account, model: (Collection, &str), id: &str) -> bool {
    account.analyses.get(id).is_some_and(|analysis| analysis.is_of(model)) && account.analyses.remove(id).is_some()
}

/// The error for a request without a document.
pub(super) fn check_document(cx: &Context<'_>) -> Result<(), Failure> {
    if cx.request.body.is_empty() {
        let message = "The file is corrupted or format is unsupported.";
        return Err(Failure::new(400, "InvalidRequest", "InvalidContent", message));
    }
    Ok(())
}

/// The numbers that a reading is made of.
struct Reading {
    /// From training and document.
    of_model: Uuid,
    /// From the document alone: what any model sees.
    of_document: Uuid,
}

impl Reading {
    fn new(training: &Value, document: &[u8]) -> Self {
        let of_document = Uuid::new_v5(&Uuid::NAMESPACE_OID, document);
        let of_model = Uuid::new_v5(&named_uuid(&training.to_string()), of_document.as_bytes());
        Self { of_model, of_document }
    }

    /// A number below `limit` that belongs to a name.
    fn number(&self, name: &str, limit: u64) -> u64 {
        Uuid::new_v5(&self.of_model, name.as_bytes()).as_u64_pair().0 % limit
    }

    fn confidence(&self, name: &str) -> f64 {
        // Below 2^53: exact.
        let hundredths = u32::try_from(self.number(&format!("confidence of {name}"), 18)).unwrap_or_default();
        0.8 + f64::from(hundredths) / 100.0
    }

    fn amount(&self, name: &str) -> f64 {
        f64::from(u32::try_from(self.number(name, 10_000_000)).unwrap_or_default()) / 100.0
    }

    fn word(&self, name: &str) -> String {
        let number = self.number(name, 1_000_000);
        let vendor = usize::try_from(number).ok().and_then(|number| VENDORS.get(number % VENDORS.len()));
        format!("{} {number}", vendor.unwrap_or(&"Contoso"))
    }

    /// The cells of a table with two rows and two columns.
    fn cells(&self, text: &str) -> Vec<Value> {
        let seen = self.of_document.simple().to_string();
        let cell =
            |(index, content): (usize, &str)| json!({"rowIndex": index / 2, "columnIndex": index % 2, text: content});
        ["Item", "Amount", &seen[..8], &seen[8..12]].into_iter().enumerate().map(cell).collect()
    }
}

/// `analyzeResult` of v3.0 and later.
pub(super) fn document_result(
    model: &Value,
    collection: Collection,
    version: Version,
    id: &str,
    document: &[u8],
) -> Value {
    let reading = Reading::new(&training(model, id), document);
    let none = serde_json::Map::new();
    let types = model.get("docTypes").and_then(Value::as_object).unwrap_or(&none);
    let number = usize::try_from(reading.number("document type", 1 << 20)).unwrap_or_default();
    // Only a classifier chooses: a model of one training has one type of document.
    let found = types.iter().nth(if types.is_empty() { 0 } else { number % types.len() });
    let document = found.map(|(name, of)| {
        let mut document = json!({"docType": name, "spans": [], "confidence": reading.confidence("document type")});
        if collection == Collection::DocumentModels {
            document["fields"] = of.get("fieldSchema").map(|schema| reading.fields(schema)).unwrap_or_default();
        }
        document
    });
    let mut result = json!({
        "apiVersion": version.date(),
        "modelId": id,
        "stringIndexType": "textElements",
        "content": reading.of_document.to_string(),
        "pages": [{"pageNumber": 1, "spans": [], "words": []}],
        "documents": document.into_iter().collect::<Vec<_>>(),
    });
    if collection == Collection::DocumentModels {
        result["tables"] = json!([{"rowCount": 2, "columnCount": 2, "spans": [], "cells": reading.cells("content")}]);
    }
    result
}

impl Reading {
    fn fields(&self, schema: &Value) -> Value {
        let schema = schema.as_object().into_iter().flatten();
        let field = |(name, of): (&String, &Value)| {
            let confidence = self.confidence(name);
            let field = if of.get("type").and_then(Value::as_str) == Some("number") {
                let amount = self.amount(name);
                json!({"type": "number", "valueNumber": amount, "content": format!("$ {amount}"), "confidence": confidence})
            } else {
                let word = self.word(name);
                json!({"type": "string", "valueString": word, "content": word, "confidence": confidence})
            };
            (name.clone(), field)
        };
        Value::Object(schema.map(field).collect())
    }
}

/// `analyzeResult` of v2.1.
pub(super) fn custom_result(model: &Value, id: &str, document: &[u8]) -> Value {
    let info = |name: &str| model.pointer(&format!("/modelInfo/{name}")).cloned();
    let training = json!([info("createdDateTime"), info("lastUpdatedDateTime"), model.get("trainResult")]);
    let reading = Reading::new(&training, document);
    let names = model.pointer("/trainResult/fields").and_then(Value::as_array).into_iter().flatten();
    let names = names.filter_map(|field| field.get("fieldName")?.as_str());
    let field = |name: &str| {
        let confidence = reading.confidence(name);
        if name == "Total" {
            let amount = reading.amount(name);
            return json!({"type": "number", "valueNumber": amount, "text": format!("$ {amount}"), "page": 1, "confidence": confidence});
        }
        let word = reading.word(name);
        json!({"type": "string", "valueString": word, "text": word, "page": 1, "confidence": confidence})
    };
    let fields: BTreeMap<_, _> = names.map(|name| (name, field(name))).collect();
    json!({
        "version": "2.1.0",
        "readResults": [{"page": 1, "angle": 0, "width": 8.5, "height": 11, "unit": "inch"}],
        "pageResults": [{"page": 1, "tables": [{"rows": 2, "columns": 2, "cells": reading.cells("text")}]}],
        "documentResults": [{
            "docType": format!("custom:{id}"),
            "modelId": id,
            "pageRange": [1, 1],
            "docTypeConfidence": reading.confidence("document type"),
            "fields": fields,
        }],
        "errors": [],
    })
}

/// What a copy takes from its source: the date of the training, and the types of documents without the model's own id.
fn training(model: &Value, id: &str) -> Value {
    let trained = model.get("modifiedDateTime").or_else(|| model.get("createdDateTime"));
    let types = model.get("docTypes").and_then(Value::as_object).into_iter().flatten();
    let types: BTreeMap<_, _> = types.map(|(name, of)| (if name == id { "" } else { name.as_str() }, of)).collect();
    json!([trained, types])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str) -> Value {
        json!({"modelId": id, "createdDateTime": "2026-01-01T00:00:00Z", "description": id, "docTypes": {
            id: {"fieldSchema": {"Total": {"type": "number"}, "Vendor": {"type": "string"}}},
        }})
    }

    fn read(model: &Value, document: &[u8]) -> (Value, Value) {
        let id = model["modelId"].as_str().unwrap();
        let mut result = document_result(model, Collection::DocumentModels, Version::V4_0, id, document);
        (result["documents"][0]["fields"].take(), result["tables"].take())
    }

    #[test]
    fn a_copy_reads_a_document_like_its_source_whatever_its_id() {
        assert_eq!(read(&model("a1"), b"invoice"), read(&model("b1"), b"invoice"));
    }

    #[test]
    fn another_training_or_another_document_is_read_otherwise() {
        let mut retrained = model("a1");
        retrained["createdDateTime"] = json!("2026-02-01T00:00:00Z");
        let (fields, tables) = read(&model("a1"), b"invoice");
        let (fields_of_retrained, same_tables) = read(&retrained, b"invoice");
        let (other_fields, other_tables) = read(&model("a1"), b"another");
        assert!(fields != fields_of_retrained && fields != other_fields && fields_of_retrained != other_fields);
        // What stands in a table is on the page, whatever the training.
        assert!(tables == same_tables && tables != other_tables);
    }

    #[test]
    fn a_classifier_chooses_one_of_its_types_of_documents() {
        let classifier = json!({"createdDateTime": "2026-01-01T00:00:00Z", "docTypes": {"invoice": {}, "receipt": {}}});
        let chosen = |number: u8| {
            let collection = Collection::DocumentClassifiers;
            let result = document_result(&classifier, collection, Version::V4_0, "c1", &[number]);
            result["documents"][0]["docType"].as_str().unwrap().to_owned()
        };
        let chosen: std::collections::BTreeSet<_> = (0..50).map(chosen).collect();
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), ["invoice", "receipt"]);
    }
}
