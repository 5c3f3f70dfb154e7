//! The rate limits in Azure's description of an account: `properties.callRateLimit` of Azure Resource Manager.
//!
//! Each rule has a count, the seconds of its period, and patterns of paths without host and version, such as
//! `formrecognizer/documentModels/{modelId}:copyTo`.

use serde::Deserialize;
use serde_json::Value;

use crate::rate_limits::{Rate, RateLimits};

/// What the paths of the service begin with.
const PREFIXES: [&str; 2] = ["formrecognizer/", "documentintelligence/"];
/// The calls of each kind that decide, as method and path. Calls of v2.1 have the same limits as the others, except for
/// its starts.
const READS: [(&str, &str); 3] =
    [("GET", "documentModels/{}"), ("GET", "operations/{}"), ("GET", "custom/models/{}/copyResults/{}")];
const LISTS: [(&str, &str); 4] =
    [("GET", "documentModels"), ("GET", "operations"), ("GET", "info"), ("GET", "custom/models")];
const MANAGEMENT: [(&str, &str); 4] = [
    ("POST", "documentModels:authorizeCopy"),
    ("POST", "documentModels/{}:copyTo"),
    ("DELETE", "documentModels/{}"),
    ("POST", "custom/models/copyAuthorization"),
];
const CUSTOM_MODEL_COPIES: [(&str, &str); 1] = [("POST", "custom/models/{}/copy")];
const ANALYSES: [(&str, &str); 2] = [("POST", "documentModels/{}:analyze"), ("POST", "custom/models/{}/analyze")];
const RESULTS: [(&str, &str); 2] =
    [("GET", "documentModels/{}/analyzeResults/{}"), ("GET", "custom/models/{}/analyzeResults/{}")];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    count: f64,
    renewal_period: f64,
    match_patterns: Vec<Pattern>,
}

#[derive(Deserialize)]
struct Pattern {
    path: String,
    method: String,
}

/// Reads the limits of the calls that frcopy sends. A rule that cannot be read is left out: the limits are measured as
/// well.
pub(crate) fn rate_limits(call_rate_limit: &Value) -> RateLimits {
    let rules = call_rate_limit.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rules: Vec<Rule> = rules.iter().filter_map(|rule| Rule::deserialize(rule).ok()).collect();
    let limit = |calls: &[(&str, &str)]| {
        let of_calls = calls.iter().flat_map(|(method, path)| of_call(&rules, method, path));
        of_calls.reduce(Rate::min)
    };
    RateLimits {
        is_free: false,
        reads: limit(&READS),
        lists: limit(&LISTS),
        management: limit(&MANAGEMENT),
        custom_model_copies: limit(&CUSTOM_MODEL_COPIES),
        analyses: limit(&ANALYSES),
        results: limit(&RESULTS),
    }
}

/// The limits of one call: of the first rule that names it, under each prefix. A rule for all paths (`*`) is not one: it
/// does not say which calls have none of their own.
fn of_call(rules: &[Rule], method: &str, path: &str) -> Vec<Rate> {
    let names = |pattern: &Pattern, prefix: &str| {
        let is_method = pattern.method == "*" || pattern.method.eq_ignore_ascii_case(method);
        is_method && without_names(&pattern.path).eq_ignore_ascii_case(&format!("{prefix}{path}"))
    };
    let rule = |prefix: &str| rules.iter().find(|rule| rule.match_patterns.iter().any(|one| names(one, prefix)));
    PREFIXES
        .iter()
        .filter_map(|prefix| rule(prefix))
        .filter_map(|rule| Rate::new(rule.count, rule.renewal_period))
        .collect()
}

/// A path with `{}` for each parameter: rules name the same one `{id}` and `{modelId}`.
fn without_names(path: &str) -> String {
    let mut rest = path.trim_start_matches('/');
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        text += before;
        text += "{}";
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The rules of a standard account, with the fields that the Azure CLI prints.
    fn standard() -> Value {
        let rule = |key: &str, count: f64, patterns: &[(&str, &str)]| {
            let patterns: Vec<_> =
                patterns.iter().map(|(method, path)| json!({"method": method, "path": path})).collect();
            json!({"key": key, "count": count, "renewalPeriod": 1.0, "minCount": null, "dynamicThrottlingEnabled": true,
                "matchPatterns": patterns})
        };
        json!({"count": null, "renewalPeriod": null, "rules": [
            {"key": "container.billing", "count": 500.0, "renewalPeriod": 10.0, "matchPatterns": [{"path": "billing/*", "method": "*"}]},
            rule("formrecognizer.analyze", 15.0, &[("POST", "formrecognizer/custom/models/{modelId}/analyze"),
                ("POST", "formrecognizer/documentModels/{modelId}:analyze")]),
            rule("formrecognizer.get.object", 50.0, &[("GET", "formrecognizer/documentModels/{modelId}/analyzeResults/{resultId}"),
                ("GET", "formrecognizer/custom/models/{modelId}/copyResults/{resultId}"),
                ("GET", "formrecognizer/operations/{operationId}"), ("GET", "formrecognizer/documentModels/{modelId}")]),
            rule("formrecognizer.list.objects", 10.0, &[("GET", "formrecognizer/operations"), ("GET", "formrecognizer/info"),
                ("GET", "formrecognizer/documentModels"), ("GET", "formrecognizer/custom/models")]),
            rule("formrecognizer.model.management", 5.0, &[("POST", "formrecognizer/custom/models/copyAuthorization"),
                ("POST", "formrecognizer/custom/models/{modelId}/copy"),
                ("POST", "formrecognizer/documentModels/{modelId}:copyTo"),
                ("POST", "formrecognizer/documentModels:authorizeCopy"),
                ("DELETE", "formrecognizer/documentModels/{modelId}")]),
            rule("default", 3.0, &[("*", "*")]),
        ]})
    }

    #[test]
    fn the_rules_of_a_standard_account_name_each_kind_of_call() {
        let per_second = |count| Some(Rate::PerSecond(count));
        let expected = RateLimits {
            is_free: false,
            reads: per_second(50),
            lists: per_second(10),
            management: per_second(5),
            custom_model_copies: per_second(5),
            analyses: per_second(15),
            results: per_second(50),
        };
        assert_eq!(rate_limits(&standard()), expected);
    }

    #[test]
    fn the_lowest_limit_of_a_kind_counts_and_v2_1_starts_have_their_own() {
        let mut limits = standard();
        limits["rules"].as_array_mut().unwrap().insert(0, json!({"key": "formrecognizer.custom.copymodels", "count": 1,
            "renewalPeriod": 60, "matchPatterns": [{"path": "/formrecognizer/custom/models/{id}/copy", "method": "*"}]}));
        limits["rules"].as_array_mut().unwrap().push(json!({"key": "management", "count": 4, "renewalPeriod": 1,
            "matchPatterns": [{"path": "documentintelligence/documentModels/{modelId}:copyTo", "method": "post"}]}));
        let limits = rate_limits(&limits);
        assert_eq!(limits.custom_model_copies, Some(Rate::PerMinute(1)));
        assert_eq!(limits.management, Some(Rate::PerSecond(4)));
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        for value in
            [json!(null), json!({}), json!({"rules": null}), json!({"rules": [{"count": "many"}, 1]}), json!([])]
        {
            assert_eq!(rate_limits(&value), RateLimits::default());
        }
        let mut limits = standard();
        limits["rules"][4]["count"] = json!(null);
        assert_eq!(rate_limits(&limits).management, None);
        assert_eq!(rate_limits(&limits).lists, Some(Rate::PerSecond(10)));
    }
}
