//! v3.0, v3.1 and v4.0: ids of the caller's choice, reserved by an authorization that is valid for an hour.

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::analysis;
use super::call::{CallKind, Collection, NEXT_PAGE};
use super::faults::Step;
use super::handler::{Context, CopyRequest, TargetResource, WireFormat};
use super::limits::Tier;
use super::reply::{Failure, Reply};
use super::state::{Account, Operation, Outcome, Reservation, Stored, new_id, one_page};
use super::version::Version;
use crate::model::ModelId;

const AUTHORIZATION_LIFETIME: SignedDuration = SignedDuration::from_hours(1);
const PAGE_SIZE: usize = 100;
const MAX_MODELS: usize = 20_000;
/// An operation id starts with this number minus the Unix time, so that a list starts with the newest operation.
const OPERATION_NUMBER_BASE: i64 = 33_166_368_000;

/// The wire format of v3.0 and later, for models or for classifiers.
pub(super) struct DocumentModels {
    pub(super) version: Version,
    pub(super) collection: Collection,
}

impl WireFormat for DocumentModels {
    fn answer(&self, account: &mut Account, call: &CallKind, cx: &mut Context<'_>) -> Result<Reply, Failure> {
        match call {
            CallKind::Authorize => self.authorize(account, cx),
            CallKind::Operation { id } => self.operation(account, id, cx),
            CallKind::Get { id } => self.get(account, id),
            CallKind::Delete { id } => self.delete(account, id),
            CallKind::Analyze { id } => self.analyze(account, id, cx),
            CallKind::AnalyzeResult { model_id, id } => {
                analysis::result(account, (self.collection, model_id), id, cx.now).ok_or_else(operation_not_found)
            }
            CallKind::DeleteAnalyzeResult { model_id, id } => {
                let is_deleted = analysis::delete(account, (self.collection, model_id), id);
                if is_deleted { Ok(Reply::new(StatusCode::NO_CONTENT, None)) } else { Err(operation_not_found()) }
            }
            CallKind::List { page } => Ok(self.list(account, *page)),
            CallKind::Operations { page } => Ok(self.operations(account, *page, cx)),
            CallKind::Info => Ok(self.info(account, cx)),
            // Copies are dispatched to `check_copy`; only v2.1 has a summary.
            CallKind::Copy { .. } | CallKind::Summary => Ok(Reply::not_found()),
        }
    }

    fn check_copy(&self, source: &Account, model_id: &str, cx: &mut Context<'_>) -> Result<CopyRequest, Failure> {
        let model = match source.get(self.collection, model_id) {
            Some(model) if model.prebuilt => {
                return Err(Failure::new(400, "InvalidRequest", "ModelReadOnly", "The requested model is read-only."));
            }
            Some(model) => self.supported(model)?.clone(),
            None if source.is_reserved(self.collection, model_id) => {
                let message = "Model is not ready for the requested operation. Wait for training to complete or check for operation errors.";
                return Err(Failure::new(400, "InvalidRequest", "ModelNotReady", message));
            }
            None => return Err(Failure::model_not_found()),
        };
        let authorization = cx.request.json();
        let text = |name: &str| authorization.get(name).and_then(Value::as_str).map(str::to_owned);
        let names = self.names();
        let (Some(target_id), Some(_)) = (text(names.target_id), text("accessToken")) else {
            return Err(parameter_missing(names.target_id));
        };
        cx.inject_fault(Step::Start)?;
        Ok(CopyRequest {
            source_id: model_id.to_owned(),
            model,
            target: TargetResource::Id(text("targetResourceId")),
            target_id,
            location: text(names.target_location).unwrap_or_default(),
            needs_encryption: cx.needs_encryption(source),
            authorization,
        })
    }

    fn receive_copy(&self, target: &mut Account, copy: &CopyRequest, cx: &mut Context<'_>) -> Result<Stored, Failure> {
        let reservation = target.redeem(&copy.authorization, cx.now).ok_or_else(|| {
            authorization_failed("the copy authorization is invalid, has expired or was used before.")
        })?;
        cx.inject_fault(Step::Operation)?;
        if copy.needs_encryption && !target.encrypted {
            return Err(authorization_failed("Cannot copy encrypted content to non-encrypted account."));
        }
        let created = target.date(cx.now);
        Ok(self.copy_of(copy, &reservation, created))
    }

    fn unknown_target(&self, _: &CopyRequest) -> Failure {
        authorization_failed("the target resource was not found.")
    }

    fn accept_copy(&self, source: &mut Account, copy: CopyRequest, outcome: Outcome, cx: &Context<'_>) -> Reply {
        let id = format!("{}_{}", OPERATION_NUMBER_BASE - cx.now.as_second(), cx.request.id);
        let url = self.url(source, &format!("operations/{id}"));
        source.operations.insert(id, copy.into_operation(self.collection, Some(self.version), outcome, cx));
        Reply::new(StatusCode::ACCEPTED, None).with("Operation-Location", url)
    }

    fn error(&self, failure: &Failure) -> Reply {
        failure.nested()
    }

    fn rate_limit_message(&self, call: &CallKind, tier: Tier) -> String {
        let operation = match call {
            CallKind::Authorize => "Manage - Authorize model copy",
            CallKind::Copy { .. } => "Manage - Copy model",
            CallKind::Get { .. } => "Manage - Get model",
            CallKind::Delete { .. } => "Manage - Delete model",
            CallKind::Analyze { .. } => "Analyze - Analyze document",
            CallKind::AnalyzeResult { .. } => "Analyze - Get analyze result",
            CallKind::DeleteAnalyzeResult { .. } => "Analyze - Delete analyze result",
            CallKind::Operation { .. } => "Operations - Get operation",
            CallKind::Operations { .. } => "Operations - List operations",
            CallKind::Info => "Manage - Get info",
            CallKind::List { .. } | CallKind::Summary => "Manage - List models",
        };
        format!(
            "Requests to the {operation} Operation under Azure AI Document Intelligence {} have exceeded call rate limit \
             of your current FormRecognizer {} pricing tier.",
            self.version.date(),
            tier.name()
        )
    }
}

/// The names that differ between models and classifiers.
struct Names {
    collection: &'static str,
    id: &'static str,
    target_id: &'static str,
    target_location: &'static str,
    operation_kind: &'static str,
}

const MODEL_NAMES: Names = Names {
    collection: "documentModels",
    id: "modelId",
    target_id: "targetModelId",
    target_location: "targetModelLocation",
    operation_kind: "documentModelCopyTo",
};

const CLASSIFIER_NAMES: Names = Names {
    collection: "documentClassifiers",
    id: "classifierId",
    target_id: "targetClassifierId",
    target_location: "targetClassifierLocation",
    operation_kind: "documentClassifierCopyTo",
};

fn names(collection: Collection) -> &'static Names {
    if collection == Collection::DocumentClassifiers { &CLASSIFIER_NAMES } else { &MODEL_NAMES }
}

impl DocumentModels {
    fn names(&self) -> &'static Names {
        names(self.collection)
    }

    fn url(&self, account: &Account, path: &str) -> String {
        let Account { endpoint, .. } = account;
        format!("{endpoint}/{}/{path}?api-version={}", self.version.service(), self.version.date())
    }

    fn next_link(&self, account: &Account, collection: &str, page: usize) -> String {
        format!("{}&{NEXT_PAGE}={}", self.url(account, collection), page + 1)
    }

    fn authorize(&self, account: &mut Account, cx: &mut Context<'_>) -> Result<Reply, Failure> {
        let (body, names) = (cx.request.json(), self.names());
        let id = body.get(names.id).and_then(Value::as_str).ok_or_else(|| parameter_missing(names.id))?;
        if id.parse::<ModelId>().is_err() {
            let message = format!("The parameter {} is invalid.", names.id);
            return Err(Failure::new(400, "InvalidArgument", "InvalidParameter", message));
        }
        let description = body.get("description").and_then(Value::as_str).unwrap_or_default();
        if description.chars().count() > 4096 {
            let message = "The parameter description is too long.";
            return Err(Failure::new(400, "InvalidArgument", "InvalidParameterLength", message));
        }
        cx.inject_fault(Step::Authorize)?;
        let limit = cx.max_models.unwrap_or(MAX_MODELS);
        let count = account.count(self.collection) + account.reserved(self.collection);
        if self.collection == Collection::DocumentModels && count >= limit {
            let message = format!("Account can't create more than {limit} models.");
            return Err(Failure::new(400, "InvalidRequest", "DocumentModelLimit", message));
        }
        if account.get(self.collection, id).is_some() || account.is_reserved(self.collection, id) {
            return Err(Failure::new(409, "Conflict", "ModelExists", "A model with the provided name already exists."));
        }
        let expires = cx.authorization_end(AUTHORIZATION_LIFETIME);
        let payload = json!({
            "targetResourceId": account.resource_id,
            "targetResourceRegion": account.region.name,
            names.target_id: id,
            names.target_location: self.url(account, &format!("{}/{id}", names.collection)),
            "accessToken": new_id(),
            "expirationDateTime": account.date(expires),
        });
        account.reservations.push(Reservation {
            collection: self.collection,
            id: id.to_owned(),
            expires,
            used: false,
            payload: payload.clone(),
            description: body.get("description").cloned(),
            tags: body.get("tags").cloned(),
        });
        Ok(Reply::ok(payload))
    }

    /// The copy as the service stores it. Which fields it takes from the source depends on the version.
    fn copy_of(&self, request: &CopyRequest, reservation: &Reservation, created: String) -> Stored {
        let mut copy = request.model.clone();
        let Some(body) = copy.body.as_object_mut() else { return copy };
        body.insert(self.names().id.into(), json!(reservation.id));
        if self.version.has_modification_date() {
            let trained = body.get("modifiedDateTime").or_else(|| body.get("createdDateTime")).cloned();
            body.insert("modifiedDateTime".into(), trained.unwrap_or_default());
            body.insert("createdDateTime".into(), Value::String(created));
        }
        // Without a description in the request, a classifier keeps the source's. A classifier never has tags.
        let is_classifier = self.collection == Collection::DocumentClassifiers;
        match &reservation.description {
            Some(description) => body.insert("description".into(), description.clone()),
            None if is_classifier => None,
            None => body.remove("description"),
        };
        match &reservation.tags {
            Some(tags) if !is_classifier => body.insert("tags".into(), tags.clone()),
            _ => body.remove("tags"),
        };
        if self.version.renames_document_type()
            && let Some(types) = body.get_mut("docTypes").and_then(Value::as_object_mut)
            && let Some(only) = types.remove(&request.source_id)
        {
            types.insert(reservation.id.clone(), only);
        }
        copy
    }

    fn operation(&self, account: &Account, id: &str, cx: &Context<'_>) -> Result<Reply, Failure> {
        let operation =
            account.operations.get(id).filter(|operation| self.shows(operation)).ok_or_else(operation_not_found)?;
        let mut body = summary_of(id, operation, account, cx);
        if operation.ended {
            match &operation.outcome {
                Outcome::Copied { copy, .. } => body["result"] = copy.body.clone(),
                Outcome::Failed(failure) => body["error"] = failure.operation_error(),
            }
        }
        Ok(Reply::ok(body))
    }

    /// Whether this version shows an operation: none of v2.1, and those of classifiers not before their version.
    fn shows(&self, operation: &Operation) -> bool {
        let is_model = operation.collection == Collection::DocumentModels;
        operation.version.is_some_and(|version| is_model || self.version >= version)
    }

    fn get(&self, account: &Account, id: &str) -> Result<Reply, Failure> {
        let model = account.get(self.collection, id).ok_or_else(Failure::model_not_found)?;
        Ok(Reply::ok(self.supported(model)?.body.clone()))
    }

    /// Fails if the model was trained with a newer version.
    fn supported<'m>(&self, model: &'m Stored) -> Result<&'m Stored, Failure> {
        let trained_with = model.body.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        if model.prebuilt || self.version.supports(trained_with) {
            return Ok(model);
        }
        let message = format!("The requested operation requires {trained_with} or later.");
        Err(Failure::new(400, "InvalidRequest", "NotSupportedApiVersion", message))
    }

    fn delete(&self, account: &mut Account, id: &str) -> Result<Reply, Failure> {
        if account.delete(self.collection, id) {
            Ok(Reply::new(StatusCode::NO_CONTENT, None))
        } else {
            Err(Failure::model_not_found())
        }
    }

    fn analyze(&self, account: &mut Account, id: &str, cx: &Context<'_>) -> Result<Reply, Failure> {
        let model = account.get(self.collection, id).ok_or_else(Failure::model_not_found)?;
        let body = &self.supported(model)?.body;
        analysis::check_document(cx)?;
        let result = analysis::document_result(body, self.collection, self.version, id, cx.request.body);
        let analysis = analysis::start((self.collection, id), result, cx);
        let result_id = new_id();
        let url = self.url(account, &format!("{}/{id}/analyzeResults/{result_id}", self.names().collection));
        Ok(analysis::accept(account, result_id, url, analysis))
    }

    fn list(&self, account: &Account, page: usize) -> Reply {
        let (models, has_more) =
            account.page(self.collection, page, PAGE_SIZE, |stored| self.supported(stored).is_ok());
        let items = models.into_iter().map(|model| self.list_item(model)).collect();
        page_of(items, has_more.then(|| self.next_link(account, self.names().collection, page)))
    }

    /// A model without the fields that only a GET of it, or a later version, returns.
    fn list_item(&self, model: &Stored) -> Value {
        let mut body = model.body.clone();
        let Some(fields) = body.as_object_mut() else { return body };
        if !self.version.has_modification_date() {
            fields.remove("modifiedDateTime");
        }
        if !self.version.lists_document_types() && self.collection == Collection::DocumentModels {
            fields.remove("docTypes");
        }
        if !self.version.has_expiration_date() {
            fields.remove("expirationDateTime");
        }
        body
    }

    fn operations(&self, account: &Account, page: usize, cx: &Context<'_>) -> Reply {
        let shown = account.operations.iter().filter(|(_, operation)| self.shows(operation));
        let (operations, has_more) = one_page(shown, page, PAGE_SIZE);
        let items = operations.into_iter().map(|(id, operation)| summary_of(id, operation, account, cx)).collect();
        page_of(items, has_more.then(|| self.next_link(account, "operations", page)))
    }

    fn info(&self, account: &Account, cx: &Context<'_>) -> Reply {
        let (count, limit) = (account.count(Collection::DocumentModels), cx.max_models.unwrap_or(MAX_MODELS));
        let mut body = json!({"customDocumentModels": {"count": count, "limit": limit}});
        if self.version.info_has_neural_quota() {
            body["customNeuralDocumentModelBuilds"] =
                json!({"used": 0, "quota": 20, "quotaResetDateTime": "2099-01-01T00:00:00Z"});
        }
        Reply::ok(body)
    }
}

/// An operation as a list shows it. A GET of an ended operation adds the result or the error.
fn summary_of(id: &str, operation: &Operation, account: &Account, cx: &Context<'_>) -> Value {
    let elapsed = operation.created.duration_until(cx.now);
    let is_running = elapsed * 2 >= operation.created.duration_until(operation.ends);
    let (status, updated) = match (&operation.outcome, operation.ended) {
        (_, false) if is_running => ("running", operation.created),
        (_, false) => ("notStarted", operation.created),
        (Outcome::Copied { .. }, true) => ("succeeded", operation.ends),
        (Outcome::Failed(_), true) => ("failed", operation.ends),
    };
    let mut body = json!({
        "operationId": id,
        "kind": names(operation.collection).operation_kind,
        "status": status,
        "createdDateTime": account.date(operation.created),
        "lastUpdatedDateTime": account.date(updated),
        "resourceLocation": operation.location,
    });
    if operation.ended {
        // Absent before the end; 100 even if the operation failed.
        body["percentCompleted"] = json!(100);
    }
    if let Some(version) = operation.version.filter(|version| version.operation_has_api_version()) {
        body["apiVersion"] = json!(version.date());
    }
    body
}

/// A page of a list. The last page has no link.
fn page_of(items: Vec<Value>, next: Option<String>) -> Reply {
    let mut body = json!({"value": Value::Array(items)});
    if let Some(next) = next {
        body["nextLink"] = json!(next);
    }
    Reply::ok(body)
}

fn operation_not_found() -> Failure {
    let message =
        "The requested operation was not found. The identifier may be invalid or the operation may have expired.";
    Failure::new(404, "NotFound", "OperationNotFound", message)
}

fn parameter_missing(name: &str) -> Failure {
    Failure::new(400, "InvalidArgument", "ParameterMissing", format!("The parameter {name} is required."))
}

fn authorization_failed(reason: &str) -> Failure {
    Failure::new(200, "Forbidden", "AuthorizationFailed", format!("Authorization failed: {reason}"))
}
