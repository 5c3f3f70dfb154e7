//! `frcopy doctor`: every check, failing and passing.

use std::fs;
use std::net::SocketAddr;

use assert_cmd::Command;
use frcopy::emulator::{Collection, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::proxy::TunnelProxy;
use crate::support::emulated_pair::{EmulatedPair, SOURCE};
use crate::support::raw_server::{AUTHORITY, plain_server, tls_server};
use crate::support::{CommandOutput, SOURCE_KEY, ScriptedService, V4_0, frcopy, run, run_without};

const TOKEN: &str = "d0ctor-token-of-entra-id-0123456789";
const UNLIMITED: usize = 10_000;
const PERMISSION_DENIED: &str =
    r#"{"error":{"code":"PermissionDenied","message":"Principal does not have access to API/Operation."}}"#;
const NOT_OFFERED: &str = r#"{"error":{"code":"404","message":"Resource not found"}}"#;

/// `frcopy doctor` with JSON, for a source with a key.
fn doctor(endpoint: &str) -> Command {
    let mut command = frcopy();
    command.env("FRCOPY_SOURCE_ENDPOINT", endpoint).env("FRCOPY_SOURCE_KEY", SOURCE_KEY);
    command.args(["doctor", "--output", "json"]);
    command
}

/// The findings of a command, and its exit code.
pub(crate) struct Findings {
    code: i32,
    lines: Vec<Value>,
}

impl Findings {
    pub(crate) fn of(command: &mut Command) -> Self {
        let CommandOutput { code, stdout, .. } = run_without(&[TOKEN], command);
        Self { code, lines: stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect() }
    }

    fn find(&self, resource: &str, check: &str) -> &Value {
        let found = self.lines.iter().find(|line| line["resource"] == resource && line["check"] == check);
        found.unwrap_or_else(|| panic!("no {check} of the {resource} in {:#?}", self.lines))
    }

    /// Asserts the exit code, and the results and texts of checks of the source.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, expected: &[(&str, &str, &str)]) {
        self.expect_of("source", code, expected);
    }

    #[track_caller]
    pub(crate) fn expect_of(&self, resource: &str, code: i32, expected: &[(&str, &str, &str)]) {
        assert_eq!(self.code, code, "{:#?}", self.lines);
        for (check, status, text) in expected {
            let line = self.find(resource, check);
            assert_eq!(line["status"], *status, "{line:#}");
            assert!(line.to_string().contains(text), "{text:?} is missing in {line:#}");
        }
    }
}

/// An answer with a JSON body, over HTTP.
fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// A resource that answers each read like the service, except for requests whose head contains a text.
fn resource_except(exception: &'static str, status: u16, headers: &'static str, body: &'static str) -> SocketAddr {
    plain_server(move |request| {
        let head = request.to_lowercase();
        if head.contains(exception) { answer(status, headers, body) } else { answer_of_service(&head) }
    })
}

/// The service's answer to a read.
pub(crate) fn answer_of_service(request: &str) -> Vec<u8> {
    let head = request.to_lowercase();
    let counts = json!({"count": 1, "limit": 500});
    let ok = match () {
        () if head.contains("op=summary") => json!({"summary": counts}),
        () if head.contains("/info") => json!({"customDocumentModels": counts}),
        () => json!({"value": [], "modelList": []}),
    };
    answer(200, "", &ok.to_string())
}

fn url(server: SocketAddr) -> String {
    format!("http://{server}")
}

#[test]
fn a_pair_that_can_copy_passes_every_check_and_is_only_read() {
    let pair = EmulatedPair::new(1);
    let findings = Findings::of(&mut pair.command(&["doctor", "--output", "json"]));
    let names =
        ["settings", "endpoint", "name", "connection", "authentication", "versions", "room", "tier", "region", "clock"];
    for resource in ["source", "target"] {
        let shown: Vec<_> = findings.lines.iter().filter(|line| line["resource"] == resource).collect();
        assert_eq!(shown.iter().map(|line| line["check"].as_str().unwrap()).collect::<Vec<_>>(), names);
        assert!(shown.iter().all(|line| line["schema"] == "frcopy.doctor/1" && line["endpoint"].is_string()));
        for check in names.into_iter().filter(|check| *check != "tier") {
            findings.expect_of(resource, 0, &[(check, "ok", "")]);
        }
        findings.expect_of(resource, 0, &[("tier", "notChecked", "it is on this machine")]);
    }
    findings.expect(
        0,
        &[
            ("settings", "ok", "endpoint from FRCOPY_SOURCE_ENDPOINT, key from FRCOPY_SOURCE_KEY"),
            ("endpoint", "ok", "an address on this machine"),
            ("name", "ok", "127.0.0.1"),
            ("connection", "ok", "answered in "),
            ("authentication", "ok", "the key is accepted"),
            ("versions", "ok", "models: v2.1, v3.0, v3.1, v4.0; classifiers: v3.1, v4.0"),
            ("room", "ok", "v3.0 and later: 3 of 20000 models; v2.1: 1 of 5000 models"),
            ("region", "ok", "eastus"),
            ("clock", "ok", "within "),
        ],
    );
    findings.expect_of("target", 0, &[("region", "ok", "westus2; no read shows whether the resource id is its own")]);
    assert_eq!(pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn the_table_has_a_row_per_check_and_the_remedy_below_it() {
    let pair = EmulatedPair::new(1);
    let output = run(pair.command(&["doctor"]).env("FRCOPY_TARGET_KEY", "wr0ng-key-of-the-target-0123456789"));
    assert_eq!(output.code, 4);
    let row = |resource: &str, check: &str| {
        let is_row = |line: &&str| line.split_whitespace().take(2).eq([resource, check]);
        output.stdout.lines().find(is_row).unwrap_or_else(|| panic!("{}", output.stdout)).to_owned()
    };
    assert!(output.stdout.starts_with("RESOURCE  CHECK           RESULT       DETAILS\n"), "{}", output.stdout);
    assert!(row("source", "authentication").contains("ok           the key is accepted"));
    assert!(row("target", "authentication").contains("failed       the target refused to count the models (HTTP 401)"));
    assert!(row("target", "room").ends_with("not checked"));
    for detail in
        ["  cause: 401: Access denied", "  help: check that the target key from FRCOPY_TARGET_KEY", "  request id: "]
    {
        assert!(output.stdout.contains(detail), "{detail} is missing in {}", output.stdout);
    }
    assert!(output.stderr.contains("source, target: checks that failed: 1"), "{}", output.stderr);
    let quiet = run(pair.command(&["doctor", "-q"]).env("FRCOPY_TARGET_KEY", "wr0ng-key-of-the-target-0123456789"));
    assert!(!quiet.stdout.contains("  ok ") && quiet.stdout.contains("failed"), "{}", quiet.stdout);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn each_setting_is_named_with_its_origin() {
    let pair = EmulatedPair::new(1);
    pair.emulator.accept_token(SOURCE, TOKEN, UNLIMITED);
    let source = &pair.emulator.resources()[SOURCE];
    let folder = TempDir::new().unwrap();
    let (key, token) = (folder.path().join("key"), folder.path().join("token"));
    fs::write(&key, &source.key).unwrap();
    fs::write(&token, TOKEN).unwrap();
    let file = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let bare = || {
        let mut command = frcopy();
        command.args(["doctor", "--output", "json"]);
        command
    };
    let flags = ["--source-endpoint", &source.endpoint, "--source-key-file", &file(&key)];
    let expected = format!("endpoint from --source-endpoint, key from the file {} (--source-key-file)", file(&key));
    Findings::of(bare().args(flags)).expect(0, &[("settings", "ok", &expected)]);
    let environment = [("FRCOPY_SOURCE_ENDPOINT", &source.endpoint), ("FRCOPY_SOURCE_TOKEN_FILE", &file(&token))];
    let expected = format!("token from the file {} (FRCOPY_SOURCE_TOKEN_FILE)", file(&token));
    let accepted = ("authentication", "ok", "the token is accepted");
    Findings::of(bare().envs(environment)).expect(0, &[("settings", "ok", &expected), accepted]);
}

#[test]
fn only_configured_resources_are_checked_and_none_is_an_error() {
    let pair = EmulatedPair::new(1);
    let mut command = pair.command(&["doctor", "--output", "json"]);
    for name in ["ENDPOINT", "KEY", "RESOURCE_ID", "REGION"] {
        command.env_remove(format!("FRCOPY_TARGET_{name}"));
    }
    assert!(Findings::of(&mut command).lines.iter().all(|line| line["resource"] == "source"));
    run(frcopy().arg("doctor")).expect(2, &["no resource is configured", "FRCOPY_SOURCE_ENDPOINT"]);
}

#[test]
fn settings_that_are_incomplete_fail_and_the_other_resource_is_checked_all_the_same() {
    let pair = EmulatedPair::new(1);
    let findings = Findings::of(pair.command(&["doctor", "--output", "json"]).env_remove("FRCOPY_SOURCE_KEY"));
    findings.expect(2, &[("settings", "failed", "the source key is missing"), ("connection", "notChecked", "")]);
    findings.expect_of("target", 2, &[("authentication", "ok", "")]);
    let mut two_keys = pair.command(&["doctor", "--output", "json"]);
    two_keys.env("FRCOPY_TARGET_KEY_FILE", "x");
    Findings::of(&mut two_keys).expect_of("target", 2, &[("settings", "failed", "there are two target keys")]);
    let mut stdin = pair.command(&["doctor", "--output", "json", "--source-key-file", "-", "--target-key-file", "-"]);
    stdin.write_stdin(SOURCE_KEY);
    Findings::of(&mut stdin).expect_of("target", 4, &[("settings", "failed", "both keys cannot come from stdin")]);
}

#[test]
fn an_endpoint_of_the_wrong_form_fails_with_the_right_one() {
    for (endpoint, text) in [
        ("https://portal.azure.com/#@contoso/resource", "the address of the Azure portal"),
        ("https://documentintelligence.ai.azure.com/studio", "Document Intelligence Studio"),
        ("https://contoso.cognitiveservices.azure.com/formrecognizer/v2.1", "remove everything after the host"),
        ("http://contoso.cognitiveservices.azure.com", "is not allowed"),
    ] {
        Findings::of(&mut doctor(endpoint)).expect(2, &[("endpoint", "failed", text), ("name", "notChecked", "")]);
    }
    let mut regional = doctor("https://westus2.api.cognitive.microsoft.com");
    regional.env_remove("FRCOPY_SOURCE_KEY").env("FRCOPY_SOURCE_TOKEN", TOKEN);
    let text = "a regional endpoint accepts no tokens";
    Findings::of(&mut regional).expect(2, &[("settings", "ok", "FRCOPY_SOURCE_TOKEN"), ("endpoint", "failed", text)]);
}

#[test]
fn a_name_without_an_address_fails() {
    let text = "https://contoso.invalid could not be resolved";
    Findings::of(&mut doctor("https://contoso.invalid"))
        .expect(7, &[("name", "failed", text), ("connection", "notChecked", ""), ("clock", "notChecked", "")]);
}

#[test]
fn a_proxy_resolves_names_and_a_proxy_without_an_address_fails() {
    let proxy = TunnelProxy::to(crate::tls::server());
    let mut command = doctor("https://contoso.invalid");
    command.env("HTTPS_PROXY", proxy.url()).env("SSL_CERT_FILE", AUTHORITY);
    Findings::of(&mut command)
        .expect(5, &[("name", "ok", "resolved by the proxy"), ("connection", "ok", "its certificate is trusted")]);
    let mut command = doctor("https://contoso.invalid");
    command.env("HTTPS_PROXY", "http://proxy.invalid:8080");
    Findings::of(&mut command).expect(7, &[("name", "failed", "the host name of the proxy proxy.invalid")]);
}

#[test]
fn a_proxy_that_is_not_there_refuses_or_inspects_tls_fails() {
    let with_proxy = |url: &str| {
        let mut command = doctor("https://contoso.invalid");
        command.env("HTTPS_PROXY", url).args(["--timeout", "2s"]);
        command
    };
    let expect = |command: &mut Command, text: &str| {
        Findings::of(command).expect(7, &[("connection", "failed", text), ("authentication", "notChecked", "")]);
    };
    expect(&mut with_proxy("http://127.0.0.1:9"), "https://contoso.invalid cannot be reached");
    let refusing = plain_server(|_| b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n".into());
    expect(&mut with_proxy(&url(refusing)), "requires authentication (HTTP 407)");
    // It opens the connections with a certificate of its own.
    let inspecting = TunnelProxy::to(crate::tls::server());
    expect(&mut with_proxy(&inspecting.url()), "if a proxy inspects TLS, add its certificate");
    expect(with_proxy(&inspecting.url()).env("NO_PROXY", "fabrikam.invalid"), "is not trusted");
}

#[test]
fn a_server_that_is_not_there_or_hangs_fails() {
    let began = std::time::Instant::now();
    let mut absent = doctor("http://127.0.0.1:9");
    absent.args(["--timeout", "2s"]);
    Findings::of(&mut absent).expect(7, &[("name", "ok", "127.0.0.1"), ("connection", "failed", "cannot be reached")]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut hanging = doctor(&url(silent.local_addr().unwrap()));
    hanging.args(["--timeout", "2s"]);
    Findings::of(&mut hanging).expect(7, &[("connection", "failed", "did not answer the request")]);
    assert!(began.elapsed().as_secs() < 10);
}

#[test]
fn a_certificate_that_is_not_trusted_fails() {
    let endpoint = format!("https://{}", crate::tls::server());
    let text = "if a proxy inspects TLS, add its certificate";
    Findings::of(&mut doctor(&endpoint)).expect(7, &[("connection", "failed", text), ("versions", "notChecked", "")]);
    let mut trusted = doctor(&endpoint);
    trusted.env("SSL_CERT_FILE", AUTHORITY);
    Findings::of(&mut trusted).expect(5, &[("connection", "ok", "its certificate is trusted")]);
    // It is trusted, and that of another host.
    let proxy = TunnelProxy::to(crate::tls::server());
    let mut other = doctor("https://fabrikam.invalid");
    other.env("HTTPS_PROXY", proxy.url()).env("SSL_CERT_FILE", AUTHORITY);
    Findings::of(&mut other).expect(
        7,
        &[("connection", "failed", "the certificate of the source https://fabrikam.invalid is not trusted")],
    );
    let service = ScriptedService::new(V4_0);
    let mut plain = doctor(&service.source.uri().replace("http:", "https:"));
    Findings::of(&mut plain).expect(7, &[("connection", "failed", "TLS handshake")]);
}

#[test]
fn a_token_without_the_role_names_the_role_and_that_contributor_is_not_enough() {
    for status in [401, 403] {
        let mut command = doctor(&url(resource_except("authorization: bearer", status, "", PERMISSION_DENIED)));
        command.env_remove("FRCOPY_SOURCE_KEY").env("FRCOPY_SOURCE_TOKEN", TOKEN);
        let findings = Findings::of(&mut command);
        findings.expect(4, &[("connection", "ok", ""), ("authentication", "failed", "PermissionDenied")]);
        let remedy = findings.find("source", "authentication")["remedy"].to_string();
        for text in ["the role Cognitive Services User", "the role Contributor has no dataActions"] {
            assert!(remedy.contains(text), "{remedy}");
        }
    }
    let firewall = r#"{"error":{"code":"403","message":"Access denied due to Virtual Network/Firewall rules."}}"#;
    Findings::of(&mut doctor(&url(resource_except("get ", 403, "", firewall))))
        .expect(4, &[("authentication", "failed", "network rules of the source")]);
}

/// `frcopy doctor` for a source whose tokens come from this server in the place of Entra ID.
#[cfg(feature = "entra")]
fn doctor_with_identity(endpoint: &str, entra: SocketAddr) -> Command {
    let mut command = doctor(endpoint);
    command
        .env_remove("FRCOPY_SOURCE_KEY")
        .env("FRCOPY_SOURCE_AUTH", "entra")
        .env("SSL_CERT_FILE", AUTHORITY)
        .env("AZURE_AUTHORITY_HOST", format!("https://{entra}"))
        .env("AZURE_TENANT_ID", "contoso.example")
        .env("AZURE_CLIENT_ID", "11111111-2222-4333-8444-555555555555")
        .env("AZURE_CLIENT_SECRET", "c1ient~5ecret~0123456789");
    command
}

#[cfg(feature = "entra")]
#[test]
fn an_identity_whose_token_the_resource_accepts_passes_and_one_whose_token_it_refuses_fails() {
    let token = json!({"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": TOKEN});
    let entra = tls_server(move |_| answer(200, "", &token.to_string()));
    let pair = EmulatedPair::new(1);
    let source = &pair.emulator.resources()[SOURCE];
    Findings::of(&mut doctor_with_identity(&source.endpoint, entra))
        .expect(4, &[("connection", "ok", ""), ("authentication", "failed", "401")]);
    pair.emulator.accept_token(SOURCE, TOKEN, UNLIMITED);
    Findings::of(&mut doctor_with_identity(&source.endpoint, entra)).expect(
        0,
        &[
            ("settings", "ok", "tokens of this machine's identity (FRCOPY_SOURCE_AUTH)"),
            ("authentication", "ok", "the token is accepted, and its role may read"),
            ("versions", "ok", "models: v2.1, v3.0, v3.1, v4.0"),
        ],
    );
}

#[cfg(feature = "entra")]
#[test]
fn an_identity_without_a_token_fails_and_the_network_is_checked_all_the_same() {
    let refusal = json!({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"});
    let entra = tls_server(move |_| answer(401, "", &refusal.to_string()));
    let endpoint = url(resource_except("get ", 401, "", PERMISSION_DENIED));
    Findings::of(&mut doctor_with_identity(&endpoint, entra)).expect(
        4,
        &[
            ("connection", "ok", "answered in "),
            ("authentication", "failed", "AZURE_CLIENT_SECRET"),
            ("versions", "notChecked", ""),
        ],
    );
}

#[test]
fn a_missing_version_or_kind_is_a_warning_and_no_version_at_all_fails() {
    let findings = |exception| Findings::of(&mut doctor(&url(resource_except(exception, 404, "", NOT_OFFERED))));
    findings("/v2.1/").expect(0, &[("versions", "warning", "not offered: v2.1"), ("room", "ok", "v3.0 and later")]);
    findings("documentclassifiers?api-version=2024")
        .expect(0, &[("versions", "warning", "classifiers: v3.1; not offered: classifiers of v4.0")]);
    // One 404 is no proof.
    findings("op=summary").expect(0, &[("versions", "ok", "models: v2.1, v3.0")]);
    findings("get ").expect(5, &[("versions", "failed", "Resource not found"), ("room", "notChecked", "")]);
}

#[test]
fn a_resource_that_is_throttled_out_of_quota_or_not_the_service_fails() {
    let quota = r#"{"error":{"code":"429","message":"Out of call volume quota for FormRecognizer F0 pricing tier."}}"#;
    let text = "its call volume is used up";
    Findings::of(&mut doctor(&url(resource_except("get ", 429, "Retry-After: 259200\r\n", quota))))
        .expect(7, &[("connection", "ok", ""), ("versions", "failed", text)]);
    let limited = r#"{"error":{"code":"429","message":"Requests have exceeded rate limit."}}"#;
    Findings::of(&mut doctor(&url(resource_except("get ", 429, "Retry-After: 60\r\n", limited))))
        .expect(7, &[("versions", "failed", "rate limited by the")]);
    Findings::of(&mut doctor(&url(resource_except("get ", 200, "", "<html>"))))
        .expect(1, &[("connection", "ok", ""), ("versions", "failed", "no proxy answers instead of it")]);
}

#[test]
fn a_target_without_room_fails_and_little_room_is_a_warning() {
    let full = EmulatedPair::with_options(&Options { models: 1, max_models: Some(0), ..Options::default() });
    let findings = Findings::of(&mut full.command(&["doctor", "--output", "json"]));
    findings.expect_of("target", 3, &[("room", "failed", "the target has no room for another model")]);
    findings.expect(3, &[("room", "ok", "3 of 0 models")]);
    let little = EmulatedPair::with_options(&Options { models: 1, max_models: Some(40), ..Options::default() });
    for number in 0..39 {
        let id = format!("model-{number}");
        let body = json!({"modelId": id, "createdDateTime": "2026-01-01T00:00:00Z"});
        little.emulator.put(1, Collection::DocumentModels, &id, body);
    }
    let findings = Findings::of(&mut little.command(&["doctor", "--output", "json"]));
    findings.expect_of("target", 0, &[("room", "warning", "little room: v3.0 and later: 39 of 40 models")]);
}

#[test]
fn a_wrong_region_fails_and_a_missing_address_is_a_warning_if_models_need_it() {
    let pair = EmulatedPair::new(1);
    let mut wrong = pair.command(&["doctor", "--output", "json"]);
    wrong.env("FRCOPY_TARGET_REGION", "westeurope");
    let text = "the target is in westus2, and --target-region is westeurope";
    Findings::of(&mut wrong).expect_of("target", 2, &[("region", "failed", text)]);
    let without = |pair: &EmulatedPair| {
        let mut command = pair.command(&["doctor", "--output", "json"]);
        command.env_remove("FRCOPY_TARGET_REGION");
        Findings::of(&mut command)
    };
    let text = "which copies of 1 v2.1 models need";
    without(&pair).expect_of("target", 0, &[("region", "warning", text)]);
    without(&EmulatedPair::new(0)).expect_of("target", 0, &[("region", "ok", "westus2")]);
    Findings::of(&mut doctor(&url(resource_except("nothing", 200, "", ""))))
        .expect(0, &[("region", "ok", "its answers do not name it")]);
}

#[test]
fn a_difference_of_the_clocks_is_a_warning() {
    let past = "Date: Mon, 23 Nov 2020 00:00:00 GMT\r\n";
    let counts = r#"{"customDocumentModels":{"count":1,"limit":500}}"#;
    Findings::of(&mut doctor(&url(resource_except("/info", 200, past, counts)))).expect(
        0,
        &[("clock", "warning", " s ahead of the service's"), ("clock", "warning", "set the clock of this machine")],
    );
    Findings::of(&mut doctor(&url(resource_except("nothing", 200, "", ""))))
        .expect(0, &[("clock", "ok", "the answers have no date")]);
}

#[test]
fn named_resources_are_checked_in_the_order_of_their_names() {
    let pair = EmulatedPair::new(1);
    let environment = pair.environment();
    let value = |name: &str| environment.iter().find(|(other, _)| *other == name).unwrap().1.clone();
    let command = |arguments: &[&str]| {
        let mut command = frcopy();
        for (name, side) in [("EAST", "SOURCE"), ("WEST", "TARGET")] {
            for setting in ["ENDPOINT", "KEY"] {
                let of_side = value(&format!("FRCOPY_{side}_{setting}"));
                command.env(format!("FRCOPY_RESOURCE_{name}_{setting}"), of_side);
            }
        }
        command.args(arguments);
        command
    };
    let output = run(&mut command(&["doctor", "west", "east", "--output", "json"])).expect(0, &[]);
    let names: Vec<_> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["resource"].as_str().unwrap().to_owned())
        .collect();
    let east = names.iter().position(|name| name == "east").unwrap();
    assert!(names[..east].iter().all(|name| name == "west") && names[east..].iter().all(|name| name == "east"));
    let findings = Findings::of(&mut command(&["doctor", "west", "east", "--output", "json"]));
    let missing = "the resource id or the region is missing, which copies of 1 v2.1 models need";
    findings.expect_of("west", 0, &[("region", "warning", missing), ("region", "warning", "give resource-id of west")]);
    findings.expect_of("east", 0, &[("region", "ok", "")]);
    let mut wrong = command(&["doctor", "west", "--output", "json"]);
    wrong.env("FRCOPY_RESOURCE_WEST_RESOURCE_ID", value("FRCOPY_TARGET_RESOURCE_ID"));
    wrong.env("FRCOPY_RESOURCE_WEST_REGION", "westeurope");
    let text = "west is in westus2, and region of west is westeurope";
    Findings::of(&mut wrong).expect_of("west", 2, &[("region", "failed", text)]);
    run(&mut command(&["doctor", "north"])).expect(2, &["north"]);
    run(&mut command(&["doctor", "west", "--target-region", "westus2"])).expect(2, &["cannot be used with"]);
    run(&mut command(&["doctor", "west", "--source-endpoint", "https://a.example"])).expect(2, &["do not apply"]);
    run(&mut command(&["prune", "west"])).expect(0, &[]);
    run(&mut command(&["prune", "north"])).expect(2, &["north"]);
}
