//! Whether two models read a document alike: a pure comparison of what was read.
//!
//! Whether the service reads the same document twice alike is not documented. So the source reads it twice, and what
//! differs between its own readings is no difference between source and target.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::document::{Fact, Reading};
use crate::text::UntrustedText;

/// The longest value that is shown, in characters.
const SHOWN: usize = 200;
/// For sums of decimal fractions.
const ROUNDING: f64 = 1e-9;

/// The readings of one document.
#[derive(Debug)]
pub(crate) struct Readings {
    /// Those of the source: the same model, the same document, two analyses.
    pub source: [Rc<Reading>; 2],
    /// That of the target.
    pub target: Reading,
}

/// What came of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// How many places were compared, without those that the source itself reads otherwise.
    pub places: usize,
    /// How the target differs from the source, in words.
    pub differences: Vec<String>,
    /// How the second analysis of the source differs from the first one, in words.
    pub noise: Vec<String>,
}

/// Compares the target's reading with those of the source. Confidences may differ by `tolerance`.
#[must_use]
pub(crate) fn compare(readings: &Readings, tolerance: f64) -> Compared {
    let [first, second] = &readings.source;
    let target = &readings.target;
    let mut compared = Compared::default();
    let places: BTreeSet<_> =
        [&**first, &**second, target].into_iter().flat_map(|reading| reading.facts.keys()).collect();
    for place in places {
        let [before, again, copy] = [&**first, &**second, target].map(|reading| reading.facts.get(place));
        if !is_same_value(before, again) {
            let what = (described(before), described(again));
            compared.noise.push(format!("{place}: {} in one analysis, {} in another one", what.0, what.1));
            continue;
        }
        compared.places += 1;
        let jitter = distance(before, again).unwrap_or(0.0);
        if jitter > tolerance + ROUNDING {
            compared.noise.push(format!("{place}: {}", confidences(before, again, ["one analysis", "another one"])));
        }
        if !is_same_value(before, copy) {
            let what = (described(before), described(copy));
            compared.differences.push(format!("{place}: {} on the source, {} on the target", what.0, what.1));
        } else if distance(before, copy).is_none_or(|distance| distance > tolerance + jitter + ROUNDING) {
            compared.differences.push(format!("{place}: {}", confidences(before, copy, ["the source", "the target"])));
        }
    }
    compared
}

fn is_same_value(a: Option<&Fact>, b: Option<&Fact>) -> bool {
    let of = |fact: Option<&Fact>| fact.map(|fact| (fact.kind.clone(), fact.value.clone()));
    of(a) == of(b)
}

/// How far two confidences are apart. None where only one of the two has one.
fn distance(a: Option<&Fact>, b: Option<&Fact>) -> Option<f64> {
    match [a, b].map(|fact| fact.and_then(|fact| fact.confidence)) {
        [Some(a), Some(b)] => Some((a - b).abs()),
        [None, None] => Some(0.0),
        _ => None,
    }
}

fn described(fact: Option<&Fact>) -> String {
    let Some(Fact { kind, value, .. }) = fact else { return "not found".into() };
    let value = value.as_ref().map_or_else(|| "no value".into(), shown);
    match kind {
        Some(kind) => format!("{} {value}", shown(kind)),
        None => value,
    }
}

/// A text for people: quoted where it would not be seen.
fn shown(text: &UntrustedText) -> String {
    let shown = format!("{text:.SHOWN$}");
    if shown.is_empty() { "\"\"".into() } else { shown }
}

fn confidences(a: Option<&Fact>, b: Option<&Fact>, on: [&str; 2]) -> String {
    let [a, b] = [a, b].map(|fact| match fact.and_then(|fact| fact.confidence) {
        Some(confidence) => format!("confidence {confidence:.3}"),
        None => "no confidence".into(),
    });
    let [on_a, on_b] = on;
    let preposition = if on_a.starts_with("one") { "in" } else { "on" };
    format!("{a} {preposition} {on_a}, {b} {preposition} {on_b}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 0.05;

    fn reading(facts: &[(&str, &str, f64)]) -> Reading {
        let fact = |(place, value, confidence): &(&str, &str, f64)| {
            let fact =
                Fact { kind: Some("number".into()), value: Some((*value).into()), confidence: Some(*confidence) };
            (UntrustedText::from(*place), fact)
        };
        Reading { facts: facts.iter().map(fact).collect() }
    }

    /// Compares readings of one field.
    fn compared(first: (&str, f64), second: (&str, f64), target: (&str, f64)) -> Compared {
        let one = |(value, confidence)| reading(&[("Total", value, confidence)]);
        compare(&Readings { source: [one(first).into(), one(second).into()], target: one(target) }, TOLERANCE)
    }

    #[test]
    fn equal_readings_agree() {
        let expected = Compared { places: 1, ..Compared::default() };
        assert_eq!(compared(("1", 0.9), ("1", 0.9), ("1", 0.9)), expected);
    }

    #[test]
    fn another_value_or_another_type_differs() {
        let found = compared(("1", 0.9), ("1", 0.9), ("2", 0.9));
        assert_eq!(found.differences, ["Total: number 1 on the source, number 2 on the target"]);
        let source = || reading(&[("Total", "1", 0.9)]);
        let mut target = source();
        target.facts.values_mut().for_each(|fact| fact.kind = Some("string".into()));
        let found = compare(&Readings { source: [source().into(), source().into()], target }, TOLERANCE);
        assert_eq!(found.differences, ["Total: number 1 on the source, string 1 on the target"]);
    }

    #[test]
    fn a_place_that_only_one_of_the_two_has_differs() {
        let (one, none) = (reading(&[("Total", "1", 0.9)]), Reading::default());
        let missing = Readings { source: [one.clone().into(), one.clone().into()], target: none.clone() };
        assert_eq!(
            compare(&missing, TOLERANCE).differences,
            ["Total: number 1 on the source, not found on the target"]
        );
        let added = Readings { source: [none.clone().into(), none.into()], target: one };
        assert_eq!(compare(&added, TOLERANCE).differences, ["Total: not found on the source, number 1 on the target"]);
    }

    #[test]
    fn a_confidence_differs_beyond_the_tolerance_only() {
        assert_eq!(compared(("1", 0.9), ("1", 0.9), ("1", 0.85)).differences, Vec::<String>::new());
        assert_eq!(
            compared(("1", 0.9), ("1", 0.9), ("1", 0.84)).differences,
            ["Total: confidence 0.900 on the source, confidence 0.840 on the target"]
        );
    }

    #[test]
    fn what_the_source_itself_reads_otherwise_is_noise_and_no_difference() {
        let found = compared(("1", 0.9), ("2", 0.9), ("3", 0.9));
        assert_eq!((found.places, found.differences.len()), (0, 0));
        assert_eq!(found.noise, ["Total: number 1 in one analysis, number 2 in another one"]);
    }

    #[test]
    fn a_confidence_that_the_source_itself_changes_widens_the_tolerance() {
        let found = compared(("1", 0.9), ("1", 0.8), ("1", 0.76));
        assert_eq!((found.places, found.differences.len(), found.noise.len()), (1, 0, 1));
        assert_eq!(compared(("1", 0.9), ("1", 0.8), ("1", 0.74)).differences.len(), 1);
        // Noise within the tolerance is not worth a word, and is subtracted all the same.
        let found = compared(("1", 0.9), ("1", 0.88), ("1", 0.84));
        assert_eq!((found.differences.len(), found.noise.len()), (0, 0));
    }

    #[test]
    fn a_value_of_the_service_cannot_break_a_line() {
        let found = compared(("1", 0.9), ("1", 0.9), ("2\n::error::x", 0.9));
        assert!(!found.differences[0].contains('\n'), "{found:?}");
    }
}
