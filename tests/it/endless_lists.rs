//! Lists that link to themselves, or never end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::raw_server::plain_server;
use crate::support::{CommandOutput, Model, SOURCE_KEY, V2_1, Version, frcopy, on_every_version, run};

/// Runs `frcopy list` with a source whose every answer is a page: its models, and the path of the next page.
fn list(
    version: Version,
    page: impl Fn(u32) -> (Vec<Value>, Option<String>) + Send + 'static,
    arguments: &[&str],
) -> CommandOutput {
    let count = AtomicU32::new(0);
    let address = Arc::new(OnceLock::new());
    let endpoint = Arc::clone(&address);
    let server = plain_server(move |_| {
        let (models, next) = page(count.fetch_add(1, Ordering::Relaxed));
        let next = next.map(|path| format!("{}{path}", endpoint.get().unwrap()));
        let field = if version.is_v2_1() { "modelList" } else { "value" };
        let body = json!({field: models, "nextLink": next}).to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    address.set(format!("http://{server}")).unwrap();
    let mut command = frcopy();
    command.env("FRCOPY_SOURCE_ENDPOINT", format!("http://{server}")).env("FRCOPY_SOURCE_KEY", SOURCE_KEY);
    run(command.args(["list", "source", "--kind", "model", "--api-version", version.number]).args(arguments))
}

fn model(version: Version, number: u32) -> Value {
    Model::list_entry(version, &format!("00000000-0000-4000-8000-{number:012}"))
}

#[test]
fn a_list_that_links_to_a_page_that_was_read_is_refused() {
    on_every_version(|version| {
        for cycle in [1, 3] {
            let page = move |number| (vec![model(version, number)], Some(format!("/next?page={}", number % cycle)));
            list(version, page, &[]).expect(1, &["the list of the source does not end", "was read before"]);
        }
    });
}

#[test]
fn a_list_that_repeats_its_models_under_new_links_is_refused() {
    on_every_version(|version| {
        let page = move |number| (vec![model(version, 1)], Some(format!("/next?page={number}")));
        list(version, page, &["--timeout", "60s"]).expect(1, &["the list of the source does not end"]);
    });
}

#[test]
fn a_list_that_never_ends_is_read_until_the_deadline_at_most() {
    on_every_version(|version| {
        let page = move |number| (vec![model(version, number)], Some(format!("/next?page={number}")));
        let began = Instant::now();
        list(version, page, &["--timeout", "10s"]).expect(7, &["deadline"]);
        assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    });
}

#[test]
fn a_list_that_never_ends_is_refused_before_it_fills_the_memory() {
    let page = |number| {
        let models = (0..5000).map(|index| model(V2_1, number * 5000 + index)).collect();
        (models, Some(format!("/next?page={number}")))
    };
    list(V2_1, page, &[]).expect(1, &["the list of the source does not end", "more models than any resource"]);
}

#[test]
fn a_model_that_two_pages_show_is_listed_once() {
    on_every_version(|version| {
        let page = move |number| match number {
            0 => (vec![model(version, 1), model(version, 2)], Some("/next".to_owned())),
            _ => (vec![model(version, 2), model(version, 3)], None),
        };
        let output = list(version, page, &["-q"]);
        assert_eq!(output.stdout.lines().count(), 3, "{output:#?}");
    });
}
