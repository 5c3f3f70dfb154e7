//! GUIDs, by chance and by name.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A GUID that nobody has seen before, from the seeds that the standard library gives each hash map.
pub(crate) fn random() -> String {
    let half = || RandomState::new().build_hasher().finish();
    guid(half(), half())
}

/// The GUID of a name: the same name has the same one in every run.
#[cfg(feature = "emulator")]
pub(crate) fn of(name: &str) -> String {
    use std::hash::{DefaultHasher, Hash};
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, name).hash(&mut hasher);
        hasher.finish()
    };
    guid(half(0), half(1))
}

fn guid(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(all(test, feature = "emulator"))]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_a_version_4_uuid_and_named_ones_stay_the_same() {
        let id: crate::model::ModelId = of("x").parse().unwrap();
        assert!(id.is_uuid() && id.as_str().as_bytes()[14] == b'4');
        assert_eq!(of("x"), of("x"));
        assert_ne!(of("x"), of("y"));
        assert_ne!(random(), random());
    }
}
