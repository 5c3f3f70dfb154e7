//! `frcopy check --samples`: whether a copy reads documents like its source.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use frcopy::emulator::{AnswerTo, Collection, Options, ServedRequest, Tier};
use serde_json::{Value, json};
use tempfile::TempDir;

#[cfg(unix)]
use crate::support::child_process::SignalTarget;
use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::raw_server::{forwarded, read_request, serve_each};
use crate::support::{CommandOutput, error_reply, frcopy, mock_server, reply, run};

/// A folder with `count` documents for each of these models.
pub(crate) fn samples(models: &[&str], count: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for model in models {
        fs::create_dir(folder.path().join(model)).unwrap();
        for number in 1..=count {
            fs::write(folder.path().join(model).join(format!("{number}.pdf")), format!("document {number}")).unwrap();
        }
    }
    folder
}

fn check(pair: &EmulatedPair, folder: &Path, arguments: &[&str]) -> CommandOutput {
    run(pair.command(&["check", "--samples"]).arg(folder).args(arguments))
}

/// A model of each version from v3.0 on, with the versions that analyze it.
const MODELS: [(&str, &[&str]); 3] =
    [("invoices-v3.0-1", &["3.0", "3.1", "4.0"]), ("invoices-v3.1-1", &["3.1", "4.0"]), ("invoices-v4.0-1", &["4.0"])];

#[test]
fn a_true_copy_agrees_in_every_version() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    let custom = pair.custom_model();
    let folder = samples(&[&custom, "invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"], 2);
    let announced = "analyzing 10 samples of 5 models, each twice on the source and once on the target";
    let agree = "model invoices-v4.0-1: 2.pdf: 9 values agree";
    let output = check(&pair, folder.path(), &[]).expect(0, &[announced, "pages are billed", agree, "5 same"]);
    assert!(output.stdout.lines().all(|line| line.starts_with("= ")), "{output:?}");
    for (model, versions) in MODELS {
        for version in versions {
            check(&pair, folder.path(), &[model, "--api-version", version]).expect(0, &["1.pdf: "]);
        }
    }
    check(&pair, folder.path(), &[&custom, "--api-version", "2.1"]).expect(0, &["2.pdf: 9 values agree"]);
}

#[test]
fn a_model_that_reads_otherwise_is_found_although_its_metadata_agree() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    let (document_models, classifiers) = (Collection::DocumentModels, Collection::DocumentClassifiers);
    for (model, versions) in MODELS {
        // What a training changes, and no list shows.
        pair.set(SOURCE, document_models, model, &format!("/docTypes/{model}/fieldConfidence/Total"), json!(0.5));
        let folder = samples(&[model], 1);
        for version in versions {
            let arguments = [model, "--api-version", version];
            pair.run(&["check", model, "--api-version", version]).expect(0, &[]);
            let output = check(&pair, folder.path(), &arguments).expect(
                9,
                &[
                    "1 of 1 samples are read otherwise: 1.pdf",
                    "1.pdf: document 1, field Total: number ",
                    "1.pdf: document 1, field Vendor: string ",
                    " on the source, ",
                    "1 different",
                ],
            );
            assert_eq!(output.stdout, format!("* model {model}\n"));
            assert!(!output.stderr.contains("table 1"), "{output:#?}");
        }
    }
    let custom = pair.custom_model();
    pair.set(SOURCE, Collection::CustomModels, &custom, "/trainResult/averageModelAccuracy", json!(0.5));
    let folder = samples(&[&custom], 1);
    check(&pair, folder.path(), &[&custom]).expect(9, &["1.pdf: document 1, field Total: number "]);
    pair.set(SOURCE, classifiers, "classifier-v4.0-1", "/docTypes/invoice", json!({"kind": "other"}));
    let folder = samples(&["classifier-v4.0-1"], 5);
    check(&pair, folder.path(), &["classifier-v4.0-1"]).expect(9, &[".pdf: type of document 1: ", " on the source, "]);
}

#[test]
fn a_retrained_model_is_compared_field_by_field() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["invoices-v3.1-1"]).expect(0, &[]);
    pair.retrain("invoices-v3.1-1");
    let folder = samples(&["invoices-v3.1-1"], 2);
    check(&pair, folder.path(), &["invoices-v3.1-1"])
        .expect(9, &["the source was trained", "2 of 2 samples are read otherwise", "2.pdf: document 1, field Total"]);
    let output = check(&pair, folder.path(), &["invoices-v3.1-1", "--output", "json"]).expect(9, &[]).json();
    assert_eq!(output["samples"]["outcome"], "differ");
    let document = &output["samples"]["documents"][0];
    assert_eq!((&document["file"], &document["outcome"]), (&json!("1.pdf"), &json!("differ")));
    assert!(document["differences"][0].as_str().unwrap().contains("field Total"), "{document}");
    assert_eq!((&document["noise"], &document["reason"]), (&json!([]), &json!(null)));
}

#[test]
fn nothing_is_analyzed_without_the_option() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    pair.mutating_requests();
    let output = pair.run(&["check", "invoices-v4.0-1", "--output", "json"]).expect(0, &[]).json();
    assert_eq!((pair.mutating_requests(), &output["samples"]), (Vec::new(), &json!(null)));
    pair.run(&["check", "--confidence-tolerance", "0.1"]).expect(2, &["--samples"]);
}

#[test]
fn a_document_is_sent_twice_to_the_source_and_once_to_the_target_and_v4_0_results_are_deleted() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    for (model, version, deletions) in
        [("invoices-v4.0-1", "4.0", 3), ("invoices-v3.1-1", "3.1", 0), ("classifier-v4.0-1", "4.0", 0)]
    {
        pair.mutating_requests();
        let folder = samples(&[model], 1);
        check(&pair, folder.path(), &[model, "--api-version", version]).expect(0, &[]);
        let requests = pair.mutating_requests();
        let count = |resource: &str, method: &str| {
            requests.iter().filter(|request| request.starts_with(&format!("{resource} {method}"))).count()
        };
        assert_eq!((count("source", "POST"), count("target", "POST")), (2, 1), "{requests:?}");
        assert_eq!(count("source", "DELETE") + count("target", "DELETE"), deletions, "{requests:?}");
        assert!(requests.iter().all(|request| request.contains("nalyze")), "{requests:?}");
    }
}

#[test]
fn a_model_without_samples_and_a_folder_without_a_model_are_said() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    let folder = samples(&["invoices-v3.1-1", "no-such-model"], 1);
    fs::write(folder.path().join("invoices-v3.1-1/notes.txt"), "x").unwrap();
    let output = check(&pair, folder.path(), &["--include", "invoices-v[34]*"]).expect(
        0,
        &[
            "model invoices-v4.0-1: no samples",
            "model invoices-v3.1-1: 1 files of its samples are no documents",
            "no model that was compared has the id of no-such-model",
        ],
    );
    assert_eq!(output.stdout.lines().count(), 3);
    // Nothing would be tried.
    let folder = samples(&["no-such-model"], 1);
    check(&pair, folder.path(), &[])
        .expect(5, &["has the id of a model of the source that is compared", "no-such-model"]);
    // A copy that is missing is a difference, with samples or without.
    pair.emulator.remove(TARGET, Collection::DocumentModels, "invoices-v4.0-1");
    let output = check(&pair, samples(&["invoices-v4.0-1"], 1).path(), &["--include", "*v4.0-1"]).expect(9, &[]);
    assert!(output.stdout.contains("+ model invoices-v4.0-1"), "{output:?}");
    let empty = tempfile::tempdir().unwrap();
    check(&pair, empty.path(), &[]).expect(2, &["has no samples"]);
    check(&pair, &empty.path().join("missing"), &[]).expect(2, &["cannot be read"]);
    check(&pair, folder.path(), &["--confidence-tolerance", "5%"]).expect(2, &["is not a number from 0 to 1"]);
}

#[test]
fn a_sample_that_cannot_be_compared_is_no_agreement() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["invoices-v3.1-1"]).expect(0, &[]);
    let folder = samples(&["invoices-v3.1-1"], 1);
    fs::write(folder.path().join("invoices-v3.1-1/0.pdf"), "").unwrap();
    let large = fs::File::create(folder.path().join("invoices-v3.1-1/9.tiff")).unwrap();
    large.set_len(50 * 1024 * 1024 + 1).unwrap();
    let output = check(&pair, folder.path(), &["invoices-v3.1-1"]).expect(
        9,
        &[
            "error: model invoices-v3.1-1: 2 of 3 samples were not compared",
            "0.pdf: not compared: the sample is empty",
            "1.pdf: 9 values agree",
            "9.tiff: not compared: the sample is larger than 50 MiB",
        ],
    );
    assert_eq!(output.stdout, "! model invoices-v3.1-1\n");
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_said_and_the_others_are_compared() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["invoices-v3.1-1"]).expect(0, &[]);
    let folder = samples(&["invoices-v3.1-1"], 1);
    std::os::unix::fs::symlink("/no/such/file", folder.path().join("invoices-v3.1-1/0.pdf")).unwrap();
    check(&pair, folder.path(), &["invoices-v3.1-1"])
        .expect(9, &["0.pdf: not compared: the sample ", "1.pdf: 9 values"]);
}

/// Resources that lose one answer, with a copy of a model.
fn losing(answer: AnswerTo) -> EmulatedPair {
    let options =
        Options { models: 1, operation_time: Duration::ZERO, lose_answers: vec![answer], ..Options::default() };
    let pair = EmulatedPair::with_options(&options);
    pair.copy(&["invoices-v3.1-1"]).expect(0, &[]);
    pair
}

#[test]
fn an_analysis_whose_answer_is_lost_is_not_repeated() {
    let pair = losing(AnswerTo::Analyze);
    pair.mutating_requests();
    let folder = samples(&["invoices-v3.1-1"], 1);
    check(&pair, folder.path(), &["invoices-v3.1-1"])
        .expect(9, &["1.pdf: not compared: the source did not answer the analysis, which may have been carried out"]);
    assert_eq!(pair.mutating_requests().len(), 1);
}

#[test]
fn a_lost_result_is_read_again() {
    let pair = losing(AnswerTo::AnalyzeResult);
    check(&pair, samples(&["invoices-v3.1-1"], 1).path(), &["invoices-v3.1-1"]).expect(0, &["9 values agree"]);
}

#[test]
fn the_limits_of_a_standard_resource_are_kept() {
    let pair = EmulatedPair::with_options(&Options {
        models: 1,
        tier: Tier::S0,
        operation_time: Duration::from_millis(300),
        ..Options::default()
    });
    pair.copy(&["invoices-v3.1-1"]).expect(0, &[]);
    let folder = samples(&["invoices-v3.1-1"], 30);
    check(&pair, folder.path(), &["invoices-v3.1-1", "--api-version", "3.1"]).expect(0, &["30.pdf: 9 values agree"]);
    // The first 429 shows the limit.
    assert!((1..10).contains(&pair.count(429)), "{}", pair.count(429));
}

/// A resource whose v3.1 model reads these totals with these confidences, one after the other.
fn resource_that_reads(totals: &'static [(f64, f64)]) -> wiremock::MockServer {
    let analyses = AtomicUsize::new(0);
    let body =
        json!({"modelId": "m1", "createdDateTime": "2026-01-01T00:00:00Z", "apiVersion": "2023-07-31", "docTypes": {}});
    mock_server(move |request| match (request.method.as_str(), request.url.path()) {
        (_, "/formrecognizer/documentModels") => reply(200).set_body_json(json!({"value": [body]})),
        (_, "/formrecognizer/documentClassifiers") => reply(200).set_body_json(json!({"value": []})),
        (_, "/formrecognizer/documentModels/m1") => reply(200).set_body_json(&body),
        ("POST", path) if path.ends_with("/m1:analyze") && request.headers["content-type"] == "application/pdf" => {
            let number = analyses.fetch_add(1, Ordering::SeqCst);
            let result = format!("/formrecognizer/documentModels/m1/analyzeResults/{number}?api-version=2023-07-31");
            reply(202).insert_header("operation-location", result)
        }
        ("GET", path) if path.contains("/analyzeResults/") => {
            let number: usize = path.rsplit('/').next().unwrap().parse().unwrap();
            let (total, confidence) = totals[number];
            let fields = json!({
                "Total": {"type": "number", "valueNumber": total, "confidence": confidence},
                "Vendor": {"type": "string", "valueString": "Contoso", "confidence": 0.9},
            });
            let documents = json!([{"docType": "m1", "confidence": 0.9, "fields": fields}]);
            let result = json!({"modelId": "m1", "documents": documents});
            reply(200).set_body_json(json!({"status": "succeeded", "analyzeResult": result}))
        }
        _ => error_reply(404, "404", "Resource not found"),
    })
}

/// Checks the samples of a model that reads these totals on both resources.
fn check_totals(source: &'static [(f64, f64)], target: &'static [(f64, f64)], tolerance: &str) -> CommandOutput {
    let (source, target, folder) = (resource_that_reads(source), resource_that_reads(target), samples(&["m1"], 1));
    let mut command = frcopy();
    command.env("FRCOPY_SOURCE_ENDPOINT", source.uri()).env("FRCOPY_TARGET_ENDPOINT", target.uri());
    command.env("FRCOPY_SOURCE_KEY", "a").env("FRCOPY_TARGET_KEY", "b").args(["check", "--samples"]).arg(folder.path());
    run(command.args(["--confidence-tolerance", tolerance]))
}

#[test]
fn what_the_source_itself_reads_otherwise_is_reported_and_not_counted() {
    let noise = "not counted, the source itself differs: document 1, field Total: number 1.0 in one analysis, number 2.0 in another one";
    check_totals(&[(1.0, 0.9), (2.0, 0.9)], &[(3.0, 0.9)], "0.05").expect(0, &["1.pdf: 3 values agree", noise]);
}

#[test]
fn confidences_may_differ_by_the_tolerance() {
    let (source, target) = (&[(1.0, 0.9), (1.0, 0.9)], &[(1.0, 0.8)]);
    let difference = "field Total: confidence 0.900 on the source, confidence 0.800 on the target";
    check_totals(source, target, "0.05").expect(9, &[difference]);
    check_totals(source, target, "0.1").expect(0, &["1.pdf: 4 values agree"]);
}

/// Resources with one v4.0 model and its copy, on which an analysis takes this long.
fn pair_with_slow_analyses(
    operation_time: Duration,
    observer: impl Fn(&ServedRequest) + Send + Sync + 'static,
) -> EmulatedPair {
    let options = Options { models: 1, operation_time, ..Options::default() };
    let pair = EmulatedPair::with_observer(&options, observer);
    let body = pair.emulator.get(SOURCE, Collection::DocumentModels, "invoices-v4.0-1").unwrap();
    pair.emulator.put(TARGET, Collection::DocumentModels, "invoices-v4.0-1", body);
    pair
}

fn analyses_and_deletions(pair: &EmulatedPair) -> (usize, usize) {
    let requests = pair.mutating_requests();
    let count = |method: &str| requests.iter().filter(|request| request.contains(method)).count();
    (count(" POST "), count(" DELETE "))
}

#[test]
fn a_deadline_ends_the_analyses_and_deletes_their_results() {
    let pair = pair_with_slow_analyses(Duration::from_secs(60), |_| {});
    let (folder, began) = (samples(&["invoices-v4.0-1"], 1), Instant::now());
    check(&pair, folder.path(), &["invoices-v4.0-1", "--timeout", "3s"])
        .expect(9, &["1.pdf: not compared: the deadline passed before the analysis on the source ended"]);
    assert!(began.elapsed() < Duration::from_secs(13), "{:?}", began.elapsed());
    assert_eq!(analyses_and_deletions(&pair), (1, 1));
}

#[cfg(unix)]
#[test]
fn an_interruption_ends_the_analyses_and_deletes_their_results() {
    let process = SignalTarget::default();
    let observed = process.clone();
    let pair = pair_with_slow_analyses(Duration::from_secs(60), move |served| {
        if served.path.contains(":analyze") {
            observed.signal_if("-INT", || true);
        }
    });
    let folder = samples(&["invoices-v4.0-1"], 1);
    let exit = process.run(pair.command(&["check", "invoices-v4.0-1", "--samples"]).arg(folder.path()));
    assert_eq!((exit.code, analyses_and_deletions(&pair)), (Some(130), (1, 1)), "{}", exit.stderr);
}

#[test]
fn a_manifest_records_that_samples_agreed_and_no_model_that_reads_otherwise() {
    let pair = EmulatedPair::new(1);
    let (folder, manifest) = (samples(&["invoices-v4.0-1"], 1), tempfile::tempdir().unwrap());
    let manifest = manifest.path().join("models.json");
    let with_manifest = ["invoices-v4.0-1", "--manifest", manifest.to_str().unwrap()];
    pair.copy(&with_manifest).expect(0, &[]);
    let long_ago = "2026-01-01T00:00:00Z";
    let mut content: Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    content["copies"][0]["verifiedAt"] = json!(long_ago);
    fs::write(&manifest, content.to_string()).unwrap();
    let confidence = "/docTypes/invoices-v4.0-1/fieldConfidence/Total";
    pair.set(SOURCE, Collection::DocumentModels, "invoices-v4.0-1", confidence, json!(0.5));
    let is_old = || fs::read_to_string(&manifest).unwrap().contains(long_ago);
    check(&pair, folder.path(), &with_manifest).expect(9, &["1 of 1 samples are read otherwise"]);
    assert!(is_old());
    pair.run(&[&["check"], &with_manifest[..]].concat()).expect(0, &[]);
    assert!(!is_old());
    assert!(!fs::read_to_string(&manifest).unwrap().contains("samplesAgreedAt"));
    // The copy is good again.
    pair.set(SOURCE, Collection::DocumentModels, "invoices-v4.0-1", confidence, json!(0.995));
    check(&pair, folder.path(), &with_manifest).expect(0, &["9 values agree"]);
    let proven = fs::read_to_string(&manifest).unwrap();
    assert!(proven.contains("\"samplesAgreedAt\": \"20"), "{proven}");
    // A check without samples keeps the date of the last one with samples.
    pair.run(&[&["check"], &with_manifest[..]].concat()).expect(0, &[]);
    assert!(fs::read_to_string(&manifest).unwrap().contains("samplesAgreedAt"));
    check(&pair, folder.path(), &[&with_manifest[..], &["--target-only"]].concat()).expect(2, &["--target-only"]);
}

#[test]
fn an_analysis_that_hangs_ends_with_the_deadline() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    let server = pair.emulator.resources()[SOURCE].endpoint.trim_start_matches("http://").parse().unwrap();
    let proxy = serve_each(move |mut stream| {
        let Some(request) = read_request(&mut stream) else { return };
        if request.starts_with("POST") {
            std::thread::sleep(Duration::from_secs(60));
        }
        let _ = stream.write_all(&forwarded(server, &request));
    });
    for (model, version) in [(pair.custom_model(), "2.1"), ("invoices-v4.0-1".to_owned(), "4.0")] {
        let folder = samples(&[&model], 1);
        let mut command = pair.command(&["check", &model, "--api-version", version, "--timeout", "4s", "--samples"]);
        command.arg(folder.path()).env("FRCOPY_SOURCE_ENDPOINT", format!("http://{proxy}"));
        let began = Instant::now();
        run(&mut command).expect(9, &["may have been carried out and billed"]);
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    }
}
