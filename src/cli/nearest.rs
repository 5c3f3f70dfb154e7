//! Finds the known word that the user probably meant.

/// The similarity from which a word is offered; the one that clap uses for its options.
const MIN_SIMILARITY: f64 = 0.7;

/// The known word that is nearest to another one, if one is near.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let similarity = |known: &&str| strsim::jaro(&word.to_lowercase(), &known.to_lowercase());
    let scored = known.iter().map(|known| (similarity(known), *known)).filter(|(score, _)| *score > MIN_SIMILARITY);
    scored.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_has_a_neighbour_and_another_word_has_none() {
        let known = ["endpoint", "key-env", "key-file", "region"];
        assert_eq!(nearest("endpont", &known), Some("endpoint"));
        assert_eq!(nearest("Key_File", &known), Some("key-file"));
        assert_eq!(nearest("zzz", &known), None);
    }
}
