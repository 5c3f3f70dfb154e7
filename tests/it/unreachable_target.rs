//! One of several targets that cannot be reached: its copies end after half a minute, and the other target is complete.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use frcopy::emulator::{Collection, Options};
use serde_json::{Value, json};

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::raw_server::{forwarded, read_request};
use crate::support::{CommandOutput, UnusedHost, run};
use crate::targets::NORTH;

/// Six models of each version, and six classifiers.
const MODELS: usize = 30;

/// Three emulated resources: east has the models, west and north are the targets.
fn three() -> EmulatedPair {
    let options =
        Options { resources: 3, models: MODELS / 5, operation_time: Duration::from_millis(300), ..Options::default() };
    EmulatedPair::with_options(&options)
}

/// The binary with the three names in its environment, and another endpoint for the last one.
fn command(lab: &EmulatedPair, endpoint_of_north: &str, arguments: &[&str]) -> Command {
    let mut command = lab.named_command(arguments);
    command.env("FRCOPY_RESOURCE_NORTH_ENDPOINT", endpoint_of_north).timeout(Duration::from_secs(150));
    command
}

fn copy_all(lab: &EmulatedPair, endpoint_of_north: &str, arguments: &[&str]) -> CommandOutput {
    let options = ["copy", "--all", "--from", "east", "--to", "west", "--to", "north", "--if-exists", "skip"];
    let arguments = [&options[..], &["--poll-interval", "20ms", "--output", "json"], arguments].concat();
    CommandOutput::of(&mut command(lab, endpoint_of_north, &arguments))
}

/// The lines of stdout about a target.
fn reports(output: &CommandOutput, target: &str) -> Vec<Value> {
    let objects = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object["target"]["name"] == target).collect()
}

fn count(reports: &[Value], status: &str) -> usize {
    reports.iter().filter(|report| report["status"] == status).count()
}

fn messages(reports: &[Value]) -> impl Iterator<Item = &str> {
    reports.iter().filter_map(|report| report["error"]["message"].as_str())
}

fn is_not_tried(message: &&str) -> bool {
    message.starts_with("not tried: north was not reachable since 20")
}

/// The models of the target that can be used: a lost authorization leaves a blank v2.1 model.
fn ready(lab: &EmulatedPair, resource: usize) -> usize {
    let list = ["list", if resource == TARGET { "west" } else { "north" }, "-q"];
    let endpoint = lab.emulator.resources()[NORTH].endpoint.clone();
    run(&mut command(lab, &endpoint, &list)).expect(0, &[]).stdout.lines().count()
}

/// Copies what is missing, and checks that both targets have everything.
fn complete(lab: &EmulatedPair) {
    let endpoint = lab.emulator.resources()[NORTH].endpoint.clone();
    let output = copy_all(lab, &endpoint, &[]).expect(0, &["west: of 30 models and classifiers: 30 already there"]);
    assert_eq!(reports(&output, "north").iter().filter(|report| report["error"].is_null()).count(), MODELS);
    let check = ["check", "--from", "east", "--to", "west", "--to", "north"];
    run(&mut command(lab, &endpoint, &check))
        .expect(0, &["west: of 30 models and classifiers: 30 same", "north: of 30"]);
}

#[test]
fn a_target_without_a_connection_is_given_up_after_half_a_minute() {
    let lab = three();
    let (down, began) = (UnusedHost::new().url(), Instant::now());
    let output = copy_all(&lab, &down, &["--jobs", "6"]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let output = output.expect(
        7,
        &[
            "west: of 30 models and classifiers: 30 copied",
            "error: north: the models that wait are not tried: north was not reachable since 20",
            "cannot be reached",
            "--if-exists skip",
            "not begun (in ",
        ],
    );
    assert_eq!(output.stderr.matches("not tried").count(), 1, "{}", output.stderr);
    let (to_west, to_north) = (reports(&output, "west"), reports(&output, "north"));
    assert_eq!((count(&to_west, "succeeded"), count(&to_north, "unavailable")), (MODELS, MODELS));
    let not_tried = messages(&to_north).filter(is_not_tried).count();
    assert!(not_tried > 0 && output.stderr.contains(&format!("{not_tried} not begun")), "{}", output.stderr);
    assert_eq!(lab.list_requests(SOURCE), 1);
    complete(&lab);
}

/// Starts a proxy of a resource that forwards some requests, then limits the rate of all, and then is gone.
fn failing(endpoint: &str, good: usize, refused: usize) -> String {
    let server = endpoint.trim_start_matches("http://").parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        // Each connection is for one request. After the last one there is no server.
        for (number, stream) in listener.incoming().take(good + refused).enumerate() {
            thread::spawn(move || answer(server, stream.unwrap(), number >= good));
        }
    });
    format!("http://{address}")
}

/// Answers one request, and closes the connection.
fn answer(server: SocketAddr, mut client: TcpStream, is_refused: bool) {
    let Some(request) = read_request(&mut client) else { return };
    let answer = if is_refused {
        let body = json!({"error": {"code": "429", "message": "Requests have exceeded the rate limit."}}).to_string();
        let head = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 1\r\n";
        format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    } else {
        forwarded(server, &request)
    };
    let _ = client.write_all(&answer);
}

#[test]
fn a_target_that_fails_half_way_by_a_storm_of_429_and_then_an_outage_does_not_stop_the_other() {
    let lab = three();
    let endpoint = lab.emulator.resources()[NORTH].endpoint.clone();
    let failing = failing(&endpoint, 24, 4);
    let began = Instant::now();
    // One at a time: no request is on its way when the proxy ends.
    let output = copy_all(&lab, &failing, &["--jobs", "1"]);
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
    let (to_west, to_north) = (reports(&output, "west"), reports(&output, "north"));
    assert_eq!(
        (to_west.len(), count(&to_west, "succeeded"), to_north.len()),
        (MODELS, MODELS, MODELS),
        "{}",
        output.stderr
    );
    // The exit code and the summary are those of what has happened.
    let (copied, running) = (count(&to_north, "succeeded"), count(&to_north, "running"));
    let not_begun = messages(&to_north).filter(is_not_tried).count();
    assert_eq!(output.code, if running > 0 { 8 } else { 7 }, "{}", output.stderr);
    assert!(copied < MODELS && not_begun > 0, "{}", output.stderr);
    assert!(output.stderr.contains("west: of 30 models and classifiers: 30 copied"), "{}", output.stderr);
    let summary = output.stderr.lines().find(|line| line.starts_with("north: of 30 models and classifiers: ")).unwrap();
    for (count, what) in [(copied, "copied"), (running, "still running"), (not_begun, "not begun")] {
        assert_eq!(summary.contains(&format!("{count} {what}")), count > 0, "{count} {what}: {summary}");
    }
    assert!(ready(&lab, NORTH) >= copied && ready(&lab, TARGET) == MODELS);
    assert_eq!(lab.list_requests(SOURCE), 1, "the source is listed once");
    complete(&lab);
    assert_eq!(lab.ids(TARGET, Collection::DocumentModels), lab.ids(NORTH, Collection::DocumentModels));
}
