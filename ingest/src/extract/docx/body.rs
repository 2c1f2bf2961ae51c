//! The main text of a DOCX: a stream of elements becomes lines of text and heading marks.
//!
//! The state is a stack of open paragraphs (a text box sits inside a paragraph) and the row of the outermost open
//! table.

use std::io::BufRead;

use quick_xml::events::BytesStart;

use super::{
    archive::Entry,
    styles::{Role, Styles, outline_role},
    xml::{Step, attribute, walk},
};
use crate::extract::{ExtractError, ExtractLimits, Extracted, Mark, MarkKind, Measure};

/// Reads the main document.
pub(super) fn read<R: BufRead>(entry: Entry<R>, styles: &Styles, limits: &ExtractLimits) -> Result<Extracted, ExtractError> {
    let mut body = Body::new(styles);
    walk(entry, |step| {
        match step {
            Step::Open(element) => body.open(element),
            Step::Close(name) => body.close(name),
            Step::Text(text) if body.in_text && body.skipping == 0 => body.push(text),
            Step::Text(_) => {}
        }
        if (body.written.text.len() + body.pending_bytes) as u64 > limits.max_text_bytes {
            return Err(ExtractError::TooLarge { measure: Measure::Text, limit: limits.max_text_bytes });
        }
        Ok(())
    })?;
    Ok(body.written)
}

struct Body<'a> {
    styles: &'a Styles,
    written: Extracted,
    paragraphs: Vec<Paragraph>,
    /// The cells of the outermost table's open row.
    row: Vec<String>,
    /// How many tables are open.
    tables: usize,
    /// How many outermost tables have ended.
    tables_read: usize,
    /// How many elements are open whose content is not part of the text.
    skipping: usize,
    in_text: bool,
    /// Bytes in open paragraphs and cells, which count towards the limit.
    pending_bytes: usize,
    last: Line,
}

/// What a line is; lines of one list and of one table stand together, others are set apart by an empty line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Prose,
    Item,
    /// A row of the table of this number.
    Row(usize),
}

#[derive(Default)]
struct Paragraph {
    text: String,
    role: Option<Role>,
    is_listed: bool,
}

/// A second rendering of the same content, text that was moved away, and field codes.
const SKIPPED: [&str; 3] = ["Fallback", "moveFrom", "instrText"];

impl<'a> Body<'a> {
    fn new(styles: &'a Styles) -> Self {
        Self {
            styles,
            written: Extracted::default(),
            paragraphs: Vec::new(),
            row: Vec::new(),
            tables: 0,
            skipping: 0,
            in_text: false,
            pending_bytes: 0,
            last: Line::Prose,
            tables_read: 0,
        }
    }

    fn open(&mut self, element: &BytesStart<'_>) {
        let name = element.local_name();
        let name = name.as_ref();
        if SKIPPED.contains(&name) {
            self.skipping += 1;
        }
        if self.skipping > 0 {
            return;
        }
        match name {
            "p" => self.paragraphs.push(Paragraph::default()),
            "t" => self.in_text = true,
            "tab" if !self.paragraphs.is_empty() => self.push("\t"),
            "br" | "cr" => self.push("\n"),
            "noBreakHyphen" => self.push("-"),
            "tbl" => self.tables += 1,
            "tc" if self.tables == 1 => self.row.push(String::new()),
            "pStyle" | "outlineLvl" | "numId" => {
                let value = attribute(element, "val").unwrap_or_default();
                let styles = self.styles;
                let Some(paragraph) = self.paragraphs.last_mut() else {
                    return;
                };
                match name {
                    "pStyle" => paragraph.role = styles.role(&value),
                    "outlineLvl" => paragraph.role = paragraph.role.or_else(|| outline_role(value)),
                    // 0 takes a paragraph out of the list that its style puts it in.
                    _ => paragraph.is_listed = value != "0",
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        if SKIPPED.contains(&name) {
            self.skipping = self.skipping.saturating_sub(1);
            return;
        }
        if self.skipping > 0 {
            return;
        }
        match name {
            "t" => self.in_text = false,
            "p" => {
                if let Some(paragraph) = self.paragraphs.pop() {
                    self.pending_bytes = self.pending_bytes.saturating_sub(paragraph.text.len());
                    self.write(&paragraph);
                }
            }
            "tr" if self.tables == 1 => {
                let row = std::mem::take(&mut self.row);
                self.pending_bytes = 0;
                if row.iter().any(|cell| !cell.is_empty()) {
                    self.line(Line::Row(self.tables_read), &row.join(" | "));
                }
            }
            "tbl" => {
                self.tables = self.tables.saturating_sub(1);
                self.tables_read += usize::from(self.tables == 0);
            }
            _ => {}
        }
    }

    /// Appends to the innermost open paragraph.
    fn push(&mut self, text: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.extend(text.chars().filter(|c| *c != '\0'));
            self.pending_bytes += text.len();
        }
    }

    /// Writes a finished paragraph: into its cell, or as a line of its own.
    fn write(&mut self, paragraph: &Paragraph) {
        let text = paragraph.text.trim();
        if text.is_empty() {
            return;
        }
        if self.tables > 0 {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            self.pending_bytes += words.len() + 1;
            if let Some(cell) = self.row.last_mut() {
                if !cell.is_empty() {
                    cell.push(' ');
                }
                cell.push_str(&words);
            }
            return;
        }
        match paragraph.role {
            Some(Role::Heading(level)) => {
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let at = self.line(Line::Prose, &text);
                self.written.marks.push(Mark { at, kind: MarkKind::Heading { level, text } });
            }
            role if paragraph.is_listed || role == Some(Role::Item) => {
                self.line(Line::Item, &format!("- {text}"));
            }
            role => {
                if role == Some(Role::Title) && self.written.title.is_none() {
                    self.written.title = Some(text.to_owned());
                }
                self.line(Line::Prose, text);
            }
        }
    }

    /// Appends a line and returns where it begins.
    fn line(&mut self, line: Line, text: &str) -> usize {
        let joined = line == self.last && line != Line::Prose;
        if !self.written.text.is_empty() {
            self.written.text.push_str(if joined { "\n" } else { "\n\n" });
        }
        self.last = line;
        let at = self.written.text.len();
        self.written.text.push_str(text);
        at
    }
}
