//! What can happen to a request of the modelled service.

use proptest::prelude::*;

/// The fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// No connection.
    NotSent,
    /// No address for the host, or a certificate that is not trusted.
    UnknownHost,
    /// Sent, and never received.
    LostOnTheWay,
    /// Received and carried out; the answer is lost.
    AnswerLost,
    /// The answer is lost, and a mutating request is carried out this many seconds later.
    LateEffect(u64),
    /// Refused by a gateway.
    Status(u16),
    /// Refused by the service itself, with 400.
    Refused,
    /// Rate limited by the service itself, with this `Retry-After`.
    RetryAfter(u16),
    /// Carried out, and answered by a gateway with this status.
    StatusAfterwards(u16),
    /// Carried out, and answered with a page of HTML.
    Html,
    /// Carried out, and half of the answer is received.
    Truncated,
    /// Carried out, and answered without an Operation-Location, or with one on another host.
    NoLocation,
    StrangeLocation,
    /// No answer within the time limit.
    Hang,
    /// A list is answered with the service's own 404.
    ListNotFound,
    /// A list lacks its first entry. It happens once: a list that never shows an entry cannot be told from one without it.
    EntryMissing,
    /// A list has its first entry twice.
    EntryTwice,
    /// The first entry of a list cannot be read. It happens once.
    EntryUnreadable,
    /// A page of a list has a link to itself.
    LinkToItself,
    /// The answer to the read of a model or an operation is about another model.
    OtherId,
}

/// Seconds after which what has happened is shown. How many is not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Delays {
    /// Until the source lists an operation.
    pub(super) listed_after: i64,
    /// Until the target shows a copy (v3.0 and later).
    pub(super) shown_after: i64,
}

pub(super) const EVERY_FAULT: [Fault; 36] = [
    Fault::NotSent,
    Fault::UnknownHost,
    Fault::LostOnTheWay,
    Fault::AnswerLost,
    Fault::LateEffect(1),
    Fault::LateEffect(5),
    Fault::Status(400),
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(404),
    Fault::Status(408),
    Fault::Status(410),
    Fault::Refused,
    Fault::Status(500),
    Fault::Status(502),
    Fault::Status(503),
    Fault::RetryAfter(1),
    Fault::RetryAfter(43),
    Fault::Status(409),
    Fault::StatusAfterwards(403),
    Fault::StatusAfterwards(404),
    Fault::StatusAfterwards(429),
    Fault::StatusAfterwards(499),
    Fault::StatusAfterwards(500),
    Fault::StatusAfterwards(503),
    Fault::Html,
    Fault::Truncated,
    Fault::NoLocation,
    Fault::StrangeLocation,
    Fault::Hang,
    Fault::ListNotFound,
    Fault::EntryMissing,
    Fault::EntryTwice,
    Fault::EntryUnreadable,
    Fault::LinkToItself,
    Fault::OtherId,
];

pub(super) fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![2 => Just(Fault::Nothing), 3 => proptest::sample::select(EVERY_FAULT.to_vec())]
}
