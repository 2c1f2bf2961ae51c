//! Extraction: what a file says, as UTF-8 text with the places that citations name.
//!
//! Text and Markdown are read in this process, by linear code. PDF, DOCX, HTML and mail come from strangers and have
//! parsers that can hang, recurse or allocate without bound; they are read in a child process that is limited in time
//! and memory (see [`Sandbox`]), and what the child answers is checked like any other input.

mod child;
mod decode;
mod docx;
mod error;
mod format;
mod html;
mod limits;
mod mail;
mod markdown;
mod pdf;
mod sandbox;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use child::run_child;
pub use error::ExtractError;
pub(crate) use error::Measure;
pub(crate) use format::Format;
pub use format::mime_of;
pub use limits::ExtractLimits;
pub use sandbox::Sandbox;

/// What a file says, as UTF-8 text without NUL bytes, with the places that citations name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// The title the file gives itself, trimmed and on one line; `None` when it has none.
    pub title: Option<String>,
    /// The text. Citations are byte spans of it.
    pub text: String,
    /// Places in the text, in ascending order.
    pub marks: Vec<Mark>,
}

/// A place in an extracted text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Byte offset into the text, on a character boundary.
    pub at: usize,
    /// What begins there.
    pub kind: MarkKind,
}

/// What begins at a [`Mark`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// A heading, whose line starts at the mark.
    Heading {
        /// 1 is the outermost; formats use 1 to 9.
        level: u8,
        /// The heading's words, without markup.
        text: String,
    },
    /// A page, counted from 1.
    Page(u32),
    /// A part of a mail message: `body`, or an attachment's name.
    Part(String),
}

/// The number of marks a document may have, so that a file made of headings cannot exhaust memory.
const MAX_MARKS: usize = 200_000;
/// Longer titles are cut to this many characters.
const MAX_TITLE_CHARS: usize = 500;

/// Extracts the text of a file of the given MIME type (parameters such as `charset` are ignored).
///
/// Text that is neither UTF-8 nor UTF-16 with a byte order mark is refused, not guessed at.
///
/// # Errors
/// See [`ExtractError`]; all but [`ExtractError::Sandbox`] are final for these bytes and limits.
pub(crate) fn extract(bytes: &[u8], mime: &str, limits: &ExtractLimits, sandbox: &Sandbox) -> Result<Extracted, ExtractError> {
    let format = Format::of_mime(mime).ok_or_else(|| ExtractError::Unsupported { mime: mime.to_owned() })?;
    if bytes.len() as u64 > limits.max_file_bytes {
        return Err(ExtractError::TooLarge { measure: Measure::File, limit: limits.max_file_bytes });
    }
    if bytes.is_empty() {
        return Err(ExtractError::Empty);
    }
    let extracted = if format.is_hostile() { sandbox.run(bytes, format, limits)? } else { read(bytes, format, limits)? };
    checked(extracted, format, limits)
}

/// Reads a file in this process.
fn read(bytes: &[u8], format: Format, limits: &ExtractLimits) -> Result<Extracted, ExtractError> {
    match format {
        Format::Plain => Ok(Extracted { text: decode::decode(bytes)?.into_owned(), ..Extracted::default() }),
        Format::Markdown => Ok(markdown::read(decode::decode(bytes)?.into_owned())),
        Format::Html => html::read(&decode::decode(bytes)?),
        Format::Pdf => pdf::read(bytes, limits),
        Format::Docx => docx::read(bytes, limits),
        Format::Mail => mail::read(bytes, limits),
    }
}

/// Holds an extractor, or the child that ran it, to what [`Extracted`] promises.
fn checked(mut extracted: Extracted, format: Format, limits: &ExtractLimits) -> Result<Extracted, ExtractError> {
    let Extracted { title, text, marks } = &mut extracted;
    if text.len() as u64 > limits.max_text_bytes {
        return Err(ExtractError::TooLarge { measure: Measure::Text, limit: limits.max_text_bytes });
    }
    if marks.len() > MAX_MARKS {
        return Err(ExtractError::TooLarge { measure: Measure::Marks, limit: MAX_MARKS as u64 });
    }
    if let Some(offset) = text.find('\0') {
        return Err(ExtractError::Binary { offset: offset as u64 });
    }
    if text.trim().is_empty() {
        return Err(ExtractError::Empty);
    }
    let ascending = marks.is_sorted_by_key(|mark| mark.at);
    if !ascending || !marks.iter().all(|mark| text.is_char_boundary(mark.at)) {
        return Err(ExtractError::Damaged { format, detail: "marks lie outside the text".into() });
    }
    *title = title.take().and_then(|title| one_line(&title));
    Ok(extracted)
}

/// A title on one line, at most [`MAX_TITLE_CHARS`] long; `None` when nothing is left.
fn one_line(title: &str) -> Option<String> {
    let words: Vec<&str> = title.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line: String = words.join(" ").chars().take(MAX_TITLE_CHARS).collect();
    (!line.is_empty()).then_some(line)
}

/// The text of the first heading of level 1.
fn first_heading(marks: &[Mark]) -> Option<String> {
    marks.iter().find_map(|mark| match &mark.kind {
        MarkKind::Heading { level: 1, text } => Some(text.clone()),
        _ => None,
    })
}
