//! The emulator's v3.0, v3.1 and v4.0: ids of the caller's choice, reserved by an authorization that lives for an hour.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call::{Addressed, Call, Collection, NEXT_PAGE, V4_0};
use super::faults::Step;
use super::reply::{Failure, Reply};
use super::state::{Accepted, Account, Ending, Incoming, Operation, Reservation, Stored, World, date, new_guid};
use crate::model::ModelId;

const AUTHORIZATION_LIVES: SignedDuration = SignedDuration::from_hours(1);
const PAGE: usize = 100;
const MOST_MODELS: usize = 20_000;
/// What a timestamp and the number of an operation add up to: the number falls by one each second.
const OPERATION_NUMBERS: i64 = 33_166_368_000;

pub(super) fn answer(
    world: &mut World,
    account: usize,
    call: &Addressed,
    request: &Incoming<'_>,
    now: Timestamp,
) -> Reply {
    let answer = match &call.call {
        Call::Authorize => authorize(world, account, call, request, now),
        Call::Copy { source } => copy(world, account, call, source, request, now),
        Call::Operation { id } => operation(world, account, call, id, now),
        Call::Get { id } => get(world, account, call, id),
        Call::Delete { id } => delete(world, account, call.collection, id),
        Call::List { page } => Ok(list(world, account, call, *page)),
        Call::Operations { page } => Ok(operations(world, account, call, *page, now)),
        Call::Info => Ok(info(world, account, call)),
        Call::Summary => Ok(Reply::nothing_here()),
    };
    answer.unwrap_or_else(|failure| failure.nested())
}

/// The words in which the two shelves differ.
struct Words {
    collection: &'static str,
    id: &'static str,
    target_id: &'static str,
    target_location: &'static str,
    operation: &'static str,
}

fn words(collection: Collection) -> Words {
    if collection == Collection::DocumentClassifiers {
        Words {
            collection: "documentClassifiers",
            id: "classifierId",
            target_id: "targetClassifierId",
            target_location: "targetClassifierLocation",
            operation: "documentClassifierCopyTo",
        }
    } else {
        Words {
            collection: "documentModels",
            id: "modelId",
            target_id: "targetModelId",
            target_location: "targetModelLocation",
            operation: "documentModelCopyTo",
        }
    }
}

fn authorize(
    world: &mut World,
    account: usize,
    call: &Addressed,
    request: &Incoming<'_>,
    now: Timestamp,
) -> Result<Reply, Failure> {
    let order: Value = serde_json::from_slice(request.body).unwrap_or_default();
    let words = words(call.collection);
    let Some(id) = order.get(words.id).and_then(Value::as_str) else {
        let message = format!("The parameter {} is required.", words.id);
        return Err(Failure::new(400, "InvalidArgument", "ParameterMissing", message));
    };
    if id.parse::<ModelId>().is_err() {
        let message = format!("The parameter {} is invalid.", words.id);
        return Err(Failure::new(400, "InvalidArgument", "InvalidParameter", message));
    }
    let description = order.get("description").and_then(Value::as_str).unwrap_or_default();
    if description.chars().count() > 4096 {
        let message = "The parameter description is too long.";
        return Err(Failure::new(400, "InvalidArgument", "InvalidParameterLength", message));
    }
    if let Some(failure) = world.ordered_failure(Step::Authorize) {
        return Err(failure);
    }
    let most = world.max_models.unwrap_or(MOST_MODELS);
    let at = world.accounts.get_mut(account).ok_or_else(Failure::model_not_found)?;
    if call.collection == Collection::DocumentModels && at.count(call.collection) + at.reserved(call.collection) >= most
    {
        let message = format!("Account can't create more than {most} models.");
        return Err(Failure::new(400, "InvalidRequest", "DocumentModelLimit", message));
    }
    if at.get(call.collection, id).is_some() || at.is_reserved(call.collection, id) {
        return Err(Failure::new(409, "Conflict", "ModelExists", "A model with the provided name already exists."));
    }
    let expires = now + AUTHORIZATION_LIVES;
    let payload = json!({
        "targetResourceId": at.resource_id,
        "targetResourceRegion": at.region.name,
        words.target_id: id,
        words.target_location: location(at, call, id),
        "accessToken": new_guid(),
        "expirationDateTime": date(expires),
    });
    at.reservations.push(Reservation {
        collection: call.collection,
        id: id.to_owned(),
        expires,
        used: false,
        payload: payload.clone(),
        description: order.get("description").cloned(),
        tags: order.get("tags").cloned(),
    });
    Ok(Reply::ok(payload))
}

fn copy(
    world: &mut World,
    account: usize,
    call: &Addressed,
    source: &str,
    request: &Incoming<'_>,
    now: Timestamp,
) -> Result<Reply, Failure> {
    let words = words(call.collection);
    let at = world.accounts.get(account).ok_or_else(Failure::model_not_found)?;
    let model = match at.get(call.collection, source) {
        Some(model) if model.prebuilt => {
            return Err(Failure::new(400, "InvalidRequest", "ModelReadOnly", "The requested model is read-only."));
        }
        Some(model) => supported(model, call).cloned()?,
        None if at.is_reserved(call.collection, source) => {
            let message = "Model is not ready for the requested operation. Wait for training to complete or check for operation errors.";
            return Err(Failure::new(400, "InvalidRequest", "ModelNotReady", message));
        }
        None => return Err(Failure::model_not_found()),
    };
    let authorization: Value = serde_json::from_slice(request.body).unwrap_or_default();
    let text = |name: &str| authorization.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(target_id), Some(_)) = (text(words.target_id), text("accessToken")) else {
        let message = format!("The parameter {} is required.", words.target_id);
        return Err(Failure::new(400, "InvalidArgument", "ParameterMissing", message));
    };
    if let Some(failure) = world.ordered_failure(Step::Start) {
        return Err(failure);
    }
    let ending =
        copied(world, account, call, &authorization, (source, &model), request, now).unwrap_or_else(Ending::Failed);
    let id = format!("{}_{}", OPERATION_NUMBERS - now.as_second(), request.request_id);
    let endpoint = world.accounts.get(account).map(|account| account.endpoint.clone()).unwrap_or_default();
    let url = format!("{endpoint}/{}/operations/{id}?api-version={}", call.service(), call.date.unwrap_or_default());
    let copy = Accepted {
        collection: call.collection,
        date: call.date,
        target_id,
        location: text(words.target_location).unwrap_or_default(),
        ending,
    };
    world.accept(account, id, copy, now);
    Ok(Reply::new(StatusCode::ACCEPTED, None).with("Operation-Location", url))
}

/// What an accepted copy will end with. The authorization is used up in any case.
fn copied(
    world: &mut World,
    source: usize,
    call: &Addressed,
    authorization: &Value,
    (source_id, model): (&str, &Stored),
    request: &Incoming<'_>,
    now: Timestamp,
) -> Result<Ending, Failure> {
    let failed =
        |why: &str| Failure::new(200, "Forbidden", "AuthorizationFailed", format!("Authorization failed: {why}"));
    let target = world.accounts.iter().position(|account| {
        Some(account.resource_id.as_str()) == authorization.get("targetResourceId").and_then(Value::as_str)
    });
    let target = target.ok_or_else(|| failed("the target resource was not found."))?;
    let reservation = world
        .use_up(target, authorization, now)
        .ok_or_else(|| failed("the copy authorization is invalid, has expired or was used before."))?;
    if let Some(failure) = world.ordered_failure(Step::Operation) {
        return Err(failure);
    }
    if world.would_degrade(source, target, request.headers) {
        return Err(failed("Cannot copy encrypted content to non-encrypted account."));
    }
    let copy = copy_of(model, source_id, &reservation, call, now);
    Ok(Ending::Copied { account: target, copy })
}

/// What the service keeps of the source, and what it does not: TRAFFIC of each version.
fn copy_of(model: &Stored, source_id: &str, reservation: &Reservation, call: &Addressed, now: Timestamp) -> Stored {
    let mut copy = model.clone();
    let Some(body) = copy.body.as_object_mut() else { return copy };
    body.insert(words(call.collection).id.into(), json!(reservation.id));
    if call.date == Some(V4_0) {
        // A copy of v4.0 is as old as the copying; the source's age lives on as the date of modification.
        let trained = body.get("modifiedDateTime").or_else(|| body.get("createdDateTime")).cloned();
        body.insert("modifiedDateTime".into(), trained.unwrap_or_default());
        body.insert("createdDateTime".into(), json!(date(now)));
    }
    // A classifier keeps its description where none was given, and shows no tags, whatever was given.
    let is_classifier = call.collection == Collection::DocumentClassifiers;
    match &reservation.description {
        Some(description) => body.insert("description".into(), description.clone()),
        None if is_classifier => None,
        None => body.remove("description"),
    };
    match &reservation.tags {
        Some(tags) if !is_classifier => body.insert("tags".into(), tags.clone()),
        _ => body.remove("tags"),
    };
    // From v3.1 on the one document type of a model is named after the model.
    let renames = call.date.is_some_and(|date| date > "2022-08-31");
    if let Some(types) = body.get_mut("docTypes").and_then(Value::as_object_mut)
        && renames
        && let Some(only) = types.remove(source_id)
    {
        types.insert(reservation.id.clone(), only);
    }
    copy
}

fn operation(world: &World, account: usize, call: &Addressed, id: &str, now: Timestamp) -> Result<Reply, Failure> {
    let at = world.accounts.get(account).ok_or_else(Failure::model_not_found)?;
    let operation = at.operations.get(id).filter(|operation| is_known(operation, call)).ok_or_else(|| {
        let message =
            "The requested operation was not found. The identifier may be invalid or the operation may have expired.";
        Failure::new(404, "NotFound", "OperationNotFound", message)
    })?;
    let mut body = summary_of(id, operation, now);
    if operation.settled {
        match &operation.ending {
            Ending::Copied { copy, .. } => body["result"] = copy.body.clone(),
            Ending::Failed(failure) => body["error"] = failure.of_operation(),
        }
    }
    Ok(Reply::ok(body))
}

/// v2.1's operations are none of v3.0's, and an older version knows no kind that came later.
fn is_known(operation: &Operation, call: &Addressed) -> bool {
    operation.date.is_some() && (operation.collection == Collection::DocumentModels || call.date >= operation.date)
}

/// An operation as a list shows it, which is all there is to it until its end.
fn summary_of(id: &str, operation: &Operation, now: Timestamp) -> Value {
    let half_way = operation.created.duration_until(now) * 2 >= operation.created.duration_until(operation.ends);
    let (status, updated) = match (&operation.ending, operation.settled) {
        (_, false) if half_way => ("running", operation.created),
        (_, false) => ("notStarted", operation.created),
        (Ending::Copied { .. }, true) => ("succeeded", operation.ends),
        (Ending::Failed(_), true) => ("failed", operation.ends),
    };
    let mut body = json!({
        "operationId": id,
        "kind": words(operation.collection).operation,
        "status": status,
        "createdDateTime": date(operation.created),
        "lastUpdatedDateTime": date(updated),
        "resourceLocation": operation.location,
    });
    if operation.settled {
        // Absent until the end, and then 100 even of a failure.
        body["percentCompleted"] = json!(100);
    }
    if operation.date == Some(V4_0) {
        body["apiVersion"] = json!(V4_0);
    }
    body
}

fn get(world: &World, account: usize, call: &Addressed, id: &str) -> Result<Reply, Failure> {
    let model = world.accounts.get(account).and_then(|account| account.get(call.collection, id));
    let model = supported(model.ok_or_else(Failure::model_not_found)?, call)?;
    Ok(Reply::ok(model.body.clone()))
}

/// An older API version cannot handle a model that a newer one trained.
fn supported<'m>(model: &'m Stored, call: &Addressed) -> Result<&'m Stored, Failure> {
    let trained_with = model.body.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if model.prebuilt || call.date.is_none_or(|date| date >= trained_with) {
        return Ok(model);
    }
    let message = format!("The requested operation requires {trained_with} or later.");
    Err(Failure::new(400, "InvalidRequest", "NotSupportedApiVersion", message))
}

fn delete(world: &mut World, account: usize, collection: Collection, id: &str) -> Result<Reply, Failure> {
    let deleted = world.accounts.get_mut(account).is_some_and(|account| account.delete(collection, id));
    if deleted { Ok(Reply::new(StatusCode::NO_CONTENT, None)) } else { Err(Failure::model_not_found()) }
}

fn list(world: &World, account: usize, call: &Addressed, page: usize) -> Reply {
    let Some(at) = world.accounts.get(account) else { return Reply::nothing_here() };
    let (models, more) = at.page(call.collection, page, PAGE, |stored| supported(stored, call).is_ok());
    let items = models.into_iter().map(|model| listed(model, call)).collect();
    paged(items, more.then(|| next_link(at, call, words(call.collection).collection, page)))
}

/// A model as a version lists it: without what only its own GET, or a later version, shows.
fn listed(model: &Stored, call: &Addressed) -> Value {
    let mut body = model.body.clone();
    let Some(fields) = body.as_object_mut() else { return body };
    if call.date < Some(V4_0) {
        fields.remove("modifiedDateTime");
        if call.collection == Collection::DocumentModels {
            fields.remove("docTypes");
        }
    }
    if call.date < Some("2023-07-31") {
        fields.remove("expirationDateTime");
    }
    body
}

fn operations(world: &World, account: usize, call: &Addressed, page: usize, now: Timestamp) -> Reply {
    let Some(at) = world.accounts.get(account) else { return Reply::nothing_here() };
    let all = || at.operations.iter().filter(|(_, operation)| is_known(operation, call));
    // The numbers of operations fall, so the newest come first.
    let items = all()
        .skip(page.saturating_mul(PAGE))
        .take(PAGE)
        .map(|(id, operation)| summary_of(id, operation, now))
        .collect();
    let more = all().count() > page.saturating_add(1).saturating_mul(PAGE);
    paged(items, more.then(|| next_link(at, call, "operations", page)))
}

/// A page of a list; the last one has no link.
fn paged(items: Vec<Value>, next: Option<String>) -> Reply {
    let mut body = json!({"value": Value::Array(items)});
    if let Some(next) = next {
        body["nextLink"] = json!(next);
    }
    Reply::ok(body)
}

fn next_link(at: &Account, call: &Addressed, collection: &str, page: usize) -> String {
    let (service, date) = (call.service(), call.date.unwrap_or_default());
    format!("{}/{service}/{collection}?api-version={date}&{NEXT_PAGE}={}", at.endpoint, page + 1)
}

fn info(world: &World, account: usize, call: &Addressed) -> Reply {
    let count = world.accounts.get(account).map_or(0, |account| account.count(Collection::DocumentModels));
    let mut body = json!({"customDocumentModels": {"count": count, "limit": world.max_models.unwrap_or(MOST_MODELS)}});
    if call.date == Some("2023-07-31") {
        body["customNeuralDocumentModelBuilds"] =
            json!({"used": 0, "quota": 20, "quotaResetDateTime": "2099-01-01T00:00:00Z"});
    }
    Reply::ok(body)
}

fn location(at: &Account, call: &Addressed, id: &str) -> String {
    let collection = words(call.collection).collection;
    format!("{}/{}/{collection}/{id}?api-version={}", at.endpoint, call.service(), call.date.unwrap_or_default())
}
