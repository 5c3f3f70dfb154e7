//! The service's error envelopes, and the catalogue that says what each code means and what to do.

use std::time::Duration;

use serde_json::Value;

use super::Answer;
use super::response::parse_http_date;
use crate::auth::AuthMethod;
use crate::error::{Delivery, Error, ErrorKind, Finding, ServiceError};
use crate::resource::Side;
use crate::text::UntrustedText;

/// What a code of the service means for a copy.
struct Entry {
    /// As it comes, whatever the envelope it comes in.
    code: &'static str,
    /// What the caller may do, where a request was refused with it.
    kind: ErrorKind,
    /// One imperative sentence. `{side}` is the side that answered, `{SIDE}` the same in capitals.
    remedy: &'static str,
    /// What a look that meets it knows; the gateway's own codes say nothing of models.
    finding: Finding,
}

const fn entry(code: &'static str, kind: ErrorKind, remedy: &'static str) -> Entry {
    Entry { code, kind, remedy, finding: Finding::Definitive }
}

const fn no_model(code: &'static str) -> Entry {
    Entry { code, kind: ErrorKind::NotFound, remedy: CHECK_MODEL_ID, finding: Finding::NoSuchModel }
}

const fn gateway(code: &'static str, kind: ErrorKind, remedy: &'static str) -> Entry {
    Entry { code, kind, remedy, finding: Finding::Inconclusive }
}

const FRESH_AUTHORIZATION: &str = "run the command again, which asks for a fresh authorization; if it fails again, \
     check that --target-resource-id and --target-region are those of the target resource";
const CHECK_MODEL_ID: &str =
    "check the model id, that the {side} endpoint is the resource that has the model, and --api-version";
const CHECK_ENDPOINT: &str = "check the {side} endpoint and --api-version: the resource, or its region, does not offer this API version at this address";
const KEYS_ARE_OFF: &str =
    "use --{side}-auth entra: the keys of the {side} resource are switched off (disableLocalAuth)";
const CHECK_KEY: &str = "check that FRCOPY_{SIDE}_KEY is a key of the {side} endpoint's own resource; where its keys are switched off, use --{side}-auth entra";
const CHECK_ACCESS: &str = "check FRCOPY_{SIDE}_KEY, and the network rules of the {side} resource; where its keys are switched off, use --{side}-auth entra";
const CHECK_ROLE: &str = "give the identity the role Cognitive Services User on both resources, source and target, which takes up to five minutes to work; a token must be of the tenant of the {side} resource (--{side}-tenant) and not have expired";
const CHECK_NETWORK: &str =
    "allow this machine in the network rules of the {side} resource, or run frcopy where they let it through";
const INPUT_FAULT: &str = "correct the value that the message names, then run the command again";
const TRANSIENT: &str = "run the command again in a few minutes, and give the request id to Azure support if it stays";

/// Every code that a copy is known to meet. Those of v2.1 first, then v3.0 and later, then the gateway's.
const CATALOGUE: &[Entry] = &[
    entry(
        "1001",
        ErrorKind::NotFound,
        "check the source model id: the model must exist in the source resource and be ready",
    ),
    entry(
        "1002",
        ErrorKind::Refused,
        "correct --target-resource-id and --target-region (the short name, such as westus2), then run the command again for a fresh authorization",
    ),
    no_model("1022"),
    entry("1027", ErrorKind::Refused, "copy the model with the API version that trained it (--api-version)"),
    gateway("1999", ErrorKind::Unavailable, "check that the source has the model, then run the command again"),
    entry(
        "2024",
        ErrorKind::Refused,
        "make --target-resource-id and --target-region a true pair (`az cognitiveservices account show` prints both as id and location), then run the command again; a used or changed authorization is the rarer cause",
    ),
    entry("AuthorizationError", ErrorKind::Refused, FRESH_AUTHORIZATION),
    entry(
        "ResourceResolverError",
        ErrorKind::Refused,
        "correct --target-resource-id and --target-region: no such resource exists there",
    ),
    entry(
        "DataProtectionTransformServiceError",
        ErrorKind::Refused,
        "add --allow-degrade if a copy without the source's own encryption key is acceptable, or choose a target that has one",
    ),
    entry(
        "ModelNotReady",
        ErrorKind::Refused,
        "wait until the model's training has succeeded, or copy with the API version that trained it (--api-version)",
    ),
    entry("ModelReadOnly", ErrorKind::Refused, "choose a custom model; prebuilt models are in every resource"),
    entry(
        "DocumentModelLimit",
        ErrorKind::Refused,
        "delete models that are not needed from the target resource, or raise its pricing tier: it is full",
    ),
    entry("NotSupportedApiVersion", ErrorKind::Refused, "raise --api-version to the version that the message names"),
    entry("ParameterMissing", ErrorKind::Refused, INPUT_FAULT),
    entry("InvalidParameter", ErrorKind::Refused, INPUT_FAULT),
    entry("InvalidParameterLength", ErrorKind::Refused, INPUT_FAULT),
    entry(
        "AuthorizationFailed",
        ErrorKind::Refused,
        "run the command again for a fresh authorization, and add --allow-degrade where the message speaks of encryption and a less protected copy is acceptable",
    ),
    entry(
        "InvalidDataProtectionKey",
        ErrorKind::Refused,
        "restore the resource's access to its encryption key in Key Vault",
    ),
    entry(
        "OutboundAccessForbidden",
        ErrorKind::Refused,
        "allow the other resource's domain name in the outbound network rules of the resource",
    ),
    no_model("ModelNotFound"),
    entry(
        "OperationNotFound",
        ErrorKind::NotFound,
        "look for the model in the target resource: operations are forgotten after 24 hours",
    ),
    entry(
        "ModelExists",
        ErrorKind::Exists,
        "choose another id with --target-model-id, or delete the model that has it from the target resource",
    ),
    entry("AuthenticationTypeDisabled", ErrorKind::Credentials, KEYS_ARE_OFF),
    entry("Gone", ErrorKind::NotFound, "choose a newer --api-version: this one is retired"),
    entry("401", ErrorKind::Credentials, CHECK_KEY),
    entry("403", ErrorKind::Credentials, CHECK_ACCESS),
    gateway("404", ErrorKind::NotFound, CHECK_ENDPOINT),
    gateway(
        "BadRequest",
        ErrorKind::Refused,
        "use the resource's custom subdomain as the {side} endpoint where the message asks for one, and the resource's own tenant with --{side}-tenant where it speaks of tenants",
    ),
    gateway("MethodNotAllowed", ErrorKind::Refused, CHECK_ENDPOINT),
    gateway("UnsupportedMediaType", ErrorKind::Refused, CHECK_ENDPOINT),
    gateway(
        "429",
        ErrorKind::Unavailable,
        "run the command again later, or give it more time with --timeout: the {side} resource is asked more often than its pricing tier allows",
    ),
    gateway("InternalServerError", ErrorKind::Unavailable, TRANSIENT),
    gateway("ServiceUnavailable", ErrorKind::Unavailable, TRANSIENT),
];

/// The text, the same in every report, by which a used-up monthly volume is told from a rate limit: it has no code of
/// its own, comes with 403 or 429, and asks to wait for days.
const OUT_OF_QUOTA: &str = "Out of call volume quota";

/// The text by which a resource's firewall is told from a refused credential.
const FIREWALL: &str = "Virtual Network/Firewall rules";

/// How many failures of one answer are shown. An answer of megabytes of them is no help to anybody.
const MOST_FAILURES: usize = 8;

/// The service's words for one or several failures, in any of its envelopes: the innermost first, which is the one that
/// helps. What has another form than documented is left out.
pub(super) fn words<'v>(answer: &Answer, failures: impl IntoIterator<Item = &'v Value>) -> Option<ServiceError> {
    let mut said = Vec::new();
    for failure in failures {
        collect(answer, failure, &mut said);
    }
    said.into_iter()
        .rev()
        .fold(None, |outer, (code, message)| Some(ServiceError { code, message, outer: outer.map(Box::new) }))
}

/// Adds a failure after its inner error and its details, each only while there is room.
fn collect(answer: &Answer, failure: &Value, said: &mut Vec<(Option<UntrustedText>, UntrustedText)>) {
    // v2.1 writes innerError, v3.0 and later innererror.
    let inner = ["innererror", "innerError"].iter().find_map(|name| failure.get(name));
    let details = failure.get("details").and_then(Value::as_array).into_iter().flatten();
    for part in inner.into_iter().chain(details) {
        if said.len() < MOST_FAILURES {
            collect(answer, part, said);
        }
    }
    // A name, or digits with or without quotes.
    let code = match failure.get("code") {
        Some(Value::String(name)) => Some(answer.text(name)).filter(|name| !name.is_empty()),
        Some(Value::Number(number)) => Some(number.to_string().into()),
        _ => None,
    };
    let message =
        failure.get("message").and_then(Value::as_str).map(|message| answer.text(message)).unwrap_or_default();
    // v2.1's innerError has a request id and no words.
    if said.len() < MOST_FAILURES && (code.is_some() || !message.is_empty()) {
        said.push((code, message));
    }
}

/// A failure and the outer ones around it.
fn outward(error: &ServiceError) -> impl Iterator<Item = &ServiceError> {
    std::iter::successors(Some(error), |error| error.outer.as_deref())
}

/// What the catalogue knows of a failure, the innermost code that it knows first.
fn look_up(error: &ServiceError) -> Option<&'static Entry> {
    outward(error).find_map(|error| {
        CATALOGUE.iter().find(|entry| error.code.as_ref().is_some_and(|code| code.raw() == entry.code))
    })
}

/// What to do about an operation of this side that failed, where the catalogue knows.
#[must_use]
pub(crate) fn remedy(error: &ServiceError, side: Side) -> Option<String> {
    look_up(error).map(|entry| for_side(entry.remedy, side))
}

/// Whether the service has refused an authorization, and not what it is for.
#[must_use]
pub(crate) fn is_about_authorization(error: &ServiceError) -> bool {
    const CODES: [&str; 5] = ["1002", "2024", "AuthorizationError", "AuthorizationFailed", "ResourceResolverError"];
    outward(error).any(|error| error.code.as_ref().is_some_and(|code| CODES.contains(&code.raw())))
}

/// Names the side in a remedy.
fn for_side(remedy: &str, side: Side) -> String {
    remedy.replace("{side}", &side.to_string()).replace("{SIDE}", &side.to_string().to_uppercase())
}

/// Turns an answer that is no success into an error.
#[must_use]
pub(crate) fn refusal(answer: &Answer) -> Error {
    let status = answer.status.as_u16();
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said = words(answer, body.get("error"));
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
        .with_remedy(for_side(remedy_for(answer, kind, delivery, entry, said.as_ref()), answer.side));
    match said {
        Some(said) => error.with_source(said),
        None => error.with_source(format!("the answer has no error message of the service ({})", answer.content())),
    }
}

fn what_happened(answer: &Answer, delivery: Delivery) -> String {
    let Answer { side, purpose, .. } = answer;
    let status = answer.status.as_u16();
    match (delivery, status) {
        (_, 300..=399) => {
            let elsewhere =
                answer.header("location").map_or_else(|| "another address".into(), |location| answer.text(location));
            format!("asked to {purpose}, the {side} redirects to {elsewhere}, which is not followed (HTTP {status})")
        }
        (Delivery::Throttled { .. } | Delivery::Busy { .. } | Delivery::OutOfQuota { .. }, _) => {
            format!("the {side} turns requests away, asked to {purpose} (HTTP {status})")
        }
        (Delivery::Unanswered, _) => format!("the {side} could not {purpose} (HTTP {status})"),
        _ => format!("the {side} refused to {purpose} (HTTP {status})"),
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
        (Delivery::OutOfQuota { .. }, _) => {
            "wait until the volume is renewed, or raise the pricing tier of the {side} resource: its call volume is used up"
        }
        (_, Some(entry)) => entry.remedy,
        (_, None) if answer.status.is_redirection() => {
            "check the {side} endpoint: it must be the resource's own address"
        }
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

/// A code of the service, for the command that explains codes.
pub(crate) struct ExplainedCode {
    /// As the service sends it.
    pub(crate) code: &'static str,
    /// The kind of the error, if a request was refused with this code.
    pub(crate) kind: ErrorKind,
    /// One imperative sentence. `<side>` and `<SIDE>` stand for the resource that sent the code.
    pub(crate) remedy: String,
}

/// Every code of the catalogue.
pub(crate) fn explained_codes() -> impl Iterator<Item = ExplainedCode> {
    CATALOGUE.iter().map(|Entry { code, kind, remedy, .. }| {
        let remedy = remedy.replace("{side}", "<side>").replace("{SIDE}", "<SIDE>");
        ExplainedCode { code, kind: *kind, remedy }
    })
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
            (AuthMethod::Key, 401, &denied, "check that FRCOPY_SOURCE_KEY"),
            (AuthMethod::Key, 403, &firewall, "network rules of the source"),
            (AuthMethod::Key, 403, &String::new(), "network rules of the source"),
            (AuthMethod::Token, 401, &role, "Cognitive Services User on both resources, source and target"),
            (AuthMethod::Token, 401, &denied, "Cognitive Services User on both resources, source and target"),
            (AuthMethod::Token, 403, &firewall, "network rules of the source"),
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
    fn each_code_of_the_catalogue_stands_once_and_has_one_imperative_sentence() {
        for (at, entry) in CATALOGUE.iter().enumerate() {
            assert!(CATALOGUE.iter().skip(at + 1).all(|other| other.code != entry.code), "{}", entry.code);
            let remedy = for_side(entry.remedy, Side::Target);
            assert!(remedy.starts_with(|c: char| c.is_ascii_lowercase()) && !remedy.ends_with('.'), "{remedy}");
            assert!(!remedy.contains('{') && !remedy.contains('}'), "{remedy}");
        }
    }

    #[test]
    fn the_usual_cause_of_2024_is_named_first() {
        let error = ServiceError { code: Some("2024".into()), message: "".into(), outer: None };
        assert!(
            remedy(&error, Side::Source)
                .unwrap()
                .starts_with("make --target-resource-id and --target-region a true pair")
        );
    }
}
