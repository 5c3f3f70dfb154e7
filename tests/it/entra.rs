//! Each credential for Microsoft Entra ID, with a [`TokenServer`] in the place of Entra ID.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assert_cmd::Command;
use frcopy::emulator::Options;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::raw_server::{AUTHORITY, plain_server, tls_server};
use crate::support::{CommandOutput, run_without};

const CLIENT_SECRET: &str = "c1ient~5ecret~0123456789";
const FEDERATED_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.federated.0123456789";
const MODEL: &str = "invoices-v4.0-1";
/// More requests than any test sends.
const UNLIMITED: usize = 10_000;
/// An address on this machine without a listener.
const UNREACHABLE: &str = "http://127.0.0.1:9";

/// Answers token requests from a script of status and body, and records them. The last answer repeats.
#[derive(Clone)]
struct TokenServer {
    requests: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
}

impl TokenServer {
    fn answering(answers: &[(u16, Value)]) -> Self {
        Self { requests: Arc::default(), answers: Arc::new(Mutex::new(answers.iter().cloned().collect())) }
    }

    fn answer(&self, request: &str) -> String {
        self.requests.lock().unwrap().push(request.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let (status, body) = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }.unwrap();
        let body = body.to_string();
        let length = body.len();
        format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// Over TLS, like Entra ID.
    fn as_authority(&self) -> SocketAddr {
        let token_server = self.clone();
        tls_server(move |request| token_server.answer(request).into_bytes())
    }

    /// Over plain HTTP, like the metadata service of a machine, which requires the header `Metadata: true`.
    fn as_metadata_service(&self) -> String {
        let token_server = self.clone();
        let address = plain_server(move |request| {
            if request.to_lowercase().contains("\r\nmetadata: true") {
                token_server.answer(request).into_bytes()
            } else {
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
            }
        });
        format!("http://{address}")
    }
}

/// A token answer of Entra ID.
fn token(name: &str, lives: u64) -> (u16, Value) {
    (200, json!({"token_type": "Bearer", "expires_in": lives, "ext_expires_in": lives, "access_token": name_of(name)}))
}

/// A token answer of a metadata service.
fn managed_token(name: &str) -> (u16, Value) {
    let expires = (now() + 3600).to_string();
    (200, json!({"access_token": name_of(name), "expires_on": expires, "resource": "x", "token_type": "Bearer"}))
}

fn refusal(status: u16, error: &str, code: u32, words: &str) -> (u16, Value) {
    (status, json!({"error": error, "error_description": words, "error_codes": [code]}))
}

/// A token that cannot occur in the output by chance.
fn name_of(name: &str) -> String {
    format!("t0ken-of-entra-id.{name}.0123456789")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// `frcopy copy` with Entra ID instead of keys on both sides.
fn command(pair: &EmulatedPair, arguments: &[&str]) -> Command {
    let mut command = pair.command(&[&["copy", "--poll-interval", "20ms", "-vv"], arguments].concat());
    command
        .env_remove("FRCOPY_SOURCE_KEY")
        .env_remove("FRCOPY_TARGET_KEY")
        .env("FRCOPY_SOURCE_AUTH", "entra")
        .env("FRCOPY_TARGET_AUTH", "entra")
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", UNREACHABLE);
    command
}

fn pair_accepting(tokens: &[(&str, usize)]) -> EmulatedPair {
    pair_with_time(Duration::ZERO, tokens)
}

fn pair_with_time(operation_time: Duration, tokens: &[(&str, usize)]) -> EmulatedPair {
    let pair = EmulatedPair::with_options(&Options { models: 1, operation_time, ..Options::default() });
    for (token, requests) in tokens {
        pair.emulator.accept_token(SOURCE, &name_of(token), *requests);
        pair.emulator.accept_token(TARGET, &name_of(token), *requests);
    }
    pair
}

fn with_service_principal(mut command: Command, authority: SocketAddr) -> Command {
    command
        .env("SSL_CERT_FILE", AUTHORITY)
        .env("AZURE_AUTHORITY_HOST", format!("https://{authority}"))
        .env("AZURE_TENANT_ID", "contoso.example")
        .env("AZURE_CLIENT_ID", "11111111-2222-4333-8444-555555555555")
        .env("AZURE_CLIENT_SECRET", CLIENT_SECRET);
    command
}

/// Runs a command and checks that it prints no secret.
fn run_without_secrets(command: &mut Command) -> CommandOutput {
    run_without(&[CLIENT_SECRET, FEDERATED_TOKEN, "t0ken-of-entra-id"], command)
}

/// Writes a program that records its call, prints a text and ends with an exit code.
fn program(folder: &Path, name: &str, prints: &str, to: &str, code: u8) {
    let called = folder.join("called");
    let script = format!(
        "#!/bin/sh\necho {name} \"$@\" >> '{}'\ncat >&{to} <<'END'\n{prints}\nEND\nexit {code}\n",
        called.display()
    );
    let path = folder.join(name);
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn path_with(folder: &Path) -> String {
    format!("{}:/usr/bin:/bin", folder.display())
}

fn called(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("called")).unwrap_or_default()
}

#[test]
fn a_service_principal_copies_models_of_every_version_with_one_token_for_each_side() {
    for model in ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "v2.1"] {
        let pair = pair_accepting(&[("one", UNLIMITED)]);
        let v2_1 = pair.custom_model();
        let token_server = TokenServer::answering(&[token("one", 3600)]);
        let id = if model == "v2.1" { v2_1.as_str() } else { model };
        let mut command = with_service_principal(command(&pair, &[id]), token_server.as_authority());
        run_without_secrets(command.args(["--source-tenant", "fabrikam.example"]))
            .expect(0, &["the service principal"]);
        let mut requests = token_server.requests();
        requests.sort();
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert!(requests[0].starts_with("POST /contoso.example/oauth2/v2.0/token "), "{requests:?}");
        assert!(requests[1].starts_with("POST /fabrikam.example/oauth2/v2.0/token "), "{requests:?}");
        for part in [
            "grant_type=client_credentials",
            "client_id=11111111-2222-4333-8444-555555555555",
            "scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default",
        ] {
            assert!(requests.iter().all(|request| request.contains(part)), "{part} is missing in {requests:?}");
        }
    }
}

#[test]
fn a_refused_service_principal_gets_the_cause_and_a_remedy() {
    let pair = pair_accepting(&[]);
    let words = format!("AADSTS7000215: Invalid client secret provided: {CLIENT_SECRET}.");
    let token_server = TokenServer::answering(&[refusal(401, "invalid_client", 7_000_215, &words)]);
    let texts = [
        "failed to get an Entra ID token for the source",
        "cause: AADSTS7000215",
        "correct AZURE_CLIENT_ID, AZURE_CLIENT_SECRET",
    ];
    run_without_secrets(&mut with_service_principal(command(&pair, &[MODEL]), token_server.as_authority()))
        .expect(4, &texts);
    assert!(pair.mutating_requests().is_empty());
}

#[test]
fn a_token_is_renewed_during_a_long_copy() {
    let pair = pair_with_time(Duration::from_secs(3), &[("one", UNLIMITED), ("two", UNLIMITED), ("three", UNLIMITED)]);
    // The tokens are valid for two seconds and are renewed after one.
    let token_server = TokenServer::answering(&[token("one", 2), token("two", 2), token("three", 2)]);
    run_without_secrets(&mut with_service_principal(command(&pair, &[MODEL]), token_server.as_authority()))
        .expect(0, &[]);
    assert!(token_server.requests().len() > 3, "nothing was renewed");
}

#[test]
fn a_token_that_the_service_rejects_is_replaced_during_the_copy() {
    // Valid for three requests each: they expire during the preflight, the copy and the verification.
    let pair = pair_accepting(&[("one", 3), ("two", 3), ("three", UNLIMITED)]);
    let token_server =
        TokenServer::answering(&[token("one", 3600), token("one", 3600), token("two", 3600), token("three", 3600)]);
    run_without_secrets(&mut with_service_principal(command(&pair, &[MODEL]), token_server.as_authority()))
        .expect(0, &["-> 401"]);
    let changes = pair.mutating_requests();
    assert!(changes.iter().all(|change| changes.iter().filter(|other| *other == change).count() <= 2), "{changes:?}");
}

#[test]
fn a_missing_role_is_named_and_no_id_stays_reserved() {
    let pair = pair_accepting(&[]);
    let token_server = TokenServer::answering(&[token("one", 3600)]);
    run_without_secrets(&mut with_service_principal(command(&pair, &[MODEL]), token_server.as_authority()))
        .expect(4, &["give the identity the role Cognitive Services User on both resources, source and target"]);
}

#[test]
fn an_unreachable_entra_id_is_not_a_refusal() {
    let pair = pair_accepting(&[]);
    let unreachable: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let texts = ["Entra ID did not answer", "let this machine reach Entra ID"];
    let mut no_answer = with_service_principal(command(&pair, &[MODEL, "--timeout", "2s"]), unreachable);
    run_without_secrets(&mut no_answer).expect(7, &texts);
    let token_server = TokenServer::answering(&[(503, json!({})), token("one", 3600)]);
    let pair = pair_accepting(&[("one", UNLIMITED)]);
    run_without_secrets(&mut with_service_principal(command(&pair, &[MODEL]), token_server.as_authority()))
        .expect(0, &["503"]);
}

#[test]
fn each_cloud_has_its_own_token_scope() {
    for (domain, scope) in [("us", "cognitiveservices.azure.us"), ("cn", "cognitiveservices.azure.cn")] {
        let pair = pair_accepting(&[]);
        let token_server = TokenServer::answering(&[token("one", 3600)]);
        let mut command =
            with_service_principal(command(&pair, &[MODEL, "--timeout", "1s"]), token_server.as_authority());
        command
            .env("FRCOPY_SOURCE_ENDPOINT", format!("https://contoso.cognitiveservices.azure.{domain}"))
            .env("FRCOPY_TARGET_ENDPOINT", format!("https://fabrikam.cognitiveservices.azure.{domain}"))
            // No name is resolved: all but this machine is behind an unreachable proxy.
            .env("HTTPS_PROXY", UNREACHABLE)
            .env("NO_PROXY", "127.0.0.1");
        run_without_secrets(&mut command).expect(7, &[]);
        let requests = token_server.requests();
        assert!(!requests.is_empty() && requests.iter().all(|request| request.contains(scope)), "{requests:?}");
    }
}

#[test]
fn a_workload_identity_sends_its_federated_token() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("federated");
    fs::write(&file, FEDERATED_TOKEN).unwrap();
    let pair = pair_accepting(&[("one", UNLIMITED)]);
    let token_server = TokenServer::answering(&[token("one", 3600)]);
    let workload = |token_server: &TokenServer, file: &Path| {
        let mut command =
            with_service_principal(command(&pair, &[MODEL, "--if-exists", "skip"]), token_server.as_authority());
        command.env_remove("AZURE_CLIENT_SECRET").env("AZURE_FEDERATED_TOKEN_FILE", file);
        command
    };
    run_without_secrets(&mut workload(&token_server, &file)).expect(0, &["the workload identity"]);
    let requests = token_server.requests();
    assert!(
        requests.iter().all(|request| request.contains(&format!("client_assertion={FEDERATED_TOKEN}"))),
        "{requests:?}"
    );

    let words = "AADSTS700213: No matching federated identity record found for presented assertion subject.";
    let token_server = TokenServer::answering(&[refusal(400, "invalid_request", 700_213, words)]);
    run_without_secrets(&mut workload(&token_server, &file))
        .expect(4, &["cause: AADSTS700213", "that the identity trusts this cluster"]);
    run_without_secrets(&mut workload(&token_server, &folder.path().join("gone"))).expect(
        4,
        &["failed to get an Entra ID token for the source with the workload identity", "AZURE_FEDERATED_TOKEN_FILE"],
    );
}

#[test]
fn a_managed_identity_is_used_on_app_service_and_on_a_virtual_machine() {
    let token_server = TokenServer::answering(&[managed_token("one")]);
    let metadata_service = token_server.as_metadata_service();
    let pair = pair_accepting(&[("one", UNLIMITED)]);
    let mut app_service = command(&pair, &[MODEL]);
    app_service
        .env("IDENTITY_ENDPOINT", format!("{metadata_service}/msi/token"))
        .env("IDENTITY_HEADER", "an-identity-header");
    run_without_secrets(&mut app_service).expect(0, &["the managed identity"]);
    let requests = token_server.requests();
    for part in [
        "GET /msi/token?api-version=2019-08-01",
        "resource=https%3A%2F%2Fcognitiveservices.azure.com",
        "an-identity-header",
    ] {
        assert!(requests.iter().all(|request| request.contains(part)), "{part} is missing in {requests:?}");
    }

    let pair = pair_accepting(&[("one", UNLIMITED)]);
    let mut machine = command(&pair, &[MODEL]);
    machine
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &metadata_service)
        .env("AZURE_CLIENT_ID", "66666666-7777-4888-8999-000000000000");
    // A proxy must not get the token.
    run_without_secrets(machine.env("HTTP_PROXY", UNREACHABLE).env("HTTPS_PROXY", UNREACHABLE))
        .expect(0, &["the managed identity"]);
    let requests = token_server.requests();
    for part in ["GET /metadata/identity/oauth2/token?", "client_id=66666666-7777-4888-8999-000000000000"] {
        assert!(requests.iter().all(|request| request.contains(part)), "{part} is missing in {requests:?}");
    }
}

#[test]
fn a_machine_without_an_identity_gets_a_remedy() {
    let token_server = TokenServer::answering(&[(
        400,
        json!({"error": "invalid_request", "error_description": "Identity not found"}),
    )]);
    let pair = pair_accepting(&[]);
    let mut app_service = command(&pair, &[MODEL]);
    app_service
        .env("IDENTITY_ENDPOINT", format!("{}/msi/token", token_server.as_metadata_service()))
        .env("IDENTITY_HEADER", "an-identity-header");
    run_without_secrets(&mut app_service).expect(
        4,
        &[
            "failed to get an Entra ID token for the source with the managed identity",
            "The requested identity has not been assigned to this resource",
            "assign a managed identity to this machine",
        ],
    );
}

#[test]
fn the_azure_cli_is_used_as_a_credential() {
    let pair = pair_accepting(&[("one", UNLIMITED)]);
    let folder = TempDir::new().unwrap();
    let answer = json!({"accessToken": name_of("one"), "expiresOn": "2026-11-24 12:00:00.000000", "expires_on": now() + 3600,
        "tenant": "contoso.example", "tokenType": "Bearer"});
    program(folder.path(), "az", &answer.to_string(), "1", 0);
    let mut command = command(&pair, &[MODEL, "--target-tenant", "fabrikam.example"]);
    run_without_secrets(command.env("PATH", path_with(folder.path()))).expect(0, &["a token of the Azure CLI"]);
    let called = called(&folder);
    assert!(called.contains("account get-access-token -o json --scope https://cognitiveservices.azure.com/.default\n"));
    assert!(called.contains("--tenant fabrikam.example"), "{called}");
    assert_eq!(called.lines().count(), 2, "{called}");
}

/// The same command in a process that cannot have more than a gigabyte.
fn with_limited_memory(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    limited.env_clear().timeout(Duration::from_secs(60));
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited
}

#[test]
fn an_azure_cli_that_prints_without_end_takes_no_memory() {
    let pair = pair_accepting(&[]);
    for script in ["exec cat /dev/zero", "exec cat /dev/zero >&2", "trap '' PIPE; while :; do cat /dev/zero; done"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("az");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = command(&pair, &[MODEL, "--timeout", "8s"]);
        command.env("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential").env("PATH", path_with(folder.path()));
        let output = run_without_secrets(&mut with_limited_memory(&command));
        assert!([4, 7].contains(&output.code), "{script}: {output:#?}");
    }
}

#[test]
fn the_azure_developer_cli_is_used_when_the_azure_cli_fails() {
    let pair = pair_accepting(&[("one", UNLIMITED)]);
    let folder = TempDir::new().unwrap();
    program(folder.path(), "az", "ERROR: Please run 'az login' to setup account.", "2", 1);
    let answer = json!({"token": name_of("one"), "expiresOn": "2199-01-01T00:00:00Z"});
    program(folder.path(), "azd", &answer.to_string(), "1", 0);
    run_without_secrets(command(&pair, &[MODEL]).env("PATH", path_with(folder.path())))
        .expect(0, &["a token of the Azure Developer CLI"]);
    assert!(called(&folder).contains("azd auth token"), "{}", called(&folder));
}

#[test]
fn without_any_credential_every_attempt_is_listed() {
    let pair = pair_accepting(&[]);
    let folder = TempDir::new().unwrap();
    program(folder.path(), "az", "ERROR: Please run 'az login' to setup account.", "2", 1);
    run_without_secrets(command(&pair, &[MODEL]).env("PATH", path_with(folder.path()))).expect(
        4,
        &[
            "no identity on this machine got an Entra ID token for the source",
            "the managed identity: this machine is not in Azure",
            "the Azure CLI: ERROR: Please run 'az login' to setup account.",
            "the Azure Developer CLI: azd not found on PATH",
            "sign in with `az login`",
        ],
    );
}

#[test]
fn the_credential_can_be_chosen_and_an_unusable_choice_is_named() {
    let pair = pair_accepting(&[]);
    let token_server = TokenServer::answering(&[token("one", 3600)]);
    let folder = TempDir::new().unwrap();
    program(folder.path(), "az", "ERROR: Please run 'az login' to setup account.", "2", 1);
    let mut chosen = with_service_principal(command(&pair, &[MODEL]), token_server.as_authority());
    chosen.env("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential").env("PATH", path_with(folder.path()));
    run_without_secrets(&mut chosen).expect(4, &["for the source with the Azure CLI", "sign in with `az login`"]);
    assert!(token_server.requests().is_empty());
    run_without_secrets(chosen.env("AZURE_TOKEN_CREDENTIALS", "BrowserCredential"))
        .expect(2, &["AZURE_TOKEN_CREDENTIALS names an unknown"]);
    let mut certificate = command(&pair, &[MODEL]);
    run_without_secrets(certificate.env("AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere.pem"))
        .expect(2, &["a service principal with a certificate cannot be used"]);
    run_without_secrets(command(&pair, &[MODEL]).args(["--source-tenant", "a tenant"]))
        .expect(2, &["--source-tenant is not the id"]);
}
