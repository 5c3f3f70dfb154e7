//! Models that end with their API version.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::api::version::ApiVersion;

/// A line for each API version that ends together with its models, such as v2.1, and that shows any of these.
pub(super) fn notes(shown_by: impl Iterator<Item = ApiVersion>, now: Timestamp) -> impl Iterator<Item = String> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let mut counts = BTreeMap::new();
    for version in shown_by {
        *counts.entry(version).or_insert(0_usize) += 1;
    }
    counts.into_iter().filter_map(move |(version, count)| {
        let date = version.models_retire()?;
        let newest = ApiVersion::newest();
        let day = date.strftime("%-d %B %Y");
        let models = if count == 1 { "its model".to_owned() } else { format!("its {count} models") };
        Some(if today < date {
            format!("{version} retires on {day}: train {models} again with {newest} before")
        } else {
            format!("{version} retired on {day}: train {models} again with {newest}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_whose_models_no_later_version_shows_have_a_note() {
        let notes = |day: &str| -> Vec<_> {
            let shown_by = [ApiVersion::V3_0, ApiVersion::V2_1, ApiVersion::V4_0, ApiVersion::V2_1];
            notes(shown_by.into_iter(), format!("{day}T12:00:00Z").parse().unwrap()).collect()
        };
        assert_eq!(
            notes("2027-09-14"),
            ["v2.1 retires on 15 September 2027: train its 2 models again with v4.0 before"]
        );
        assert_eq!(notes("2027-09-15"), ["v2.1 retired on 15 September 2027: train its 2 models again with v4.0"]);
        let of_one: Vec<_> =
            super::notes(std::iter::once(ApiVersion::V2_1), "2027-09-14T12:00:00Z".parse().unwrap()).collect();
        assert_eq!(of_one, ["v2.1 retires on 15 September 2027: train its model again with v4.0 before"]);
    }
}
