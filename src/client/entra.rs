//! Tokens of Microsoft Entra ID for the identity that this machine has, found where Azure's own SDKs look for it.

use std::cell::Cell;
use std::env;
use std::error::Error as StdError;
use std::fmt;
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
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::info;

use super::transport::{REQUEST_TIMEOUT, builder, chain, root_cause, unusable_client};
use crate::auth::{Fetching, Token, TokenSource};
use crate::error::{Delivery, Error, ErrorKind};
use crate::redactor::Redactor;
use crate::resource::{Cloud, Side};
use crate::text::sanitize;

/// The address at which every virtual machine of Azure finds its own identity, and nobody else anything.
const METADATA_HOST: &str = "169.254.169.254";
/// Where Azure's other SDKs look for that address in tests.
const METADATA_VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
/// Somebody on the same machine answers sooner, or is not there.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// The metadata service may ask to be asked again for more than a minute.
const LONGEST_FETCH: Duration = Duration::from_secs(90);

/// An identity that can ask Entra ID for tokens, by the name that Azure's SDKs have for the way to it.
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
    /// The one that the environment names. Then it is that one, or none: nobody is to be somebody else by accident.
    fn of_environment() -> Result<Option<Self>, Error> {
        let is_set = |name: &str| variable(name).is_some();
        if let Some(name) = variable("AZURE_TOKEN_CREDENTIALS").filter(|name| !["dev", "prod"].contains(&&**name)) {
            return Self::named(&name).map(Some);
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

    fn named(name: &str) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_str() {
            "environmentcredential" => Ok(Self::ServicePrincipal),
            "workloadidentitycredential" => Ok(Self::Workload),
            "managedidentitycredential" => Ok(Self::Managed),
            "azureclicredential" => Ok(Self::AzureCli),
            "azuredeveloperclicredential" => Ok(Self::AzureDeveloperCli),
            _ => Err(Error::settings(
                "AZURE_TOKEN_CREDENTIALS names no way to an identity that is known here",
                "unset it, or set EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential, \
                 AzureCliCredential or AzureDeveloperCliCredential",
            )),
        }
    }

    /// Those that are tried in turn where the environment names none.
    fn to_be_tried() -> &'static [Self] {
        match variable("AZURE_TOKEN_CREDENTIALS").as_deref() {
            Some("prod") => &[Self::Managed],
            Some("dev") => &[Self::AzureCli, Self::AzureDeveloperCli],
            _ => &[Self::Managed, Self::AzureCli, Self::AzureDeveloperCli],
        }
    }

    fn remedy(self, side: Side) -> String {
        match self {
            Self::ServicePrincipal => {
                format!("correct AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, and AZURE_TENANT_ID or --{side}-tenant")
            }
            Self::Workload => format!(
                "correct AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE, and AZURE_TENANT_ID or --{side}-tenant, and check \
                 that the identity trusts this cluster"
            ),
            Self::Managed => {
                "assign a managed identity to this machine, and where it has several name one in AZURE_CLIENT_ID".into()
            }
            Self::AzureCli => "sign in with `az login`".into(),
            Self::AzureDeveloperCli => "sign in with `azd auth login`".into(),
        }
    }
}

/// The tokens of whatever identity this machine has: that of the environment (service principal, workload or managed
/// identity), else that of an Azure machine, else that of whoever is signed in to the Azure CLI or the Azure Developer CLI.
pub struct Entra {
    side: Side,
    cloud: Cloud,
    tenant: Option<String>,
    http: Arc<TokenHttp>,
    /// The one that has given a token before. It stays the same for the whole command.
    found: Cell<Option<Identity>>,
}

impl fmt::Debug for Entra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entra").field("cloud", &self.cloud).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl TokenSource for Entra {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(self.token())
    }
}

impl Entra {
    /// The identity of this machine, in the eyes of one cloud and of one tenant or the identity's own.
    ///
    /// # Errors
    /// When the tenant cannot be one, or the platform's trust store cannot be used.
    pub fn new(side: Side, cloud: Cloud, tenant: Option<&str>) -> Result<Self, Error> {
        let tenant = tenant.map(str::trim);
        if tenant.is_some_and(|id| id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)))
        {
            return Err(Error::settings(
                format!("--{side}-tenant is not the id of a tenant"),
                "give its id or domain name, as `az account show --query tenantId` prints it",
            ));
        }
        let (tenant, http) = (tenant.map(str::to_owned), Arc::new(TokenHttp::new()?));
        Ok(Self { side, cloud, tenant, http, found: Cell::default() })
    }

    async fn token(&self) -> Result<Token, Error> {
        match self.found.get().map_or_else(Identity::of_environment, |found| Ok(Some(found)))? {
            Some(identity) => self.token_of(identity).await,
            None => self.token_of_anybody().await,
        }
    }

    async fn token_of_anybody(&self) -> Result<Token, Error> {
        let side = self.side;
        let mut refusals = Vec::new();
        for identity in Identity::to_be_tried() {
            if *identity == Identity::Managed && !self.http.is_on_azure().await {
                refusals.push(format!("{identity}: this machine is none of Azure's"));
                continue;
            }
            match self.token_of(*identity).await {
                Ok(token) => {
                    self.found.set(Some(*identity));
                    return Ok(token);
                }
                Err(error) => {
                    let cause = error.causes().last().map(ToString::to_string);
                    refusals.push(format!("{identity}: {}", cause.unwrap_or_else(|| error.to_string())));
                }
            }
        }
        Err(Error::new(ErrorKind::Credentials, format!("nobody here can ask Entra ID for a token for the {side}"))
            .with_source(refusals.join("; "))
            .with_remedy(format!(
                "sign in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or give a \
                 token in FRCOPY_{}_TOKEN",
                side.to_string().to_uppercase()
            )))
    }

    async fn token_of(&self, identity: Identity) -> Result<Token, Error> {
        let asked = async {
            let credential = self.credential(identity)?;
            credential.get_token(&[self.cloud.scope()], None).await
        };
        let answer =
            timeout(LONGEST_FETCH, asked).await.map_err(|_| self.unavailable(identity, "no answer in time"))?;
        let answer = answer.map_err(|error| self.refused(identity, &error))?;
        let expires = Timestamp::from_second(answer.expires_on.unix_timestamp()).ok();
        info!("{}: a token of {identity}, good until {}", self.side, expires.unwrap_or_default());
        Token::new(&answer.token.secret().into(), expires)
    }

    /// A way to an identity. It is made anew for each token, so that none is kept that was refused.
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
                ..AzureCliCredentialOptions::default()
            }))?,
            Identity::AzureDeveloperCli => {
                AzureDeveloperCliCredential::new(Some(AzureDeveloperCliCredentialOptions {
                    tenant_id,
                    ..AzureDeveloperCliCredentialOptions::default()
                }))?
            }
        })
    }

    fn client_options(&self) -> ClientOptions {
        let cloud = match self.cloud {
            // Somebody who names an authority means it.
            _ if variable("AZURE_AUTHORITY_HOST").is_some() => None,
            Cloud::Public => Some(CloudConfiguration::AzurePublic),
            Cloud::UsGovernment => Some(CloudConfiguration::AzureGovernment),
            Cloud::China => Some(CloudConfiguration::AzureChina),
        };
        ClientOptions {
            // What may be sent again is decided in `retry`, and nowhere else.
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::clone(&self.http) as Arc<dyn HttpClient>)),
            cloud: cloud.map(Arc::new),
            ..ClientOptions::default()
        }
    }

    fn refused(&self, identity: Identity, error: &azure_core::Error) -> Error {
        let kinds = chain(error).filter_map(|cause| Some(cause.downcast_ref::<azure_core::Error>()?.kind()));
        let is_transient = kinds.into_iter().any(|kind| match kind {
            AzureErrorKind::Connection | AzureErrorKind::Io => !chain(error).any(is_missing_file),
            AzureErrorKind::HttpResponse { status, .. } => matches!(u16::from(*status), 408 | 429 | 500..),
            _ => false,
        });
        let secret = variable("AZURE_CLIENT_SECRET").unwrap_or_default().into();
        let words = sanitize(&Redactor::default().with(&secret).redact(&root_cause(error).to_string()));
        if is_transient {
            return self.unavailable(identity, &words);
        }
        let what = format!("{identity} gets no token for the {}", self.side);
        Error::new(ErrorKind::Credentials, what).with_source(words).with_remedy(identity.remedy(self.side))
    }

    /// Nothing was asked of the resource: it may be asked later.
    fn unavailable(&self, identity: Identity, why: &str) -> Error {
        let what = format!("asked for a token for the {} by {identity}, Entra ID did not answer", self.side);
        Error::new(ErrorKind::Unavailable, what)
            .with_delivery(Delivery::NotSent)
            .with_source(why)
            .with_remedy("check that firewalls and proxies let this machine reach Entra ID (login.microsoftonline.com)")
    }
}

/// A federated token or a program that is not there comes as an I/O error, and will not be there later.
fn is_missing_file(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// A variable of this process that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// HTTP for identities.
#[derive(Debug)]
struct TokenHttp {
    /// To Entra ID, as to everything else.
    outward: reqwest::Client,
    /// To this machine and its own network, where plain http is spoken. A proxy would be told the token.
    nearby: reqwest::Client,
}

impl TokenHttp {
    fn new() -> Result<Self, Error> {
        let outward = builder().timeout(REQUEST_TIMEOUT).build().map_err(|error| unusable_client(&error))?;
        let nearby = builder().timeout(REQUEST_TIMEOUT).no_proxy().build().map_err(|error| unusable_client(&error))?;
        Ok(Self { outward, nearby })
    }

    /// Whether the metadata service is there, which refuses a request that does not say that it means it.
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
impl HttpClient for TokenHttp {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        if request.url().scheme() == "https" {
            return self.outward.execute_request(request).await;
        }
        let mut request = request.clone();
        if let Some(host) = metadata_host().filter(|_| request.url().host_str() == Some(METADATA_HOST)) {
            let url = request.url_mut();
            // An address that cannot be put there leaves the true one.
            let _ = url.set_host(host.host_str());
            let _ = url.set_port(host.port());
        }
        self.nearby.execute_request(&request).await
    }
}

fn metadata_host() -> Option<Url> {
    variable(METADATA_VARIABLE).and_then(|text| Url::parse(&text).ok())
}
