//! The service's error envelopes. What each code means stands in the [`catalogue`](super::catalogue).

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::Answer;
use super::catalogue::{
    CATALOGUE, CHECK_ACCESS, CHECK_ENDPOINT, CHECK_NETWORK, CHECK_ROLE, Entry, FIREWALL, OUT_OF_QUOTA, RAISE_VOLUME,
    TRANSIENT, fill,
};
use super::response::parse_http_date;
use crate::auth::AuthMethod;
use crate::error::{Delivery, Error, ErrorKind, Finding, ServiceError};
use crate::label::Label;
use crate::text::UntrustedText;

/// How many failures of one answer are shown. An answer may have megabytes of them.
const MOST_FAILURES: usize = 8;

/// The service's words for one or several failures, in any of its envelopes: the innermost, most specific one
/// first. What has another form than documented is left out.
pub(super) fn words<'v>(failures: impl IntoIterator<Item = &'v Value>) -> Option<ServiceError> {
    let mut said = Vec::new();
    for failure in failures {
        collect(failure, &mut said);
    }
    said.into_iter()
        .rev()
        .fold(None, |outer, (code, message)| Some(ServiceError { code, message, outer: outer.map(Box::new) }))
}

/// Adds a failure after its inner error and its details, each only while there is room.
fn collect(failure: &Value, said: &mut Vec<(Option<UntrustedText>, UntrustedText)>) {
    // v2.1 writes innerError, v3.0 and later innererror.
    let inner = ["innererror", "innerError"].iter().find_map(|name| failure.get(name));
    let details = failure.get("details").and_then(Value::as_array).into_iter().flatten();
    for part in inner.into_iter().chain(details) {
        if said.len() < MOST_FAILURES {
            collect(part, said);
        }
    }
    // A name, or digits with or without quotes.
    let code = match failure.get("code") {
        Some(Value::String(name)) => Some(Answer::text(name)).filter(|name| !name.is_empty()),
        Some(Value::Number(number)) => Some(number.to_string().into()),
        _ => None,
    };
    let message = failure.get("message").and_then(Value::as_str).map(Answer::text).unwrap_or_default();
    // v2.1's innerError has a request id and no words.
    if said.len() < MOST_FAILURES && (code.is_some() || !message.is_empty()) {
        said.push((code, message));
    }
}

/// A failure and the outer ones around it.
fn outward(error: &ServiceError) -> impl Iterator<Item = &ServiceError> {
    std::iter::successors(Some(error), |error| error.outer.as_deref())
}

/// Finds the catalogue's entry for a failure: that of the innermost code that has one.
fn look_up(error: &ServiceError) -> Option<&'static Entry> {
    outward(error).find_map(|error| {
        CATALOGUE.iter().find(|entry| error.code.as_ref().is_some_and(|code| code.raw() == entry.code))
    })
}

/// The remedy for a failed operation of this source, if the catalogue has one.
#[must_use]
pub(crate) fn remedy(error: &ServiceError, source: &Label, target: Option<&Label>) -> Option<String> {
    look_up(error).map(|entry| fill(entry.remedy, Some(source), target))
}

/// The refusal of a start, whose remedy may be about the settings of the target.
#[must_use]
pub(crate) fn of_start(error: Error, source: &Label, target: Option<&Label>) -> Error {
    let entry = error.service().and_then(look_up).filter(|entry| entry.remedy.contains("{address}"));
    match entry {
        Some(entry) => error.with_remedy(fill(entry.remedy, Some(source), target)),
        None => error,
    }
}

/// Whether the service has refused an authorization, and not what it is for.
#[must_use]
pub(crate) fn is_about_authorization(error: &ServiceError) -> bool {
    const CODES: [&str; 5] = ["1002", "2024", "AuthorizationError", "AuthorizationFailed", "ResourceResolverError"];
    outward(error).any(|error| error.code.as_ref().is_some_and(|code| CODES.contains(&code.raw())))
}

/// In the message of a 429 of the free tier (F0).
const FREE_TIER: &str = "F0 pricing tier";
/// The same of a standard resource (S0).
const STANDARD_TIER: &str = "S0 pricing tier";

/// The pricing tier that a 429 names. No code says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedTier {
    /// One limit for requests of all kinds.
    Free,
    /// A limit for each kind.
    Standard,
}

/// Which tier the text of a 429 names, if any.
#[must_use]
pub(crate) fn named_tier(error: &Error) -> Option<NamedTier> {
    let names = |text| error.service().is_some_and(|said| outward(said).any(|said| said.message.raw().contains(text)));
    if names(FREE_TIER) {
        return Some(NamedTier::Free);
    }
    names(STANDARD_TIER).then_some(NamedTier::Standard)
}

/// Turns an answer that is no success into an error.
#[must_use]
pub(crate) fn refusal(answer: &Answer) -> Error {
    let status = answer.status.as_u16();
    let body: Value = serde_json::from_slice(answer.text_of_body()).unwrap_or_default();
    let said = words(body.get("error"));
    let entry = said.as_ref().and_then(look_up);
    let out_of_quota =
        said.as_ref().is_some_and(|said| outward(said).any(|said| said.message.raw().contains(OUT_OF_QUOTA)));
    let finding = match (entry, status) {
        (Some(entry), _) => entry.finding,
        // An envelope with an unknown code, where the status alone says enough.
        (None, 401 | 403) if said.is_some() => Finding::Definitive,
        _ => Finding::Inconclusive,
    };
    let delivery = match status {
        403 | 429 if out_of_quota => Delivery::OutOfQuota { retry_after: retry_after(answer) },
        429 => Delivery::Throttled { retry_after: retry_after(answer) },
        503 => Delivery::Busy { retry_after: retry_after(answer) },
        408 | 500..=599 => Delivery::Unanswered,
        _ if !says_what_became_of_it(answer.status) => Delivery::Unanswered,
        _ => Delivery::Final(finding),
    };
    let kind = match (delivery, entry, status) {
        (Delivery::Final(_), Some(entry), 400..=499) => entry.kind,
        (Delivery::Final(_), _, 401 | 403) => ErrorKind::Credentials,
        (Delivery::Final(_), _, 300..=399 | 404 | 410) => ErrorKind::NotFound,
        (Delivery::Final(_), _, 409) => ErrorKind::Exists,
        (Delivery::Final(_), _, _) => ErrorKind::Refused,
        _ => ErrorKind::Unavailable,
    };
    let error = Error::new(kind, what_happened(answer, delivery))
        .with_http_status(status)
        .with_delivery(delivery)
        .with_request_id(answer.request_id())
        .with_remedy(fill(remedy_for(answer, kind, delivery, entry, said.as_ref()), Some(&answer.resource), None));
    match said {
        Some(said) => error.with_source(said),
        None => error.with_source(format!("the answer has no error message of the service ({})", answer.content())),
    }
}

/// Whether a status that is no success says that the request was not carried out: a refusal does (4xx), and so does a
/// redirect to where the request belongs. A status that HTTP does not define for such a request says nothing (101, 304,
/// 600), nor does one that leads to the result of a request (303).
fn says_what_became_of_it(status: StatusCode) -> bool {
    status.is_client_error() || is_redirect(status)
}

/// Whether the request belongs to another address.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

fn what_happened(answer: &Answer, delivery: Delivery) -> String {
    let Answer { resource, purpose, .. } = answer;
    let status = answer.status.as_u16();
    match (delivery, status) {
        _ if is_redirect(answer.status) => {
            let elsewhere = answer.header("location").map_or_else(|| "another address".into(), Answer::text);
            format!("asked to {purpose}, {resource} redirects to {elsewhere}, which is not followed (HTTP {status})")
        }
        (Delivery::Throttled { .. }, _) => format!("rate limited by {resource}, asked to {purpose} (HTTP {status})"),
        (Delivery::Busy { .. }, _) => format!("{resource} is not available, asked to {purpose} (HTTP {status})"),
        (Delivery::OutOfQuota { .. }, _) => {
            format!("the call volume of {resource} is used up, asked to {purpose} (HTTP {status})")
        }
        (Delivery::Unanswered, _) => format!("{resource} could not {purpose} (HTTP {status})"),
        _ => format!("{resource} refused to {purpose} (HTTP {status})"),
    }
}

fn remedy_for(
    answer: &Answer,
    kind: ErrorKind,
    delivery: Delivery,
    entry: Option<&'static Entry>,
    said: Option<&ServiceError>,
) -> &'static str {
    match (delivery, entry) {
        (Delivery::Final(_), _) if kind == ErrorKind::Credentials => {
            let is_firewall = said.is_some_and(|said| outward(said).any(|said| said.message.raw().contains(FIREWALL)));
            match answer.auth_method {
                _ if is_firewall => CHECK_NETWORK,
                AuthMethod::Token => CHECK_ROLE,
                AuthMethod::Key => entry.map_or(CHECK_ACCESS, |entry| entry.remedy),
            }
        }
        (Delivery::OutOfQuota { .. }, _) => RAISE_VOLUME,
        (_, Some(entry)) => entry.remedy,
        (_, None) if is_redirect(answer.status) => "check {endpoint}: it must be the resource's own address",
        (_, None) => match kind {
            ErrorKind::NotFound => CHECK_ENDPOINT,
            ErrorKind::Exists => "choose another id with --target-model-id",
            ErrorKind::Unavailable => TRANSIENT,
            _ => "read the service's message, and give the request id to Azure support if it does not help",
        },
    }
}

/// The wait that `Retry-After` asks for: seconds, or an HTTP date. Longer than a month is as good as a month.
fn retry_after(answer: &Answer) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    let value = answer.header("retry-after")?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        let seconds = Some(seconds.ceil()).filter(|seconds| *seconds >= 0.0);
        return seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST));
    }
    let date = parse_http_date(value)?;
    Some(Duration::try_from(answer.date_or_received().duration_until(date)).unwrap_or(Duration::ZERO).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;

    fn refused(status: u16, body: &str) -> Error {
        refusal(&answer(status, &[("apim-request-id", "req-1")], body))
    }

    #[test]
    fn the_innermost_words_come_first_whatever_the_envelope() {
        for (body, expected) in [
            (r#"{"error":{"code":"1002","message":"m"}}"#, &["1002: m"][..]),
            (r#"{"error":{"code":401,"message":"m"}}"#, &["401: m"]),
            (
                r#"{"error":{"code":"NotFound","message":"a","innererror":{"code":"ModelNotFound","message":"b"}}}"#,
                &["ModelNotFound: b", "NotFound: a"],
            ),
            (
                r#"{"error":{"code":"A","message":"a","innererror":{"code":"B","message":"b","innererror":{"message":"c"}}}}"#,
                &["c", "B: b", "A: a"],
            ),
            (
                r#"{"error":{"code":"F","message":"f","details":[{"code":"D1","message":"d1"},{"code":"D2","message":"d2"}]}}"#,
                &["D1: d1", "D2: d2", "F: f"],
            ),
            (
                r#"{"error":{"code":"A","message":"a","innererror":{"code":"B"},"innerError":{"requestId":"r"},"details":null}}"#,
                &["B", "A: a"],
            ),
            (r#"{"error":{"code":"2024","innerError":{"requestId":"r"},"message":"m"}}"#, &["2024: m"]),
        ] {
            let causes: Vec<_> = refused(400, body).causes().map(ToString::to_string).collect();
            assert_eq!(causes, expected, "{body}");
        }
    }

    #[test]
    fn each_status_says_what_the_caller_may_do_and_whether_to_send_again() {
        let throttled = Delivery::Throttled { retry_after: None };
        let is_final = Delivery::Final(Finding::Inconclusive);
        for (status, kind, delivery) in [
            (301, ErrorKind::NotFound, is_final),
            (400, ErrorKind::Refused, is_final),
            (401, ErrorKind::Credentials, is_final),
            (403, ErrorKind::Credentials, is_final),
            (404, ErrorKind::NotFound, is_final),
            (408, ErrorKind::Unavailable, Delivery::Unanswered),
            (409, ErrorKind::Exists, is_final),
            (410, ErrorKind::NotFound, is_final),
            (429, ErrorKind::Unavailable, throttled),
            (500, ErrorKind::Unavailable, Delivery::Unanswered),
            (502, ErrorKind::Unavailable, Delivery::Unanswered),
            (503, ErrorKind::Unavailable, Delivery::Busy { retry_after: None }),
            (504, ErrorKind::Unavailable, Delivery::Unanswered),
            (101, ErrorKind::Unavailable, Delivery::Unanswered),
            (303, ErrorKind::Unavailable, Delivery::Unanswered),
            (304, ErrorKind::Unavailable, Delivery::Unanswered),
            (600, ErrorKind::Unavailable, Delivery::Unanswered),
        ] {
            let error = refused(status, "<html>");
            assert_eq!((error.kind(), error.delivery()), (kind, delivery), "{status}");
            assert!(error.remedy().is_some(), "{status}");
            assert_eq!(error.request_id(), Some(&"req-1".into()), "{status}");
        }
    }

    #[test]
    fn the_code_decides_where_the_status_misleads() {
        let forbidden = |code: &str| {
            refused(403, &format!(r#"{{"error":{{"code":"Forbidden","innererror":{{"code":"{code}"}}}}}}"#)).kind()
        };
        assert_eq!(forbidden("AuthorizationFailed"), ErrorKind::Refused);
        assert_eq!(forbidden("AuthenticationTypeDisabled"), ErrorKind::Credentials);
        assert_eq!(refused(400, r#"{"error":{"code":"1001","message":""}}"#).kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_refused_credential_names_what_helps_it() {
        let remedy = |auth_method, status, body: &str| {
            let answer = Answer { auth_method, ..answer(status, &[], body) };
            refusal(&answer).remedy().unwrap().to_owned()
        };
        let coded = |code: &str, message: &str| format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#);
        let off = coded("AuthenticationTypeDisabled", "Key based authentication is disabled for this resource.");
        let denied = coded("401", "Access denied due to invalid subscription key or wrong API endpoint.");
        let firewall = coded("403", "Access denied due to Virtual Network/Firewall rules.");
        let role = coded("PermissionDenied", "Principal does not have access to API/Operation.");
        for (auth_method, status, body, expected) in [
            (AuthMethod::Key, 403, &off, "use --source-auth entra"),
            (AuthMethod::Key, 401, &denied, "use --source-auth entra"),
            (
                AuthMethod::Key,
                401,
                &denied,
                "check that the source key is a key of the source endpoint https://a.example",
            ),
            (AuthMethod::Key, 403, &firewall, "network rules of the source endpoint"),
            (AuthMethod::Key, 403, &String::new(), "network rules of the source endpoint"),
            (AuthMethod::Token, 401, &role, "Cognitive Services User on both resources, source and target"),
            (AuthMethod::Token, 401, &denied, "Cognitive Services User on both resources, source and target"),
            (AuthMethod::Token, 403, &firewall, "network rules of the source endpoint"),
        ] {
            let remedy = remedy(auth_method, status, body);
            assert!(remedy.contains(expected), "{body}: {remedy}");
            assert!(auth_method == AuthMethod::Key || !remedy.contains("KEY"), "{remedy}");
        }
    }

    #[test]
    fn a_used_up_volume_is_no_rate_limit() {
        for status in [403, 429] {
            let body =
                r#"{"error":{"code":"429","message":"Out of call volume quota for FormRecognizer F0 pricing tier."}}"#;
            let error = refused(status, body);
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Unavailable, Delivery::OutOfQuota { retry_after: None })
            );
        }
    }

    #[test]
    fn only_the_services_own_word_is_definitive() {
        let not_found =
            r#"{"error":{"code":"NotFound","message":"","innererror":{"code":"ModelNotFound","message":""}}}"#;
        let coded = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        for (status, body, finding) in [
            (404, not_found, Finding::NoSuchModel),
            (404, &coded("1022"), Finding::NoSuchModel),
            (400, &coded("1001"), Finding::Definitive),
            (410, &coded("Gone"), Finding::Definitive),
            (401, &coded("401"), Finding::Definitive),
            (403, &coded("SomethingNew"), Finding::Definitive),
            (401, "", Finding::Inconclusive),
            (403, "<html>", Finding::Inconclusive),
            (404, &coded("404"), Finding::Inconclusive),
            (404, "", Finding::Inconclusive),
            (405, "", Finding::Inconclusive),
        ] {
            assert_eq!(refused(status, body).delivery(), Delivery::Final(finding), "{status} {body}");
        }
    }

    #[test]
    fn an_answer_of_a_thousand_failures_shows_a_handful() {
        let many = vec![r#"{"code":"D","message":"d"}"#; 1000].join(",");
        let error = refused(400, &format!(r#"{{"error":{{"code":"A","details":[{many}]}}}}"#));
        assert_eq!(error.causes().count(), MOST_FAILURES);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |value| retry_after(&answer(429, &[("Retry-After", value)], "")).map(|wait| wait.as_secs());
        assert_eq!(wait("43"), Some(43));
        assert_eq!(wait("Mon, 23 Nov 2026 00:01:30 GMT"), Some(90));
        assert_eq!(wait("Fri, 23 Nov 2026 00:01:30 GMT"), Some(90));
        assert_eq!(wait("Sun, 22 Nov 2026 00:00:00 GMT"), Some(0));
        assert_eq!(wait("259200"), Some(259_200));
        assert_eq!(wait("0.2"), Some(1));
        for endless in ["9223372036854775807", "99999999999999999999999", "Sat, 01 Jan 2999 00:00:00 GMT"] {
            assert_eq!(wait(endless), Some(30 * 24 * 60 * 60), "{endless}");
        }
        for nonsense in ["soon", "-5", "NaN", ""] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_usual_cause_of_2024_is_named_first() {
        let error = ServiceError { code: Some("2024".into()), message: "".into(), outer: None };
        let [source, target] = ["source", "target"].map(|side| Label::of_side(side, String::new()));
        assert!(
            remedy(&error, &source, Some(&target))
                .unwrap()
                .starts_with("set --target-resource-id and --target-region to those of the target")
        );
    }
}
