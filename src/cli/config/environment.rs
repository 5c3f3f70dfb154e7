//! Named resources in the environment: `FRCOPY_RESOURCE_<NAME>_<FIELD>`.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::resource_name::ResourceName;

use super::definition::{Auth, Definition, KeySource, Token};
use crate::cli::input::{Environment, without_keys};
use crate::cli::nearest::nearest;

/// What every variable of a named resource begins with.
const PREFIX: &str = "FRCOPY_RESOURCE_";

/// The fields, with what they mean. None ends like another one, so a variable has one name and one field.
const FIELDS: [(&str, &str); 12] = [
    ("ENDPOINT", "Endpoint of the resource"),
    ("KEY", "Key of the resource"),
    ("KEY_FILE", "File with that key, - for stdin"),
    ("AUTH", "Authentication method: key or entra"),
    ("TENANT", "Tenant that issues the tokens"),
    ("TOKEN", "Token of Microsoft Entra ID"),
    ("TOKEN_FILE", "File with a token, read for each request, - for stdin"),
    ("ACCOUNT", "Name of the resource in Azure; the Azure CLI is asked for its endpoint"),
    ("RESOURCE_GROUP", "Resource group of that account"),
    ("SUBSCRIPTION", "Subscription of that account"),
    ("RESOURCE_ID", "Azure resource id; needed for v2.1 targets"),
    ("REGION", "Region, such as westus2; needed for v2.1 targets"),
];

/// Every variable of a named resource, with what it means.
pub(in crate::cli) fn variables() -> impl Iterator<Item = (String, &'static str)> {
    FIELDS.iter().map(|(field, meaning)| (format!("{PREFIX}<NAME>_{field}"), *meaning))
}

/// Adds the variables to the definitions of the file, which they take precedence over field by field.
///
/// # Errors
/// When a variable is not that of a field, or two of them contradict each other.
pub(super) fn add(
    of_file: Vec<Definition>,
    names: &[String],
    environment: Environment<'_>,
) -> Result<Vec<Definition>, Error> {
    let key = |one: &Definition| one.name.in_variables();
    let mut definitions: BTreeMap<_, _> = of_file.into_iter().map(|one| (key(&one), one)).collect();
    for variable in names.iter().filter(|name| name.starts_with(PREFIX) && environment(name).is_some()) {
        let name = name_in(variable)?;
        definitions.entry(name.in_variables()).or_insert_with(|| Definition::new(name.clone(), String::new()));
    }
    for definition in definitions.values_mut() {
        complete(definition, environment)?;
    }
    let mut definitions: Vec<_> = definitions.into_values().collect();
    definitions.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(definitions)
}

/// The name in a variable, in lower case and with `-` for `_`.
fn name_in(variable: &str) -> Result<ResourceName, Error> {
    let rest = variable.strip_prefix(PREFIX).unwrap_or_default();
    let names = FIELDS.iter().filter_map(|(field, _)| rest.strip_suffix(field)?.strip_suffix('_'));
    let name = names.into_iter().next().map(|name| name.to_ascii_lowercase().replace('_', "-"));
    let variable = without_keys(variable);
    match name.as_deref().map(str::parse) {
        Some(Ok(name)) => Ok(name),
        Some(Err(_)) => Err(Error::settings(
            format!("{variable} has no usable name of a resource"),
            "write it as FRCOPY_RESOURCE_NAME_ENDPOINT; a name has letters, digits and _",
        )),
        None => Err(Error::settings(
            format!("{variable} is not a setting of a named resource"),
            match nearest_field(rest) {
                Some(field) => format!("end its name with _{field}, or unset it"),
                None => "unset it, or see frcopy help environment".into(),
            },
        )),
    }
}

/// The field that the end of a variable is nearest to.
fn nearest_field(rest: &str) -> Option<&'static str> {
    let fields = FIELDS.map(|(field, _)| field);
    let ends = rest.match_indices('_').filter_map(|(at, _)| rest.get(at + 1..));
    ends.into_iter().find_map(|end| nearest(end, &fields))
}

/// Sets what the variables say.
fn complete(definition: &mut Definition, environment: Environment<'_>) -> Result<(), Error> {
    let name = definition.name.in_variables();
    let variable = |field: &str| format!("{PREFIX}{name}_{field}");
    let of = |field: &str| environment(&variable(field));
    let is_defined = FIELDS.iter().any(|(field, _)| of(field).is_some());
    if !is_defined {
        return Ok(());
    }
    let credential = credential(&variable, environment)?;
    definition.place = match std::mem::take(&mut definition.place) {
        place if place.is_empty() => format!("{PREFIX}{name}_*"),
        place => format!("{place}, {PREFIX}{name}_*"),
    };
    // Where it is and how it authenticates are each said in one of several ways, so that one replaces the other.
    if let Some(endpoint) = of("ENDPOINT") {
        (definition.endpoint, definition.account) = (Some(endpoint), None);
    }
    if let Some(account) = of("ACCOUNT") {
        if of("ENDPOINT").is_some() {
            return Err(both(&variable("ENDPOINT"), &variable("ACCOUNT")));
        }
        (definition.endpoint, definition.account) = (None, Some(account));
    }
    match credential {
        None => {}
        // The key of the file stays in use if only the method is said.
        Some((Some(Auth::Key), None, None)) if definition.key.is_some() => definition.auth = Some(Auth::Key),
        Some((auth, key, token)) => (definition.auth, definition.key, definition.token) = (auth, key, token),
    }
    for (field, value) in [
        ("RESOURCE_GROUP", &mut definition.resource_group),
        ("SUBSCRIPTION", &mut definition.subscription),
        ("TENANT", &mut definition.tenant),
        ("RESOURCE_ID", &mut definition.resource_id),
        ("REGION", &mut definition.region),
    ] {
        *value = of(field).or(value.take());
    }
    Ok(())
}

type Credential = (Option<Auth>, Option<KeySource>, Option<Token>);

/// How it authenticates, as far as variables say.
fn credential(variable: &impl Fn(&str) -> String, environment: Environment<'_>) -> Result<Option<Credential>, Error> {
    let of = |field: &str| environment(&variable(field));
    let auth = match of("AUTH").as_deref().map(str::trim) {
        None => None,
        Some("key") => Some(Auth::Key),
        Some("entra") => Some(Auth::Entra),
        Some(_) => {
            let what = format!("{} is neither key nor entra", variable("AUTH"));
            return Err(Error::settings(what, "set it to one of the two"));
        }
    };
    let given: Vec<_> =
        ["KEY", "KEY_FILE", "TOKEN", "TOKEN_FILE"].into_iter().filter(|field| of(field).is_some()).collect();
    if let [one, other, ..] = given.as_slice() {
        return Err(both(&variable(one), &variable(other)));
    }
    let key =
        of("KEY").map(|key| KeySource::Text(key.into())).or(of("KEY_FILE").map(|file| KeySource::File(file.into())));
    let token = of("TOKEN").map(|token| Token::Text(token.into()));
    let token = token.or(of("TOKEN_FILE").map(|file| Token::File(file.into())));
    match (auth, &key, &token) {
        (None, None, None) => Ok(None),
        (Some(Auth::Entra), Some(_), _) | (Some(Auth::Key), _, Some(_)) => {
            Err(both(&variable("AUTH"), &variable(given.first().copied().unwrap_or_default())))
        }
        _ => Ok(Some((auth, key, token))),
    }
}

fn both(one: &str, other: &str) -> Error {
    Error::settings(format!("{one} and {other} are both set and contradict each other"), "unset one of the two")
}
