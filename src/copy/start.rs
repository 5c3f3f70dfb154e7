//! The second call: the source starts the copy.
//!
//! Where the start request gets no usable answer of the service, the copy may be running. The service accepts an
//! authorization for one copy only, so the same start may be sent again with the same authorization without making a second
//! copy. What a later answer cannot do is to judge the first start: its refusal may mean "already used". So [`recover`]
//! looks first, repeats, looks again, and reports the id as unused only on proof.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::authorized::Authorized;
use super::context::Context;
use super::event::Event;
use super::journal::StartEntry;
use super::poll::{Polling, Verdict, failure, poll};
use super::running::{LOOKS_FOR_PROOF, PROOF_INTERVAL};
use super::search::{Evidence, Search};
use super::watch_command::watch_it;
use crate::api::service_error;
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::ModelId;
use crate::operation::OperationUrl;

/// How often a start request is repeated at most.
const MAX_REPEATS: u32 = 5;
/// Looks before a repeat after an answer of the service, such as a 500: it does not work on the request any more.
const LOOKS_AFTER_ANSWER: [u64; 2] = [0, 1];
/// Looks before a repeat where the service may still be working on the request: it was lost on its way, or timed out. The
/// list of operations shows an accepted copy soon; otherwise only the ready copy shows, after 25 s at most in recorded
/// traffic.
const LOOKS_WITH_LIST: [u64; 4] = [0, 1, 2, 4];
const LOOKS_WITHOUT_LIST: [u64; 7] = [0, 1, 2, 4, 8, 15, 30];
/// How long the service may be working on a start request: as long as the last of the looks above is after the first.
const SERVICE_MAY_WORK: SignedDuration = SignedDuration::from_secs(60);
/// How long a copy without proof is looked for.
const SEARCH_TIME: Duration = Duration::from_secs(10 * 60);
/// How long before its expiry an authorization is not used any more.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5 * 60);

/// The result of a start.
pub(super) enum Start {
    /// The source has accepted it.
    Accepted(OperationUrl),
    /// The target already shows the copy, ready.
    Ready,
    /// The service refused it, it was not sent, or it is proved that it was not carried out.
    Refused(Error),
    /// It is not known whether the service accepted it.
    Unknown(Error),
}

/// Sends the start request. Where its answer is lost, finds out what became of it.
pub(super) async fn start(cx: &Context<'_>, source_id: &ModelId, authorized: Authorized<'_>) -> Start {
    if let Err(error) = cx.source.check_may_mutate().and_then(|()| write_to_journal(cx, &authorized)) {
        return Start::Refused(error);
    }
    let search = Search::new(cx, &authorized);
    match send_start(cx, source_id, &authorized).await {
        Ok(operation) => Start::Accepted(operation),
        // A conflict may be about the copy itself, whose first request was repeated by a proxy.
        Err(error) if error.is_ambiguous() || error.is_conflict() => {
            cx.emit(Event::RecoveringStart { error: &error });
            let looks = looks_before_repeat(&authorized, &error);
            recover(cx, source_id, &authorized, search, looks, error).await
        }
        // It may have been used by a request that was answered with a 429.
        Err(error) if error.service().is_some_and(service_error::is_about_authorization) => {
            let evidence = search.look().await;
            found(cx, &search, &authorized, evidence).await.unwrap_or(Start::Refused(error))
        }
        Err(error) => Start::Refused(error),
    }
}

/// Finds out what became of a start request that an earlier run may have sent, and repeats it if it was not accepted.
/// `since` is the time of that request by the source's clock.
pub(super) async fn continue_start(
    cx: &Context<'_>,
    source_id: &ModelId,
    authorized: &Authorized<'_>,
    since: Option<Timestamp>,
) -> Start {
    let search = Search::for_earlier_run(cx, authorized, since);
    let error = Error::new(ErrorKind::UnderWay, "an earlier command ended before it knew whether its copy was started")
        .with_delivery(Delivery::Unanswered);
    cx.emit(Event::RecoveringStart { error: &error });
    let age = cx.source.service_time().zip(since).map(|(now, since)| since.duration_until(now));
    let is_old = age.is_some_and(|age| age > SERVICE_MAY_WORK);
    let looks = if is_old { &LOOKS_AFTER_ANSWER[..] } else { looks_before_repeat(authorized, &error) };
    recover(cx, source_id, authorized, search, looks, error).await
}

/// Writes the authorization to the journal, before it is used.
fn write_to_journal(cx: &Context<'_>, authorized: &Authorized<'_>) -> Result<(), Error> {
    let Authorized { version, copy, authorization, .. } = authorized;
    let source_time = cx.source.service_time();
    let entry = StartEntry { version: *version, kind: copy.kind, address: copy.address(), authorization, source_time };
    cx.journal.before_start(authorized.entry, &entry)
}

async fn send_start(cx: &Context<'_>, source_id: &ModelId, authorized: &Authorized<'_>) -> Result<OperationUrl, Error> {
    let Authorized { version, copy, authorization, .. } = authorized;
    let mut call = version.wire().start(source_id, copy, authorization, cx.source.endpoint());
    if cx.options.allow_degrade {
        let request = call.request.clone().allowing_degrade();
        call = call.with_request(request);
    }
    if version.wire().limits_starts_per_minute() {
        cx.emit_waiting(*version);
    }
    let response = cx.source.send(&call, RetryPolicy::START).await;
    let target = cx.target.map(Client::label);
    let response = response.map_err(|error| service_error::of_start(error, cx.source.label(), target))?;
    cx.emit(Event::Started { operation: &response.value, request_id: response.request_id.as_ref() });
    Ok(response.value)
}

/// Looks for the copy, repeats the start with the same authorization, and looks again.
async fn recover(
    cx: &Context<'_>,
    source_id: &ModelId,
    authorized: &Authorized<'_>,
    mut search: Search<'_>,
    first_looks: &[u64],
    first: Error,
) -> Start {
    let mut last = first;
    for repeat in 1..=MAX_REPEATS {
        let looks = if repeat == 1 { first_looks } else { looks_before_repeat(authorized, &last) };
        if let Some(start) = look_several_times(cx, &search, authorized, looks).await {
            return start;
        }
        // A refusal ends the repeats: the authorization may be used.
        let is_refused = !last.is_ambiguous() || last.kind() == ErrorKind::Credentials;
        if is_refused || !may_repeat(cx, authorized) {
            break;
        }
        if cx.source.wait_before_retry(&last, repeat).await.is_err() {
            break;
        }
        search.repeat();
        last = match send_start(cx, source_id, authorized).await {
            Ok(operation) => match poll_repeated(cx, authorized, operation).await {
                Ok(start) => return start,
                Err(failure) => failure,
            },
            // Nothing new is known: the earlier answer is the one to report.
            Err(error) if error.delivery() == Delivery::NotSent => last,
            Err(error) => error,
        };
    }
    conclude(cx, &search, authorized, last).await
}

/// When to look before the start is repeated. After an answer of the service, two looks and the backoff are enough.
fn looks_before_repeat(authorized: &Authorized<'_>, last: &Error) -> &'static [u64] {
    let lists_operations = authorized.version.wire().lists_operations();
    match last.http_status() {
        // A gateway that timed out is no answer of the service.
        Some(status) if !matches!(status, 408 | 504) => &LOOKS_AFTER_ANSWER,
        _ if lists_operations => &LOOKS_WITH_LIST,
        _ => &LOOKS_WITHOUT_LIST,
    }
}

fn may_repeat(cx: &Context<'_>, authorized: &Authorized<'_>) -> bool {
    let is_valid = authorized.valid_until.is_some_and(|until| Instant::now() + EXPIRY_MARGIN < until);
    is_valid && cx.source.check_may_mutate().is_ok()
}

/// Looks at the given seconds after each other. None where nothing was found.
async fn look_several_times(
    cx: &Context<'_>,
    search: &Search<'_>,
    authorized: &Authorized<'_>,
    looks: &[u64],
) -> Option<Start> {
    for pause in looks {
        if cx.source.is_past_deadline() || cx.source.pause(Duration::from_secs(*pause)).await.is_err() {
            return None;
        }
        let evidence = search.look().await;
        if let Some(start) = found(cx, search, authorized, evidence).await {
            return Some(start);
        }
    }
    None
}

/// The result that the evidence shows. None where it shows nothing about the first start.
async fn found(
    cx: &Context<'_>,
    search: &Search<'_>,
    authorized: &Authorized<'_>,
    evidence: Evidence,
) -> Option<Start> {
    match evidence {
        Evidence::Operation(operation) => {
            cx.emit(Event::Started { operation: &operation, request_id: None });
            if search.is_repeated() {
                poll_repeated(cx, authorized, operation).await.ok()
            } else {
                Some(Start::Accepted(operation))
            }
        }
        Evidence::Ready => Some(Start::Ready),
        Evidence::Nothing { .. } => None,
    }
}

/// Polls an operation that may be that of a repeated start.
///
/// # Errors
/// Its failure. It does not judge the first start, whose copy may be running.
async fn poll_repeated(cx: &Context<'_>, authorized: &Authorized<'_>, operation: OperationUrl) -> Result<Start, Error> {
    match poll(cx, &Polling::accepted(authorized.version, &operation)).await {
        Verdict::Terminal { operation: ended, request_id } => match failure(cx, ended) {
            None => Ok(Start::Accepted(operation)),
            Some(error) => {
                cx.emit(Event::RepeatInconclusive);
                Err(error.with_request_id(request_id))
            }
        },
        Verdict::Ready => Ok(Start::Ready),
        Verdict::Open(error) => {
            cx.emit(Event::RepeatInconclusive);
            Ok(Start::Unknown(unknown_start(cx, error, authorized)))
        }
    }
}

/// After the last repeat: proves that no copy runs, or watches for it.
async fn conclude(cx: &Context<'_>, search: &Search<'_>, authorized: &Authorized<'_>, last: Error) -> Start {
    let until = Instant::now() + SEARCH_TIME;
    let mut proofs = 0;
    loop {
        let is_over = cx.source.is_cancelled() || cx.source.is_past_deadline() || Instant::now() >= until;
        if is_over || !search.can_find() {
            return Start::Unknown(unknown_start(cx, last, authorized));
        }
        let evidence = search.look().await;
        // Only consecutive looks that could read everything are a proof.
        proofs = if matches!(evidence, Evidence::Nothing { is_proof: true }) { proofs + 1 } else { 0 };
        if let Some(start) = found(cx, search, authorized, evidence).await {
            return start;
        }
        if proofs == LOOKS_FOR_PROOF {
            return Start::Refused(not_started(cx, last, search.is_repeated()));
        }
        drop(cx.source.pause(PROOF_INTERVAL).await);
    }
}

/// The error of a start that was not carried out. A refusal that is about the copy and not about its authorization stands.
fn not_started(cx: &Context<'_>, last: Error, is_repeated: bool) -> Error {
    let is_about_authorization =
        (is_repeated && last.is_conflict()) || last.service().is_some_and(service_error::is_about_authorization);
    let is_refused = matches!(last.delivery(), Delivery::Final(_)) && last.kind() != ErrorKind::Unforeseen;
    if is_refused && !is_about_authorization {
        return last;
    }
    Error::new(ErrorKind::Unavailable, format!("{} has not started the copy", cx.source.label()))
        .with_delivery(Delivery::NotProcessed)
        .with_source(last)
        .with_remedy("run the command again in a few minutes")
}

fn unknown_start(cx: &Context<'_>, error: Error, authorized: &Authorized<'_>) -> Error {
    let kind = match error.kind() {
        _ if cx.source.is_cancelled() => ErrorKind::Interrupted,
        ErrorKind::Credentials => ErrorKind::Credentials,
        _ => ErrorKind::UnderWay,
    };
    let id = &authorized.authorization.target_model_id;
    Error::new(kind, "the start request got no answer; the copy may be running")
        .with_delivery(Delivery::Unanswered)
        .with_source(error)
        .with_remedy(watch_it(authorized.version, authorized.copy.kind, id, cx.target))
}
