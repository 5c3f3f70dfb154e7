//! Two commands that copy the same models at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use frcopy::emulator::{Collection, Options, ServedRequest};
use tempfile::tempdir;
use tokio::task::block_in_place;

use crate::journal::{Journaled, Request, is, models, options, put_older};
use crate::support::child_process::SignalTarget;
use crate::support::emulated_pair::{EmulatedPair, TARGET};
use crate::support::{CommandOutput, on_each};

/// How many ready copies the target has of each v2.1 model.
fn copies(pair: &EmulatedPair) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for id in pair.ids(TARGET, Collection::CustomModels) {
        let body = pair.emulator.get(TARGET, Collection::CustomModels, &id).unwrap();
        if body["modelInfo"]["status"] == "ready" {
            *copies.entry(body["modelInfo"]["modelName"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    copies
}

fn at_the_same_time(pair: &EmulatedPair, arguments: &[&[&str]]) -> Vec<CommandOutput> {
    thread::scope(|scope| {
        let commands: Vec<_> = arguments.iter().map(|arguments| scope.spawn(|| pair.copy(arguments))).collect();
        commands.into_iter().map(|command| command.join().unwrap()).collect()
    })
}

#[test]
fn with_a_manifest_two_commands_at_the_same_time_copy_a_v2_1_model_once() {
    let folder = tempdir().unwrap();
    let manifest = folder.path().join("models.json");
    let options = Options {
        models: 8,
        operation_time: Duration::from_millis(400),
        latency: Duration::from_millis(30),
        ..Options::default()
    };
    let pair = EmulatedPair::with_options(&options);
    let skip = ["--all", "--api-version", "2.1", "--if-exists", "skip", "--manifest", manifest.to_str().unwrap()];
    let one_by_one = [&skip[..], &["--jobs", "1"]].concat();
    let outputs = at_the_same_time(&pair, &[&one_by_one, &one_by_one, &skip]);
    let copies = copies(&pair);
    assert!(copies.len() == 8 && copies.values().all(|count| *count == 1), "{copies:?} {outputs:#?}");
    assert!(outputs.iter().all(|output| output.code == 0), "{outputs:#?}");
    pair.copy(&skip).expect(0, &["8 already there"]);
}

/// What a command read of the target before another one, with the same arguments and manifest, began and was ended.
struct Overlap {
    journaled: Journaled,
    model: String,
    /// The result of the first command.
    first: CommandOutput,
}

/// Whether a request reads what the target has: the list of v2.1, or the id of the copy.
fn reads_target(served: &ServedRequest) -> bool {
    let is_read = |of: &str| served.path.contains(of);
    served.resource == "target"
        && served.method == "GET"
        && ["op=full", "/documentModels/", "/documentClassifiers/"].into_iter().any(is_read)
}

fn wait_for(flag: &AtomicBool) {
    let began = Instant::now();
    while !flag.load(Ordering::SeqCst) {
        assert!(began.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(2));
    }
}

impl Overlap {
    /// Holds the answer to the first command's first read of the target back, until the second one has got a signal at a
    /// request and has ended. The emulator carries that request out.
    fn new(
        model: impl Fn(&EmulatedPair) -> String,
        arguments: &[&str],
        prepare: impl Fn(&EmulatedPair, &str),
        (signal, request): (&'static str, Request),
    ) -> Self {
        let [is_held, is_released] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (held, released, second) = (Arc::clone(&is_held), Arc::clone(&is_released), SignalTarget::default());
        let observed = second.clone();
        let pair = EmulatedPair::with_observer(&options(), move |served| {
            if reads_target(served) && !held.swap(true, Ordering::SeqCst) {
                block_in_place(|| wait_for(&released));
            }
            if is(request, served) {
                observed.signal_if(signal, || true);
            }
        });
        let journaled = Journaled::on(pair);
        let model = model(&journaled.pair);
        prepare(&journaled.pair, &model);
        let arguments = [&[model.as_str()], arguments].concat();
        let manifest = journaled.manifest();
        let command = ["copy", "--poll-interval", "20ms", "--manifest", manifest.to_str().unwrap()];
        let first = thread::scope(|scope| {
            let first = scope.spawn(|| journaled.copy(&arguments));
            wait_for(&is_held);
            let second = second.run(&journaled.pair.command(&[&command[..], &arguments].concat()));
            is_released.store(true, Ordering::SeqCst);
            assert_ne!(second.code, Some(0));
            first.join().unwrap()
        });
        Self { journaled, model, first }
    }

    fn count(&self, request: Request) -> usize {
        self.journaled.pair.served().iter().filter(|served| is(request, served)).count()
    }
}

#[test]
fn what_another_command_has_started_before_its_end_is_copied_once_and_recorded() {
    for end in [("-KILL", Request::Start), ("-KILL", Request::Poll), ("-INT", Request::Poll)] {
        on_each(models(), |model| {
            let overlap = Overlap::new(model, &["--if-exists", "skip"], |_, _| {}, end);
            let Overlap { journaled, model, first } = &overlap;
            assert!(first.code == 0 && first.stderr.contains("continuing the copy"), "{first:#?}");
            assert_eq!((overlap.count(Request::Authorize), overlap.count(Request::Start)), (1, 1), "{first:#?}");
            journaled.assert_copied_once(model);
        });
    }
}

#[test]
fn what_another_command_has_authorized_before_its_end_is_released_or_named() {
    on_each(models(), |model| {
        let overlap = Overlap::new(model, &["--if-exists", "skip"], |_, _| {}, ("-KILL", Request::Authorize));
        let Overlap { journaled, model, first } = &overlap;
        let is_v2_1 = *model == journaled.pair.custom_model();
        let expected =
            if is_v2_1 { "may remain reserved on the target" } else { "the target has deleted the reserved" };
        assert!(first.code == 0 && first.stderr.contains(expected), "{first:#?}");
        journaled.assert_copied_once(model);
    });
}

#[test]
fn a_staging_copy_that_another_command_has_left_is_finished_or_released() {
    for request in [Request::Authorize, Request::Start, Request::Poll] {
        on_each(["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1"], |model| {
            let replace = ["--if-exists", "replace"];
            let overlap = Overlap::new(|_| model.into(), &replace, put_older, ("-KILL", request));
            let first = &overlap.first;
            assert!(first.code == 0 && first.stderr.contains("replaced"), "{request:?} {first:#?}");
            // The staging copy, and the copy.
            assert_eq!(overlap.count(Request::Start), 2, "{request:?} {first:#?}");
            overlap.journaled.assert_copied_once(model);
        });
    }
}
