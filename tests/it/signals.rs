//! Signals: what was reserved is given back, what was started is handed over, and the second one ends it at once.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Step, V4_0, World, error_reply, on_every_version, reply};

/// A copy that a test talks to with signals.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    read: String,
}

impl Running {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let command = world.copy();
        let mut child = Command::new(command.get_program());
        child.args(command.get_args()).args(arguments).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in command.get_envs() {
            child.env(name, value.unwrap());
        }
        let mut child = child.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, read: String::new() }
    }

    /// Reads on until a text has been said.
    fn until(&mut self, text: &str) {
        while !self.read.contains(text) {
            assert!(self.stderr.read_line(&mut self.read).unwrap() > 0, "{text:?} was never said: {}", self.read);
        }
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Exit code, stdout and stderr.
    fn end(mut self) -> (Option<i32>, String, String) {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut self.read).unwrap();
        (self.child.wait().unwrap().code(), stdout, self.read)
    }
}

const SIGNALS: [(&str, i32); 2] = [("-INT", 130), ("-TERM", 143)];

#[test]
fn before_an_id_is_reserved_a_signal_ends_it_and_nothing_is_sent() {
    on_every_version(|version| {
        for (signal, code) in SIGNALS {
            let world = World::new(version);
            world.on(Step::LookSource, [error_reply(429, "429", "Later.").insert_header("Retry-After", "600")]);
            let mut running = Running::start(&world, &[]);
            running.until("sending again in 600 s");
            running.signal(signal);
            let (ended, stdout, stderr) = running.end();
            assert_eq!((ended, stdout.as_str()), (Some(code), ""), "{stderr}");
            assert_eq!(world.count(Step::Authorize), 0);
        }
    });
}

#[test]
fn before_the_start_a_signal_gives_the_reservation_back() {
    on_every_version(|version| {
        for (signal, code) in SIGNALS {
            let world = World::new(version);
            world.on(Step::Start, [error_reply(429, "429", "Later.").insert_header("Retry-After", "600")]);
            world.on(Step::Verify, [version.no_model()]);
            let mut running = Running::start(&world, &[]);
            running.until("sending again in 600 s");
            running.signal(signal);
            let (ended, _, stderr) = running.end();
            assert_eq!((ended, world.count(Step::GiveBack)), (Some(code), 1), "{stderr}");
            assert!(stderr.contains("released") && !stderr.contains("frcopy wait"), "{stderr}");
        }
    });
}

#[test]
fn after_the_start_a_signal_hands_the_operation_over() {
    on_every_version(|version| {
        for (signal, code) in SIGNALS {
            let world = World::new(version);
            world.on(Step::Follow, [reply(200).set_body_json(version.operation_body("running"))]);
            let mut running = Running::start(&world, &["--output", "json"]);
            running.until("status: running");
            running.signal(signal);
            let (ended, stdout, stderr) = running.end();
            assert_eq!((ended, world.count(Step::GiveBack)), (Some(code), 0), "{stderr}");
            assert!(stderr.contains(&format!("frcopy wait '{}'", world.operation_url())), "{stderr}");
            let json: Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(
                (json["status"].as_str(), json["operation"].as_str()),
                (Some("running"), Some(world.operation_url().as_str()))
            );
        }
    });
}

#[test]
fn a_start_in_flight_gets_its_answer_before_the_command_ends() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Start, [world.accepted().set_delay(Duration::from_millis(800))]);
        let mut running = Running::start(&world, &[]);
        running.until("authorized: ");
        running.signal("-INT");
        let (ended, _, stderr) = running.end();
        assert_eq!(ended, Some(130), "{stderr}");
        // Whether the signal met the start or came just before it, nothing is lost.
        let handed_over = stderr.contains(&format!("frcopy wait '{}'", world.operation_url()));
        assert!(handed_over || world.count(Step::GiveBack) == 1, "{stderr}");
    });
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let world = World::new(V4_0);
    world.on(Step::Start, [world.accepted().set_delay(Duration::from_secs(20))]);
    let mut running = Running::start(&world, &["-v"]);
    running.until("authorized: ");
    while world.count(Step::Start) == 0 {
        std::thread::yield_now();
    }
    let began = Instant::now();
    running.signal("-TERM");
    running.until("stopping");
    running.signal("-TERM");
    assert_eq!(running.end().0, Some(143));
    assert!(began.elapsed() < Duration::from_secs(4));
}
