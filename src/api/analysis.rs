//! Results of analyses, which v2.1 and the later versions write in two forms, as one [`Reading`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Answer;
use super::service_error::words;
use crate::document::{Fact, Reading};
use crate::error::{Error, ServiceError};
use crate::model::ModelId;
use crate::operation::OperationStatus;
use crate::text::UntrustedText;

/// Stands for the model's own id in a type of document: a copy may have another one.
const OWN_ID: &str = "(model)";

/// An analysis as the resource shows it.
#[derive(Debug)]
pub struct Analysis {
    /// Its status.
    pub status: OperationStatus,
    /// Why it failed, when it did and the service says why.
    pub error: Option<ServiceError>,
    /// What was read; empty before the end.
    pub reading: Reading,
}

/// `AnalyzeOperation`, `AnalyzeResultOperation`, `AnalyzeOperationResult`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnalyzeOperation {
    status: String,
    /// Any form: it must not make the status unreadable.
    #[serde(default)]
    error: Value,
    #[serde(default)]
    analyze_result: Value,
}

/// Reads the form of v3.0 and later.
pub(super) fn read_document_analysis(asked: &ModelId, answer: &Answer) -> Result<Analysis, Error> {
    let AnalyzeOperation { status, error, analyze_result: result } = answer.json()?;
    let error = words(Some(&error).filter(|error| error.is_object()));
    let mut facts = Facts::new(asked);
    if result.is_object() {
        check_model(&result, asked, answer)?;
        let documents = array(&result, "documents");
        facts.add("number of documents", None, &documents.len());
        for (number, document) in numbered(documents) {
            facts.document_type(number, document, "confidence");
            facts.fields(number, document);
        }
        for (number, table) in numbered(array(&result, "tables")) {
            let size = (table.get("rowCount"), table.get("columnCount"));
            facts.table(&format!("table {number}"), size, (table, "content"));
        }
    }
    analysis(&status, error, facts, answer)
}

/// Reads the form of v2.1.
pub(super) fn read_custom_analysis(asked: &ModelId, answer: &Answer) -> Result<Analysis, Error> {
    let AnalyzeOperation { status, analyze_result: result, .. } = answer.json()?;
    let error = words(array(&result, "errors"));
    let mut facts = Facts::new(asked);
    let documents = array(&result, "documentResults");
    if result.is_object() {
        facts.add("number of documents", None, &documents.len());
    }
    for (number, document) in numbered(documents) {
        check_model(document, asked, answer)?;
        facts.document_type(number, document, "docTypeConfidence");
        facts.fields(number, document);
    }
    for (number, page) in numbered(array(&result, "pageResults")) {
        for (table_number, table) in numbered(array(page, "tables")) {
            let place = format!("page {number}, table {table_number}");
            facts.table(&place, (table.get("rows"), table.get("columns")), (table, "text"));
        }
        // A model that was trained without labels reads pairs.
        for (pair_number, pair) in numbered(array(page, "keyValuePairs")) {
            let text = |name: &str| pair.get(name)?.get("text")?.as_str();
            let words = format!("{} = {}", text("key").unwrap_or_default(), text("value").unwrap_or_default());
            facts.add(format!("page {number}, pair {pair_number}"), confidence(pair, "confidence"), &words);
        }
    }
    analysis(&status, error, facts, answer)
}

fn analysis(status: &str, error: Option<ServiceError>, facts: Facts<'_>, answer: &Answer) -> Result<Analysis, Error> {
    let (status, reading) = (OperationStatus::new(&Answer::text(status)), Reading { facts: facts.found });
    if status == OperationStatus::Succeeded && reading.facts.is_empty() {
        return Err(answer.unusable("an analysis that has succeeded without a result"));
    }
    Ok(Analysis { status, error, reading })
}

/// Accepts a result only if it is one of the model that was asked. v2.1 does not always name it.
fn check_model(result: &Value, asked: &ModelId, answer: &Answer) -> Result<(), Error> {
    let named = result.get("modelId").and_then(Value::as_str).and_then(|id| id.parse::<ModelId>().ok());
    match named.filter(|id| !id.is_same_as(asked)) {
        Some(other) => Err(answer.unusable(&format!("an analysis with {other} instead of {asked}"))),
        None => Ok(()),
    }
}

/// What has been read so far.
struct Facts<'a> {
    own_id: &'a str,
    found: BTreeMap<UntrustedText, Fact>,
}

impl<'a> Facts<'a> {
    fn new(asked: &'a ModelId) -> Self {
        Self { own_id: asked.as_str(), found: BTreeMap::new() }
    }

    fn add(&mut self, place: impl AsRef<str>, confidence: Option<f64>, value: &dyn ToString) {
        let value = Some(Answer::text(&value.to_string()));
        self.found.insert(Answer::text(place.as_ref()), Fact { kind: None, value, confidence });
    }

    fn document_type(&mut self, number: usize, document: &Value, confidence_name: &str) {
        let name = document.get("docType").and_then(Value::as_str).unwrap_or_default();
        let name = name.split(':').map(|part| if part == self.own_id { OWN_ID } else { part });
        let name = name.collect::<Vec<_>>().join(":");
        self.add(format!("type of document {number}"), confidence(document, confidence_name), &name);
    }

    fn fields(&mut self, number: usize, document: &Value) {
        for (name, field) in document.get("fields").and_then(Value::as_object).into_iter().flatten() {
            self.field(&format!("document {number}, field {name}"), field);
        }
    }

    /// Adds a field, or the fields that it consists of.
    fn field(&mut self, place: &str, field: &Value) {
        let fields = field.as_object();
        let text = |name: &str| field.get(name).and_then(Value::as_str);
        let mut value = None;
        for (name, part) in fields.into_iter().flatten().filter(|(name, _)| name.starts_with("value")) {
            match part {
                Value::Array(items) if name == "valueArray" => {
                    self.add(format!("{place}, number of items"), None, &items.len());
                    for (number, item) in numbered(items) {
                        self.field(&format!("{place}[{number}]"), item);
                    }
                    return;
                }
                Value::Object(fields) if name == "valueObject" => {
                    for (name, field) in fields {
                        self.field(&format!("{place}.{name}"), field);
                    }
                    return;
                }
                Value::String(text) => value = Some(text.clone()),
                Value::Null => {}
                other => value = Some(other.to_string()),
            }
        }
        let value = value.as_deref().or_else(|| text("content")).or_else(|| text("text"));
        let fact = Fact {
            kind: text("type").map(Answer::text),
            value: value.map(Answer::text),
            confidence: confidence(field, "confidence"),
        };
        self.found.insert(Answer::text(place), fact);
    }

    fn table(&mut self, place: &str, size: (Option<&Value>, Option<&Value>), cells: (&Value, &str)) {
        let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or_default();
        self.add(format!("{place}, size"), None, &format!("{} x {}", number(size.0), number(size.1)));
        let (table, text_name) = cells;
        for cell in array(table, "cells") {
            let index = |name: &str| number(cell.get(name)) + 1;
            let text = cell.get(text_name).and_then(Value::as_str).unwrap_or_default();
            let place = format!("{place}, cell ({}, {})", index("rowIndex"), index("columnIndex"));
            self.add(place, confidence(cell, "confidence"), &text);
        }
    }
}

fn array<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn numbered(values: &[Value]) -> impl Iterator<Item = (usize, &Value)> {
    (1..).zip(values)
}

fn confidence(value: &Value, name: &str) -> Option<f64> {
    value.get(name).and_then(Value::as_f64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;
    use serde_json::json;

    /// Each fact in one line.
    fn lines(reading: &Reading) -> Vec<String> {
        let shown = |text: &Option<UntrustedText>| text.as_ref().map_or("none".into(), ToString::to_string);
        let line = |(place, fact): (&UntrustedText, &Fact)| {
            format!("{place} = {} {} {:?}", shown(&fact.kind), shown(&fact.value), fact.confidence)
        };
        reading.facts.iter().map(line).collect()
    }

    #[test]
    fn fields_items_and_cells_are_read_by_their_places() {
        let body = json!({"status": "succeeded", "analyzeResult": {
            "modelId": "m1",
            "documents": [{"docType": "m1:invoice", "confidence": 0.9, "fields": {
                "Total": {"type": "number", "valueNumber": 12.5, "content": "$12.50", "confidence": 0.8},
                "Paid": {"type": "selectionMark", "content": "x"},
                "Vendor": null,
                "Items": {"type": "array", "valueArray": [{"type": "object", "valueObject": {
                    "Price": {"type": "currency", "valueCurrency": {"amount": 2.0, "currencyCode": "USD"}},
                }}]},
            }}],
            "tables": [{"rowCount": 1, "columnCount": 2, "cells": [{"rowIndex": 0, "columnIndex": 1, "content": "a"}]}],
        }});
        let analysis = read_document_analysis(&"m1".parse().unwrap(), &answer(200, &[], &body.to_string())).unwrap();
        assert_eq!(
            lines(&analysis.reading),
            [
                "document 1, field Items, number of items = none 1 None",
                r#"document 1, field Items[1].Price = currency {"amount":2.0,"currencyCode":"USD"} None"#,
                "document 1, field Paid = selectionMark x None",
                "document 1, field Total = number 12.5 Some(0.8)",
                "document 1, field Vendor = none none None",
                "number of documents = none 1 None",
                "table 1, cell (1, 2) = none a None",
                "table 1, size = none 1 x 2 None",
                "type of document 1 = none (model):invoice Some(0.9)",
            ]
        );
    }

    #[test]
    fn the_form_of_v2_1_is_read_with_and_without_labels() {
        let id = "eccc3f13-8289-4020-ba16-9f1d1374e96f";
        let body = json!({"status": "succeeded", "analyzeResult": {
            "pageResults": [{"page": 1,
                "tables": [{"rows": 1, "columns": 1, "cells": [{"rowIndex": 0, "columnIndex": 0, "text": "a", "confidence": 1}]}],
                "keyValuePairs": [{"key": {"text": "Date:"}, "value": {"text": "today"}, "confidence": 0.5}],
            }],
            "documentResults": [{"docType": format!("custom:{id}"), "modelId": id, "fields": {
                "Total": {"type": "number", "valueNumber": 1, "text": "1", "confidence": 0.7},
            }}],
        }});
        let analysis = read_custom_analysis(&id.parse().unwrap(), &answer(200, &[], &body.to_string())).unwrap();
        assert_eq!(
            lines(&analysis.reading),
            [
                "document 1, field Total = number 1 Some(0.7)",
                "number of documents = none 1 None",
                "page 1, pair 1 = none Date: = today Some(0.5)",
                "page 1, table 1, cell (1, 1) = none a Some(1.0)",
                "page 1, table 1, size = none 1 x 1 None",
                "type of document 1 = none custom:(model) None",
            ]
        );
    }

    #[test]
    fn a_failure_has_the_words_of_the_service_in_every_version() {
        let asked = "m1".parse().unwrap();
        let nested = r#"{"status":"failed","error":{"code":"InvalidRequest","message":"o","innererror":{"code":"InvalidContent","message":"i"}}}"#;
        let flat = r#"{"status":"failed","analyzeResult":{"errors":[{"code":"2005","message":"i"}]}}"#;
        let nested = read_document_analysis(&asked, &answer(200, &[], nested)).unwrap();
        let flat = read_custom_analysis(&asked, &answer(200, &[], flat)).unwrap();
        let said = |analysis: Analysis| (analysis.status, analysis.error.unwrap().to_string());
        assert_eq!(said(nested), (OperationStatus::Failed, "InvalidContent: i".into()));
        assert_eq!(said(flat), (OperationStatus::Failed, "2005: i".into()));
    }

    #[test]
    fn a_success_without_a_result_or_with_that_of_another_model_is_no_result() {
        let asked = "m1".parse().unwrap();
        for body in [
            r#"{"status":"succeeded"}"#,
            r#"{"status":"succeeded","analyzeResult":null}"#,
            r#"{"status":"succeeded","analyzeResult":{"modelId":"m2","documents":[]}}"#,
            r#"{"state":"succeeded"}"#,
        ] {
            assert!(read_document_analysis(&asked, &answer(200, &[], body)).is_err(), "{body}");
        }
        let other = r#"{"status":"succeeded","analyzeResult":{"documentResults":[{"modelId":"m2"}]}}"#;
        assert!(read_custom_analysis(&asked, &answer(200, &[], other)).is_err());
    }
}
