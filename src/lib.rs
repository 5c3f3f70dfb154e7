//! Copies custom models between Azure Form Recognizer / Document Intelligence resources, v2.1 to v4.0.
//!
//! The service offers three calls: authorize on the target, start on the source, poll the Operation-Location. This
//! library makes them so that each reserved id is released or named, no operation is lost, no false verdict is given
//! and no key leaks.
//!
//! ```no_run
//! use std::rc::Rc;
//!
//! use frcopy::{CancellationToken, CopyOptions, Credential, Error, Event, Key, Plan, Resource, Side, copy};
//!
//! # async fn example() -> Result<(), Error> {
//! let key = |name: &str| Key::new(&std::env::var(name).unwrap_or_default().into()).map(Credential::Key);
//! let source = Resource::new(Side::Source, "https://contoso-east.cognitiveservices.azure.com".parse()?, key("EAST_KEY")?);
//! let target = Resource::new(Side::Target, "https://contoso-west.cognitiveservices.azure.com".parse()?, key("WEST_KEY")?);
//! let options = Rc::new(CopyOptions::new(source, target));
//! let plan = Plan { options, model_id: "invoices".parse()?, kind: None, target_model_id: None };
//! plan.check()?;
//! let report = copy(&plan, &|event: Event<'_>| eprintln!("{event:?}"), &CancellationToken::new()).await;
//! println!("{:?} {:?}", report.result?, report.target_model_id);
//! # Ok(())
//! # }
//! ```
//!
//! The layers, from the top (`cli`) to the bottom (`error`, `text`), are described in `.github/CONTRIBUTING.md`.

mod api;
mod auth;
mod authorization;
mod authorization_file;
mod backoff;
mod check;
mod child;
#[doc(hidden)]
pub mod cli;
mod client;
mod copy;
mod doctor;
mod document;
#[cfg(feature = "emulator")]
#[doc(hidden)]
pub mod emulator;
mod error;
mod id_template;
mod inventory;
mod known_copies;
mod label;
mod manifest;
mod model;
mod model_diff;
mod operation;
mod program;
mod prune;
mod rate_limits;
mod recorded;
mod redactor;
mod resource;
mod resource_name;
mod samples;
mod selection;
mod slips;
mod text;
mod text_file;
mod trace;

pub use auth::{Credential, Key};
pub use copy::{CopyOptions, Event, IfExists, Observer, Outcome, Plan, Report, RequestIds, copy, dry_run};
pub use error::{Error, ErrorKind};
pub use model::{Kind, ModelId};
pub use resource::{Resource, Side};
pub use resource_name::ResourceName;
pub use tokio_util::sync::CancellationToken;
