//! Checking an answer against the passages that it cites, without a language model: the same answer over the same passages
//! has the same report, whatever else is stored.
//!
//! Tokens are opened as one caller may; what is absent, forbidden and forged is not found, in the same words. Which claims are
//! supported is decided by words (see `support.rs`), quotes by their bytes (`quotes.rs`).

mod claims;
mod function_words;
mod judge;
mod markers;
mod quotes;
mod report;
mod sentences;
mod support;
mod words;

use std::collections::HashSet;
use std::time::Duration;

pub use report::{AnswerReport, CitationCheck, CitationState, Claim, ClaimVerdict, Evidence, Problem, ProblemCode, Quote, Verdict};

use crate::access::Caller;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// The longest answer that is checked, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 << 10;
/// The most citations of one answer.
pub const MAX_CITATIONS: usize = 100;
/// The most sentences of one answer.
pub const MAX_CLAIMS: usize = 1_000;
/// The most citations that one sentence may name.
pub const MAX_CITATIONS_OF_A_CLAIM: usize = 16;
/// The longest sentence, in bytes.
pub const MAX_CLAIM_BYTES: usize = 8 << 10;
/// The longest name of a marker, in bytes.
pub const MAX_MARKER_BYTES: usize = 64;
/// A check is begun again when permissions changed under it, at most so many times.
const MAX_ATTEMPTS: usize = 3;

/// An answer to check.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What was answered, in plain text or Markdown.
    pub text: String,
    /// What its markers stand for: the marker without brackets, and a citation's token.
    pub citations: Vec<(String, String)>,
    /// A source that was last seen to have the passage longer ago is stale.
    pub max_age: Option<Duration>,
    /// Whether every problem fails the answer.
    pub strict: bool,
}

impl Answer {
    /// # Errors
    /// [`Error::Invalid`] for an answer out of bounds.
    fn check(&self) -> Result<()> {
        if self.text.trim().is_empty() {
            return Err(Error::invalid("answer", "it is empty"));
        }
        if self.text.len() > MAX_ANSWER_BYTES {
            return Err(Error::invalid("answer", format!("{} bytes, at most {MAX_ANSWER_BYTES} are allowed", self.text.len())));
        }
        if self.citations.len() > MAX_CITATIONS {
            return Err(Error::invalid("citations", format!("at most {MAX_CITATIONS} are allowed")));
        }
        let mut seen = HashSet::new();
        for (marker, _) in &self.citations {
            if marker.trim() != marker || marker.is_empty() || marker.len() > MAX_MARKER_BYTES {
                return Err(Error::invalid(
                    "citations",
                    format!("a marker has 1 to {MAX_MARKER_BYTES} bytes without space around"),
                ));
            }
            if marker.contains(['[', ']', '【', '】']) {
                return Err(Error::invalid("citations", format!("the marker `{marker}` is written without brackets")));
            }
            if !seen.insert(marker.as_str()) {
                return Err(Error::invalid("citations", format!("the marker `{marker}` stands twice")));
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Checks an answer against the passages that it cites, as the caller may read them at `now`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an answer out of bounds.
    pub fn check_answer(&self, caller: &Caller, answer: &Answer, now: Timestamp) -> Result<AnswerReport> {
        answer.check()?;
        let tokens: Vec<&str> = answer.citations.iter().map(|(_, token)| token.as_str()).collect();
        let mut attempt = 1;
        loop {
            let (epoch, opened) = self.citations(caller, &tokens, now)?;
            let report = judge::judge(answer, opened, epoch, now)?;
            // The report obeys the epoch at which it is sent, not the one at which the check began.
            if attempt == MAX_ATTEMPTS || self.epoch() == epoch {
                return Ok(report);
            }
            attempt += 1;
        }
    }
}
