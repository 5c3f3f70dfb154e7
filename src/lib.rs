//! Copies custom models between Azure Form Recognizer / Document Intelligence resources.
//!
//! The service offers three calls: authorize on the target, start on the source, poll the Operation-Location.
//! This library does them so that no model id is burned, no operation is lost, no false verdict is given and no
//! key leaks. The rooms, from the ground up:
//!
//! | room | what for |
//! |---|---|
//! | [`resource`], [`model`], [`authorization`], [`operation`] | the service's nouns, checked when they are made |
//! | [`credential`] | keys and tokens |
//! | [`error`] | what happened, what it means, what to do, and the request id |
//! | [`api`] | the wire of every API version, without I/O |
//! | [`client`] | the only room that opens a socket |
//! | [`handover`] | an authorization on its way between two parties |
//! | [`poll`] | asks until an operation is done, under a deadline |
//! | [`inventory`] | what one resource has |
//! | [`selection`] | which of its models are meant |
//! | [`training`] | whether two models come from the same training |
//! | [`check`] | what the one resource has and the other has not |
//! | [`copy`](mod@copy) | the pipeline: look, authorize, start, follow, verify |
//! | `emulator` | the service on this machine, for rehearsals and tests (a feature, on by default) |

pub mod api;
pub mod authorization;
mod backoff;
pub mod check;
pub mod client;
pub mod copy;
pub mod credential;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod error;
mod guid;
pub mod handover;
pub mod inventory;
pub mod model;
pub mod operation;
pub mod poll;
pub mod resource;
pub mod secrets;
pub mod selection;
pub mod stop;
pub mod training;
