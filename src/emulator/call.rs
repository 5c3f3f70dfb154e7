//! Maps a method and a path to a call of an API version.

use std::collections::HashMap;

use super::version::Version;

/// A set of models or classifiers of a resource. Ids are unique within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// The models of v2.1.
    CustomModels,
    /// The models of v3.0 and later.
    DocumentModels,
    /// The classifiers of v3.1 and later.
    DocumentClassifiers,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) collection: Collection,
    /// None for v2.1.
    pub(super) version: Option<Version>,
    pub(super) kind: CallKind,
}

/// The operation that a call requests, with the ids of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallKind {
    Authorize,
    Copy { source_id: String },
    Get { id: String },
    Delete { id: String },
    Analyze { id: String },
    AnalyzeResult { model_id: String, id: String },
    DeleteAnalyzeResult { model_id: String, id: String },
    List { page: usize },
    Summary,
    Operation { id: String },
    Operations { page: usize },
    Info,
}

impl Call {
    /// Parses a request line. Returns none if the gateway knows no such path, method or API version.
    pub(super) fn parse(method: &str, path: &str, query: Option<&str>) -> Option<Self> {
        let query: HashMap<_, _> =
            url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        // The service accepts `//` at the start, which clients send if the endpoint ends with `/`, but no empty id.
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        match segments.as_slice() {
            ["formrecognizer", "v2.1", "custom", "models", rest @ ..] => custom_models(method, rest, &query),
            [service, rest @ ..] => {
                let version = Version::find(service, query.get("api-version").map(String::as_str))?;
                document_models(method, rest, &query, version)
            }
            [] => None,
        }
    }
}

fn custom_models(method: &str, rest: &[&str], query: &HashMap<String, String>) -> Option<Call> {
    let kind = match (method, rest) {
        ("POST", ["copyAuthorization"]) => CallKind::Authorize,
        ("POST", [source_id, "copy"]) => CallKind::Copy { source_id: (*source_id).into() },
        ("GET", [_, results, id]) if results.eq_ignore_ascii_case("copyresults") => {
            CallKind::Operation { id: (*id).into() }
        }
        ("POST", [id, "analyze"]) => CallKind::Analyze { id: (*id).into() },
        ("GET", [model_id, results, id]) if results.eq_ignore_ascii_case("analyzeresults") => {
            CallKind::AnalyzeResult { model_id: (*model_id).into(), id: (*id).into() }
        }
        ("GET", [id]) => CallKind::Get { id: (*id).into() },
        ("DELETE", [id]) => CallKind::Delete { id: (*id).into() },
        ("GET", []) if query.get("op").is_some_and(|op| op == "summary") => CallKind::Summary,
        ("GET", []) => CallKind::List { page: page(query) },
        _ => return None,
    };
    Some(Call { collection: Collection::CustomModels, version: None, kind })
}

fn document_models(method: &str, rest: &[&str], query: &HashMap<String, String>, version: Version) -> Option<Call> {
    let call = |collection, kind| Some(Call { collection, version: Some(version), kind });
    let (collection, rest) = match rest {
        ["documentModels", rest @ ..] => (Collection::DocumentModels, rest),
        ["documentClassifiers", rest @ ..] if version.has_classifiers() => (Collection::DocumentClassifiers, rest),
        ["documentModels:authorizeCopy"] => (Collection::DocumentModels, &[":authorizeCopy"][..]),
        ["documentClassifiers:authorizeCopy"] => (Collection::DocumentClassifiers, &[":authorizeCopy"][..]),
        ["operations", id] if method == "GET" => {
            return call(Collection::DocumentModels, CallKind::Operation { id: (*id).into() });
        }
        ["operations"] if method == "GET" => {
            return call(Collection::DocumentModels, CallKind::Operations { page: page(query) });
        }
        ["info"] if method == "GET" => return call(Collection::DocumentModels, CallKind::Info),
        _ => return None,
    };
    let can_copy = collection == Collection::DocumentModels || version.copies_classifiers();
    let kind = match (method, rest) {
        ("POST", [":authorizeCopy"]) if can_copy => CallKind::Authorize,
        ("POST", [id]) if id.ends_with(":analyze") => {
            let id = id.strip_suffix(":analyze").filter(|id| !id.is_empty())?;
            CallKind::Analyze { id: id.into() }
        }
        ("GET", [model_id, "analyzeResults", id]) => {
            CallKind::AnalyzeResult { model_id: (*model_id).into(), id: (*id).into() }
        }
        ("DELETE", [model_id, "analyzeResults", id])
            if collection == Collection::DocumentModels && version.deletes_analyze_results() =>
        {
            CallKind::DeleteAnalyzeResult { model_id: (*model_id).into(), id: (*id).into() }
        }
        ("POST", [id]) if can_copy => {
            let source_id = id.strip_suffix(":copyTo").filter(|id| !id.is_empty())?;
            CallKind::Copy { source_id: source_id.into() }
        }
        ("GET", [id]) => CallKind::Get { id: (*id).into() },
        ("DELETE", [id]) => CallKind::Delete { id: (*id).into() },
        ("GET", []) => CallKind::List { page: page(query) },
        _ => return None,
    };
    call(collection, kind)
}

/// The page of a list that a nextLink names.
fn page(query: &HashMap<String, String>) -> usize {
    query.get(NEXT_PAGE).and_then(|page| page.parse().ok()).unwrap_or(0)
}

/// The query parameter of this emulator's nextLink. That of the real service is opaque.
pub(super) const NEXT_PAGE: &str = "nextPageToken";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Call> {
        let (method, url) = line.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        Call::parse(method, path, query)
    }

    #[test]
    fn each_call_is_found_under_its_versions() {
        let copy = CallKind::Copy { source_id: "m1".into() };
        for (line, collection, version, kind) in [
            (
                "POST /formrecognizer/v2.1/custom/models/copyAuthorization",
                Collection::CustomModels,
                None,
                CallKind::Authorize,
            ),
            ("POST /formrecognizer/v2.1/custom/models/m1/copy", Collection::CustomModels, None, copy.clone()),
            (
                "GET /formrecognizer/v2.1/custom/models/m/copyResults/r",
                Collection::CustomModels,
                None,
                CallKind::Operation { id: "r".into() },
            ),
            (
                "POST /formrecognizer/v2.1/custom/models/m1/analyze",
                Collection::CustomModels,
                None,
                CallKind::Analyze { id: "m1".into() },
            ),
            (
                "POST /formrecognizer/documentClassifiers/c1:analyze?api-version=2023-07-31",
                Collection::DocumentClassifiers,
                Some(Version::V3_1),
                CallKind::Analyze { id: "c1".into() },
            ),
            (
                "DELETE /documentintelligence/documentModels/m1/analyzeResults/r?api-version=2024-11-30",
                Collection::DocumentModels,
                Some(Version::V4_0),
                CallKind::DeleteAnalyzeResult { model_id: "m1".into(), id: "r".into() },
            ),
            ("GET /formrecognizer/v2.1/custom/models?op=summary", Collection::CustomModels, None, CallKind::Summary),
            (
                "POST /formrecognizer/documentModels/m1:copyTo?api-version=2022-08-31",
                Collection::DocumentModels,
                Some(Version::V3_0),
                copy.clone(),
            ),
            (
                "POST //documentintelligence/documentModels:authorizeCopy?api-version=2024-11-30",
                Collection::DocumentModels,
                Some(Version::V4_0),
                CallKind::Authorize,
            ),
            (
                "POST /documentintelligence/documentClassifiers/m1:copyTo?api-version=2024-11-30",
                Collection::DocumentClassifiers,
                Some(Version::V4_0),
                copy,
            ),
            (
                "GET /formrecognizer/info?api-version=2023-07-31",
                Collection::DocumentModels,
                Some(Version::V3_1),
                CallKind::Info,
            ),
            (
                "GET /formrecognizer/operations?api-version=2023-07-31&nextPageToken=2",
                Collection::DocumentModels,
                Some(Version::V3_1),
                CallKind::Operations { page: 2 },
            ),
        ] {
            assert_eq!(parse(line), Some(Call { collection, version, kind }), "{line}");
        }
    }

    #[test]
    fn an_unknown_path_method_or_version_is_not_a_call() {
        for line in [
            "GET /",
            "GET /formrecognizer/v2.0/custom/models",
            "GET /formrecognizer/documentModels",
            "GET /formrecognizer/documentModels?api-version=2024-11-30",
            "GET /documentintelligence/documentModels?api-version=2024-02-29-preview",
            "POST /documentintelligence/documentModels/:copyTo?api-version=2024-11-30",
            "POST /formrecognizer/documentClassifiers/m1:copyTo?api-version=2023-07-31",
            "GET /formrecognizer/documentClassifiers?api-version=2022-08-31",
            "GET /documentintelligence/documentModels/?api-version=2024-11-30",
            "GET /formrecognizer/v2.1/custom/models/",
            "PUT /formrecognizer/v2.1/custom/models/m1",
            "DELETE /formrecognizer/documentModels/m1/analyzeResults/r?api-version=2023-07-31",
            "DELETE /documentintelligence/documentClassifiers/c1/analyzeResults/r?api-version=2024-11-30",
            "POST /documentintelligence/documentModels/:analyze?api-version=2024-11-30",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
