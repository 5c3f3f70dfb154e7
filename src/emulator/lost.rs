//! Answers that are lost: the call is carried out, and its connection is closed.

use super::call::CallKind;

/// A call by what it does, for `--lose-answers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerTo {
    /// The authorize request on the target.
    Authorize,
    /// The start request on the source.
    Start,
    /// A read of an operation.
    Poll,
    /// A read of one model.
    Read,
    /// A list, or the number of models.
    List,
    /// A deletion.
    Delete,
    /// An analysis of a document.
    Analyze,
    /// A read of the result of an analysis.
    AnalyzeResult,
}

impl AnswerTo {
    /// What a call does.
    pub(super) fn call(call: &CallKind) -> Self {
        match call {
            CallKind::Authorize => Self::Authorize,
            CallKind::Copy { .. } => Self::Start,
            CallKind::Operation { .. } => Self::Poll,
            CallKind::Get { .. } => Self::Read,
            CallKind::List { .. } | CallKind::Summary | CallKind::Operations { .. } | CallKind::Info => Self::List,
            CallKind::Delete { .. } | CallKind::DeleteAnalyzeResult { .. } => Self::Delete,
            CallKind::Analyze { .. } => Self::Analyze,
            CallKind::AnalyzeResult { .. } => Self::AnalyzeResult,
        }
    }
}
