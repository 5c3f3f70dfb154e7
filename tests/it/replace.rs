//! `--if-exists replace`: the target has a good copy at any time, and after any interruption the next run finishes.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use frcopy::emulator::{Collection, Options};
use serde_json::json;

use crate::support::child_process::{Exit, SignalTarget};
use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET, without_query};
use crate::support::raw_server::{forwarded, read_request, serve_each};
use crate::support::{CommandOutput, run};

const ID: &str = "invoices-v4.0-1";
const STAGING: &str = "invoices-v4.0-1.frcopy-staging";
const REPLACE: [&str; 4] = ["copy", "--poll-interval=20ms", "--if-exists=replace", ID];

/// Copies the model and trains it again on the source, so that the copy on the target is outdated.
fn make_outdated(pair: &EmulatedPair) {
    pair.copy(&[ID]).expect(0, &[]);
    pair.retrain(ID);
    pair.mutating_requests();
}

fn on_target(pair: &EmulatedPair) -> BTreeSet<String> {
    pair.ids(TARGET, Collection::DocumentModels)
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Asserts that the target has the current model and nothing else.
fn assert_finished(pair: &EmulatedPair) {
    assert_eq!(on_target(pair), set(&[ID]));
    pair.run(&["check", ID]).expect(0, &[]);
}

#[test]
fn replace_deletes_the_old_copy_after_the_staging_copy_is_ready_and_the_staging_copy_last() {
    let pair = EmulatedPair::new(1);
    make_outdated(&pair);
    let output = pair
        .run(&REPLACE)
        .expect(0, &["replaced invoices-v4.0-1 on http", "copying to invoices-v4.0-1.frcopy-staging first"]);
    assert_eq!(output.stdout, format!("{ID}\n"));
    let models = "/documentintelligence/documentModels";
    assert_eq!(
        pair.mutating_requests(),
        [
            format!("target POST {models}:authorizeCopy"),
            format!("source POST {models}/{ID}:copyTo"),
            format!("target DELETE {models}/{ID}"),
            format!("target POST {models}:authorizeCopy"),
            format!("source POST {models}/{ID}:copyTo"),
            format!("target DELETE {models}/{STAGING}"),
        ]
    );
    assert_finished(&pair);
    pair.run(&REPLACE).expect(0, &["skipped"]);
    assert_eq!(pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn every_version_and_classifiers_can_be_replaced() {
    let pair = EmulatedPair::new(1);
    let all = ["invoices-v3.0-1", "invoices-v3.1-1", ID, "classifier-v4.0-1"];
    pair.copy(&all).expect(0, &[]);
    all[..3].iter().for_each(|id| pair.retrain(id));
    let collection = Collection::DocumentClassifiers;
    pair.retrain_at("2026-11-22T08:00:00Z", collection, all[3]);
    pair.copy(&[&all[..], &["--if-exists", "replace"]].concat()).expect(0, &["4 replaced"]);
    pair.run(&[&["check"][..], &all].concat()).expect(0, &["4 same"]);
    assert_eq!((on_target(&pair).len(), pair.ids(TARGET, collection).len()), (3, 1));
}

#[test]
fn a_staging_copy_of_an_older_training_is_replaced() {
    let pair = EmulatedPair::new(1);
    make_outdated(&pair);
    pair.copy(&[ID, "--target-model-id", STAGING]).expect(0, &[]);
    pair.retrain_at("2026-11-22T20:00:00Z", Collection::DocumentModels, ID);
    pair.run(&REPLACE).expect(0, &["replaced"]);
    assert_finished(&pair);
}

/// Resources that send a signal to the command at its n-th request, before they answer it.
fn pair_that_stops(n: usize, signal: &'static str) -> (EmulatedPair, SignalTarget) {
    let process = SignalTarget::default();
    let (seen, observed) = (AtomicUsize::new(0), process.clone());
    let options = Options { operation_time: Duration::ZERO, ..Options::default() };
    let pair = EmulatedPair::with_observer(&options, move |_| {
        observed.signal_if(signal, || seen.fetch_add(1, Ordering::SeqCst) + 1 == n);
    });
    (pair, process)
}

/// More requests than a replacement takes.
const REQUESTS: usize = 24;

/// Runs a test for each request at which a replacement is stopped, all at the same time: a run that finds a staging copy waits.
fn at_any_request(test: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for n in 1..REQUESTS {
            let test = &test;
            scope.spawn(move || test(n));
        }
    });
}

#[test]
fn after_a_kill_at_any_request_a_good_copy_remains_and_the_next_run_finishes() {
    at_any_request(|n| {
        let (pair, process) = pair_that_stops(n, "-KILL");
        make_outdated(&pair);
        let code = process.run(&pair.command(&REPLACE)).code;
        let kept = on_target(&pair);
        assert!(!kept.is_empty() && kept.is_subset(&set(&[ID, STAGING])), "{n}: {kept:?}");
        let changes = pair.mutating_requests();
        let held = changes.last().is_some_and(|change| change.contains(":authorizeCopy"));
        if held {
            // The reservation may belong to another process, so it is kept.
            let what = ["reserved by an authorization that was not used, and that expires by 20", "wait until then"];
            pair.run(&REPLACE).expect(6, &[&what[..], &["run the same command again", "--manifest"]].concat());
            assert!(!on_target(&pair).is_empty(), "{n}");
        } else {
            pair.run(&REPLACE).expect(0, &[]);
            assert_finished(&pair);
        }
        assert!(code.is_none_or(|code| code == 0), "{n}: {code:?} {changes:?}");
    });
}

#[test]
fn with_a_manifest_the_next_run_finishes_after_a_kill_at_any_request() {
    at_any_request(|n| {
        let folder = tempfile::TempDir::new().unwrap();
        let manifest = format!("--manifest={}", folder.path().join("models.json").display());
        let command = [&REPLACE[..], &[&manifest]].concat();
        let (pair, process) = pair_that_stops(n, "-KILL");
        // Not copied by a command: a copy that has just ended may be one that the target does not show yet.
        let old = pair.emulator.get(SOURCE, Collection::DocumentModels, ID).unwrap();
        pair.emulator.put(TARGET, Collection::DocumentModels, ID, old);
        pair.retrain(ID);
        process.run(&pair.command(&command));
        let held = pair.mutating_requests().last().is_some_and(|change| change.contains(":authorizeCopy"));
        let output = pair.run(&command).expect(0, &[]);
        assert!(!held || output.stderr.contains("released: the target has deleted"), "{n}: {output:#?}");
        assert_finished(&pair);
    });
}

#[test]
fn after_an_interruption_at_any_request_the_next_run_finishes() {
    at_any_request(|n| {
        let (pair, process) = pair_that_stops(n, "-INT");
        make_outdated(&pair);
        let code = process.run(&pair.command(&REPLACE)).code;
        let kept = on_target(&pair);
        assert!(!kept.is_empty() && kept.is_subset(&set(&[ID, STAGING])), "{n}: {kept:?}");
        assert!(code == Some(130) || code == Some(0), "{n}: {code:?} {:?}", pair.mutating_requests());
        pair.run(&REPLACE).expect(0, &[]);
        assert_finished(&pair);
    });
}

#[test]
fn an_interruption_after_the_deletion_names_the_staging_copy() {
    let mut seen = 0;
    for n in 1..REQUESTS {
        let (pair, process) = pair_that_stops(n, "-INT");
        make_outdated(&pair);
        let batch = ["copy", "--include", "invoices-v4*", "--if-exists", "replace", "--poll-interval", "20ms"];
        let Exit { code, stderr, .. } = process.run(&pair.command(&batch));
        let only_staging = on_target(&pair) == set(&[STAGING]);
        seen += usize::from(only_staging);
        assert!(
            !only_staging || (stderr.contains(&format!("{STAGING} holds a good copy")) && code == Some(130)),
            "{n}: {stderr}"
        );
        assert!(!stderr.contains("--if-exists skip"), "{n}: {stderr}");
    }
    assert!(seen > 0, "no interruption came between the deletion and the new copy");
}

/// The answer to a deletion that does not say what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoVerdict {
    RateLimited,
    Unavailable,
    /// The connection is closed, and the service has not received the request.
    NotReceived,
    /// The connection is closed after the service has deleted the model.
    AnswerLost,
}

impl NoVerdict {
    const ALL: [Self; 4] = [Self::RateLimited, Self::Unavailable, Self::NotReceived, Self::AnswerLost];

    fn bytes(self) -> &'static [u8] {
        match self {
            Self::RateLimited => b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
            Self::Unavailable => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            Self::NotReceived | Self::AnswerLost => b"",
        }
    }
}

/// A proxy in front of the target. It answers the first deletion of one model by itself, after another process has changed
/// the target.
struct TargetProxy {
    server: SocketAddr,
    /// The first line of the deletion, up to the query.
    deletion: String,
    answer: NoVerdict,
    other_process: Box<dyn Fn() + Send + Sync>,
    lines: Mutex<Vec<String>>,
}

impl TargetProxy {
    fn start(
        pair: &EmulatedPair,
        id: &str,
        answer: NoVerdict,
        other_process: impl Fn() + Send + Sync + 'static,
    ) -> (Arc<Self>, String) {
        let server = pair.emulator.resources()[TARGET].endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let (other_process, lines) = (Box::new(other_process), Mutex::default());
        let proxy = Arc::new(Self { server, deletion: format!("/{id}"), answer, other_process, lines });
        let serving = Arc::clone(&proxy);
        let address = serve_each(move |client| serving.forward(client));
        (proxy, format!("http://{address}"))
    }

    /// Forwards one request, or answers it. Each connection has one request.
    fn forward(&self, mut client: TcpStream) {
        let Some(request) = read_request(&mut client) else { return };
        let line = without_query(request.lines().next().unwrap()).to_owned();
        let is_first = {
            let mut lines = self.lines.lock().unwrap();
            lines.push(line.clone());
            self.deletions(&lines) == 1 && self.is_deletion(&line)
        };
        if is_first && self.answer != NoVerdict::AnswerLost {
            (self.other_process)();
            let _ = client.write_all(self.answer.bytes());
            return;
        }
        let answer = forwarded(self.server, &request);
        if is_first {
            (self.other_process)();
        } else {
            let _ = client.write_all(&answer);
        }
    }

    fn is_deletion(&self, line: &str) -> bool {
        line.starts_with("DELETE ") && line.ends_with(&self.deletion)
    }

    fn deletions(&self, lines: &[String]) -> usize {
        lines.iter().filter(|line| self.is_deletion(line)).count()
    }

    /// How often the deletion was sent.
    fn sent(&self) -> usize {
        self.deletions(&self.lines.lock().unwrap())
    }

    /// The ids that were read between the first deletion and the second one.
    fn reads_before_repetition(&self) -> BTreeSet<String> {
        let lines = self.lines.lock().unwrap();
        let after = lines.iter().skip_while(|line| !self.is_deletion(line)).skip(1);
        let between = after.take_while(|line| !self.is_deletion(line));
        between.filter_map(|line| line.strip_prefix("GET ")?.rsplit('/').next().map(str::to_owned)).collect()
    }
}

/// A model, and the collection that it is in.
const REPLACEABLE: [(&str, Collection); 4] = [
    ("invoices-v3.0-1", Collection::DocumentModels),
    ("invoices-v3.1-1", Collection::DocumentModels),
    (ID, Collection::DocumentModels),
    ("classifier-v4.0-1", Collection::DocumentClassifiers),
];

/// Runs a replacement whose first deletion of a model gets no verdict, for every version and every such answer.
fn replace_with_lost_deletion(
    deleted: impl Fn(&str) -> String + Sync,
    other_process: impl Fn(&EmulatedPair, &str, Collection) + Send + Sync + Copy + 'static,
    check: impl Fn(NoVerdict, &EmulatedPair, &TargetProxy, CommandOutput, &str) + Sync,
) {
    std::thread::scope(|scope| {
        for (id, collection) in REPLACEABLE {
            for answer in NoVerdict::ALL {
                let (deleted, check) = (&deleted, &check);
                scope.spawn(move || {
                    let pair = Arc::new(EmulatedPair::new(1));
                    pair.copy(&[id]).expect(0, &[]);
                    pair.retrain_at("2026-11-22T08:00:00Z", collection, id);
                    let others = Arc::clone(&pair);
                    let act = move || other_process(&others, id, collection);
                    let (proxy, endpoint) = TargetProxy::start(&pair, &deleted(id), answer, act);
                    let mut command = pair.command(&["copy", "--poll-interval=20ms", "--if-exists=replace", id]);
                    let output = run(command.env("FRCOPY_TARGET_ENDPOINT", endpoint));
                    check(answer, &pair, &proxy, output, id);
                });
            }
        }
    });
}

fn staging(id: &str) -> String {
    format!("{id}.frcopy-staging")
}

/// Finishes the replacement as another frcopy would.
fn finish_replacement(pair: &EmulatedPair, id: &str, collection: Collection) {
    let new = pair.emulator.get(SOURCE, collection, id).unwrap();
    pair.emulator.put(TARGET, collection, id, new);
    pair.emulator.remove(TARGET, collection, &staging(id));
}

#[test]
fn a_deletion_is_not_repeated_if_another_process_has_finished_the_replacement() {
    replace_with_lost_deletion(str::to_owned, finish_replacement, |answer, pair, proxy, output, id| {
        output.expect(0, &[]);
        assert_eq!(proxy.sent(), 1, "{answer:?} {id}");
        pair.run(&["check", id]).expect(0, &["1 same"]);
    });
}

#[test]
fn a_model_that_another_process_has_changed_is_not_deleted() {
    let change = |pair: &EmulatedPair, id: &str, collection| {
        // Where the first deletion was carried out, there is another model now.
        let body = pair.emulator.get(TARGET, collection, id).or_else(|| pair.emulator.get(SOURCE, collection, id));
        let mut body = body.unwrap();
        match id {
            "invoices-v3.1-1" => body["docTypes"] = json!({"other": {"fieldSchema": {"Total": {"type": "number"}}}}),
            ID => body["description"] = json!("of another process"),
            _ => body["createdDateTime"] = json!("2022-02-02T02:02:02Z"),
        }
        pair.emulator.put(TARGET, collection, id, body);
    };
    replace_with_lost_deletion(str::to_owned, change, |answer, pair, proxy, output, id| {
        assert_eq!(proxy.sent(), 1, "{answer:?} {id} {output:#?}");
        if answer != NoVerdict::AnswerLost {
            output.expect(7, &["was changed while it was being replaced", "run the same command again"]);
            pair.copy(&[id, "--if-exists", "replace"]).expect(0, &[]);
        }
    });
}

#[test]
fn a_deletion_is_repeated_only_after_both_models_were_read_again() {
    replace_with_lost_deletion(
        str::to_owned,
        |_, _, _| {},
        |answer, pair, proxy, output, id| {
            output.expect(0, &[]);
            assert_eq!(proxy.sent(), if answer == NoVerdict::AnswerLost { 1 } else { 2 }, "{answer:?} {id}");
            assert!(
                proxy.reads_before_repetition().is_superset(&[id.to_owned(), staging(id)].into()),
                "{answer:?} {id}"
            );
            pair.run(&["check", id]).expect(0, &["1 same"]);
        },
    );
}

#[test]
fn the_old_model_is_not_deleted_if_its_staging_copy_is_gone() {
    let remove_staging = |pair: &EmulatedPair, id: &str, collection| {
        pair.emulator.remove(TARGET, collection, &staging(id));
    };
    replace_with_lost_deletion(str::to_owned, remove_staging, |answer, _, proxy, output, id| {
        if answer == NoVerdict::AnswerLost {
            output.expect(0, &[]);
        } else {
            output.expect(7, &["was changed while it was being replaced", "run the same command again"]);
        }
        assert_eq!(proxy.sent(), 1, "{answer:?} {id}");
    });
}

#[test]
fn a_staging_copy_is_not_deleted_if_the_copy_is_not_in_its_place() {
    let remove_copy = |pair: &EmulatedPair, id: &str, collection| pair.emulator.remove(TARGET, collection, id);
    replace_with_lost_deletion(staging, remove_copy, |answer, pair, proxy, output, id| {
        if answer == NoVerdict::AnswerLost {
            return;
        }
        output.expect(7, &["was changed while it was being replaced", "run the same command again"]);
        assert_eq!(proxy.sent(), 1, "{answer:?} {id}");
        pair.copy(&[id, "--if-exists", "replace"]).expect(0, &[]);
        pair.run(&["check", id]).expect(0, &["1 same"]);
    });
}

#[test]
fn a_model_that_was_trained_later_is_replaced_with_a_warning() {
    let pair = EmulatedPair::new(1);
    pair.copy(&[ID]).expect(0, &[]);
    // Not the time of the copy, which would make the two look alike.
    let an_hour_ago = format!("{:.0}", jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1));
    pair.retrain_at(&an_hour_ago, Collection::DocumentModels, ID);
    let output = pair.run(&REPLACE).expect(0, &[]);
    assert!(!output.stderr.contains("trained later"), "{output:#?}");
    // An older training comes back: the copy that is replaced now is the newer one.
    pair.retrain_at("2020-01-01T00:00:00Z", Collection::DocumentModels, ID);
    let warning = format!("warning: {ID} of the target was trained later ({an_hour_ago}) than the model that");
    pair.run(&[&REPLACE[..], &["--dry-run"]].concat()).expect(0, &[&warning]);
    pair.run(&REPLACE).expect(0, &[&warning, "replaced "]);
}

#[test]
fn a_staging_copy_that_a_run_finds_is_kept_until_a_lost_deletion_of_an_earlier_run_cannot_come_any_more() {
    let pair = EmulatedPair::new(1);
    make_outdated(&pair);
    pair.copy(&[ID, "--target-model-id", STAGING]).expect(0, &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The service carries out the deletion of the earlier run once the new model is there.
            let began = Instant::now();
            while pair.requests(TARGET, "POST", ":authorizeCopy").len() < 2 {
                assert!(began.elapsed() < Duration::from_secs(60), "the new model was not copied");
                std::thread::sleep(Duration::from_millis(50));
            }
            std::thread::sleep(Duration::from_secs(3));
            pair.emulator.remove(TARGET, Collection::DocumentModels, ID);
        });
        pair.run(&REPLACE).expect(7, &["was changed while it was being replaced", "run the same command again"]);
    });
    assert_eq!(on_target(&pair), set(&[STAGING]));
}
