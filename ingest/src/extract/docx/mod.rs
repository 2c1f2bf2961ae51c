//! DOCX: paragraphs, headings, lists and tables of the main text.
//!
//! Headings are recognized by their style's name or outline level. Deleted and moved-away text is left out, as a reader
//! would see it; headers, footers, footnotes and comments are not read. Runs in the child process.

mod archive;
mod body;
mod styles;
mod xml;

use super::{ExtractError, ExtractLimits, Extracted, Format, first_heading};
use archive::Archive;

const FORMAT: Format = Format::Docx;

/// Reads a DOCX file.
pub(super) fn read(bytes: &[u8], limits: &ExtractLimits) -> Result<Extracted, ExtractError> {
    // What Office encrypts is no archive but an OLE compound file (MS-OFFCRYPTO), as old `.doc` files are.
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Err(ExtractError::Encrypted { format: FORMAT });
    }
    let mut archive = Archive::open(bytes, limits)?;
    let main = match archive.entry("_rels/.rels")? {
        Some(relations) => styles::main_document(relations)?,
        None => None,
    };
    let main = main.unwrap_or_else(|| "word/document.xml".to_owned());
    let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
    let styles = match archive.entry(&format!("{folder}/styles.xml"))? {
        Some(entry) => styles::read(entry)?,
        None => styles::Styles::default(),
    };
    let title = match archive.entry("docProps/core.xml")? {
        Some(entry) => styles::core_title(entry)?,
        None => None,
    };
    let entry = archive.entry(&main)?.ok_or_else(|| damaged(format!("`{main}` is missing")))?;
    let mut extracted = body::read(entry, &styles, limits)?;
    extracted.title = title.or(extracted.title).or_else(|| first_heading(&extracted.marks));
    Ok(extracted)
}

fn damaged(detail: impl ToString) -> ExtractError {
    ExtractError::Damaged { format: FORMAT, detail: detail.to_string() }
}
