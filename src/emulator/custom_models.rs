//! v2.1: blank models, authorizations that are valid for a day, failed operations that answer HTTP 200.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::analysis;
use super::call::{CallKind, Collection, NEXT_PAGE};
use super::faults::Step;
use super::handler::{Context, CopyRequest, TargetResource, WireFormat};
use super::limits::Tier;
use super::reply::{Failure, Reply};
use super::state::{Account, Outcome, REGIONS, Reservation, Stored, new_id};
use crate::resource::ResourceId;

const COLLECTION: Collection = Collection::CustomModels;
const PATH: &str = "/formrecognizer/v2.1/custom/models";
const AUTHORIZATION_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// Items per page, as in the service.
const PAGE_SIZE: usize = 9;
const MAX_MODELS: usize = 5000;

/// The wire format of v2.1.
pub(super) struct CustomModels;

impl WireFormat for CustomModels {
    fn answer(&self, account: &mut Account, call: &CallKind, cx: &mut Context<'_>) -> Result<Reply, Failure> {
        match call {
            CallKind::Authorize => authorize(account, cx),
            CallKind::Operation { id } => operation(account, id),
            CallKind::Get { id } => get(account, id),
            CallKind::Delete { id } => delete(account, id),
            CallKind::Analyze { id } => analyze(account, id, cx),
            CallKind::AnalyzeResult { model_id, id } => analyze_result(account, model_id, id, cx),
            CallKind::List { page } => Ok(list(account, *page, cx)),
            CallKind::Summary => Ok(Reply::ok(json!({"summary": summary(account, cx)}))),
            // Copies are dispatched to `check_copy`; v2.1 does not have the others.
            CallKind::Copy { .. }
            | CallKind::Operations { .. }
            | CallKind::Info
            | CallKind::DeleteAnalyzeResult { .. } => Ok(Reply::not_found()),
        }
    }

    fn check_copy(&self, source: &Account, model_id: &str, cx: &mut Context<'_>) -> Result<CopyRequest, Failure> {
        let body = cx.request.json();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let (resource_id, region) = (text("targetResourceId"), text("targetResourceRegion").to_lowercase());
        if resource_id.parse::<ResourceId>().is_err() {
            return Err(invalid_request("Field 'TargetResourceId' must be a valid Azure Resource ID."));
        }
        if REGIONS.iter().all(|known| known.name != region) {
            return Err(invalid_request("Field 'TargetResourceRegion' must be a valid Azure region name."));
        }
        let authorization = body.get("copyAuthorization").cloned().unwrap_or_default();
        let expires = authorization.get("expirationDateTimeTicks").and_then(Value::as_i64);
        let target_id = authorization.get("modelId").and_then(Value::as_str).unwrap_or_default().to_owned();
        if target_id.is_empty() || expires.is_none_or(|expires| expires <= (cx.now + source.clock).as_second()) {
            return Err(invalid_request("The copy authorization is invalid or has expired."));
        }
        let model =
            source.get(COLLECTION, model_id).filter(|model| !model.blank).cloned().ok_or_else(|| {
                Failure::new(400, "InvalidRequest", "1001", "Specified model not found or not ready.")
            })?;
        cx.inject_fault(Step::Start)?;
        Ok(CopyRequest {
            source_id: model_id.to_owned(),
            model,
            target: TargetResource::IdAndRegion(resource_id.to_owned(), region),
            target_id,
            location: String::new(),
            authorization,
            needs_encryption: cx.needs_encryption(source),
        })
    }

    fn receive_copy(&self, target: &mut Account, copy: &CopyRequest, cx: &mut Context<'_>) -> Result<Stored, Failure> {
        let reservation = target.redeem(&copy.authorization, cx.now).ok_or_else(|| {
            let message = "Could not retrieve authorization metadata. If this issue persists use a different target model to copy into.";
            Failure::new(200, "Forbidden", "2024", message)
        })?;
        cx.inject_fault(Step::Operation)?;
        if copy.needs_encryption && !target.encrypted {
            let message = "Data transfer request is not allowed as it downgrades to a less secure data protection scheme. \
                           Refer documentation or contact your service administrator for details.";
            return Err(Failure::new(200, "Forbidden", "DataProtectionTransformServiceError", message));
        }
        // The copy keeps the source's name and dates.
        let mut model = copy.model.clone();
        if let Some(id) = model.body.pointer_mut("/modelInfo/modelId") {
            *id = json!(reservation.id);
        }
        Ok(model)
    }

    fn unknown_target(&self, copy: &CopyRequest) -> Failure {
        let (resource_id, region) = match &copy.target {
            TargetResource::IdAndRegion(id, region) => (id.as_str(), region.as_str()),
            TargetResource::Id(id) => (id.as_deref().unwrap_or_default(), ""),
        };
        let message = format!(
            "Could not fetch information for Cognitive resource with Id '{resource_id}'. Ensure the resource is valid \
             and exists in the specified region '{region}'.."
        );
        Failure::new(200, "Forbidden", "2024", message)
    }

    fn accept_copy(&self, source: &mut Account, copy: CopyRequest, outcome: Outcome, cx: &Context<'_>) -> Reply {
        let id = new_id();
        let url = format!("{}{PATH}/{}/copyresults/{id}", source.endpoint, copy.source_id);
        source.operations.insert(id, copy.into_operation(COLLECTION, None, outcome, cx));
        Reply::new(StatusCode::ACCEPTED, None).with("Operation-Location", url)
    }

    fn error(&self, failure: &Failure) -> Reply {
        failure.flat()
    }

    fn rate_limit_message(&self, call: &CallKind, tier: Tier) -> String {
        let operation = match call {
            CallKind::Authorize => "Generate Copy Authorization",
            CallKind::Copy { .. } => "Copy Custom Model",
            CallKind::Operation { .. } => "Get Custom Model Copy Result",
            CallKind::Delete { .. } | CallKind::DeleteAnalyzeResult { .. } => "Delete Custom Model",
            CallKind::Analyze { .. } => "Analyze with Custom Model",
            CallKind::AnalyzeResult { .. } => "Get Analyze Form Result",
            CallKind::Get { .. } => "Get Custom Model",
            CallKind::List { .. } | CallKind::Summary | CallKind::Operations { .. } | CallKind::Info => {
                "List Custom Models"
            }
        };
        format!(
            "Requests to the Custom Form Model Management - {operation} Operation under Form Recognizer API (v2.1) have \
             exceeded rate limit of your current FormRecognizer {} pricing tier.",
            tier.name()
        )
    }
}

fn authorize(account: &mut Account, cx: &mut Context<'_>) -> Result<Reply, Failure> {
    cx.inject_fault(Step::Authorize)?;
    let (id, expires) = (new_id(), cx.authorization_end(AUTHORIZATION_LIFETIME));
    // The service calls them ticks, but they are Unix seconds.
    let payload = json!({"modelId": id, "accessToken": new_id(), "expirationDateTimeTicks": (expires + account.clock).as_second()});
    account.reservations.push(Reservation {
        collection: COLLECTION,
        id: id.clone(),
        expires,
        used: false,
        payload: payload.clone(),
        description: None,
        tags: None,
    });
    let now = account.date(cx.now);
    let info = json!({"modelId": id, "status": "creating", "createdDateTime": now, "lastUpdatedDateTime": now});
    let blank = Stored { blank: true, ..Stored::ready(json!({"modelInfo": info})) };
    account.stored.insert((COLLECTION, id.clone()), blank);
    let location = format!("{}{PATH}/{id}", account.endpoint);
    Ok(Reply::new(StatusCode::CREATED, Some(payload)).with("Location", location))
}

fn operation(account: &Account, id: &str) -> Result<Reply, Failure> {
    let operation = account.operations.get(id).filter(|operation| operation.collection == COLLECTION);
    let operation = operation
        .ok_or_else(|| Failure::new(404, "NotFound", "1022", format!("Copy result with 'id={id}' not found.")))?;
    let mut result = json!({"modelId": operation.target_id});
    if !operation.ended {
        let created = account.date(operation.created);
        return Ok(Reply::ok(
            json!({"status": "notStarted", "createdDateTime": created, "lastUpdatedDateTime": created, "copyResult": result}),
        ));
    }
    // The service overwrites the creation date of an operation when it ends.
    let ended = precise_date(operation.ends + account.clock);
    let mut reply = match &operation.outcome {
        Outcome::Copied { .. } => Reply::ok(json!({"status": "succeeded"})),
        Outcome::Failed(failure) => {
            let inner = json!({"requestId": new_id()});
            result["errors"] = json!([{"code": failure.code, "innerError": inner, "message": failure.message}]);
            Reply::ok(json!({"status": "failed"})).with("ms-azure-ai-errorcode", failure.code)
        }
    };
    if let Some(body) = reply.body.as_mut() {
        body["createdDateTime"] = json!(ended);
        body["lastUpdatedDateTime"] = json!(ended);
        body["copyResult"] = result;
    }
    Ok(reply)
}

fn precise_date(at: Timestamp) -> String {
    format!("{at:.7}")
}

fn get(account: &Account, id: &str) -> Result<Reply, Failure> {
    account.get(COLLECTION, id).map(|model| Reply::ok(model.body.clone())).ok_or_else(|| not_found(id))
}

fn delete(account: &mut Account, id: &str) -> Result<Reply, Failure> {
    if account.delete(COLLECTION, id) { Ok(Reply::new(StatusCode::NO_CONTENT, None)) } else { Err(not_found(id)) }
}

fn analyze(account: &mut Account, id: &str, cx: &Context<'_>) -> Result<Reply, Failure> {
    let model = account.get(COLLECTION, id).ok_or_else(|| not_found(id))?;
    if model.body.pointer("/modelInfo/status") != Some(&json!("ready")) {
        return Err(Failure::new(400, "InvalidRequest", "1001", "Specified model not found or not ready."));
    }
    analysis::check_document(cx)?;
    let result = analysis::custom_result(&model.body, id, cx.request.body);
    let analysis = analysis::start((COLLECTION, id), result, cx);
    let result_id = new_id();
    let url = format!("{}{PATH}/{id}/analyzeresults/{result_id}", account.endpoint);
    Ok(analysis::accept(account, result_id, url, analysis))
}

fn analyze_result(account: &Account, model_id: &str, id: &str, cx: &Context<'_>) -> Result<Reply, Failure> {
    let no_result = || Failure::new(404, "NotFound", "1022", format!("Analyze result with 'id={id}' not found."));
    analysis::result(account, (COLLECTION, model_id), id, cx.now).ok_or_else(no_result)
}

fn list(account: &Account, page: usize, cx: &Context<'_>) -> Reply {
    let (models, has_more) = account.page(COLLECTION, page, PAGE_SIZE, |_| true);
    let infos: Vec<_> = models.iter().filter_map(|model| model.body.get("modelInfo")).collect();
    // The link of the last page is empty, not absent.
    let next =
        if has_more { format!("{}{PATH}?op=full&{NEXT_PAGE}={}", account.endpoint, page + 1) } else { String::new() };
    Reply::ok(json!({"summary": summary(account, cx), "modelList": infos, "nextLink": next}))
}

fn summary(account: &Account, cx: &Context<'_>) -> Value {
    let limit = cx.max_models.unwrap_or(MAX_MODELS);
    json!({"count": account.count(COLLECTION), "limit": limit, "lastUpdatedDateTime": account.date(cx.now)})
}

fn invalid_request(reason: &str) -> Failure {
    Failure::new(400, "InvalidRequest", "1002", format!("Copy request is invalid. {reason}"))
}

fn not_found(id: &str) -> Failure {
    Failure::new(404, "NotFound", "1022", format!("Model with 'id={id}' not found."))
}
