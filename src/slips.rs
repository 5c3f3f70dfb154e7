//! Values in the place of others: what people paste where an endpoint or a key belongs.

use crate::error::Error;

const ENDPOINT_OF_ID: &str = "give the endpoint of that resource, which `az resource show --ids ID --query properties.endpoint -o tsv` prints for \
     the id";
const KEY: &str = "copy KEY 1 or KEY 2 from the resource's page Keys and Endpoint";

/// The error of a text that is something else than an endpoint, if it shows what.
pub(crate) fn in_place_of_endpoint(text: &str) -> Option<Error> {
    if has_quotes(text) {
        return Some(Error::settings("it has quotes around it", "remove the quotes"));
    }
    if is_resource_id(text) {
        return Some(Error::settings("it is the id of a resource, not an endpoint", ENDPOINT_OF_ID));
    }
    // A longer word may be a key.
    let is_name =
        (2..32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_name && !text.eq_ignore_ascii_case("localhost")).then(|| {
        let name = text.to_ascii_lowercase();
        let remedy = format!("give https://{name}.cognitiveservices.azure.com, if the portal shows that endpoint");
        Error::settings("it is a name, not an endpoint", remedy)
    })
}

/// The error of a text that is something else than a key, if it shows what. The text is not repeated.
pub(crate) fn in_place_of_key(text: &str) -> Option<Error> {
    let text = text.trim();
    if has_quotes(text) {
        return Some(Error::settings("it has quotes around it", "remove the quotes"));
    }
    if is_resource_id(text) {
        return Some(Error::settings("it is the id of a resource, not a key", KEY));
    }
    text.contains("://").then(|| Error::settings("it is a URL, not a key", KEY))
}

fn has_quotes(text: &str) -> bool {
    let is_quote = |c: char| matches!(c, '"' | '\'' | '“' | '”' | '‘' | '’');
    text.starts_with(is_quote) || text.ends_with(is_quote)
}

fn is_resource_id(text: &str) -> bool {
    text.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("/subscriptions/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_an_endpoint_or_a_key_is_called_by_its_name() {
        let endpoint = |text: &str| in_place_of_endpoint(text).map(|error| error.to_string()).unwrap_or_default();
        let key = |text: &str| in_place_of_key(text).map(|error| error.to_string()).unwrap_or_default();
        for quoted in ["'https://a.example'", "\"https://a.example\"", "https://a.example\"", "“https://a.example”"]
        {
            assert_eq!(endpoint(quoted), "it has quotes around it", "{quoted}");
            assert_eq!(key(quoted), "it has quotes around it", "{quoted}");
        }
        let id = "/Subscriptions/1/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/a";
        assert_eq!(
            (endpoint(id), key(id)),
            ("it is the id of a resource, not an endpoint".into(), "it is the id of a resource, not a key".into())
        );
        assert_eq!(endpoint("contoso-east"), "it is a name, not an endpoint");
        assert_eq!(key(" https://contoso-east.cognitiveservices.azure.com/ "), "it is a URL, not a key");
        for text in ["localhost", "localhost:8080", "a.example", "https://a", "0123456789abcdef0123456789abcdef"] {
            assert_eq!((endpoint(text), key("0123456789abcdef")), (String::new(), String::new()), "{text}");
        }
    }

    #[test]
    fn the_endpoint_of_a_name_is_offered() {
        let error = in_place_of_endpoint("Contoso-East").unwrap();
        assert!(error.remedy().unwrap().starts_with("give https://contoso-east.cognitiveservices.azure.com"));
    }
}
