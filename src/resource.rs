//! A resource: endpoint, credential, and the id and region that v2.1 copies need.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use url::{Host, Url};

use crate::auth::Credential;
use crate::error::Error;
use crate::label::Label;
use crate::rate_limits::RateLimits;
use crate::resource_name::ResourceName;
use crate::slips;
use crate::trace::TraceParent;

/// The role of a resource in a copy. One resource can have both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The resource that has the model.
    Source,
    /// The resource that receives the copy.
    Target,
    /// A resource that a command uses alone, such as one that is listed by its name.
    Alone,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Alone => "resource",
        })
    }
}

/// A Form Recognizer / Document Intelligence resource.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its role in the copy.
    pub side: Side,
    /// Its endpoint.
    pub endpoint: Endpoint,
    /// The credential for its requests.
    pub credential: Credential,
    /// The trace context that its requests carry.
    pub trace: Option<TraceParent>,
    /// The name that the user has given it.
    pub name: Option<ResourceName>,
    /// How messages and printed commands name it.
    pub label: Arc<Label>,
    /// Its rate limits, as far as Azure has named them. They are measured as well.
    pub(crate) limits: RateLimits,
}

impl Resource {
    /// Creates a resource without a trace context and without a name.
    #[must_use]
    pub fn new(side: Side, endpoint: Endpoint, credential: Credential) -> Self {
        let label = Arc::new(Label::of_side(&side.to_string(), endpoint.to_string()));
        let limits = RateLimits::default();
        Self { side, endpoint, credential, trace: None, name: None, label, limits }
    }
}

/// Scheme, host and port of a resource, such as `https://contoso.cognitiveservices.azure.com`.
///
/// It has no path, query or user information. The scheme is https, or http for a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Returns the absolute URL of a path (and query) on this endpoint.
    ///
    /// # Errors
    /// When the path does not start with `/` or the URL is on another host.
    pub fn url(&self, path_and_query: &str) -> Result<Url, Error> {
        let url = Url::parse(&format!("{self}{path_and_query}")).ok();
        url.filter(|url| path_and_query.starts_with('/') && self.is_origin_of(url))
            .ok_or_else(|| Error::new(crate::error::ErrorKind::Unforeseen, format!("a path on {self} was expected")))
    }

    /// Whether a URL has this endpoint's scheme, host and port, and no user information.
    #[must_use]
    pub fn is_origin_of(&self, url: &Url) -> bool {
        url.origin() == self.0.origin() && url.username().is_empty() && url.password().is_none()
    }

    /// Whether a URL, as text of a service, has this endpoint's scheme, host and port.
    #[must_use]
    pub(crate) fn is_origin_of_text(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.is_origin_of(&url))
    }

    /// Resolves a URL that the service sent, which may be relative, against this endpoint.
    ///
    /// # Errors
    /// When it is not a URL.
    pub fn resolve(&self, url: &str) -> Result<Url, url::ParseError> {
        self.0.join(url)
    }

    /// Whether the endpoint has this host name.
    #[must_use]
    pub fn has_host(&self, host: &str) -> bool {
        self.0.host_str().is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether this is a regional endpoint, such as `https://westus2.api.cognitive.microsoft.com`. It accepts keys, but no
    /// tokens.
    #[must_use]
    pub fn is_regional(&self) -> bool {
        let mut labels = self.0.host_str().unwrap_or_default().split('.').skip(1);
        labels.next() == Some("api") && labels.next() == Some("cognitive")
    }

    /// The Azure cloud of the endpoint.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        let host = self.0.host_str().unwrap_or_default();
        let is_in = |domains: [&str; 2]| domains.iter().any(|domain| host.ends_with(domain));
        match () {
            () if is_in([".azure.us", ".microsoft.us"]) => Cloud::UsGovernment,
            () if is_in([".azure.cn", ".microsoft.cn"]) => Cloud::China,
            () => Cloud::Public,
        }
    }

    /// Whether the endpoint is a loopback address. If so, http is allowed and no proxy is used.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const EXAMPLE: &str =
            "give the endpoint as the portal shows it, such as https://contoso.cognitiveservices.azure.com";
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::settings("it is empty", EXAMPLE));
        }
        if let Some(error) = slips::in_place_of_endpoint(text) {
            return Err(error);
        }
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&with_scheme)
            .map_err(|error| Error::settings("it is not a URL", EXAMPLE).with_source(error.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        if matches!(host, "http" | "https") {
            return Err(Error::settings("it has https:// twice", EXAMPLE));
        }
        // A key in the place of the endpoint must be neither printed nor sent to a DNS server.
        if host.is_empty() || looks_like_a_key(host) {
            return Err(Error::settings("it has no host name (is it a key?)", EXAMPLE));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::settings("it contains a user name or a password", EXAMPLE));
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            let what = format!("{} to {host} is not allowed", url.scheme());
            return Err(Error::settings(what, "use https; http is for servers on this machine only"));
        }
        if let Some(site) = site_of_azure(&url) {
            return Err(Error::settings(
                format!("it is the address of {site}, not the endpoint of a resource"),
                "open the resource in the Azure portal, and give the endpoint of its page Keys and Endpoint, such as \
                 https://contoso.cognitiveservices.azure.com",
            ));
        }
        if !url.path().trim_matches('/').is_empty() || url.query().is_some() || url.fragment().is_some() {
            let remedy = format!("remove everything after the host: {}", url.origin().ascii_serialization());
            return Err(Error::settings("it has a path, a query or a fragment", remedy));
        }
        let mut origin = url;
        origin.set_path("/");
        Ok(Self(origin))
    }
}

/// An Azure cloud. Each has its own Entra ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Azure.
    Public,
    /// Azure Government.
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

impl Cloud {
    /// The scope of the access tokens for resources in this cloud.
    #[must_use]
    pub fn scope(self) -> &'static str {
        match self {
            Self::Public => "https://cognitiveservices.azure.com/.default",
            Self::UsGovernment => "https://cognitiveservices.azure.us/.default",
            Self::China => "https://cognitiveservices.azure.cn/.default",
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// The name of a web site or API of Azure that people take for the endpoint, because they see the resource there.
fn site_of_azure(url: &Url) -> Option<&'static str> {
    const SITES: [(&str, &str); 14] = [
        ("portal.azure.com", PORTAL),
        ("portal.azure.us", PORTAL),
        ("portal.azure.cn", PORTAL),
        ("documentintelligence.ai.azure.com", STUDIO),
        ("formrecognizer.appliedai.azure.com", STUDIO),
        ("formrecognizer.appliedai.azure.us", STUDIO),
        ("formrecognizer.appliedai.azure.cn", STUDIO),
        ("fott.azurewebsites.net", STUDIO),
        ("fott-2-1.azurewebsites.net", STUDIO),
        ("ai.azure.com", "the Azure AI Foundry portal"),
        ("management.azure.com", RESOURCE_MANAGER),
        ("management.usgovcloudapi.net", RESOURCE_MANAGER),
        ("management.chinacloudapi.cn", RESOURCE_MANAGER),
        ("learn.microsoft.com", "Microsoft's documentation"),
    ];
    // The portal has hosts of its own for previews: ms.portal.azure.com, preview.portal.azure.com.
    let host = url.host_str()?.trim_end_matches('.');
    let is_at = |site: &str, name: &str| {
        host == site || (name == PORTAL && host.strip_suffix(site).is_some_and(|rest| rest.ends_with('.')))
    };
    SITES.into_iter().find(|(site, name)| is_at(site, name)).map(|(_, name)| name)
}

const PORTAL: &str = "the Azure portal";
const STUDIO: &str = "Document Intelligence Studio";
const RESOURCE_MANAGER: &str = "Azure Resource Manager";

fn looks_like_a_key(host: &str) -> bool {
    host.len() >= 32 && host.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A region's short name, such as `westus2`. The display name `West US 2` is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// The short name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let name: String = text.to_lowercase().split_whitespace().collect();
        if (1..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Ok(Self(name));
        }
        Err(Error::settings(
            "it is not the name of a region",
            "give the short name, such as westus2, as `az account list-locations` prints it",
        ))
    }
}

/// The Azure Resource Manager id of a resource:
/// `/subscriptions/…/resourceGroups/…/providers/Microsoft.CognitiveServices/accounts/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceId(String);

impl ResourceId {
    /// The id, unchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same: Azure Resource Manager does not distinguish upper and lower case.
    #[must_use]
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// The subscription, the resource group and the name of the account.
    #[must_use]
    pub(crate) fn names(&self) -> [&str; 3] {
        [2, 4, 8].map(|index| self.0.split('/').nth(index).unwrap_or_default())
    }
}

impl FromStr for ResourceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let id = text.trim().trim_end_matches('/');
        let segments: Vec<_> = id.split('/').collect();
        // ARM ids are case-insensitive, and Azure's own tools differ in the case they print.
        let is_arm_id = matches!(segments.as_slice(),
            ["", subscriptions, subscription, groups, group, providers, provider, accounts, account]
                if subscriptions.eq_ignore_ascii_case("subscriptions")
                    && groups.eq_ignore_ascii_case("resourceGroups")
                    && providers.eq_ignore_ascii_case("providers")
                    && provider.eq_ignore_ascii_case("Microsoft.CognitiveServices")
                    && accounts.eq_ignore_ascii_case("accounts")
                    && [subscription, group, account].iter().all(|name| !name.is_empty()));
        if is_arm_id && id.len() <= 1024 && !id.contains(char::is_control) {
            return Ok(Self(id.to_owned()));
        }
        Err(Error::settings(
            "it is not the id of a Cognitive Services resource",
            "copy the Resource ID from the resource's page Properties: \
             /subscriptions/…/resourceGroups/…/providers/Microsoft.CognitiveServices/accounts/…",
        ))
    }
}

/// How a v2.1 start request names the target. The service accepts only the right pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetAddress {
    /// The target's id in Azure Resource Manager.
    pub resource_id: ResourceId,
    /// The target's region.
    pub region: Region,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Result<String, String> {
        text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_is_accepted_as_the_portal_and_az_show_it() {
        for text in [
            "https://contoso.cognitiveservices.azure.com",
            "https://contoso.cognitiveservices.azure.com/",
            "https://contoso.cognitiveservices.azure.com//",
            " contoso.cognitiveservices.azure.com ",
            "HTTPS://Contoso.CognitiveServices.Azure.com:443/",
        ] {
            assert_eq!(endpoint(text).as_deref(), Ok("https://contoso.cognitiveservices.azure.com"), "{text}");
        }
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for text in ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"] {
            assert_eq!(endpoint(text).as_deref(), Ok(text));
        }
        for text in ["http://contoso.cognitiveservices.azure.com", "http://localhost.evil.example", "ftp://127.0.0.1"] {
            assert!(endpoint(text).unwrap_err().contains("is not allowed"), "{text}");
        }
    }

    #[test]
    fn an_endpoint_with_a_path_a_query_or_a_user_is_refused() {
        for text in ["https://a.example/formrecognizer/v2.1", "https://a.example/?x=1", "https://a.example/#x"] {
            assert!(endpoint(text).unwrap_err().contains("path"), "{text}");
        }
        assert!(endpoint("https://https://a.example//").unwrap_err().contains("twice"));
        assert!(endpoint("https://user:secret@a.example").unwrap_err().contains("user name"));
    }

    #[test]
    fn an_endpoint_whose_host_is_not_ascii_is_refused() {
        assert!(endpoint("https://müller.cognitiveservices.azure.com").is_err());
        assert!(endpoint("https://xn--mller-kva.cognitiveservices.azure.com").is_ok());
    }

    #[test]
    fn the_address_of_a_web_site_of_azure_leads_to_keys_and_endpoint() {
        for text in [
            "https://portal.azure.com/#@contoso/resource/subscriptions/1/resourceGroups/rg/overview",
            "https://ms.portal.azure.com/",
            "portal.azure.us",
            "https://documentintelligence.ai.azure.com/studio",
            "https://formrecognizer.appliedai.azure.com",
            "https://formrecognizer.appliedai.azure.com./studio",
            "https://ai.azure.com/resource/overview",
            "https://management.azure.com/subscriptions/1/resourceGroups/rg?api-version=2023-05-01",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.to_string().contains("not the endpoint of a resource"), "{text}: {error}");
            let remedy = error.remedy().unwrap_or_default();
            assert!(remedy.contains("Keys and Endpoint") && !remedy.contains("portal.azure"), "{text}: {remedy}");
        }
        for text in ["https://contoso-ai.cognitiveservices.azure.com", "https://contoso.services.ai.azure.com"] {
            assert!(endpoint(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_key_in_the_place_of_an_endpoint_is_not_repeated() {
        let key = "0123456789abcdef0123456789abcdef";
        let error = key.parse::<Endpoint>().unwrap_err();
        assert!(!format!("{error:?}").contains(key));
    }

    #[test]
    fn a_url_of_the_service_belongs_to_an_endpoint_only_with_the_same_scheme_host_and_port() {
        let endpoint: Endpoint = "https://a.example".parse().unwrap();
        let belongs = |url: &str| endpoint.is_origin_of(&endpoint.resolve(url).unwrap());
        assert!(belongs("https://A.example:443/x?y=z") && belongs("/x"));
        for url in [
            "http://a.example/x",
            "https://a.example:444/",
            "https://b.example/",
            "//b.example/",
            "https://u@a.example/",
        ] {
            assert!(!belongs(url), "{url}");
        }
    }

    #[test]
    fn a_path_cannot_leave_its_endpoint() {
        let endpoint: Endpoint = "https://a.example".parse().unwrap();
        assert_eq!(endpoint.url("/x?y=%20z").unwrap().as_str(), "https://a.example/x?y=%20z");
        for path in [".evil.example/x", ":444/x", "@evil.example/x", ""] {
            assert!(endpoint.url(path).is_err(), "{path}");
        }
    }

    #[test]
    fn the_domain_decides_the_cloud_and_whether_tokens_are_accepted() {
        for (host, cloud, is_regional) in [
            ("contoso.cognitiveservices.azure.com", Cloud::Public, false),
            ("westus2.api.cognitive.microsoft.com", Cloud::Public, true),
            ("contoso.cognitiveservices.azure.us", Cloud::UsGovernment, false),
            ("virginia.api.cognitive.microsoft.us", Cloud::UsGovernment, true),
            ("contoso.cognitiveservices.azure.cn", Cloud::China, false),
            ("chinaeast2.api.cognitive.azure.cn", Cloud::China, true),
            ("127.0.0.1", Cloud::Public, false),
            ("frs.contoso.example", Cloud::Public, false),
        ] {
            let endpoint: Endpoint = format!("https://{host}").parse().unwrap();
            assert_eq!((endpoint.cloud(), endpoint.is_regional()), (cloud, is_regional), "{host}");
        }
    }

    #[test]
    fn a_region_is_normalised_and_checked() {
        let region = |text: &str| text.parse::<Region>().map(|region| region.0).ok();
        assert_eq!(region("West US 2").as_deref(), Some("westus2"));
        assert_eq!(region("SOUTHCENTRALUS").as_deref(), Some("southcentralus"));
        for text in ["", "west-us", "RESOURCE_REGION", "abcdefghijklmnopqrstuvwxyz"] {
            assert_eq!(region(text), None, "{text}");
        }
    }

    #[test]
    fn a_resource_id_is_that_of_a_cognitive_services_account() {
        let id = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/fr";
        assert_eq!(format!(" {id}/\n").parse::<ResourceId>().unwrap().as_str(), id);
        assert!(id.to_lowercase().parse::<ResourceId>().is_ok());
        for text in [
            "fr",
            "/path/to/resource/id",
            "https://portal.azure.com/#@contoso/resource/subscriptions/1/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/fr",
            "/subscriptions//resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/fr",
            "/subscriptions/1/resourceGroups/rg/providers/Microsoft.Storage/accounts/fr",
        ] {
            assert!(text.parse::<ResourceId>().is_err(), "{text}");
        }
    }
}
