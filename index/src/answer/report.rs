//! What a check says of an answer.

use serde::Serialize;

use crate::citation::{Citation, Span};
use crate::engine::Newer;

/// The report on an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnswerReport {
    /// The epoch that it obeys.
    pub epoch: u64,
    /// Fails when any problem fails it.
    pub verdict: Verdict,
    /// What the answer claims, in its order.
    pub claims: Vec<Claim>,
    /// What its markers stand for, in the order they were given.
    pub citations: Vec<CitationCheck>,
    /// What is wrong or should be known.
    pub problems: Vec<Problem>,
}

/// Whether an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No problem fails it.
    Pass,
    /// At least one does.
    Fail,
}

/// A sentence that claims something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// The sentence as it stands in the answer.
    pub text: String,
    /// Its bytes in the answer.
    pub span: Span,
    /// The markers that stand in it or directly after it.
    pub markers: Vec<String>,
    /// Whether what it cites says so.
    pub verdict: ClaimVerdict,
    /// The share of its words that was found, 0 to 1, in hundredths.
    pub support: f32,
    /// The words that no cited passage has, numbers that stand elsewhere there, and negations that one side has alone.
    pub missing: Vec<String>,
    /// The sentences that say it best.
    pub evidence: Vec<Evidence>,
    /// What it puts in quotation marks.
    pub quotes: Vec<Quote>,
}

/// Whether what a claim cites says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimVerdict {
    /// It does, and as the source stands now.
    Supported,
    /// It did; the source does not say so any more.
    Outdated,
    /// It does not.
    Unsupported,
    /// It does, and a quote in the claim is not verbatim.
    Misquoted,
    /// Nothing is cited.
    Uncited,
    /// Nothing of what is cited can be opened.
    Unreadable,
}

/// Sentences of a cited passage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Whose passage it is.
    pub marker: String,
    /// Bytes of the passage's text; of a superseded one, of its newer text.
    pub span: Span,
}

/// Something in quotation marks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quote {
    /// What stands between the marks.
    pub text: String,
    /// Its bytes in the answer.
    pub span: Span,
    /// Whether a passage that the sentence cites says it so.
    pub verbatim: bool,
    /// Whose passage says it, or says what is nearest.
    pub marker: Option<String>,
    /// Its bytes in the passage as it was cited; `None` in a title or heading.
    pub at: Option<Span>,
    /// What the passage says instead, when that is close.
    pub nearest: Option<String>,
}

/// What a marker stands for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CitationCheck {
    /// The marker.
    pub marker: String,
    /// The token that was given for it.
    pub token: String,
    /// What became of the passage.
    pub state: CitationState,
    /// Its citation; absent when it is not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citation: Option<Citation>,
    /// What a superseded passage has become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newer: Option<Newer>,
    /// Whether the source was last seen to have it longer ago than was asked for.
    pub stale: bool,
    /// Whether a claim cites it.
    pub cited: bool,
}

/// What became of a cited passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CitationState {
    /// It stands in the newest version.
    Current,
    /// The document has a newer version.
    Superseded,
    /// The document was deleted.
    Deleted,
    /// There is no such citation, or the caller may not read it.
    NotFound,
}

/// Something that is wrong with an answer, or should be known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// Stable code.
    pub code: ProblemCode,
    /// Whether it fails the answer.
    pub fails: bool,
    /// The claim, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<usize>,
    /// The marker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// For a person.
    pub detail: String,
}

/// What can be wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// No passage that the sentence cites says the quote so.
    QuoteNotVerbatim,
    /// What the sentence cites does not say so.
    ClaimUnsupported,
    /// What the sentence cites does not say so, and another citation of the answer does.
    CitationElsewhere,
    /// The sentence cites nothing.
    ClaimUncited,
    /// There is no such citation, or the caller may not read it.
    CitationNotFound,
    /// The document was deleted.
    CitationDeleted,
    /// The document has a newer version. It fails a claim that only the older one supports.
    CitationSuperseded,
    /// The source was last seen to have it longer ago than was asked for.
    SourceStale,
    /// A marker in the answer stands for nothing.
    MarkerUndefined,
    /// No claim cites it.
    CitationUnused,
}

impl ProblemCode {
    /// Whether it fails an answer that is not checked strictly. What only ought to be known does not.
    pub(super) fn fails(self) -> bool {
        !matches!(self, ProblemCode::CitationSuperseded | ProblemCode::CitationUnused)
    }
}
