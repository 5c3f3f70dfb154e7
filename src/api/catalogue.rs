//! The catalogue of the service's error codes: what each one means, what to do, and which kind of error it is.

use crate::error::{ErrorKind, Finding};
use crate::label::Label;

/// A code of the service.
pub(super) struct Entry {
    /// As the service sends it, in any of its envelopes.
    pub(super) code: &'static str,
    /// The kind of the error, if a request was refused with this code.
    pub(super) kind: ErrorKind,
    /// What the code says about a copy, in one clause.
    meaning: &'static str,
    /// One imperative sentence. `{resource}` is the resource that answered, `{endpoint}`, `{key}`, `{entra}` and `{tenant}`
    /// are its settings, and `{address}` is the target's resource id and region.
    pub(super) remedy: &'static str,
    /// What a read proves that was refused with this code; the gateway's own codes say nothing about models.
    pub(super) finding: Finding,
}

const fn entry(code: &'static str, kind: ErrorKind, meaning: &'static str, remedy: &'static str) -> Entry {
    Entry { code, kind, meaning, remedy, finding: Finding::Definitive }
}

const fn no_model(code: &'static str) -> Entry {
    let meaning = "the resource has no such model, or the model is still being created";
    Entry { finding: Finding::NoSuchModel, ..entry(code, ErrorKind::NotFound, meaning, CHECK_MODEL_ID) }
}

const fn gateway(code: &'static str, kind: ErrorKind, meaning: &'static str, remedy: &'static str) -> Entry {
    Entry { finding: Finding::Inconclusive, ..entry(code, kind, meaning, remedy) }
}

const FRESH_AUTHORIZATION: &str = "run the command again, which asks for a fresh authorization; if it fails again, \
     check that {address} are those of the target resource";
const CHECK_MODEL_ID: &str =
    "check the model id, that {endpoint} is the resource that has the model, and --api-version";
pub(super) const CHECK_ENDPOINT: &str = "check {endpoint} and --api-version: the resource, or its region, \
     does not offer this API version at this address";
const KEYS_ARE_OFF: &str = "use {entra}: the keys of {resource} are switched off (disableLocalAuth)";
const CHECK_KEY: &str = "check that {key} is a key of {endpoint}; where the keys of that resource are switched \
     off, use {entra}";
pub(super) const CHECK_ACCESS: &str = "check {key} and the network rules of {endpoint}; where the keys of that resource \
     are switched off, use {entra}";
pub(super) const CHECK_ROLE: &str = "give the identity the role Cognitive Services User on both resources, source and \
     target, which takes up to five minutes to work (the role Contributor has no dataActions and is not enough); a \
     token must be of the tenant of {resource} ({tenant}) and not have expired";
pub(super) const CHECK_NETWORK: &str =
    "allow this machine in the network rules of {endpoint}, or run frcopy where they let it through";
const INPUT_FAULT: &str = "correct the value that the message names, then run the command again";
pub(super) const TRANSIENT: &str =
    "run the command again in a few minutes, and give the request id to Azure support if it stays";
pub(super) const RAISE_VOLUME: &str =
    "wait until the volume is renewed, or raise the pricing tier of {resource}: its call volume is used up";

/// Every code that a copy is known to meet. Those of v2.1 first, then v3.0 and later, then the gateway's.
pub(super) const CATALOGUE: &[Entry] = &[
    entry(
        "1001",
        ErrorKind::NotFound,
        "the source has no such model, or the model is not ready (v2.1)",
        "check the source model id: the model must exist in the source resource and be ready",
    ),
    entry(
        "1002",
        ErrorKind::Refused,
        "the region's name or the resource id has the wrong form, or the authorization was changed or is older than \
         24 hours (v2.1)",
        "correct {address} (the short name, such as westus2), then run the command \
         again for a fresh authorization",
    ),
    no_model("1022"),
    entry(
        "1027",
        ErrorKind::Refused,
        "another API version trained the model (v2.1)",
        "copy the model with the API version that trained it (--api-version)",
    ),
    gateway(
        "1999",
        ErrorKind::Unavailable,
        "the service failed without a reason that it names (v2.1)",
        "check that the source has the model, then run the command again",
    ),
    entry(
        "2024",
        ErrorKind::Refused,
        "the target's resource id and region do not belong together, or, less often, the authorization was used \
         before or was changed (v2.1)",
        "set {address} to those of the target (`az cognitiveservices account show` prints both \
         as id and location), then run the command again; a used or changed authorization is the rarer cause",
    ),
    entry(
        "AuthorizationError",
        ErrorKind::Refused,
        "the authorization was used before or was changed, or the target's resource id and region do not belong \
         together (v2.1)",
        FRESH_AUTHORIZATION,
    ),
    entry(
        "ResourceResolverError",
        ErrorKind::Refused,
        "the source cannot find the target by its resource id and region (v2.1)",
        "correct {address}: no such resource exists there",
    ),
    entry(
        "DataProtectionTransformServiceError",
        ErrorKind::Refused,
        "the source has an encryption key of its own and the target has none, so the copy would be less protected",
        "add --allow-degrade if a copy without the source's own encryption key is acceptable, or choose a target that \
         has one",
    ),
    entry(
        "ModelNotReady",
        ErrorKind::Refused,
        "the model's training has not succeeded, or another API version trained it",
        "wait until the model's training has succeeded, or copy with the API version that trained it (--api-version)",
    ),
    entry(
        "ModelReadOnly",
        ErrorKind::Refused,
        "the model is a prebuilt one, which cannot be copied",
        "choose a custom model; prebuilt models are in every resource",
    ),
    entry(
        "DocumentModelLimit",
        ErrorKind::Refused,
        "the target has as many models as its tier allows",
        "delete models that are not needed from the target resource, or raise its pricing tier: it is full",
    ),
    entry(
        "NotSupportedApiVersion",
        ErrorKind::Refused,
        "the model needs a newer API version",
        "raise --api-version to the version that the message names",
    ),
    entry("ParameterMissing", ErrorKind::Refused, "the request lacks a value", INPUT_FAULT),
    entry("InvalidParameter", ErrorKind::Refused, "a value of the request has the wrong form", INPUT_FAULT),
    entry("InvalidParameterLength", ErrorKind::Refused, "a value of the request is too long or too short", INPUT_FAULT),
    entry(
        "AuthorizationFailed",
        ErrorKind::Refused,
        "the authorization was changed, used before or is older than an hour, or the copy would lose the source's \
         encryption (v3.0 and later)",
        "run the command again for a fresh authorization, and add --allow-degrade where the message speaks of \
         encryption and a less protected copy is acceptable",
    ),
    entry(
        "InvalidDataProtectionKey",
        ErrorKind::Refused,
        "the resource cannot use its encryption key in Key Vault",
        "restore the resource's access to its encryption key in Key Vault",
    ),
    entry(
        "OutboundAccessForbidden",
        ErrorKind::Refused,
        "the resource's outbound network rules forbid access to the other resource",
        "allow the other resource's domain name in the outbound network rules of the resource",
    ),
    no_model("ModelNotFound"),
    entry(
        "OperationNotFound",
        ErrorKind::NotFound,
        "the source has no such operation; it keeps operations for 24 hours",
        "look for the model in the target resource: operations are forgotten after 24 hours",
    ),
    entry(
        "ModelExists",
        ErrorKind::Exists,
        "the target has a model with this id, or an authorization that was not used reserves the id",
        "choose another id with --target-model-id, or delete the model that has it from the target resource",
    ),
    entry(
        "AuthenticationTypeDisabled",
        ErrorKind::Credentials,
        "the resource does not accept keys (disableLocalAuth)",
        KEYS_ARE_OFF,
    ),
    entry(
        "PermissionDenied",
        ErrorKind::Credentials,
        "the token's identity lacks the role Cognitive Services User on the resource, or has it only since a few \
         minutes; Contributor and Cognitive Services Contributor are not enough",
        CHECK_ROLE,
    ),
    entry(
        "Gone",
        ErrorKind::NotFound,
        "the API version is retired",
        "choose a newer --api-version: this one is retired",
    ),
    entry(
        "401",
        ErrorKind::Credentials,
        "the key is not one of this endpoint's resource, or the resource does not accept keys; for a token: it has \
         expired, or is of another tenant",
        CHECK_KEY,
    ),
    entry(
        "403",
        ErrorKind::Credentials,
        "the resource's network rules or its authentication settings forbid the request",
        CHECK_ACCESS,
    ),
    gateway(
        "404",
        ErrorKind::NotFound,
        "the endpoint does not offer this API version, or is not the endpoint of such a resource",
        CHECK_ENDPOINT,
    ),
    gateway(
        "BadRequest",
        ErrorKind::Refused,
        "the endpoint does not accept the request; often a token was sent to the endpoint of a region, which accepts \
         keys only",
        "use the resource's custom subdomain as {endpoint} where the message asks for one, and correct the tenant \
         ({tenant}) where it speaks of tenants",
    ),
    gateway(
        "MethodNotAllowed",
        ErrorKind::Refused,
        "the server at this address does not know the request",
        CHECK_ENDPOINT,
    ),
    gateway(
        "UnsupportedMediaType",
        ErrorKind::Refused,
        "the server at this address does not accept JSON for this request",
        CHECK_ENDPOINT,
    ),
    gateway(
        "429",
        ErrorKind::Unavailable,
        "the resource got more requests than its tier allows; v2.1 accepts about one copy a minute. frcopy waits and \
         repeats the request until --timeout",
        "run the command again later, or give it more time with --timeout: {resource} is asked more often \
         than its pricing tier allows",
    ),
    gateway("InternalServerError", ErrorKind::Unavailable, "the service failed", TRANSIENT),
    gateway("ServiceUnavailable", ErrorKind::Unavailable, "the service is not available for a while", TRANSIENT),
];

/// The text, the same in every report, by which a used-up monthly volume is told from a rate limit: it has no code of
/// its own, comes with 403 or 429, and asks to wait for days.
pub(super) const OUT_OF_QUOTA: &str = "Out of call volume quota";

/// The text by which a resource's firewall is told from a refused credential.
pub(super) const FIREWALL: &str = "Virtual Network/Firewall rules";

/// What frcopy recognizes by a part of the service's message, because it has no code of its own.
const MESSAGES: &[Entry] = &[
    gateway(
        OUT_OF_QUOTA,
        ErrorKind::Unavailable,
        "the monthly call volume of the resource's tier (F0) is used up; frcopy does not wait for it",
        RAISE_VOLUME,
    ),
    entry(
        FIREWALL,
        ErrorKind::Credentials,
        "the resource's firewall does not accept requests from this machine",
        CHECK_NETWORK,
    ),
];

/// A code or a message of the service, for the command that explains them.
pub(crate) struct Explanation {
    /// As the service sends it.
    pub(crate) text: &'static str,
    /// Whether it is a part of a message, and not a code.
    pub(crate) is_message: bool,
    /// The kind of the error, if a request was refused with it.
    pub(crate) kind: ErrorKind,
    /// What it says about a copy, in one clause.
    pub(crate) meaning: &'static str,
    /// One imperative sentence, about a resource whose settings are not known.
    pub(crate) remedy: String,
}

/// Names the resource that answered, its settings and those of the target in a remedy, as far as they are known.
pub(super) fn fill(remedy: &str, resource: Option<&Label>, target: Option<&Label>) -> String {
    let settings = resource.map(Label::settings);
    let or = |name: Option<&String>, unknown: &str| name.cloned().unwrap_or_else(|| unknown.to_owned());
    let address = target.map(Label::settings).map(|names| format!("{} and {}", names.resource_id, names.region));
    let filled = remedy
        .replace("{resource}", &resource.map_or_else(|| "the resource".into(), ToString::to_string))
        .replace("{endpoint}", &resource.map_or_else(|| "the endpoint".into(), Label::endpoint))
        .replace("{key}", &or(settings.map(|names| &names.key), "the key"))
        .replace("{entra}", &or(settings.map(|names| &names.entra), "Entra ID (auth entra)"))
        .replace("{tenant}", &or(settings.map(|names| &names.tenant), "the setting tenant"));
    filled.replace("{address}", &or(address.as_ref(), "the target's resource id and region"))
}

/// Every code and every message that has an explanation.
pub(crate) fn explanations() -> impl Iterator<Item = Explanation> {
    let codes = CATALOGUE.iter().map(|entry| (entry, false));
    codes.chain(MESSAGES.iter().map(|entry| (entry, true))).map(|(entry, is_message)| {
        let Entry { code: text, kind, meaning, remedy, .. } = *entry;
        let remedy = fill(remedy, None, None);
        Explanation { text, is_message, kind, meaning, remedy }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_once_and_has_a_meaning_and_one_imperative_sentence() {
        for (at, entry) in CATALOGUE.iter().chain(MESSAGES).enumerate() {
            assert!(CATALOGUE.iter().skip(at + 1).all(|other| other.code != entry.code), "{}", entry.code);
            let remedy = fill(entry.remedy, None, None);
            for text in [entry.meaning, remedy.as_str()] {
                assert!(text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('.'), "{text}");
                assert!(!text.contains(['{', '}']), "{text}");
            }
        }
    }
}
