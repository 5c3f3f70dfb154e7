//! The emulator's v2.1: blank models, authorizations that live for a day, operations that fail with HTTP 200.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call::{Addressed, Call, Collection, NEXT_PAGE};
use super::faults::Step;
use super::reply::{Failure, Reply};
use super::state::{Accepted, Ending, Incoming, REGIONS, Reservation, Stored, World, date, new_guid};
use crate::resource::ResourceId;

const SHELF: Collection = Collection::CustomModels;
const MODELS: &str = "/formrecognizer/v2.1/custom/models";
const AUTHORIZATION_LIVES: SignedDuration = SignedDuration::from_hours(24);
/// As many as the service puts on a page.
const PAGE: usize = 9;
const MOST_MODELS: usize = 5000;

pub(super) fn answer(
    world: &mut World,
    account: usize,
    call: &Addressed,
    request: &Incoming<'_>,
    now: Timestamp,
) -> Reply {
    let answer = match &call.call {
        Call::Authorize => authorize(world, account, now),
        Call::Copy { source } => copy(world, account, source, request, now),
        Call::Operation { id } => operation(world, account, id),
        Call::Get { id } => get(world, account, id),
        Call::Delete { id } => delete(world, account, id),
        Call::List { page } => Ok(list(world, account, *page, now)),
        Call::Summary => Ok(Reply::ok(json!({"summary": summary(world, account, now)}))),
        Call::Operations { .. } | Call::Info => Ok(Reply::nothing_here()),
    };
    answer.unwrap_or_else(|failure| failure.flat())
}

fn authorize(world: &mut World, account: usize, now: Timestamp) -> Result<Reply, Failure> {
    if let Some(failure) = world.ordered_failure(Step::Authorize) {
        return Err(failure);
    }
    let id = new_guid();
    let expires = now + AUTHORIZATION_LIVES;
    // Unix seconds, whatever the name says.
    let payload = json!({"modelId": id, "accessToken": new_guid(), "expirationDateTimeTicks": expires.as_second()});
    let reservation = Reservation {
        collection: SHELF,
        id: id.clone(),
        expires,
        used: false,
        payload: payload.clone(),
        description: None,
        tags: None,
    };
    let info =
        json!({"modelId": id, "status": "creating", "createdDateTime": date(now), "lastUpdatedDateTime": date(now)});
    let at = world.accounts.get_mut(account).ok_or_else(Failure::model_not_found)?;
    at.reservations.push(reservation);
    at.stored.insert((SHELF, id.clone()), Stored { body: json!({"modelInfo": info}), blank: true, prebuilt: false });
    let location = format!("{}{MODELS}/{id}", at.endpoint);
    Ok(Reply::new(StatusCode::CREATED, Some(payload)).with("Location", location))
}

fn copy(
    world: &mut World,
    account: usize,
    source: &str,
    request: &Incoming<'_>,
    now: Timestamp,
) -> Result<Reply, Failure> {
    let order: Value = serde_json::from_slice(request.body).unwrap_or_default();
    let text = |name: &str| order.get(name).and_then(Value::as_str).unwrap_or_default();
    let (resource_id, region) = (text("targetResourceId"), text("targetResourceRegion").to_lowercase());
    if resource_id.parse::<ResourceId>().is_err() {
        return Err(invalid("Field 'TargetResourceId' must be a valid Azure Resource ID."));
    }
    if REGIONS.iter().all(|known| known.name != region) {
        return Err(invalid("Field 'TargetResourceRegion' must be a valid Azure region name."));
    }
    let authorization = order.get("copyAuthorization").cloned().unwrap_or_default();
    let expires = authorization.get("expirationDateTimeTicks").and_then(Value::as_i64);
    let target_id = authorization.get("modelId").and_then(Value::as_str).unwrap_or_default().to_owned();
    if target_id.is_empty() || expires.is_none_or(|expires| expires <= now.as_second()) {
        return Err(invalid("The copy authorization is invalid or has expired."));
    }
    let at = world.accounts.get(account).ok_or_else(Failure::model_not_found)?;
    let model = at.get(SHELF, source).filter(|model| !model.blank).cloned();
    let model =
        model.ok_or_else(|| Failure::new(400, "InvalidRequest", "1001", "Specified model not found or not ready."))?;
    if let Some(failure) = world.ordered_failure(Step::Start) {
        return Err(failure);
    }
    let ending = match copied(world, account, (resource_id, &region), &authorization, &model, request, now) {
        Ok(ending) => ending,
        Err(failure) => Ending::Failed(failure),
    };
    let endpoint = world.accounts.get(account).map(|account| account.endpoint.clone()).unwrap_or_default();
    let id = new_guid();
    let location = format!("{endpoint}{MODELS}/{source}/copyresults/{id}");
    let copy = Accepted { collection: SHELF, date: None, target_id, location: String::new(), ending };
    world.accept(account, id, copy, now);
    Ok(Reply::new(StatusCode::ACCEPTED, None).with("Operation-Location", location))
}

/// What an accepted copy will end with. The authorization is used up in any case.
fn copied(
    world: &mut World,
    source: usize,
    (resource_id, region): (&str, &str),
    authorization: &Value,
    model: &Stored,
    request: &Incoming<'_>,
    now: Timestamp,
) -> Result<Ending, Failure> {
    let found = world
        .accounts
        .iter()
        .position(|account| account.resource_id.eq_ignore_ascii_case(resource_id) && account.region.name == region);
    let target = found.ok_or_else(|| {
        let message = format!(
            "Could not fetch information for Cognitive resource with Id '{resource_id}'. Ensure the resource is valid \
             and exists in the specified region '{region}'.."
        );
        Failure::new(200, "Forbidden", "2024", message)
    })?;
    let reservation = world.use_up(target, authorization, now).ok_or_else(|| {
        let message = "Could not retrieve authorization metadata. If this issue persists use a different target model to copy into.";
        Failure::new(200, "Forbidden", "2024", message)
    })?;
    if let Some(failure) = world.ordered_failure(Step::Operation) {
        return Err(failure);
    }
    if world.would_degrade(source, target, request.headers) {
        let message = "Data transfer request is not allowed as it downgrades to a less secure data protection scheme. \
                       Refer documentation or contact your service administrator for details.";
        return Err(Failure::new(200, "Forbidden", "DataProtectionTransformServiceError", message));
    }
    // Name and dates are those of the source; only the id is new.
    let mut copy = model.clone();
    if let Some(id) = copy.body.pointer_mut("/modelInfo/modelId") {
        *id = json!(reservation.id);
    }
    Ok(Ending::Copied { account: target, copy })
}

fn operation(world: &World, account: usize, id: &str) -> Result<Reply, Failure> {
    let at = world.accounts.get(account).ok_or_else(Failure::model_not_found)?;
    let operation = at.operations.get(id).filter(|operation| operation.collection == SHELF);
    let operation = operation
        .ok_or_else(|| Failure::new(404, "NotFound", "1022", format!("Copy result with 'id={id}' not found.")))?;
    let mut result = json!({"modelId": operation.target_id});
    if !operation.settled {
        let created = date(operation.created);
        return Ok(Reply::ok(
            json!({"status": "notStarted", "createdDateTime": created, "lastUpdatedDateTime": created, "copyResult": result}),
        ));
    }
    // The creation date of the operation is overwritten when it ends.
    let ended = format!("{:.7}", operation.ends);
    let mut reply = match &operation.ending {
        Ending::Copied { .. } => Reply::ok(json!({"status": "succeeded"})),
        Ending::Failed(failure) => {
            let inner = json!({"requestId": new_guid()});
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

fn get(world: &World, account: usize, id: &str) -> Result<Reply, Failure> {
    let model = world.accounts.get(account).and_then(|account| account.get(SHELF, id));
    model.map(|model| Reply::ok(model.body.clone())).ok_or_else(|| not_found(id))
}

fn delete(world: &mut World, account: usize, id: &str) -> Result<Reply, Failure> {
    let deleted = world.accounts.get_mut(account).is_some_and(|account| account.delete(SHELF, id));
    if deleted { Ok(Reply::new(StatusCode::NO_CONTENT, None)) } else { Err(not_found(id)) }
}

fn list(world: &World, account: usize, page: usize, now: Timestamp) -> Reply {
    let Some(at) = world.accounts.get(account) else { return Reply::nothing_here() };
    let (models, more) = at.page(SHELF, page, PAGE, |_| true);
    let infos: Vec<_> = models.iter().filter_map(|model| model.body.get("modelInfo")).collect();
    // The last page's link is empty, not absent.
    let next = if more { format!("{}{MODELS}?op=full&{NEXT_PAGE}={}", at.endpoint, page + 1) } else { String::new() };
    Reply::ok(json!({"summary": summary(world, account, now), "modelList": infos, "nextLink": next}))
}

fn summary(world: &World, account: usize, now: Timestamp) -> Value {
    let count = world.accounts.get(account).map_or(0, |account| account.count(SHELF));
    json!({"count": count, "limit": world.max_models.unwrap_or(MOST_MODELS), "lastUpdatedDateTime": date(now)})
}

fn invalid(why: &str) -> Failure {
    Failure::new(400, "InvalidRequest", "1002", format!("Copy request is invalid. {why}"))
}

fn not_found(id: &str) -> Failure {
    Failure::new(404, "NotFound", "1022", format!("Model with 'id={id}' not found."))
}
