//! `frcopy prune`: lists what copies have left on a resource, and deletes it if it is asked to.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::client::{CallContext, Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::manifest::OpenModels;
use crate::model::ModelId;
use crate::prune::{Leftover, Leftovers, Origin, Pruned, delete, find};
use crate::resource::Resource;
use clap::{ArgAction, Args};
use tokio_util::sync::CancellationToken;

use super::args::Format;
use super::ci::Results;
use super::config::ConfigArgs;
use super::console::{self, Console, Verbosity};
use super::input::{parse_ids, parse_timeout, process_environment};
use super::side::{Sides, SourceArgs, TargetArgs};
use super::{exit_code, json, runner, table};

/// Lists what copies have left on a resource: staging copies and blank v2.1 models. Deletes them with --yes.
///
/// A staging copy is removable if the model that it replaced is there, ready, and of the same training. A blank model is
/// removable if its authorization has expired: by the clock of the service it is older than 24 hours and 30 minutes, and it
/// has no name and no training result. A training that has run for longer without a name looks the same: look at the list
/// before you use --yes. Each model is read again right before it is deleted, and kept if it has changed.
///
/// With --manifest, what the unfinished copies of its journal may need is kept as well. The journal is on the machine that
/// copies, so run this command there. Without it, frcopy does not know of unfinished copies: their blank models are judged
/// by their age alone. No copy can be started to such a model any more, but one that the service has not finished in more
/// than 24 hours would lose it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PruneArgs {
    /// source, target, or the name of a resource
    #[arg(value_name = "RESOURCE")]
    resource: String,

    /// Delete what is removable; with ids, only these
    #[arg(long, value_name = "ID", num_args = 0..)]
    yes: Option<Vec<String>>,

    /// Keep what the unfinished copies in the journal of this manifest may need, as of frcopy copy --manifest; can be given
    /// several times
    #[arg(long = "manifest", value_name = "PATH")]
    manifests: Vec<PathBuf>,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    target: TargetArgs,

    /// Deadline of the whole command
    #[arg(long, value_name = "DURATION", default_value = "5m", allow_hyphen_values = true)]
    timeout: String,

    /// Format of stdout: a table, or one line of JSON per model
    #[arg(long = "output", value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,

    /// Only the ids that are removable, or that were deleted
    #[arg(short, long, conflicts_with_all = ["format", "verbose"], help_heading = "Output")]
    quiet: bool,

    /// One line per request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  frcopy prune target
  frcopy prune target --manifest models.json --yes
  frcopy prune target --yes invoices.frcopy-staging

Exit codes: 0 the list is complete, and all that was to be deleted is;
  5 an id is not removable, and nothing was deleted;
  otherwise that of an error; frcopy help exit-codes explains all of them";

struct PrunePlan {
    resource: Resource,
    /// The models that unfinished copies may need.
    open: OpenModels,
    /// Whether a journal was read.
    has_journal: bool,
    selection: DeletionSelection,
    timeout: Duration,
}

/// What is to be deleted.
enum DeletionSelection {
    Nothing,
    Everything,
    Ids(Vec<ModelId>),
}

pub(super) fn run(args: &PruneArgs) -> anyhow::Result<ExitCode> {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse(&error)),
    };
    let verbosity = Verbosity::new(args.quiet, args.verbose);
    let work = async |console: &Console, cancel: &CancellationToken| prune(&plan, console, cancel).await;
    runner::until_signal(verbosity, Results::None, work, |(pruned, unreadable), signal| {
        show(args, &plan, &pruned);
        let unreadable =
            (unreadable > 0).then(|| console::unreadable_entries(&plan.resource.label.to_string(), unreadable));
        unreadable.iter().for_each(console::error);
        let failed = pruned.iter().filter_map(|one| one.deletion.as_ref()?.as_ref().err());
        exit_code::from_errors(failed.chain(&unreadable), signal)
    })
}

fn plan(args: &PruneArgs) -> Result<PrunePlan, Error> {
    let resource =
        Sides::new(&args.config, &process_environment).one(&args.resource, &args.source, &args.target)?.resource()?;
    Ok(PrunePlan {
        // Read before the lists: what a copy creates later is too young to be deleted.
        open: OpenModels::read(&args.manifests, &resource.endpoint)?,
        has_journal: !args.manifests.is_empty(),
        resource,
        selection: match &args.yes {
            None => DeletionSelection::Nothing,
            Some(ids) if ids.is_empty() => DeletionSelection::Everything,
            Some(ids) => DeletionSelection::Ids(parse_ids(ids.iter())?),
        },
        timeout: parse_timeout(&args.timeout)?,
    })
}

async fn prune(plan: &PrunePlan, console: &Console, cancel: &CancellationToken) -> Result<(Vec<Pruned>, usize), Error> {
    let context = CallContext::new(plan.timeout, cancel, |error, wait| console.waiting(error, wait));
    let client = Connection::http(&plan.resource)?.client(context);
    console.step(&format!("reading {}", plan.resource.label));
    let Leftovers { found, unreadable } = find(&client, &plan.open).await?;
    plan.selection.check(&found, &plan.resource)?;
    let mut pruned = Vec::new();
    for leftover in found {
        let deletion = if plan.selection.picks(&leftover) {
            console.step(&format!("deleting {} {}", leftover.model.kind, leftover.model.id));
            Some(delete_unless_cancelled(&client, &leftover).await)
        } else {
            None
        };
        pruned.push(Pruned { leftover, deletion });
    }
    Ok((pruned, unreadable))
}

async fn delete_unless_cancelled(client: &Client<'_>, leftover: &Leftover) -> Result<(), Error> {
    if client.is_cancelled() {
        return Err(Error::interrupted("interrupted before it was deleted"));
    }
    delete(client, leftover).await
}

impl DeletionSelection {
    fn picks(&self, leftover: &Leftover) -> bool {
        let is_picked = match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Ids(ids) => ids.iter().any(|id| id.is_same_as(&leftover.model.id)),
        };
        is_picked && leftover.is_removable()
    }

    /// Refuses ids that cannot be deleted, before anything is.
    fn check(&self, found: &[Leftover], resource: &Resource) -> Result<(), Error> {
        let Self::Ids(ids) = self else { return Ok(()) };
        for id in ids {
            let of_id = || found.iter().filter(|leftover| leftover.model.id.is_same_as(id));
            if of_id().any(Leftover::is_removable) {
                continue;
            }
            let why = of_id().find_map(|leftover| leftover.reason.as_ref().err().cloned());
            let why = why.unwrap_or_else(|| "it is not something that a copy has left".into());
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{id} of {} is not removable, nothing was deleted", resource.label),
            )
            .with_source(why)
            .with_remedy("give only ids that frcopy prune without --yes lists as removable"));
        }
        Ok(())
    }
}

fn show(args: &PruneArgs, plan: &PrunePlan, pruned: &[Pruned]) {
    match args.format {
        Format::Json => json::print_lines(pruned.iter().map(|one| json::pruned(one, &plan.resource))),
        Format::Text if args.quiet => {
            let ids = pruned.iter().filter(|one| ["removable", "deleted"].contains(&one.status()));
            json::print_lines(ids.map(|one| one.leftover.model.id.to_string()));
        }
        Format::Text => table::print(HEAD, pruned.iter().map(row).collect()),
    }
    for Pruned { leftover, deletion } in pruned {
        if let Some(Err(error)) = deletion {
            console::error_for(&format!("{} {}", leftover.model.kind, leftover.model.id), error);
        }
    }
    if !args.quiet {
        console::line(&summary(plan, pruned));
        let is_removable_blank =
            |one: &Pruned| one.status() == "removable" && one.leftover.origin == Origin::BlankModel;
        if !plan.has_journal && pruned.iter().any(is_removable_blank) {
            console::line(
                "blank models are judged by their age alone: --manifest PATH keeps those of unfinished copies",
            );
        }
    }
}

const HEAD: [&str; 5] = ["MODEL ID", "KIND", "API", "RESULT", "REASON"];

fn row(one: &Pruned) -> [String; HEAD.len()] {
    let Leftover { version, model, .. } = &one.leftover;
    [
        model.id.to_string(),
        model.kind.to_string(),
        json::trained_with(*version, model),
        one.status().to_owned(),
        one.reason().to_owned(),
    ]
}

fn summary(plan: &PrunePlan, pruned: &[Pruned]) -> String {
    let resource = &plan.resource.label;
    let count = |status: &str| pruned.iter().filter(|one| one.status() == status).count();
    let parts = ["deleted", "failed", "removable", "kept"].map(|status| (count(status), status));
    let parts: Vec<_> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, status)| format!("{count} {status}")).collect();
    let hint = match plan.selection {
        DeletionSelection::Nothing if count("removable") > 0 => "; --yes deletes what is removable",
        _ => "",
    };
    if parts.is_empty() {
        format!("copies have left nothing on {resource}")
    } else {
        format!("on {resource}: {}{hint}", parts.join(", "))
    }
}
