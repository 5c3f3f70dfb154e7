//! The modelled service: the emulator without a network, with faults, clocks of its own, and effects that come late.
//!
//! It checks what must hold after every request, and notes each violation.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::answers::{id_in, is_list, name_another_model, retain};
use super::faults::{Delays, Fault};
use crate::api::{Answer, Request};
use crate::auth::{Credential, Key};
use crate::client::Connection;
use crate::client::transport::{Limits, Sending, Transport};
use crate::copy::running::{LOOKS_FOR_PROOF, PROOF_INTERVAL, SLOW_LOOK};
use crate::emulator::in_memory::InMemoryEmulator;
use crate::emulator::{Collection, EmulatedResource};
use crate::error::{Delivery, Error, ErrorKind};
use crate::resource::{Resource, Side};

pub(super) const SOURCE: usize = 0;
pub(super) const TARGET: usize = 1;

/// What has happened to one run of the program, as far as its requests show.
pub(super) type Run = usize;

/// The two models that a replacement works with.
pub(super) struct Watched {
    pub(super) collection: Collection,
    pub(super) ids: [String; 2],
    /// The dates of the training that is to be copied.
    pub(super) dates: BTreeSet<String>,
}

impl Watched {
    /// Whether a model is a copy of the training that is to be copied.
    pub(super) fn is_current(&self, body: &Value) -> bool {
        dates(body).iter().any(|date| self.dates.contains(date))
    }
}

/// The dates that a model of v3.0 or later shows.
pub(super) fn dates(body: &Value) -> BTreeSet<String> {
    let dates = ["createdDateTime", "modifiedDateTime"].iter().filter_map(|name| body[name].as_str());
    dates.map(str::to_owned).collect()
}

/// The service and the faults of the requests to it, in their order.
pub(super) struct Service {
    pub(super) emulator: RefCell<InMemoryEmulator>,
    pub(super) faults: RefCell<VecDeque<Fault>>,
    /// What happens to each request to the target, between these seconds after the beginning.
    pub(super) outage: Cell<Option<(Fault, [u64; 2])>>,
    pub(super) epoch: Timestamp,
    pub(super) began: Instant,
    /// Every request and its fault.
    pub(super) sent: RefCell<Vec<String>>,
    /// The number of the request at which the command is cancelled.
    pub(super) stop_at: Cell<Option<usize>>,
    pub(super) cancel: CancellationToken,
    pub(super) delays: Delays,
    /// How many copies may run at the same time.
    pub(super) max_running: usize,
    pub(super) watched: Option<Watched>,
    late: RefCell<Vec<(Instant, usize, Run, Request)>>,
    /// What each run has read of each model of the target.
    read: RefCell<BTreeMap<(Run, String), Value>>,
    /// The runs whose authorization requests reserved an id.
    reserved_by: RefCell<BTreeMap<String, BTreeSet<Run>>>,
    /// When the last authorization for an id was issued.
    reserved_at: RefCell<BTreeMap<String, Timestamp>>,
    /// When a reserved id was last deleted.
    released_at: RefCell<BTreeMap<String, Timestamp>>,
    has_lied: Cell<bool>,
    /// Whether a request to the target was answered with 429.
    is_slow: Cell<bool>,
    /// Whether the source has answered a request.
    has_answered: Cell<bool>,
    violations: RefCell<Vec<String>>,
}

impl Service {
    pub(super) fn new(
        emulator: InMemoryEmulator,
        faults: &[Fault],
        stop_at: Option<usize>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            emulator: RefCell::new(emulator),
            faults: RefCell::new(faults.iter().copied().collect()),
            outage: Cell::default(),
            epoch: Timestamp::now(),
            began: Instant::now(),
            sent: RefCell::default(),
            stop_at: Cell::new(stop_at),
            cancel,
            delays: Delays::default(),
            max_running: usize::MAX,
            watched: None,
            late: RefCell::default(),
            read: RefCell::default(),
            reserved_by: RefCell::default(),
            reserved_at: RefCell::default(),
            released_at: RefCell::default(),
            has_lied: Cell::new(false),
            is_slow: Cell::new(false),
            has_answered: Cell::new(false),
            violations: RefCell::default(),
        }
    }

    /// The same, with what must hold after every request: how many copies may run, and what a replacement works with.
    pub(super) fn watching(self, max_running: usize, watched: Option<Watched>) -> Self {
        Self { max_running, watched, ..self }
    }

    /// The same, where the source belongs to another party, which is not asked before an id is authorized.
    pub(super) fn between_parties(self) -> Self {
        self.has_answered.set(true);
        self
    }

    /// The same, where what has happened is shown late.
    pub(super) fn with(self, delays: Delays) -> Self {
        Self { delays, ..self }
    }

    pub(super) fn at(&self, instant: Instant) -> Timestamp {
        self.epoch + SignedDuration::try_from(instant - self.began).unwrap()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// No more faults happen, and what is late is carried out.
    pub(super) async fn end_faults(&self) {
        self.faults.borrow_mut().clear();
        self.outage.set(None);
        self.stop_at.set(None);
        sleep(Duration::from_secs(20)).await;
        self.carry_out_late();
    }

    /// What must hold after every request and did not.
    pub(super) fn violations(&self) -> String {
        self.violations.borrow().join("; ")
    }

    pub(super) fn violate(&self, what: String) {
        self.violations.borrow_mut().push(what);
    }

    pub(super) fn log(&self) -> String {
        self.sent.borrow().join("\n")
    }

    fn carry_out_late(&self) {
        let now = Instant::now();
        let (due, rest) = self.late.take().into_iter().partition::<Vec<_>, _>(|(at, ..)| *at <= now);
        self.late.replace(rest);
        for (at, account, run, request) in due {
            self.sent.borrow_mut().push(format!("late: {request:?}"));
            self.carry_out(account, run, &request, self.at(at), true);
        }
    }

    /// Carries out one request, and checks what must hold afterwards.
    fn carry_out(
        &self,
        account: usize,
        run: Run,
        request: &Request,
        now: Timestamp,
        is_late: bool,
    ) -> (http::StatusCode, http::HeaderMap, Vec<u8>) {
        let mut emulator = self.emulator.borrow_mut();
        let violation = |what: String| self.violate(what);
        let id = id_in(request);
        let before_deletion = (request.method == Method::DELETE).then(|| {
            let all = [Collection::CustomModels, Collection::DocumentModels, Collection::DocumentClassifiers];
            let model = all.iter().find_map(|collection| emulator.ready(account, *collection, &id, now));
            (emulator.running(now), model, self.good(&mut emulator, now))
        });
        let answer = emulator.answer(account, request, now);
        let is_success = answer.0.is_success();
        match (&request.method, before_deletion) {
            (_, Some((running, before, good_before))) if is_success => {
                let is_own = self.reserved_by.borrow().get(&id).is_some_and(|runs| runs.contains(&run));
                // With two runs, a run whose authorization got no answer cannot tell its own reservation from the other's.
                let may_be_of_other_run = self.max_running > 1 && before.is_none() && !is_own;
                let is_known =
                    account == TARGET && self.max_running > 1 && self.is_in_a_known_window(&emulator, &id, now);
                if running.contains(&id) && !is_late && !is_known {
                    violation(format!("the target {id} of a running copy was deleted"));
                }
                let was_read = self.read.borrow().get(&(run, id.clone())).cloned();
                match before {
                    Some(before) if was_read.as_ref() != Some(&before) && !is_late && !is_known => {
                        violation(format!("the model {id} was deleted, and the run had not read it"));
                    }
                    Some(_) if self.watched.as_ref().is_none_or(|watched| !watched.ids.contains(&id)) => {
                        violation(format!("the model {id} was deleted, and it is no part of a replacement"));
                    }
                    None if !is_own && !may_be_of_other_run => {
                        violation(format!("the id {id} was deleted, and this run had not reserved it"));
                    }
                    None => drop(self.released_at.borrow_mut().insert(id.clone(), now)),
                    Some(_) => {}
                }
                let good = self.good(&mut emulator, now);
                // In a known window the copy of the other run is lost, and no more than that.
                let is_current_lost = good.1 < good_before.1.min(1) && !is_known;
                if good.0 < good_before.0.min(1) || is_current_lost {
                    violation(format!("the last good copy {id} was deleted"));
                }
            }
            (&Method::POST, _) if is_success && account == TARGET => {
                if !self.has_answered.get() {
                    violation("an id was authorized, and the source had not answered".to_owned());
                }
                let body: Value = serde_json::from_slice(&answer.2).unwrap_or_default();
                let names = ["modelId", "targetModelId", "targetClassifierId"];
                let reserved = names.iter().find_map(|name| body[name].as_str()).unwrap_or_default().to_owned();
                self.reserved_at.borrow_mut().insert(reserved.clone(), now);
                self.reserved_by.borrow_mut().entry(reserved).or_default().insert(run);
            }
            (&Method::POST, _) if is_success => {
                let running = emulator.running(now);
                if running.len() > self.max_running {
                    violation(format!("{running:?} run at the same time"));
                }
            }
            _ => {}
        }
        answer
    }

    /// Whether a deletion may meet the copy of the other run, as the manual says. On a slow resource, that copy was started
    /// between the read and the deletion. Else it is not listed yet, or was not during the last look, and three looks may end
    /// before it is: because it was started long after its authorization, or because both runs had lost an authorization and
    /// the other one has released the id just before.
    fn is_in_a_known_window(&self, emulator: &InMemoryEmulator, id: &str, now: Timestamp) -> bool {
        let (Some(started), Some(reserved)) = (emulator.started_at(id), self.reserved_at.borrow().get(id).copied())
        else {
            return false;
        };
        let proof = PROOF_INTERVAL * (LOOKS_FOR_PROOF - 1);
        let listed_after = Duration::from_secs(self.delays.listed_after.unsigned_abs());
        let waited = started.duration_since(reserved).unsigned_abs();
        let passed = now.duration_since(started).unsigned_abs();
        let is_released = self.released_at.borrow().get(id).is_some_and(|released| *released <= reserved);
        (self.is_slow.get() && passed < SLOW_LOOK)
            || ((is_released || waited + listed_after > proof) && passed < listed_after + SLOW_LOOK)
    }

    /// How many ready models a replacement has on the target, and how many of them are copies of the current training.
    fn good(&self, emulator: &mut InMemoryEmulator, now: Timestamp) -> (usize, usize) {
        let Some(watched) = &self.watched else { return (0, 0) };
        let ids = watched.ids.iter();
        let ready: Vec<_> = ids.filter_map(|id| emulator.ready(TARGET, watched.collection, id, now)).collect();
        (ready.len(), ready.iter().filter(|body| watched.is_current(body)).count())
    }
}

/// Whether a request may be carried out after its answer was lost: a start, or a deletion. An authorization that is carried
/// out late leaves an id that no client can know of.
fn may_be_late(account: usize, request: &Request) -> bool {
    request.method == Method::DELETE || (request.method == Method::POST && account == SOURCE)
}

/// The transport of one run to one resource.
pub(super) struct Modelled {
    service: Rc<Service>,
    account: usize,
    run: Run,
}

impl Modelled {
    async fn exchange(&self, resource: &Resource, request: &Request) -> Result<Answer, Error> {
        let Self { service, account, run } = self;
        let fault = service.faults.borrow_mut().pop_front().unwrap_or(Fault::Nothing);
        let at = service.began.elapsed().as_secs_f64();
        let fault = match service.outage.get() {
            Some((fault, [from, to]))
                if *account == TARGET && (from..to).contains(&service.began.elapsed().as_secs()) =>
            {
                fault
            }
            _ => fault,
        };
        service.sent.borrow_mut().push(format!("{at:.2} run {run} {} {request:?} {fault:?}", resource.side));
        if Some(service.sent.borrow().len()) == service.stop_at.get() {
            service.cancel.cancel();
        }
        sleep(Duration::from_millis(20)).await;
        service.carry_out_late();
        let unavailable = |delivery| Error::new(ErrorKind::Unavailable, format!("{fault:?}")).with_delivery(delivery);
        match fault {
            Fault::NotSent => return Err(unavailable(Delivery::NotSent)),
            Fault::UnknownHost => return Err(unavailable(Delivery::WrongHost)),
            Fault::LostOnTheWay => return Err(unavailable(Delivery::Unanswered)),
            Fault::Hang => {
                sleep(Duration::from_secs(30)).await;
                return Err(unavailable(Delivery::Unanswered));
            }
            Fault::LateEffect(seconds) => {
                if may_be_late(*account, request) {
                    let at = Instant::now() + Duration::from_secs(seconds);
                    service.late.borrow_mut().push((at, *account, *run, request.clone()));
                }
                return Err(unavailable(Delivery::Unanswered));
            }
            Fault::Status(status) => return Ok(self.answer(resource, request, status, &[])),
            Fault::Refused => return Ok(self.said(resource, request, 400, &[])),
            Fault::RetryAfter(seconds) => {
                service.is_slow.set(service.is_slow.get() || *account == TARGET);
                return Ok(self.said(resource, request, 429, &[("retry-after", &seconds.to_string())]));
            }
            _ => {}
        }
        let (status, headers, body) = service.carry_out(*account, *run, request, service.now(), false);
        let mut answer = Answer { status, body, ..self.answer(resource, request, 200, &[]) };
        answer.headers.extend(headers);
        self.delay(request, &mut answer);
        match fault {
            Fault::AnswerLost => return Err(unavailable(Delivery::Unanswered)),
            Fault::StatusAfterwards(status) => return Ok(self.answer(resource, request, status, &[])),
            Fault::Html => answer.body = b"<html></html>".to_vec(),
            Fault::Truncated => answer.body.truncate(answer.body.len() / 2),
            Fault::NoLocation => drop(answer.headers.remove("operation-location")),
            Fault::StrangeLocation => {
                if let Some(location) = answer.headers.get_mut("operation-location") {
                    *location = "https://evil.example/operations/1".parse().unwrap();
                }
            }
            Fault::OtherId if request.method == Method::GET && !is_list(request) => {
                if let Ok(mut body) = serde_json::from_slice(&answer.body) {
                    name_another_model(&mut body);
                    answer.body = body.to_string().into();
                }
            }
            _ if is_list(request) => self.damage_list(fault, request, &mut answer),
            _ => {}
        }
        if request.method == Method::GET
            && *account == TARGET
            && answer.status.is_success()
            && let Ok(body) = serde_json::from_slice(&answer.body)
        {
            service.read.borrow_mut().insert((*run, id_in(request)), body);
        }
        Ok(answer)
    }

    /// Leaves out what is not shown yet.
    fn delay(&self, request: &Request, answer: &mut Answer) {
        let Delays { listed_after, shown_after } = self.service.delays;
        let (now, path) = (self.service.now(), request.path_and_query.split('?').next().unwrap());
        let mut emulator = self.service.emulator.borrow_mut();
        let is_hidden = |emulator: &mut InMemoryEmulator, id: &str| {
            let copied = emulator.copied_at(id, now);
            copied.is_some_and(|copied| now < copied + SignedDuration::from_secs(shown_after))
        };
        if path.ends_with("/operations") {
            let since = emulator.clock(self.account, now) - SignedDuration::from_secs(listed_after);
            let is_listed = |item: &Value| {
                let created = item["createdDateTime"].as_str().unwrap().parse::<Timestamp>().unwrap();
                listed_after == 0 || created <= since
            };
            retain(answer, "value", is_listed);
        } else if request.method == Method::GET && self.account == TARGET && !path.contains("/custom/") {
            let ids = ["modelId", "classifierId"];
            let id = |item: &Value| ids.iter().find_map(|name| item[*name].as_str()).unwrap_or_default().to_owned();
            retain(answer, "value", |item| !is_hidden(&mut emulator, &id(item)));
            if answer.status.is_success() && is_hidden(&mut emulator, &id_in(request)) {
                answer.status = http::StatusCode::NOT_FOUND;
                let inner = json!({"code": "ModelNotFound", "message": "The requested model was not found."});
                let error = json!({"code": "NotFound", "message": "Resource not found.", "innererror": inner});
                answer.body = json!({"error": error}).to_string().into();
            }
        }
    }

    fn damage_list(&self, fault: Fault, request: &Request, answer: &mut Answer) {
        if fault == Fault::ListNotFound {
            answer.status = http::StatusCode::NOT_FOUND;
            answer.body = json!({"error": {"code": "NotFound", "message": "Resource not found."}}).to_string().into();
            return;
        }
        let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
        let name = if body.get("modelList").is_some() { "modelList" } else { "value" };
        let Some(entries) = body.get_mut(name).and_then(Value::as_array_mut) else { return };
        let is_empty = entries.is_empty();
        match fault {
            Fault::EntryMissing if !is_empty && !self.service.has_lied.replace(true) => drop(entries.remove(0)),
            Fault::EntryUnreadable if !is_empty && !self.service.has_lied.replace(true) => {
                entries[0] = json!({"modelId": 7, "operationId": 7, "createdDateTime": "yesterday"});
            }
            Fault::EntryTwice if !is_empty => {
                let first = entries[0].clone();
                entries.insert(0, first);
            }
            Fault::LinkToItself => {
                let resource = &self.service.emulator.borrow().resources[self.account];
                body["nextLink"] = json!(format!("{}{}", resource.endpoint, request.path_and_query));
            }
            _ => {}
        }
        answer.body = body.to_string().into();
    }

    /// An error in the service's own envelope.
    fn said(&self, resource: &Resource, request: &Request, status: u16, headers: &[(&str, &str)]) -> Answer {
        let error = json!({"error": {"code": status.to_string(), "message": "No."}});
        Answer { body: error.to_string().into(), ..self.answer(resource, request, status, headers) }
    }

    fn answer(&self, resource: &Resource, request: &Request, status: u16, headers: &[(&str, &str)]) -> Answer {
        let clock = self.service.emulator.borrow().clock(self.account, self.service.now());
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&clock).unwrap();
        let header = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        let date = [("date", date.as_str())];
        let headers = headers.iter().chain(&date).map(header);
        Answer {
            resource: Arc::clone(&resource.label),
            purpose: request.purpose.clone(),
            auth_method: resource.credential.auth_method(),
            received: self.service.now(),
            status: status.try_into().unwrap(),
            headers: headers.collect::<Vec<(http::HeaderName, http::HeaderValue)>>().into_iter().collect(),
            body: Vec::new(),
        }
    }
}

impl Transport for Modelled {
    fn send<'a>(&'a self, resource: &'a Resource, request: &'a Request, _: Limits) -> Sending<'a> {
        Box::pin(async {
            let answer = self.exchange(resource, request).await;
            let is_answered = answer.is_ok() && self.account == SOURCE;
            self.service.has_answered.set(self.service.has_answered.get() || is_answered);
            answer
        })
    }
}

/// A connection of the first run.
pub(super) fn modelled(service: &Rc<Service>, resource: &Resource) -> Connection {
    modelled_for(0, service, resource)
}

/// A connection of one of several runs.
pub(super) fn modelled_for(run: Run, service: &Rc<Service>, resource: &Resource) -> Connection {
    let account = if resource.side == Side::Target { TARGET } else { SOURCE };
    Connection::over(resource, Rc::new(Modelled { service: Rc::clone(service), account, run }))
}

pub(super) fn resource(side: Side, emulated: &EmulatedResource) -> Resource {
    let key = Key::new(&emulated.key.as_str().into()).unwrap();
    Resource::new(side, emulated.endpoint.parse().unwrap(), Credential::Key(key))
}
