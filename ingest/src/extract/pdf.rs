//! PDF: the text of each page, with a mark where each page begins.
//!
//! A page that cannot be read fails the document, because a document that silently lacks a page answers wrongly. Runs
//! in the child process: the parser can hang on a damaged file.

use pdf_oxide::{
    PdfDocument, converters::ConversionOptions, error::Error, object::Object, optional_content::decode_pdf_text_string,
};

use super::{ExtractError, ExtractLimits, Extracted, Format, Mark, MarkKind, Measure};

const FORMAT: Format = Format::Pdf;
/// More pages than any document has; a page count is only a claim.
const MAX_PAGES: usize = 100_000;

/// The file's end is marked in its last 1,024 bytes; some programs append more.
const END_BYTES: usize = 4_096;

/// Reads a PDF file.
pub(super) fn read(bytes: &[u8], limits: &ExtractLimits) -> Result<Extracted, ExtractError> {
    if !has_end(bytes) {
        let detail = "it was cut off, its end is missing".to_owned();
        return Err(ExtractError::Damaged { format: FORMAT, detail });
    }
    let document = PdfDocument::from_bytes(bytes.to_vec()).map_err(|error| damaged(&error, None))?;
    if document.is_encrypted() && !document.is_authenticated() {
        return Err(ExtractError::Encrypted { format: FORMAT });
    }
    let pages = document.page_count().map_err(|error| damaged(&error, None))?;
    if pages > MAX_PAGES {
        return Err(ExtractError::TooLarge { measure: Measure::Marks, limit: MAX_PAGES as u64 });
    }
    let mut extracted = Extracted { title: title_of(&document), ..Extracted::default() };
    // Recognizing tables moves them to the end of the page and cuts values off; plain lines keep rows whole.
    let options = ConversionOptions { extract_tables: false, ..ConversionOptions::default() };
    for page in 0..pages {
        let page_text = document.extract_text_with_options(page, &options).map_err(|error| damaged(&error, Some(page + 1)))?;
        let page_text = page_text.replace(['\0', '\u{c}'], " ");
        let page_text = page_text.trim();
        if page_text.is_empty() {
            continue;
        }
        if !extracted.text.is_empty() {
            extracted.text.push_str("\n\n");
        }
        let number = u32::try_from(page + 1).unwrap_or(u32::MAX);
        extracted.marks.push(Mark { at: extracted.text.len(), kind: MarkKind::Page(number) });
        extracted.text.push_str(page_text);
        if extracted.text.len() as u64 > limits.max_text_bytes {
            return Err(ExtractError::TooLarge { measure: Measure::Text, limit: limits.max_text_bytes });
        }
    }
    if extracted.text.is_empty() { Err(ExtractError::NoText { format: FORMAT }) } else { Ok(extracted) }
}

/// Whether the file's trailer is there (ISO 32000-1, 7.5.5). Without it the parser repairs what it can, which may be the
/// first pages only.
fn has_end(bytes: &[u8]) -> bool {
    let end = bytes.get(bytes.len().saturating_sub(END_BYTES)..).unwrap_or_default();
    [b"%%EOF".as_slice(), b"startxref"].iter().any(|mark| end.windows(mark.len()).any(|window| window == *mark))
}

fn damaged(error: &Error, page: Option<usize>) -> ExtractError {
    match (error, page) {
        (Error::EncryptedPdf, _) => ExtractError::Encrypted { format: FORMAT },
        (error, None) => ExtractError::Damaged { format: FORMAT, detail: error.to_string() },
        (error, Some(page)) => ExtractError::Damaged { format: FORMAT, detail: format!("page {page}: {error}") },
    }
}

/// The title of the document information dictionary (ISO 32000-1, 14.3.3).
fn title_of(document: &PdfDocument) -> Option<String> {
    let resolve = |object: &Object| match object {
        Object::Reference(reference) => document.load_object(*reference).ok(),
        direct => Some(direct.clone()),
    };
    let info = resolve(document.trailer().as_dict()?.get("Info")?)?;
    match resolve(info.as_dict()?.get("Title")?)? {
        Object::String(bytes) => Some(decode_pdf_text_string(&bytes)),
        _ => None,
    }
}
