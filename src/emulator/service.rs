//! The emulated service: authenticates, rate-limits and dispatches requests, and ends the operations that are due.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::call::{Call, CallKind, Collection};
use super::custom_models::CustomModels;
use super::document_models::DocumentModels;
use super::faults::Fault;
use super::handler::{Context, Request, WireFormat};
use super::limits::{Limiter, Tier};
use super::lost::AnswerTo;
use super::options::{EmulatedResource, Options};
use super::reply::{Failure, Reply};
use super::seed;
use super::state::{Account, Outcome, Region};
use super::version::Version;

/// The service deletes operations after this time.
const OPERATION_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

const ACCESS_DENIED: &str = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide \
     a valid key for an active subscription and use a correct regional API endpoint for your resource.";

/// All emulated resources. A copy on one of them can name any other as its target.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) accounts: Vec<Account>,
    tier: Tier,
    operation_time: Duration,
    next_fault: Option<Fault>,
    max_models: Option<usize>,
    lose_answers: Vec<AnswerTo>,
    expired_authorizations: bool,
    /// The refusal of a start whose authorization was used before. None: the start is accepted, and the operation fails.
    /// What the real service answers is not documented.
    pub(super) refusal_of_used_authorization: Option<Failure>,
}

impl Service {
    pub(super) fn new(options: &Options, resources: &[EmulatedResource]) -> Self {
        let now = Timestamp::now();
        let custom = |index: usize| {
            let seeds = seed::custom(if index == 0 { options.models } else { 0 }, now);
            if options.expired_models { seed::expired(seeds, now) } else { seeds }
        };
        let account = |(index, resource): (usize, &EmulatedResource)| Account {
            endpoint: resource.endpoint.clone(),
            key: resource.key.clone(),
            tokens: BTreeMap::new(),
            resource_id: resource.resource_id.clone(),
            region: Region::of(index),
            encrypted: options.encrypted.contains(&resource.name),
            stored: seed::prebuilt().chain(custom(index)).collect(),
            reservations: Vec::new(),
            operations: BTreeMap::new(),
            analyses: BTreeMap::new(),
            limiter: Limiter::default(),
            clock: options.clock_skew.iter().filter(|(name, _)| *name == resource.name).map(|(_, skew)| *skew).sum(),
            deletion_frees_reserved_id: true,
        };
        Self {
            accounts: resources.iter().enumerate().map(account).collect(),
            tier: options.tier,
            operation_time: options.operation_time,
            next_fault: options.fail,
            max_models: options.max_models,
            lose_answers: options.lose_answers.clone(),
            expired_authorizations: options.expired_authorizations,
            refusal_of_used_authorization: None,
        }
    }

    /// Answers one request to the account with this index.
    pub(super) fn answer(&mut self, account: usize, request: &Request<'_>, now: Timestamp) -> Reply {
        self.update(now);
        let Some(receiver) = self.accounts.get_mut(account) else { return Reply::not_found() };
        if !receiver.authenticates(request.headers) {
            return Reply::gateway(StatusCode::UNAUTHORIZED, ACCESS_DENIED);
        }
        let Some(call) = Call::parse(request.method, request.path, request.query) else { return Reply::not_found() };
        let format = wire_format(&call);
        if let Err(limited) = receiver.limiter.acquire(self.tier, &call, now) {
            let message = format.rate_limit_message(&call.kind, self.tier);
            let message = format!("{message} Please retry after {} seconds.", limited.retry_after);
            return Reply::gateway(StatusCode::TOO_MANY_REQUESTS, &message)
                .with("Retry-After", limited.retry_after.to_string())
                .with("policy-id", limited.policy);
        }
        let mut cx = Context {
            request,
            now,
            operation_time: self.operation_time,
            max_models: self.max_models,
            expired_authorizations: self.expired_authorizations,
            next_fault: &mut self.next_fault,
        };
        let result = match &call.kind {
            CallKind::Copy { source_id } => {
                let refusal = self.refusal_of_used_authorization.as_ref();
                start_copy(&*format, &mut self.accounts, account, source_id, refusal, &mut cx)
            }
            kind => format.answer(receiver, kind, &mut cx),
        };
        let reply = result.unwrap_or_else(|failure| format.error(&failure));
        let lost = self.lose_answers.iter().position(|answer| *answer == AnswerTo::call(&call.kind));
        let lost = lost.filter(|_| reply.status.is_success()).map(|index| self.lose_answers.remove(index));
        let has_charset = request.method != "GET" || call.version.is_none_or(Version::get_has_charset);
        Reply { has_charset, is_lost: lost.is_some(), ..reply }
    }

    /// Ends the operations that are due, stores their copies, and removes what has expired.
    pub(super) fn update(&mut self, now: Timestamp) {
        let mut copies = Vec::new();
        for account in &mut self.accounts {
            account.operations.retain(|_, operation| operation.created.duration_until(now) < OPERATION_LIFETIME);
            account.analyses.retain(|_, analysis| analysis.created.duration_until(now) < OPERATION_LIFETIME);
            let operations = account.operations.values_mut();
            for operation in operations.filter(|operation| !operation.ended && operation.ends <= now) {
                operation.ended = true;
                if let Outcome::Copied { account, copy } = &operation.outcome {
                    copies.push((*account, operation.collection, operation.target_id.clone(), copy.clone()));
                }
            }
            // A blank model of v2.1 stays. From v3.0 on the id becomes free; exactly when is not documented.
            account
                .reservations
                .retain(|reservation| reservation.expires > now || reservation.collection == Collection::CustomModels);
        }
        for (account, collection, id, copy) in copies {
            if let Some(account) = self.accounts.get_mut(account) {
                account.store_copy(collection, id, copy);
            }
        }
    }
}

fn wire_format(call: &Call) -> Box<dyn WireFormat> {
    match call.version {
        None => Box::new(CustomModels),
        Some(version) => Box::new(DocumentModels { version, collection: call.collection }),
    }
}

/// Starts a copy from the account with this index to the account that the request names, which may be the same one.
///
/// Only the source's own checks reject the request. If the target cannot receive the copy, the operation fails.
fn start_copy(
    format: &dyn WireFormat,
    accounts: &mut [Account],
    source: usize,
    source_id: &str,
    refusal_of_used_authorization: Option<&Failure>,
    cx: &mut Context<'_>,
) -> Result<Reply, Failure> {
    let account = accounts.get(source).ok_or_else(Failure::model_not_found)?;
    let request = format.check_copy(account, source_id, cx)?;
    let target = accounts.iter_mut().enumerate().find(|(_, account)| request.target.is(account));
    if let (Some((_, target)), Some(refusal)) = (&target, refusal_of_used_authorization)
        && target.is_used(&request.authorization)
    {
        return Err(refusal.clone());
    }
    let outcome = match target {
        Some((index, target)) => {
            format.receive_copy(target, &request, cx).map(|copy| Outcome::Copied { account: index, copy })
        }
        None => Err(format.unknown_target(&request)),
    };
    let outcome = outcome.unwrap_or_else(Outcome::Failed);
    let account = accounts.get_mut(source).ok_or_else(Failure::model_not_found)?;
    Ok(format.accept_copy(account, request, outcome, cx))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use http::{HeaderMap, HeaderValue};
    use serde_json::{Value, json};

    use super::*;

    const V2_1: &str = "/formrecognizer/v2.1/custom/models";

    /// The emulated service, and a clock that the test advances.
    struct Scenario {
        service: Service,
        now: Timestamp,
    }

    impl Scenario {
        fn new(options: &Options) -> Self {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
            let resource = |(index, name)| EmulatedResource::new(index, name, address);
            let resources: Vec<_> = options.resource_names().into_iter().enumerate().map(resource).collect();
            Self { service: Service::new(options, &resources), now: Timestamp::now() }
        }

        fn advance(&mut self, seconds: i64) {
            self.now += SignedDuration::from_secs(seconds);
        }

        fn request(&mut self, account: usize, line: &str, body: &Value) -> (u16, Value, Vec<(&'static str, String)>) {
            let (method, url) = line.split_once(' ').unwrap();
            let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
            let mut headers = HeaderMap::new();
            let key = &self.service.accounts[account].key;
            headers.insert("ocp-apim-subscription-key", HeaderValue::from_str(key).unwrap());
            let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            let request = Request { method, path, query, headers: &headers, body: &body, id: "id" };
            let reply = self.service.answer(account, &request, self.now);
            (reply.status.as_u16(), reply.body.unwrap_or_default(), reply.headers)
        }

        fn get(&mut self, account: usize, path: &str) -> (u16, Value) {
            let (status, body, _) = self.request(account, &format!("GET {path}"), &Value::Null);
            (status, body)
        }

        fn source_model(&self) -> String {
            let mut stored = self.service.accounts[0].stored.keys();
            stored.find(|(collection, _)| *collection == Collection::CustomModels).unwrap().1.clone()
        }

        /// Starts a v2.1 copy with an authorization; returns the status and the path of its operation.
        fn copy_custom_model(&mut self, authorization: &Value, region: &str) -> (u16, String) {
            let resource_id = self.service.accounts[1].resource_id.clone();
            let body = json!({"targetResourceId": resource_id, "targetResourceRegion": region, "copyAuthorization": authorization});
            let line = format!("POST {V2_1}/{}/copy", self.source_model());
            let (status, body, headers) = self.request(0, &line, &body);
            let location = headers.iter().find(|(name, _)| *name == "Operation-Location").map(|(_, url)| url.clone());
            let path = location.map(|url| url.split_once(":80").unwrap().1.to_owned());
            (status, path.unwrap_or_else(|| body.to_string()))
        }

        fn authorize_custom_model(&mut self) -> Value {
            let (status, authorization, _) = self.request(1, &format!("POST {V2_1}/copyAuthorization"), &Value::Null);
            assert_eq!(status, 201);
            authorization
        }
    }

    fn operation_error(body: &Value) -> &str {
        body["copyResult"]["errors"][0]["code"].as_str().unwrap()
    }

    #[test]
    fn a_blank_v2_1_model_stays_creating_until_its_copy_ends() {
        let mut scenario = Scenario::new(&Options::default());
        let authorization = scenario.authorize_custom_model();
        let target = format!("{V2_1}/{}", authorization["modelId"].as_str().unwrap());
        let status = |scenario: &mut Scenario| scenario.get(1, &target).1["modelInfo"]["status"].clone();
        scenario.advance(5 * 24 * 3600);
        assert_eq!(status(&mut scenario), "creating");
        let authorization = scenario.authorize_custom_model();
        let target = format!("{V2_1}/{}", authorization["modelId"].as_str().unwrap());
        let (_, operation) = scenario.copy_custom_model(&authorization, "westus2");
        assert!(operation.contains("/copyresults/"), "{operation}");
        assert_eq!(scenario.get(0, &operation).1["status"], "notStarted");
        scenario.advance(3);
        assert_eq!(scenario.get(0, &operation).1["status"], "succeeded");
        let copy = scenario.get(1, &target).1;
        assert_eq!(copy["modelInfo"]["status"], "ready");
        let source_path = format!("{V2_1}/{}", scenario.source_model());
        let source = scenario.get(0, &source_path).1;
        for kept in ["modelName", "createdDateTime", "lastUpdatedDateTime"] {
            assert_eq!(copy["modelInfo"][kept], source["modelInfo"][kept]);
        }
    }

    #[test]
    fn a_wrong_region_fails_the_operation_and_an_unknown_region_the_request() {
        let mut scenario = Scenario::new(&Options::default());
        let authorization = scenario.authorize_custom_model();
        assert_eq!(scenario.copy_custom_model(&authorization, "narnia").0, 400);
        let (status, operation) = scenario.copy_custom_model(&authorization, "westus");
        assert_eq!(status, 202);
        scenario.advance(3);
        let ended = scenario.get(0, &operation).1;
        assert_eq!((ended["status"].as_str(), operation_error(&ended)), (Some("failed"), "2024"));
    }

    #[test]
    fn an_authorization_is_single_use_must_be_unchanged_and_stays_valid_after_a_429() {
        let mut scenario = Scenario::new(&Options { tier: Tier::S0, ..Options::default() });
        let authorization = scenario.authorize_custom_model();
        assert_eq!(scenario.copy_custom_model(&authorization, "westus2").0, 202);
        let second = scenario.authorize_custom_model();
        assert_eq!(scenario.copy_custom_model(&second, "westus2").0, 429);
        scenario.advance(60);
        let (status, operation) = scenario.copy_custom_model(&second, "westus2");
        scenario.advance(60);
        assert_eq!((status, scenario.get(0, &operation).1["status"].clone()), (202, json!("succeeded")));
        let mut changed = scenario.authorize_custom_model();
        changed["accessToken"] = json!("another");
        for used_or_changed in [second, changed] {
            let (status, operation) = scenario.copy_custom_model(&used_or_changed, "westus2");
            scenario.advance(60);
            let ended = scenario.get(0, &operation).1;
            assert_eq!((status, operation_error(&ended)), (202, "2024"));
        }
    }

    #[test]
    fn an_authorization_is_valid_for_a_day_in_v2_1_and_for_an_hour_later() {
        let mut scenario = Scenario::new(&Options::default());
        let authorization = scenario.authorize_custom_model();
        scenario.advance(24 * 3600);
        let (status, body) = scenario.copy_custom_model(&authorization, "westus2");
        assert!(status == 400 && body.contains("1002"), "{body}");

        let authorize = "POST /documentintelligence/documentModels:authorizeCopy?api-version=2024-11-30";
        let body = json!({"modelId": "copy-1"});
        assert_eq!(scenario.request(1, authorize, &body).0, 200);
        let (status, conflict, _) = scenario.request(1, authorize, &body);
        assert_eq!((status, conflict["error"]["innererror"]["code"].as_str()), (409, Some("ModelExists")));
        let path = "/documentintelligence/documentModels/copy-1?api-version=2024-11-30";
        assert_eq!(scenario.get(1, path).0, 404);
        scenario.advance(3600);
        assert_eq!(scenario.request(1, authorize, &body).0, 200);
    }

    #[test]
    fn from_v3_0_on_the_version_decides_which_fields_a_copy_keeps() {
        for (version, service, date) in [
            ("3.0", "formrecognizer", "2022-08-31"),
            ("3.1", "formrecognizer", "2023-07-31"),
            ("4.0", "documentintelligence", "2024-11-30"),
        ] {
            let mut scenario = Scenario::new(&Options::default());
            let source = format!("invoices-v{version}-1");
            let path = |id: &str| format!("/{service}/documentModels/{id}?api-version={date}");
            let authorize = format!("POST /{service}/documentModels:authorizeCopy?api-version={date}");
            let body = json!({"modelId": "copy-1", "tags": {"a": "1"}});
            let authorization = scenario.request(1, &authorize, &body).1;
            let start = format!("POST /{service}/documentModels/{source}:copyTo?api-version={date}");
            let (status, _, headers) = scenario.request(0, &start, &authorization);
            assert_eq!((status, headers[0].0), (202, "Operation-Location"));
            scenario.advance(10);
            let operation = headers[0].1.split_once(":80").unwrap().1;
            let ended = scenario.get(0, operation).1;
            assert_eq!((ended["status"].as_str(), ended["percentCompleted"].as_i64()), (Some("succeeded"), Some(100)));
            let (copy, source_body) = (scenario.get(1, &path("copy-1")).1, scenario.get(0, &path(&source)).1);
            assert_eq!((&copy["tags"], &copy["description"]), (&json!({"a": "1"}), &Value::Null));
            assert_eq!(copy["expirationDateTime"], source_body["expirationDateTime"]);
            let age = if version == "4.0" { "modifiedDateTime" } else { "createdDateTime" };
            assert_eq!(copy[age], source_body[age]);
            assert_eq!(copy["createdDateTime"] == source_body["createdDateTime"], version != "4.0");
            let doc_type = if version == "3.0" { &source } else { "copy-1" };
            assert!(copy["docTypes"][doc_type].is_object(), "{copy}");
        }
    }

    #[test]
    fn encrypted_content_is_not_copied_to_an_unencrypted_resource_by_default() {
        let mut scenario = Scenario::new(&Options { encrypted: vec!["source".into()], ..Options::default() });
        let authorization = scenario.authorize_custom_model();
        let (_, operation) = scenario.copy_custom_model(&authorization, "westus2");
        scenario.advance(10);
        let ended = scenario.get(0, &operation).1;
        assert_eq!(operation_error(&ended), "DataProtectionTransformServiceError");
    }

    #[test]
    fn an_injected_fault_affects_only_the_next_copy() {
        let mut scenario = Scenario::new(&Options { fail: Fault::find("AuthorizationError"), ..Options::default() });
        for expected in ["failed", "succeeded"] {
            let authorization = scenario.authorize_custom_model();
            let (_, operation) = scenario.copy_custom_model(&authorization, "westus2");
            scenario.advance(10);
            assert_eq!(scenario.get(0, &operation).1["status"], expected);
        }
    }

    #[test]
    fn each_model_is_on_exactly_one_page_of_a_list() {
        let mut scenario = Scenario::new(&Options { models: 120, ..Options::default() });
        for (first, items, link_of_last_page) in [
            (format!("{V2_1}?op=full"), "modelList", json!("")),
            ("/formrecognizer/documentModels?api-version=2022-08-31".into(), "value", Value::Null),
            ("/documentintelligence/documentClassifiers?api-version=2024-11-30".into(), "value", Value::Null),
        ] {
            let (mut path, mut count) = (first, 0);
            let last = loop {
                let (status, page) = scenario.get(0, &path);
                assert_eq!(status, 200);
                count += page[items].as_array().unwrap().len();
                match page["nextLink"].as_str().filter(|link| !link.is_empty()) {
                    Some(link) => path = link.split_once(":80").unwrap().1.to_owned(),
                    None => break page["nextLink"].clone(),
                }
            };
            // v3.0 lists only the models of v3.0 and the prebuilt models.
            assert_eq!(count, if path.contains("documentModels") { 120 + 3 } else { 120 });
            assert_eq!(last, link_of_last_page);
        }
    }

    #[test]
    fn an_operation_is_deleted_after_a_day_and_a_wrong_key_is_rejected() {
        let mut scenario = Scenario::new(&Options::default());
        let authorization = scenario.authorize_custom_model();
        let (_, operation) = scenario.copy_custom_model(&authorization, "westus2");
        scenario.advance(24 * 3600);
        assert_eq!(scenario.get(0, &operation).0, 404);
        scenario.service.accounts[0].key = "changed".into();
        let mut headers = HeaderMap::new();
        headers.insert("ocp-apim-subscription-key", HeaderValue::from_static("wrong"));
        let request = Request { method: "GET", path: V2_1, query: None, headers: &headers, body: &[], id: "id" };
        assert_eq!(scenario.service.answer(0, &request, scenario.now).status, StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn a_deleted_model_is_gone_and_prebuilt_models_cannot_be_deleted() {
        let mut scenario = Scenario::new(&Options::default());
        for (id, status) in [("invoices-v4.0-1", 204), ("invoices-v4.0-1", 404), ("prebuilt-read", 404)] {
            let line = format!("DELETE /documentintelligence/documentModels/{id}?api-version=2024-11-30");
            assert_eq!(scenario.request(0, &line, &Value::Null).0, status, "{id}");
        }
    }
}
