//! Copies custom models between Azure Form Recognizer / Document Intelligence resources.
//!
//! The service offers three calls: authorize on the target, start on the source, poll the Operation-Location.
//! This library does them so that no model id is burned, no operation is lost, no false verdict is given and no
//! key leaks. The rooms, from the ground up:
//!
//! | room | what for |
//! |---|---|
//! | [`resource`], [`model`], [`authorization`], [`operation`] | the service's nouns, checked when they are made |
//! | [`auth`] | keys and tokens |
//! | [`error`] | what happened, what it means, what to do, and the request id |
//! | [`api`] | the wire of every API version, without I/O |
//! | [`client`] | the only room that opens a socket |
//! | [`authorization_file`] | an authorization on its way between two parties |
//! | [`inventory`] | what one resource has |
//! | [`selection`] | which of its models are meant |
//! | [`model_diff`] | whether two models come from the same training |
//! | [`check`] | what the one resource has and the other has not |
//! | [`copy`](mod@copy) | the pipeline: look, authorize, start, follow, verify |
//! | `emulator` | the service on this machine, for rehearsals and tests (a feature, on by default) |

pub mod api;
pub mod auth;
pub mod authorization;
pub mod authorization_file;
mod backoff;
pub mod check;
#[doc(hidden)]
pub mod cli;
pub mod client;
pub mod copy;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod error;
pub mod inventory;
pub mod model;
pub mod model_diff;
pub mod operation;
pub mod redactor;
pub mod resource;
pub mod selection;
pub mod text;
