//! Copies: one ([`copy`]), many ([`copy_batches`]), a running one ([`wait`]), and one between two parties
//! ([`authorize()`], [`copy_delegated`], [`revoke`]).
//!
//! The three calls of a copy are in `transfer`, from top to bottom. `run` does what comes before: preflight, and the
//! decision where the target already has the id. `turn` waits until the copy may begin. The steps are `authorize`, `start`, `poll` and `settle`; `release` and
//! `verify` belong to the last one.

mod active_targets;
mod adopt;
mod authorize;
mod authorized;
mod batch;
mod batch_event;
mod batch_ids;
mod batch_queue;
mod batch_targets;
mod blank_models;
mod context;
mod copied_training;
mod copy_to;
mod delegated;
mod event;
mod give_up;
#[cfg(all(test, feature = "emulator"))]
mod guarantees;
mod if_exists;
mod journal;
mod no_such_model;
mod offers;
mod plan;
mod poll;
mod preflight;
mod release;
mod replace;
mod report;
mod reserve;
mod resume;
mod run;
mod running;
mod search;
mod settle;
mod start;
mod target_list;
mod transfer;
mod turn;
mod unfinished;
mod verify;
mod watch;
mod watch_command;

pub(crate) use batch::{BatchPlan, Summary};
pub(crate) use batch_event::BatchEvent;
pub(crate) use batch_targets::{copy_batches, dry_run_batches};
pub(crate) use delegated::{AuthorizePlan, DelegatedPlan, authorize, copy_delegated, dry_run_delegated, revoke};
pub use event::{Event, Observer};
pub(crate) use journal::{
    Announced, AuthorizeEntry, CopyOf, EntryId, Journal, OpenCopy, OpenOperations, OpenStep, StartEntry, Unfinished,
};
pub use plan::{CopyOptions, IfExists, Plan};
pub(crate) use plan::{is_staging, staging_id};
pub(crate) use preflight::version_of;
pub(crate) use release::MAX_LOST_DELETES;
pub use report::{Outcome, Report, RequestIds};
pub(crate) use resume::{WaitPlan, finish_each, wait, wait_for_each};
pub use run::{copy, dry_run};
pub(crate) use running::DATE_ROUNDING;
pub(crate) use watch::{WatchPlan, watch};
