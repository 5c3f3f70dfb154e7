//! Which call of which API version a method and a path are.

use std::collections::HashMap;

/// Where a resource keeps what it has been taught. Ids are unique on one collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// The models of v2.1.
    CustomModels,
    /// The models of v3.0 and later, whatever version trained them.
    DocumentModels,
    /// The classifiers of v3.1 and later.
    DocumentClassifiers,
}

/// One call, with the ids that its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Authorize,
    Copy { source: String },
    Get { id: String },
    Delete { id: String },
    List { page: usize },
    Summary,
    Operation { id: String },
    Operations { page: usize },
    Info,
}

/// A call and the version that it is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addressed {
    pub(super) collection: Collection,
    /// The `api-version` of v3.0 and later; none for v2.1.
    pub(super) date: Option<&'static str>,
    pub(super) call: Call,
}

const V3_0: &str = "2022-08-31";
const V3_1: &str = "2023-07-31";
pub(super) const V4_0: &str = "2024-11-30";

impl Addressed {
    /// Finds the call; none where the real gateway finds nothing.
    pub(super) fn parse(method: &str, path: &str, query: Option<&str>) -> Option<Self> {
        let query: HashMap<_, _> =
            url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        // The service takes the double slash that some clients make of an endpoint that ends in one, and no empty id.
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        match segments.as_slice() {
            ["formrecognizer", "v2.1", "custom", "models", rest @ ..] => custom_models(method, rest, &query),
            [service, rest @ ..] => {
                let asked = query.get("api-version").map(String::as_str);
                let alive: &[&str] = match *service {
                    "formrecognizer" => &[V3_0, V3_1],
                    "documentintelligence" => &[V4_0],
                    _ => &[],
                };
                let date = alive.iter().find(|date| Some(**date) == asked)?;
                document_models(method, rest, &query, date)
            }
            [] => None,
        }
    }

    /// The service this version lives under, for the URLs that an answer names.
    pub(super) fn service(&self) -> &'static str {
        if self.date == Some(V4_0) { "documentintelligence" } else { "formrecognizer" }
    }
}

fn custom_models(method: &str, rest: &[&str], query: &HashMap<String, String>) -> Option<Addressed> {
    let call = match (method, rest) {
        ("POST", ["copyAuthorization"]) => Call::Authorize,
        ("POST", [source, "copy"]) => Call::Copy { source: (*source).into() },
        ("GET", [_, results, id]) if results.eq_ignore_ascii_case("copyresults") => {
            Call::Operation { id: (*id).into() }
        }
        ("GET", [id]) => Call::Get { id: (*id).into() },
        ("DELETE", [id]) => Call::Delete { id: (*id).into() },
        ("GET", []) if query.get("op").is_some_and(|op| op == "summary") => Call::Summary,
        ("GET", []) => Call::List { page: page(query) },
        _ => return None,
    };
    Some(Addressed { collection: Collection::CustomModels, date: None, call })
}

fn document_models(
    method: &str,
    rest: &[&str],
    query: &HashMap<String, String>,
    date: &'static str,
) -> Option<Addressed> {
    let (collection, rest) = match rest {
        ["documentModels", rest @ ..] => (Collection::DocumentModels, rest),
        ["documentClassifiers", rest @ ..] if date >= V3_1 => (Collection::DocumentClassifiers, rest),
        ["documentModels:authorizeCopy"] => (Collection::DocumentModels, &[":authorizeCopy"][..]),
        ["documentClassifiers:authorizeCopy"] => (Collection::DocumentClassifiers, &[":authorizeCopy"][..]),
        ["operations", rest @ ..] => {
            let call = match (method, rest) {
                ("GET", [id]) => Call::Operation { id: (*id).into() },
                ("GET", []) => Call::Operations { page: page(query) },
                _ => return None,
            };
            return Some(Addressed { collection: Collection::DocumentModels, date: Some(date), call });
        }
        ["info"] if method == "GET" => {
            return Some(Addressed { collection: Collection::DocumentModels, date: Some(date), call: Call::Info });
        }
        _ => return None,
    };
    let copies = collection == Collection::DocumentModels || date >= V4_0;
    let call = match (method, rest) {
        ("POST", [":authorizeCopy"]) if copies => Call::Authorize,
        ("POST", [id]) if copies => {
            Call::Copy { source: id.strip_suffix(":copyTo").filter(|id| !id.is_empty())?.into() }
        }
        ("GET", [id]) => Call::Get { id: (*id).into() },
        ("DELETE", [id]) => Call::Delete { id: (*id).into() },
        ("GET", []) => Call::List { page: page(query) },
        _ => return None,
    };
    Some(Addressed { collection, date: Some(date), call })
}

/// Which page of a list a nextLink asks for.
fn page(query: &HashMap<String, String>) -> usize {
    query.get(NEXT_PAGE).and_then(|page| page.parse().ok()).unwrap_or(0)
}

/// How this emulator's nextLink names a page. The real one is opaque.
pub(super) const NEXT_PAGE: &str = "nextPageToken";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Addressed> {
        let (method, url) = line.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        Addressed::parse(method, path, query)
    }

    #[test]
    fn each_call_is_found_under_its_versions() {
        let copy = Call::Copy { source: "m1".into() };
        for (line, collection, date, call) in [
            (
                "POST /formrecognizer/v2.1/custom/models/copyAuthorization",
                Collection::CustomModels,
                None,
                Call::Authorize,
            ),
            ("POST /formrecognizer/v2.1/custom/models/m1/copy", Collection::CustomModels, None, copy.clone()),
            (
                "GET /formrecognizer/v2.1/custom/models/m/copyResults/r",
                Collection::CustomModels,
                None,
                Call::Operation { id: "r".into() },
            ),
            ("GET /formrecognizer/v2.1/custom/models?op=summary", Collection::CustomModels, None, Call::Summary),
            (
                "POST /formrecognizer/documentModels/m1:copyTo?api-version=2022-08-31",
                Collection::DocumentModels,
                Some(V3_0),
                copy.clone(),
            ),
            (
                "POST //documentintelligence/documentModels:authorizeCopy?api-version=2024-11-30",
                Collection::DocumentModels,
                Some(V4_0),
                Call::Authorize,
            ),
            (
                "POST /documentintelligence/documentClassifiers/m1:copyTo?api-version=2024-11-30",
                Collection::DocumentClassifiers,
                Some(V4_0),
                copy,
            ),
            ("GET /formrecognizer/info?api-version=2023-07-31", Collection::DocumentModels, Some(V3_1), Call::Info),
            (
                "GET /formrecognizer/operations?api-version=2023-07-31&nextPageToken=2",
                Collection::DocumentModels,
                Some(V3_1),
                Call::Operations { page: 2 },
            ),
        ] {
            assert_eq!(parse(line), Some(Addressed { collection, date, call }), "{line}");
        }
    }

    #[test]
    fn what_the_gateway_does_not_know_is_no_call() {
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
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
