//! What the check of one target has shown, for people, scripts and CI systems.

use crate::api::version::ApiVersion;
use crate::check::{Comparison, Verdict, nothing_to_compare};
use crate::cli::args::Format;
use crate::cli::console::{self, Verbosity};
use crate::cli::json;
use crate::cli::samples;
use crate::cli::screen::stdout_width;
use crate::error::Error;
use crate::model::ModelId;
use crate::resource::Resource;

use super::args::CheckArgs;
use super::end_of_life::{Expiring, age_lines};
use super::line::{self, EndOfLife};

/// The result of one target.
pub(super) struct TargetResult<'p> {
    /// None where the target alone was asked.
    pub(super) source: Option<&'p Resource>,
    pub(super) target: &'p Resource,
    /// Whether it was compared with the manifest, and not with the source.
    pub(super) is_recorded: bool,
    /// Whether its lines need its name.
    pub(super) is_one_of_several: bool,
    pub(super) comparisons: Result<Vec<Comparison>, Error>,
    /// Entries of lists that could not be read, and so were not compared.
    pub(super) unread: usize,
    pub(super) expiring: Expiring,
}

impl TargetResult<'_> {
    /// Leaves out what is not asked for. Nothing to compare is an error.
    pub(super) fn selected(mut self, one_way: bool) -> Self {
        self.comparisons = self.comparisons.and_then(|mut comparisons| {
            comparisons.retain(|one| !(one_way && matches!(one.verdict, Verdict::OnlyOnTarget)));
            if comparisons.is_empty() && self.unread == 0 { Err(nothing_to_compare()) } else { Ok(comparisons) }
        });
        self
    }

    /// Why it was not compared.
    pub(super) fn error(&self) -> Option<&Error> {
        self.comparisons.as_ref().err()
    }

    /// Whether there is a difference, an expiry, a retired model or a copy that is too old.
    pub(super) fn differs(&self) -> bool {
        let is_different =
            |one: &Comparison| !matches!(one.verdict, Verdict::Same) || !self.expiring.reasons(one).is_empty();
        // Models that could not be read were not compared.
        self.comparisons.as_ref().is_ok_and(|found| self.unread > 0 || found.iter().any(is_different))
    }

    /// The models, each by its id on the source, else on the target, and the versions that show them.
    pub(super) fn models_and_versions(&self) -> impl Iterator<Item = (&str, ApiVersion)> {
        self.comparisons.iter().flatten().filter_map(|one| Some((id(one), one.version?)))
    }

    /// The lines of `--output json`.
    pub(super) fn json_lines(&self) -> impl Iterator<Item = String> {
        let line = |one| line::comparison(one, self.source, self.target, &self.expiring.end_of_life(one));
        self.comparisons.iter().flatten().map(line)
    }

    /// Prints the comparisons, or why there are none.
    pub(super) fn show(&self, args: &CheckArgs) {
        match args.format {
            Format::Json => json::print_lines(self.json_lines()),
            Format::Text if args.quiet => {}
            Format::Text => json::print_lines(self.text_lines()),
        }
        let label = self.label();
        match &self.comparisons {
            Ok(comparisons) => self.explain_all(comparisons, &label, Verbosity::new(args.quiet, args.verbose)),
            Err(error) => console::error_of(&label, error),
        }
    }

    fn explain_all(&self, comparisons: &[Comparison], label: &str, verbosity: Verbosity) {
        for one in comparisons {
            if let Verdict::Unread(error) = &one.verdict {
                console::error_for(&format!("{label}{}", name(one)), error);
            }
        }
        if verbosity >= Verbosity::Normal {
            for one in comparisons {
                explain(label, one, &self.expiring);
            }
            console::line(&format!("{label}{}", self.summary(comparisons)));
            for line in self.age_lines(comparisons) {
                console::line(&format!("{label}{line}"));
            }
        }
    }

    /// How old the copies are, which only the manifest tells.
    fn age_lines(&self, comparisons: &[Comparison]) -> Vec<String> {
        let recorded = comparisons.iter().filter(|one| self.is_recorded && one.source.is_some());
        let verified: Vec<_> = recorded.map(|one| one.verified_at).collect();
        age_lines(&verified, self.expiring.target_time)
    }

    fn summary(&self, comparisons: &[Comparison]) -> String {
        let count = |wanted: char| comparisons.iter().filter(|one| line::sign(&one.verdict) == wanted).count();
        let verdicts = ['=', '+', '-', '*', '!'].map(|sign| (count(sign), self.meaning(sign)));
        let ends: Vec<_> = comparisons.iter().map(|one| self.expiring.end_of_life(one)).collect();
        let ending = |is: &dyn Fn(&&EndOfLife) -> bool| ends.iter().filter(is).count();
        let ending = [
            (ending(&|end| end.is_soon && !end.is_past), "about to expire"),
            (ending(&|end| end.is_past), "expired"),
            (ending(&|end| end.is_retired), "retired"),
            (ending(&|end| end.age.is_too_old), "too old"),
        ];
        console::counts(comparisons.len(), verdicts.into_iter().chain(ending))
    }

    /// What a sign means. The manifest does not say what the source has now.
    fn meaning(&self, sign: char) -> &'static str {
        match (sign, self.is_recorded) {
            ('=', false) => "same",
            ('=', true) => "same as recorded",
            ('+', false) => "only on the source",
            ('+', true) => "missing on the target",
            ('-', false) => "only on the target",
            ('-', true) => "not in the manifest",
            ('*', false) => "different",
            ('*', true) => "changed since",
            _ => "unread",
        }
    }

    /// The row in the CI summary, unless both sides are the same and can be used.
    fn row(&self, one: &Comparison) -> Option<[String; 3]> {
        let sign = line::sign(&one.verdict);
        let verdict = match &one.verdict {
            Verdict::Same => Vec::new(),
            Verdict::OnlyOnSource | Verdict::OnlyOnTarget => vec![self.meaning(sign).to_owned()],
            Verdict::Differs(found) => found.clone(),
            Verdict::Unread(error) => vec![error.to_string()],
        };
        let what: Vec<_> = verdict.into_iter().chain(self.expiring.reasons(one)).collect();
        (!what.is_empty()).then(|| [sign.to_string(), name(one), what.join("; ")])
    }

    /// The rows in the CI summary: what is not the same on both sides, and why the target was not compared.
    pub(super) fn rows(&self) -> Vec<[String; 3]> {
        let label = self.label();
        match &self.comparisons {
            Ok(comparisons) => {
                let rows = comparisons.iter().filter_map(|one| self.row(one));
                rows.map(|[sign, name, what]| [sign, format!("{label}{name}"), what]).collect()
            }
            Err(error) => vec![["!".into(), label.trim_end_matches(": ").to_owned(), error.to_string()]],
        }
    }

    fn text_lines(&self) -> impl Iterator<Item = String> {
        let target = self.name().map(|name| format!("{name}\t")).unwrap_or_default();
        let width = stdout_width();
        self.comparisons.iter().flatten().map(move |one| text_line(&target, one, width))
    }

    /// What a line on stderr begins with.
    fn label(&self) -> String {
        self.name().map(|name| format!("{name}: ")).unwrap_or_default()
    }

    /// The name of the target, if there are several.
    fn name(&self) -> Option<String> {
        self.target.name.as_ref().filter(|_| self.is_one_of_several).map(ToString::to_string)
    }
}

/// The line of text: the sign, the kind, the id, and the id of the copy if that is another one. A terminal that is too
/// narrow for both gets two lines, so that no id is broken.
fn text_line(target: &str, one: &Comparison, width: Option<usize>) -> String {
    let label = format!("{target}{} {} ", line::sign(&one.verdict), one.kind);
    let of_copy = one.target.as_ref().map(|target| &target.id).or(one.copy_id.as_ref());
    let id = id(one);
    let Some(copy) = of_copy.filter(|copy| copy.as_str() != id) else { return format!("{label}{id}") };
    // A tab may take eight columns.
    let label_width = label.chars().map(|c| if c == '\t' { 8 } else { 1 }).sum::<usize>();
    if width.is_some_and(|width| label_width + id.len() + 1 + copy.as_str().len() > width) {
        let indent: String = label.chars().map(|c| if c == '\t' { c } else { ' ' }).collect();
        return format!("{label}{id}\n{indent}{copy}");
    }
    format!("{label}{id} {copy}")
}

/// The id on the source, else the id on the target, else the one that was asked for.
fn id(one: &Comparison) -> &str {
    let model = one.source.as_ref().or(one.target.as_ref());
    model.map(|model| &model.id).or(one.copy_id.as_ref()).map_or("", ModelId::as_str)
}

fn name(one: &Comparison) -> String {
    format!("{} {}", one.kind, id(one))
}

/// Prints the differences of a comparison, and why its models cannot be used, or not for long.
fn explain(label: &str, one: &Comparison, expiring: &Expiring) {
    let name = name(one);
    for what in one.verdict.differences().iter().chain(&expiring.reasons(one)) {
        console::line(&format!("{label}{name}: {what}"));
    }
    samples::explain(&format!("{label}{name}"), one);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn a_narrow_terminal_shows_the_id_of_the_copy_in_a_line_of_its_own() {
        let [id, copy] = ["33f4d42c-cd2f-4e74-b990-a1aeafab5a5d", "eccc3f13-8289-4020-ba16-9f1d1374e96f"];
        let target = Some(Model::example(copy));
        let one = Comparison::new(ApiVersion::V2_1, Model::example(id), target, Verdict::Same);
        assert_eq!(text_line("", &one, None), format!("= model {id} {copy}"));
        assert_eq!(text_line("", &one, Some(81)), format!("= model {id} {copy}"));
        assert_eq!(text_line("", &one, Some(80)), format!("= model {id}\n        {copy}"));
        assert_eq!(text_line("west\t", &one, Some(80)), format!("west\t= model {id}\n    \t        {copy}"));
        let same = Comparison::new(ApiVersion::V2_1, Model::example(id), Some(Model::example(id)), Verdict::Same);
        assert_eq!(text_line("", &same, Some(10)), format!("= model {id}"));
    }
}
