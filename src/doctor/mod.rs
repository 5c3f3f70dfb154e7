//! Examines resources before a copy needs them: network, authentication, API versions, room, tier, region and clock. It
//! only reads.

mod account;
mod finding;
mod region;
mod versions;

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::auth::AuthMethod;
use crate::client::{CallContext, Client, Connection, Stage, failed_stage};
use crate::error::{Error, ErrorKind};
use crate::inventory::shortage;
use crate::resource::{Endpoint, Region, Resource, Side, TargetAddress};
use account::tier_finding;
pub(crate) use account::{Account, AccountQuery};
pub(crate) use finding::{Check, CheckResult, Finding, complete};
use region::Place;
use versions::Versions;

/// A larger difference of the clocks gets a warning.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);
/// A target with room for less than this part of its limit gets a warning.
const LITTLE_ROOM: u64 = 20;

/// A resource to examine.
pub(crate) struct Subject {
    /// Its endpoint and credential, and its side.
    pub resource: Resource,
    /// Where it is in Azure, as far as the settings say.
    pub address: Option<TargetAddress>,
}

/// Says what an endpoint is. Its form was checked when it was parsed.
pub(crate) fn endpoint_form(endpoint: &Endpoint) -> Finding {
    let what = match () {
        () if endpoint.is_loopback() => "an address on this machine",
        () if endpoint.is_regional() => "the address of a region, which accepts keys and no tokens",
        () => "the resource's own address",
    };
    Finding::fine(Check::Endpoint, format!("{endpoint}, {what}"))
}

/// Examines resources at the same time, and asks for the account of each. Returns the findings of each, without those about settings.
///
/// # Errors
/// When the command is cancelled.
pub(crate) async fn examine(
    subjects: &[Subject],
    accounts: Vec<AccountQuery>,
    context: &CallContext<'_>,
) -> Result<Vec<Vec<Finding>>, Error> {
    let reading = join_all(subjects.iter().map(|subject| Examination::of(subject, context.clone())));
    let asking = join_all(accounts);
    let (examinations, accounts) = tokio::select! {
        both = async { tokio::join!(reading, asking) } => both,
        () = context.cancel.cancelled() => return Err(Error::interrupted("interrupted")),
    };
    let findings = examinations.iter().zip(subjects).zip(&accounts).map(|((examination, subject), account)| {
        let place = Place {
            subject,
            shown: examination.region.as_ref(),
            account: account.as_ref().ok(),
            waiting: waiting_for(subject, examinations.iter().zip(subjects)),
        };
        let region = examination.was_answered.then(|| place.finding());
        [tier_finding(account)].into_iter().chain(region)
    });
    let more: Vec<_> = findings.map(Vec::from_iter).collect();
    Ok(examinations.into_iter().zip(more).map(|(one, more)| one.findings.into_iter().chain(more).collect()).collect())
}

/// How many models of the sources of a resource it can receive only with its address: every other named resource can be
/// one.
fn waiting_for<'a>(target: &Subject, all: impl Iterator<Item = (&'a Examination, &'a Subject)>) -> u64 {
    let is_source = |source: &Subject| match source.resource.side {
        Side::Source => true,
        Side::Target => false,
        Side::Alone => source.resource.endpoint != target.resource.endpoint,
    };
    let counts = all.filter(|(_, source)| is_source(source)).flat_map(|(examination, _)| &examination.counts);
    counts.filter(|(version, _)| version.wire().needs_target_address()).map(|(_, capacity)| capacity.count).sum()
}

/// What the reads of one resource have shown.
#[derive(Default)]
struct Examination {
    findings: Vec<Finding>,
    /// The capacity of each group of versions that share their models, by the version that was asked.
    counts: Vec<(ApiVersion, Capacity)>,
    /// Whether a server answered.
    was_answered: bool,
    /// The region as the answers name it.
    region: Option<Region>,
}

impl Examination {
    async fn of(subject: &Subject, context: CallContext<'_>) -> Self {
        let mut examination = Self::default();
        match Connection::http(&subject.resource) {
            Ok(connection) => examination.read(subject, &connection.client(context)).await,
            Err(error) => examination.findings.push(Finding::failed(Check::Connection, error)),
        }
        examination
    }

    async fn read(&mut self, subject: &Subject, client: &Client<'_>) {
        let started = Instant::now();
        let FirstExchange { unanswered, refused, answer } = FirstExchange::of(client).await;
        let took = started.elapsed();
        let failed_at = unanswered.as_ref().map(|error| failed_stage(error).unwrap_or(Stage::Connection));
        if failed_at != Some(Stage::Name) {
            self.findings.push(name_finding(client.addresses().await));
        }
        self.findings.extend(refused.map(|error| Finding::failed(Check::Authentication, error)));
        if let Some(error) = unanswered {
            let check = if failed_at == Some(Stage::Name) { Check::Name } else { Check::Connection };
            return self.findings.push(Finding::failed(check, error));
        }
        self.findings.push(connection_finding(&subject.resource, took));
        self.was_answered = true;
        self.region = client.service_region().and_then(|region| region.raw().parse().ok());
        self.findings.push(clock_finding(client.service_time(), Timestamp::now()));
        let Some(answer) = answer else { return };
        match Versions::read(client, answer).await {
            Ok(versions) => {
                self.findings.push(authentication_finding(&subject.resource));
                self.findings.push(versions.finding(client.side()));
                self.findings.extend(room_finding(client.side(), &versions.counts));
                self.counts = versions.counts;
            }
            Err(error) if error.kind() == ErrorKind::Credentials => {
                self.findings.push(Finding::failed(Check::Authentication, error));
            }
            Err(error) => self.findings.push(Finding::failed(Check::Versions, error)),
        }
    }
}

/// The first exchange with a resource: the read of how many models it has, by the newest version.
#[derive(Default)]
struct FirstExchange {
    /// Why no answer came.
    unanswered: Option<Error>,
    /// Why there is no token, or the service's refusal of the key or token.
    refused: Option<Error>,
    /// Any other answer.
    answer: Option<Result<Capacity, Error>>,
}

impl FirstExchange {
    async fn of(client: &Client<'_>) -> Self {
        let call = ApiVersion::newest().wire().capacity();
        if let Err(error) = client.authenticate().await {
            return Self { unanswered: client.reach(&call).await.err(), refused: Some(error), answer: None };
        }
        match client.read_soon(&call).await {
            Err(error) if !was_answered(&error) => Self { unanswered: Some(error), ..Self::default() },
            Err(error) if error.kind() == ErrorKind::Credentials => Self { refused: Some(error), ..Self::default() },
            answer => Self { answer: Some(answer), ..Self::default() },
        }
    }
}

/// Whether a server answered, if not with what was asked for.
fn was_answered(error: &Error) -> bool {
    error.http_status().is_some() || error.kind() == ErrorKind::Unforeseen
}

/// The server answered: its name has an address, for this machine or for its proxy.
fn name_finding(addresses: Option<Vec<IpAddr>>) -> Finding {
    let what = match addresses.filter(|addresses| !addresses.is_empty()) {
        Some(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        None => "resolved by the proxy; this machine has no address for it".into(),
    };
    Finding::fine(Check::Name, what)
}

fn connection_finding(resource: &Resource, took: Duration) -> Finding {
    let how = if resource.endpoint.to_string().starts_with("https:") {
        "its certificate is trusted"
    } else {
        "without TLS, on this machine"
    };
    Finding::fine(Check::Connection, format!("answered in {} ms; {how}", took.as_millis()))
}

fn authentication_finding(resource: &Resource) -> Finding {
    Finding::fine(
        Check::Authentication,
        match resource.credential.auth_method() {
            AuthMethod::Key => "the key is accepted",
            AuthMethod::Token => "the token is accepted, and its role may read",
        },
    )
}

/// How many models there are and may be. None where no answer says it. Only a target needs room.
fn room_finding(side: Side, counts: &[(ApiVersion, Capacity)]) -> Option<Finding> {
    let texts = counts.iter().map(|(version, Capacity { count, limit })| {
        let group = version.group_name();
        format!("{group}: {count} of {limit} models")
    });
    let what = texts.collect::<Vec<_>>().join("; ");
    if side == Side::Source || counts.is_empty() {
        return (!counts.is_empty()).then(|| Finding::fine(Check::Room, what));
    }
    if let Some(error) = counts.iter().find_map(|(_, capacity)| shortage(*capacity, 1)) {
        let message = format!("the target has no room for another model ({what})");
        return Some(Finding::failed(Check::Room, error.with_message(message)));
    }
    let has_little = |(_, capacity): &(ApiVersion, Capacity)| capacity.room() < capacity.limit / LITTLE_ROOM;
    Some(if counts.iter().any(has_little) {
        let remedy = "delete models that are not needed from the target resource, or raise its pricing tier";
        Finding::warning(Check::Room, format!("little room: {what}"), remedy)
    } else {
        Finding::fine(Check::Room, what)
    })
}

/// Compares the clocks. A difference is only a warning: no decision of a copy compares them, but Entra ID does.
fn clock_finding(service: Option<Timestamp>, local: Timestamp) -> Finding {
    let Some(service) = service else { return Finding::fine(Check::Clock, "the answers have no date") };
    let difference = service.duration_until(local);
    let seconds = difference.unsigned_abs().as_secs();
    if difference.unsigned_abs() <= MAX_CLOCK_DIFFERENCE {
        return Finding::fine(Check::Clock, format!("within {seconds} s of the service's"));
    }
    let which = if difference.is_positive() { "ahead of" } else { "behind" };
    Finding::warning(
        Check::Clock,
        format!("the local clock is {seconds} s {which} the service's"),
        "set the clock of this machine: tokens and expiry dates are judged by it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(finding: &Finding) -> String {
        match &finding.result {
            CheckResult::Fine(what) => format!("ok: {what}"),
            CheckResult::Warning { what, .. } => format!("warning: {what}"),
            CheckResult::Failed(error) => format!("failed: {error}"),
            CheckResult::NotChecked(why) => {
                format!("not checked{}", why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())
            }
        }
    }

    #[test]
    fn a_clock_that_differs_by_more_than_a_minute_gets_a_warning() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        for (service, local, expected) in [
            (0, 60, "ok: within 60 s of the service's"),
            (0, 61, "warning: the local clock is 61 s ahead of the service's"),
            (300, 0, "warning: the local clock is 300 s behind the service's"),
        ] {
            assert_eq!(what(&clock_finding(Some(at(service)), at(local))), expected);
        }
        assert_eq!(what(&clock_finding(None, at(0))), "ok: the answers have no date");
    }

    #[test]
    fn only_a_target_needs_room() {
        let room = |side, count| {
            let counts = [(ApiVersion::newest(), Capacity { count, limit: 100 })];
            room_finding(side, &counts).as_ref().map(what).unwrap_or_default()
        };
        assert_eq!(room(Side::Target, 4), "ok: v3.0 and later: 4 of 100 models");
        assert_eq!(room(Side::Target, 96), "warning: little room: v3.0 and later: 96 of 100 models");
        assert!(room(Side::Target, 100).starts_with("failed: the target has no room"));
        assert_eq!(room(Side::Source, 100), "ok: v3.0 and later: 100 of 100 models");
        assert!(room_finding(Side::Target, &[]).is_none());
    }

    #[test]
    fn checks_that_were_not_made_are_named_in_their_order() {
        let findings = complete(vec![Finding::fine(Check::Clock, ""), Finding::fine(Check::Settings, "")]);
        assert_eq!(findings.iter().map(|finding| finding.check).collect::<Vec<_>>(), Check::ALL);
        assert_eq!(findings.iter().filter(|finding| what(finding) == "not checked").count(), 8);
    }
}
