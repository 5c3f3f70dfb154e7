//! Microsoft Entra ID tokens for the identity of this machine, found with the rules of Azure's SDKs.

use std::cell::Cell;
use std::env;
use std::error::Error as StdError;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::CloudConfiguration;
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind as AzureErrorKind;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, Method, Request, RetryOptions, StatusCode, Transport, Url,
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential, AzureDeveloperCliCredentialOptions,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, Executor,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::info;

use super::{Token, TokenFuture, TokenSource};
use crate::error::{Delivery, Error, ErrorKind, chain, root_cause};
use crate::label::Label;
use crate::program::output_soon;
use crate::redactor::remember;
use crate::resource::Cloud;
use crate::text::sanitize;

/// The address of the Azure instance metadata service. It is reachable from Azure machines only.
const METADATA_HOST: &str = "169.254.169.254";
/// Replaces that address in tests, as in Azure's other SDKs.
const METADATA_VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
/// The metadata service is on the same host: without an answer in this time, this machine is not in Azure.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// Timeout for one token. The metadata service may ask for retries for more than a minute.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(90);

/// The kinds of identity that can get tokens, one per credential type of Azure's SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    ServicePrincipal,
    Workload,
    Managed,
    AzureCli,
    AzureDeveloperCli,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServicePrincipal => "the service principal of AZURE_CLIENT_ID",
            Self::Workload => "the workload identity",
            Self::Managed => "the managed identity",
            Self::AzureCli => "the Azure CLI",
            Self::AzureDeveloperCli => "the Azure Developer CLI",
        })
    }
}

impl Identity {
    /// Returns the identity that the environment configures. If there is one, no other is tried.
    fn from_environment() -> Result<Option<Self>, Error> {
        let is_set = |name: &str| variable(name).is_some();
        if let Some(name) = variable("AZURE_TOKEN_CREDENTIALS").filter(|name| !["dev", "prod"].contains(&&**name)) {
            return Self::from_credential_type(&name).map(Some);
        }
        if is_set("AZURE_CLIENT_SECRET") {
            return Ok(Some(Self::ServicePrincipal));
        }
        if is_set("AZURE_FEDERATED_TOKEN_FILE") {
            return Ok(Some(Self::Workload));
        }
        if is_set("AZURE_CLIENT_CERTIFICATE_PATH") {
            return Err(Error::settings(
                "a service principal with a certificate cannot be used",
                "use AZURE_CLIENT_SECRET or a workload identity, or sign in with `az login` and unset \
                 AZURE_CLIENT_CERTIFICATE_PATH",
            ));
        }
        let is_managed = is_set("IDENTITY_ENDPOINT") || is_set("MSI_ENDPOINT");
        Ok(is_managed.then_some(Self::Managed))
    }

    fn from_credential_type(name: &str) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_str() {
            "environmentcredential" => Ok(Self::ServicePrincipal),
            "workloadidentitycredential" => Ok(Self::Workload),
            "managedidentitycredential" => Ok(Self::Managed),
            "azureclicredential" => Ok(Self::AzureCli),
            "azuredeveloperclicredential" => Ok(Self::AzureDeveloperCli),
            _ => Err(Error::settings(
                "AZURE_TOKEN_CREDENTIALS names an unknown credential type",
                "unset it, or set EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential, \
                 AzureCliCredential or AzureDeveloperCliCredential",
            )),
        }
    }

    /// The identities to try, in this order, if the environment configures none.
    fn candidates() -> &'static [Self] {
        match variable("AZURE_TOKEN_CREDENTIALS").as_deref() {
            Some("prod") => &[Self::Managed],
            Some("dev") => &[Self::AzureCli, Self::AzureDeveloperCli],
            _ => &[Self::Managed, Self::AzureCli, Self::AzureDeveloperCli],
        }
    }

    fn remedy(self, label: &Label) -> String {
        let tenant = &label.settings().tenant;
        match self {
            Self::ServicePrincipal => {
                format!("correct AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, and AZURE_TENANT_ID or {tenant}")
            }
            Self::Workload => format!(
                "correct AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE, and AZURE_TENANT_ID or {tenant}, and check \
                 that the identity trusts this cluster"
            ),
            Self::Managed => {
                "assign a managed identity to this machine; if it has several, set AZURE_CLIENT_ID to one of them"
                    .into()
            }
            Self::AzureCli => "sign in with `az login`".into(),
            Self::AzureDeveloperCli => "sign in with `azd auth login`".into(),
        }
    }
}

/// A token source for the identity of this machine.
///
/// The identity is the one that the environment configures (service principal, workload or managed identity), else the
/// managed identity of an Azure machine, else the account that is signed in to the Azure CLI or the Azure Developer CLI.
pub(crate) struct Entra {
    label: Label,
    cloud: Cloud,
    tenant: Option<String>,
    http: Arc<TokenHttpClient>,
    /// The identity that returned the first token. It does not change during the command.
    selected: Cell<Option<Identity>>,
}

/// The HTTP clients for token requests.
#[derive(Debug)]
pub(crate) struct HttpClients {
    /// For Entra ID.
    pub remote: reqwest::Client,
    /// For plain HTTP to this machine and its link-local network. It must not use a proxy, which could read the token.
    pub local: reqwest::Client,
}

impl fmt::Debug for Entra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entra").field("cloud", &self.cloud).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl TokenSource for Entra {
    fn fetch(&self) -> TokenFuture<'_> {
        Box::pin(self.token())
    }
}

impl Entra {
    /// Creates a token source for a cloud, and for a tenant if it is not the identity's own.
    ///
    /// # Errors
    /// When the tenant is neither a GUID nor a domain name.
    pub(crate) fn new(label: Label, cloud: Cloud, tenant: Option<&str>, http: HttpClients) -> Result<Self, Error> {
        let tenant = tenant.map(str::trim);
        if tenant.is_some_and(|id| id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)))
        {
            return Err(Error::settings(
                format!("{} is not the id of a tenant", label.settings().tenant),
                "give its id or domain name, as `az account show --query tenantId` prints it",
            ));
        }
        let (tenant, http) = (tenant.map(str::to_owned), Arc::new(TokenHttpClient(http)));
        Ok(Self { label, cloud, tenant, http, selected: Cell::default() })
    }

    async fn token(&self) -> Result<Token, Error> {
        match self.selected.get().map_or_else(Identity::from_environment, |selected| Ok(Some(selected)))? {
            Some(identity) => self.token_of(identity).await,
            None => self.first_token().await,
        }
    }

    /// Tries the candidates in turn and selects the first one that returns a token.
    async fn first_token(&self) -> Result<Token, Error> {
        let label = &self.label;
        let mut failures = Vec::new();
        for identity in Identity::candidates() {
            if *identity == Identity::Managed && !self.http.is_on_azure().await {
                failures.push(format!("{identity}: this machine is not in Azure"));
                continue;
            }
            match self.token_of(*identity).await {
                Ok(token) => {
                    self.selected.set(Some(*identity));
                    return Ok(token);
                }
                Err(error) => failures.push(format!("{identity}: {}", root_cause(&error))),
            }
        }
        Err(Error::new(
            ErrorKind::Credentials,
            format!("no identity on this machine got an Entra ID token for {label}"),
        )
        .with_source(failures.join("; "))
        .with_remedy(
            "sign in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or give a \
                 token of your own (frcopy help authentication)",
        ))
    }

    async fn token_of(&self, identity: Identity) -> Result<Token, Error> {
        let request = async {
            let credential = self.credential(identity)?;
            credential.get_token(&[self.cloud.scope()], None).await
        };
        let answer =
            timeout(TOKEN_TIMEOUT, request).await.map_err(|_| self.unavailable(identity, "no answer in time"))?;
        let answer = answer.map_err(|error| self.failed(identity, &error))?;
        let expires = Timestamp::from_second(answer.expires_on.unix_timestamp()).ok();
        info!("{}: got a token of {identity}, valid until {}", self.label, expires.unwrap_or_default());
        Token::new(&answer.token.secret().into(), expires)
    }

    /// Creates the SDK's credential. A new one for each token, so that the SDK does not return a cached token that was rejected.
    fn credential(&self, identity: Identity) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let client_options = self.client_options();
        let tenant_id = self.tenant.clone();
        Ok(match identity {
            Identity::ServicePrincipal => ClientSecretCredential::new(
                &tenant_id.or_else(|| variable("AZURE_TENANT_ID")).unwrap_or_default(),
                variable("AZURE_CLIENT_ID").unwrap_or_default(),
                variable("AZURE_CLIENT_SECRET").unwrap_or_default().into(),
                Some(ClientSecretCredentialOptions { client_options }),
            )?,
            Identity::Workload => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                tenant_id,
                ..WorkloadIdentityCredentialOptions::default()
            }))?,
            Identity::Managed => ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: variable("AZURE_CLIENT_ID").map(UserAssignedId::ClientId),
                client_options,
            }))?,
            Identity::AzureCli => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                tenant_id,
                executor: Some(Arc::new(ChildExecutor)),
                ..AzureCliCredentialOptions::default()
            }))?,
            Identity::AzureDeveloperCli => {
                AzureDeveloperCliCredential::new(Some(AzureDeveloperCliCredentialOptions {
                    tenant_id,
                    executor: Some(Arc::new(ChildExecutor)),
                }))?
            }
        })
    }

    fn client_options(&self) -> ClientOptions {
        let cloud = match self.cloud {
            // The SDK reads the authority from the environment.
            _ if variable("AZURE_AUTHORITY_HOST").is_some() => None,
            Cloud::Public => Some(CloudConfiguration::AzurePublic),
            Cloud::UsGovernment => Some(CloudConfiguration::AzureGovernment),
            Cloud::China => Some(CloudConfiguration::AzureChina),
        };
        ClientOptions {
            // `client::retry` is the only place that repeats requests.
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::clone(&self.http) as Arc<dyn HttpClient>)),
            cloud: cloud.map(Arc::new),
            ..ClientOptions::default()
        }
    }

    /// Converts an error of the SDK: transient ones to [`ErrorKind::Unavailable`], others to [`ErrorKind::Credentials`].
    fn failed(&self, identity: Identity, error: &azure_core::Error) -> Error {
        let kinds = chain(error).filter_map(|cause| Some(cause.downcast_ref::<azure_core::Error>()?.kind()));
        let is_transient = kinds.into_iter().any(|kind| match kind {
            AzureErrorKind::Connection | AzureErrorKind::Io => !chain(error).any(is_missing_file),
            AzureErrorKind::HttpResponse { status, .. } => matches!(u16::from(*status), 408 | 429 | 500..),
            _ => false,
        });
        remember(&variable("AZURE_CLIENT_SECRET").unwrap_or_default().into());
        let cause = sanitize(&root_cause(error).to_string());
        if is_transient {
            return self.unavailable(identity, &cause);
        }
        let what = format!("failed to get an Entra ID token for {} with {identity}", self.label);
        Error::new(ErrorKind::Credentials, what).with_source(cause).with_remedy(identity.remedy(&self.label))
    }

    /// No request was sent to the resource, so the caller may repeat it.
    fn unavailable(&self, identity: Identity, cause: &str) -> Error {
        let what = format!("Entra ID did not answer the token request for {} with {identity}", self.label);
        Error::new(ErrorKind::Unavailable, what)
            .with_delivery(Delivery::NotSent)
            .with_source(cause)
            .with_remedy("check that firewalls and proxies let this machine reach Entra ID (login.microsoftonline.com)")
    }
}

/// Runs the Azure CLIs without the settings of frcopy, reads a limited output, and kills them if their token is no longer
/// waited for.
#[derive(Debug)]
struct ChildExecutor;

#[async_trait::async_trait]
impl Executor for ChildExecutor {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        output_soon(Command::new(program).args(args), TOKEN_TIMEOUT).await
    }
}

/// Whether a federated token file or a program does not exist. The SDK reports this as an I/O error, but it is not transient.
fn is_missing_file(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Returns an environment variable, trimmed, unless it is empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Sends the SDK's requests with the client that fits their scheme.
#[derive(Debug)]
struct TokenHttpClient(HttpClients);

impl TokenHttpClient {
    /// Whether the metadata service exists. It answers 400 to a request without the header `Metadata: true`.
    async fn is_on_azure(&self) -> bool {
        let Ok(url) = Url::parse(&format!("http://{METADATA_HOST}/metadata/identity/oauth2/token")) else {
            return false;
        };
        let request = Request::new(url, Method::Get);
        let answer = timeout(METADATA_TIMEOUT, self.execute_request(&request)).await;
        matches!(answer, Ok(Ok(answer)) if answer.status() == StatusCode::BadRequest)
    }
}

#[async_trait::async_trait]
impl HttpClient for TokenHttpClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        if request.url().scheme() == "https" {
            return self.0.remote.execute_request(request).await;
        }
        let mut request = request.clone();
        if let Some(host) = metadata_host().filter(|_| request.url().host_str() == Some(METADATA_HOST)) {
            let url = request.url_mut();
            // If the replacement is not a valid host, the real address stays.
            let _ = url.set_host(host.host_str());
            let _ = url.set_port(host.port());
        }
        self.0.local.execute_request(&request).await
    }
}

fn metadata_host() -> Option<Url> {
    variable(METADATA_VARIABLE).and_then(|text| Url::parse(&text).ok())
}
