//! The emulator's settings, and what a client must know of an emulated resource.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::SignedDuration;

use super::faults::Fault;
use super::limits::Tier;
use super::lost::AnswerTo;
use super::outage::Outage;
use super::seed::named_uuid;
use super::state::Region;

/// Settings of an emulator.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of resources: `source`, `target`, `resource3` and so on.
    pub resources: usize,
    /// Names of the resources; if there are any, they replace the number.
    pub names: Vec<String>,
    /// Port of the first resource; the others use the next ports. 0 takes free ports.
    pub port: u16,
    /// Time from the start of a copy until its operation ends.
    pub operation_time: Duration,
    /// Pricing tier of each resource, which sets its rate limits.
    pub tier: Tier,
    /// Number of models of each version, and of classifiers, on the first resource.
    pub models: usize,
    /// Error of the next copy.
    pub fail: Option<Fault>,
    /// Delay before each answer.
    pub latency: Duration,
    /// A random part of this is added to each delay.
    pub jitter: Duration,
    /// When resources close each connection.
    pub down: Vec<Outage>,
    /// When resources accept requests and do not answer them.
    pub hang: Vec<Outage>,
    /// Calls that are carried out and whose connection is closed without an answer: one for each entry.
    pub lose_answers: Vec<AnswerTo>,
    /// By how much the clocks of resources differ from the true time.
    pub clock_skew: Vec<(String, SignedDuration)>,
    /// Whether the resources speak TLS, with a certificate authority of their own.
    pub tls: bool,
    /// Whether each authorization has expired when it is issued.
    pub expired_authorizations: bool,
    /// Whether the models that have an expiration date have expired.
    pub expired_models: bool,
    /// Names of the resources that use a customer-managed encryption key.
    pub encrypted: Vec<String>,
    /// Maximum number of models of v2.1, and of v3.0 and later, per resource. `None` means the service's own limits.
    pub max_models: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resources: 2,
            names: Vec::new(),
            port: 0,
            operation_time: Duration::from_secs(2),
            tier: Tier::default(),
            models: 1,
            fail: None,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            down: Vec::new(),
            hang: Vec::new(),
            lose_answers: Vec::new(),
            clock_skew: Vec::new(),
            tls: false,
            expired_authorizations: false,
            expired_models: false,
            encrypted: Vec::new(),
            max_models: None,
        }
    }
}

impl Options {
    /// The names of the resources, in their order.
    #[must_use]
    pub fn resource_names(&self) -> Vec<String> {
        if self.names.is_empty() { (0..self.resources).map(resource_name).collect() } else { self.names.clone() }
    }
}

/// What a client needs to use one emulated resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmulatedResource {
    /// `source`, `target`, `resource3` …
    pub name: String,
    /// A loopback address.
    pub endpoint: String,
    /// The key that it accepts.
    pub key: String,
    /// Azure Resource Manager id.
    pub resource_id: String,
    /// Short name of the region.
    pub region: String,
}

impl EmulatedResource {
    /// The resource with an index, from 0, that listens on an address.
    pub(super) fn new(index: usize, name: String, address: SocketAddr) -> Self {
        Self {
            endpoint: format!("http://{address}"),
            // The same in every run, so that scripts can contain it. The emulator listens on loopback addresses only.
            key: named_uuid(&format!("key of {name}")).simple().to_string(),
            resource_id: format!(
                "/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/emulator/providers/Microsoft.CognitiveServices/accounts/{name}"
            ),
            region: Region::of(index).name.to_owned(),
            name,
        }
    }
}

/// The name of the resource with an index, from 0: `source`, `target`, `resource3` …
#[must_use]
pub fn resource_name(index: usize) -> String {
    match index {
        0 => "source".into(),
        1 => "target".into(),
        _ => format!("resource{}", index + 1),
    }
}
