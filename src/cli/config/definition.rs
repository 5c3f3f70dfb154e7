//! One named resource, as it is defined.

use std::path::PathBuf;

use crate::resource_name::ResourceName;
use secrecy::SecretString;

/// A named resource. What is absent was not given.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Definition {
    pub(in crate::cli) name: ResourceName,
    /// The line of the file, or the variables, for people.
    pub(in crate::cli) place: String,
    pub(in crate::cli) endpoint: Option<String>,
    pub(in crate::cli) account: Option<String>,
    pub(in crate::cli) resource_group: Option<String>,
    pub(in crate::cli) subscription: Option<String>,
    pub(in crate::cli) auth: Option<Auth>,
    pub(in crate::cli) key: Option<KeySource>,
    pub(in crate::cli) token: Option<Token>,
    pub(in crate::cli) tenant: Option<String>,
    pub(in crate::cli) resource_id: Option<String>,
    pub(in crate::cli) region: Option<String>,
}

/// Authentication method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Auth {
    Key,
    Entra,
}

/// Where the key comes from.
#[derive(Debug, Clone)]
pub(in crate::cli) enum KeySource {
    Text(SecretString),
    /// The environment variable with this name.
    Variable(String),
    File(PathBuf),
    /// The output of this program.
    Command(Vec<String>),
    /// The Azure CLI, which is asked for the account's key.
    Az,
}

/// Where a token comes from.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Token {
    Text(SecretString),
    File(PathBuf),
}

impl Definition {
    pub(super) fn new(name: ResourceName, place: String) -> Self {
        Self {
            name,
            place,
            endpoint: None,
            account: None,
            resource_group: None,
            subscription: None,
            auth: None,
            key: None,
            token: None,
            tenant: None,
            resource_id: None,
            region: None,
        }
    }

    /// Its endpoint, or the account whose endpoint the Azure CLI says.
    pub(in crate::cli) fn address(&self) -> String {
        let account = self.account.as_ref().map(|account| format!("account {account}"));
        self.endpoint.clone().or(account).unwrap_or_default()
    }

    /// How it authenticates, for people.
    pub(in crate::cli) fn authentication(&self) -> &'static str {
        match (&self.key, &self.token, self.auth) {
            (Some(KeySource::Text(_)), ..) => "key",
            (Some(KeySource::Variable(_)), ..) => "key-env",
            (Some(KeySource::File(_)), ..) => "key-file",
            (Some(KeySource::Command(_)), ..) => "key-command",
            (Some(KeySource::Az), ..) => "key-from-az",
            (None, Some(Token::Text(_)), _) => "token",
            (None, Some(Token::File(_)), _) => "token-file",
            (None, None, Some(Auth::Entra)) => "entra",
            (None, None, _) => "none",
        }
    }
}
