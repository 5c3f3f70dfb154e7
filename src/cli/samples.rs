//! `frcopy check --samples`: its options, and what came of the samples, in text.

use std::path::PathBuf;

use clap::Args;

use crate::check::Comparison;
use crate::error::Error;
use crate::resource_name::ResourceName;
use crate::samples::{Extent, SampleOutcome, Samples, SamplesPlan};

use super::console::{self, Console};
use super::samples_object::with_causes;

/// How many folders a line names.
const SHOWN_FOLDERS: usize = 5;

/// Which documents both sides analyze.
#[derive(Debug, Args)]
pub(super) struct SamplesArgs {
    /// Also analyze the documents in DIR/ID/ with model ID on both sides and compare what is read
    ///
    /// The documents are sent to the source and to each target, so to all their regions. Each is analyzed twice on the
    /// source, to see what the service itself reads otherwise, and once on each target, and the pages of all analyses are
    /// billed. frcopy help samples explains what is compared.
    #[arg(long, value_name = "DIR", conflicts_with = "target_only", help_heading = "Samples")]
    samples: Option<PathBuf>,

    /// By how much confidences may differ, from 0 to 1
    #[arg(long, value_name = "NUMBER", default_value = "0.05", requires = "samples", allow_hyphen_values = true)]
    #[arg(help_heading = "Samples")]
    confidence_tolerance: String,
}

impl SamplesArgs {
    /// The documents that there are now.
    pub(super) fn plan(&self) -> Result<Option<SamplesPlan>, Error> {
        let Some(folder) = &self.samples else { return Ok(None) };
        let tolerance = self.confidence_tolerance.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
        let tolerance = tolerance.ok_or_else(|| {
            let what = format!("--confidence-tolerance is not a number from 0 to 1: {}", self.confidence_tolerance);
            Error::settings(what, "give a number such as 0.05")
        })?;
        Ok(Some(SamplesPlan { samples: Samples::read(folder)?, tolerance }))
    }
}

/// Says what is sent, before it is sent. With several targets, each has a name.
pub(super) fn announce(console: &Console, extent: &Extent, target: Option<&ResourceName>) {
    let Extent { documents, models, unused } = extent;
    let label = target.map(|target| format!("{target}: ")).unwrap_or_default();
    if !unused.is_empty() {
        let shown: Vec<_> = unused.iter().take(SHOWN_FOLDERS).map(ToString::to_string).collect();
        let more = if unused.len() > SHOWN_FOLDERS { ", …" } else { "" };
        console.note(&format!("{label}samples: no model that was compared has the id of {}{more}", shown.join(", ")));
    }
    if *documents > 0 {
        let once = match target {
            Some(target) => format!("on the source, for all targets together, and once on {target}"),
            None => "on the source and once on the target".into(),
        };
        console.note(&format!(
            "{label}analyzing {documents} samples of {models} models, each twice {once}; their pages are billed"
        ));
    }
}

/// Shows the samples of a comparison, field by field where they differ.
pub(super) fn explain(name: &str, one: &Comparison) {
    let Some(outcome) = &one.samples else { return };
    if outcome.documents.is_empty() {
        console::line(&format!("{name}: no samples"));
    }
    for sample in &outcome.documents {
        for line in lines(sample) {
            console::line(&format!("{name}: {}: {line}", sample.file));
        }
    }
    if outcome.ignored > 0 {
        console::line(&format!("{name}: {} files of its samples are no documents", outcome.ignored));
    }
}

fn lines(sample: &SampleOutcome) -> Vec<String> {
    let mut lines = match &sample.compared {
        Err(error) => vec![format!("not compared: {}", with_causes(error))],
        Ok(compared) if compared.differences.is_empty() => vec![format!("{} values agree", compared.places)],
        Ok(compared) => compared.differences.clone(),
    };
    let noise = sample.compared.iter().flat_map(|compared| &compared.noise);
    lines.extend(noise.map(|noise| format!("not counted, the source itself differs: {noise}")));
    let undeleted = sample.undeleted.iter();
    lines.extend(
        undeleted.map(|error| {
            format!("a result was not deleted, and the service keeps it for a day: {}", with_causes(error))
        }),
    );
    lines
}
