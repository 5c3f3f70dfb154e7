//! How much memory a command takes for models whose fields are megabytes of JSON.

use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::json;
use wiremock::{Request, ResponseTemplate};

use crate::support::{SOURCE_KEY, TARGET_KEY, error_reply, frcopy, mock_server, reply, std_command};

/// The process, and the most memory that it had at one of its requests, in MB.
type Peak = Arc<Mutex<(Option<u32>, u64)>>;

fn note(peak: &Peak) {
    let mut peak = peak.lock().unwrap();
    let Some(process) = peak.0 else { return };
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    peak.1 = peak.1.max(kilobytes.unwrap_or_default() / 1024);
}

/// Five megabytes of fields: many short ones.
fn fields() -> String {
    let field = |number| format!(r#""field {number:06}":{{"type":"string","description":"{}"}}"#, "x".repeat(60));
    format!("{{{}}}", (0..50_000).map(field).collect::<Vec<_>>().join(","))
}

fn model(number: usize, fields: &str) -> String {
    format!(
        r#"{{"modelId":"large-{number}","createdDateTime":"2026-01-01T00:00:00Z","apiVersion":"2024-11-30","docTypes":{{"type":{{"buildMode":"template","fieldSchema":{fields}}}}}}}"#
    )
}

/// Runs a command against a resource whose list has this many pages with one such model each. Returns its peak.
fn peak_of(arguments: &[&str], pages: usize) -> u64 {
    let peak = Peak::default();
    let (seen, fields) = (Arc::clone(&peak), fields());
    let server = mock_server(move |request: &Request| {
        note(&seen);
        answer(request, pages, &fields)
    });
    let mut command = frcopy();
    command.envs([("FRCOPY_SOURCE_ENDPOINT", server.uri()), ("FRCOPY_TARGET_ENDPOINT", server.uri())]);
    command.envs([("FRCOPY_SOURCE_KEY", SOURCE_KEY), ("FRCOPY_TARGET_KEY", TARGET_KEY)]).args(arguments);
    // No request is measured before the process is known.
    let mut known = peak.lock().unwrap();
    let mut child = std_command(&command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    known.0 = Some(child.id());
    drop(known);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{arguments:?}");
    let (_, megabytes) = *peak.lock().unwrap();
    assert!(megabytes > 5, "{megabytes} MB: nothing was measured");
    megabytes
}

fn answer(request: &Request, pages: usize, fields: &str) -> ResponseTemplate {
    let json = |body: String| reply(200).set_body_raw(body, "application/json");
    let page = || request.url.query_pairs().find(|(name, _)| name == "page")?.1.parse::<usize>().ok();
    match request.url.path() {
        "/documentintelligence/documentModels" => {
            let page = page().unwrap_or_default();
            let origin = format!("http://{}", request.headers["host"].to_str().unwrap());
            let next = format!("{origin}/documentintelligence/documentModels?api-version=2024-11-30&page={}", page + 1);
            let next = if page < pages { format!(r#","nextLink":"{next}""#) } else { String::new() };
            // The last page is empty: at its request the others have been read.
            let models = if page < pages { model(page, fields) } else { String::new() };
            json(format!(r#"{{"value":[{models}]{next}}}"#))
        }
        "/documentintelligence/documentModels/large-0" => json(model(0, fields)),
        "/documentintelligence/documentModels/copy" => {
            let inner = json!({"code": "ModelNotFound", "message": "Not found."});
            reply(404).set_body_json(json!({"error": {"code": "NotFound", "message": "No.", "innererror": inner}}))
        }
        "/documentintelligence/info" => json(r#"{"customDocumentModels":{"count":1,"limit":500}}"#.to_owned()),
        _ => error_reply(404, "404", "Resource not found"),
    }
}

#[test]
fn a_model_of_five_megabytes_takes_less_than_forty() {
    let arguments = ["copy", "large-0", "--target-model-id", "copy", "--dry-run", "--api-version", "4.0"];
    let peak = peak_of(&[&arguments[..], &["--kind", "model"]].concat(), 1);
    assert!(peak < 40, "{peak} MB");
}

#[test]
fn a_list_of_such_models_takes_less_than_a_hundred() {
    let peak = peak_of(&["list", "source", "--kind", "model", "--api-version", "4.0"], 8);
    assert!(peak < 100, "{peak} MB");
}
