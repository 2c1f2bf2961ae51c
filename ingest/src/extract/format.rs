//! Which format a file has: by MIME type for the extractors, by name and first bytes for connectors.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

/// A format that text can be extracted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text without marks: prose, tables, configuration, source code.
    Plain,
    /// CommonMark.
    Markdown,
    /// HTML.
    Html,
    /// PDF.
    Pdf,
    /// Office Open XML, as word processors write it.
    Docx,
    /// A mail message (RFC 5322 and MIME).
    Mail,
}

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

impl Format {
    /// The format of a MIME type; parameters and case do not matter.
    pub(crate) fn of_mime(mime: &str) -> Option<Self> {
        let essence = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/markdown" | "text/x-markdown" => Some(Self::Markdown),
            "text/html" | "application/xhtml+xml" => Some(Self::Html),
            "application/pdf" | "application/x-pdf" => Some(Self::Pdf),
            DOCX => Some(Self::Docx),
            "message/rfc822" | "message/global" => Some(Self::Mail),
            "application/json"
            | "application/x-ndjson"
            | "application/yaml"
            | "application/x-yaml"
            | "application/toml"
            | "application/xml"
            | "application/javascript"
            | "application/sql"
            | "application/x-sh" => Some(Self::Plain),
            // Text only by name.
            "text/rtf" => None,
            other if other.starts_with("text/") => Some(Self::Plain),
            other if other.ends_with("+json") || other.ends_with("+xml") => Some(Self::Plain),
            _ => None,
        }
    }

    /// Whether the format is read in the child process.
    pub(super) fn is_hostile(self) -> bool {
        !matches!(self, Self::Plain | Self::Markdown)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "text file",
            Self::Markdown => "Markdown file",
            Self::Html => "HTML file",
            Self::Pdf => "PDF file",
            Self::Docx => "DOCX file",
            Self::Mail => "mail message",
        })
    }
}

/// The MIME type of a file, by its extension if that is known, else by its first bytes (4 KiB are enough).
///
/// `None` means that the file is neither of a supported format nor text. An image or a program with a known extension
/// is still named, so that its error can say what it was.
#[must_use]
pub fn mime_of(path: &Path, head: &[u8]) -> Option<&'static str> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    by_extension(&extension).or_else(|| by_magic(head))
}

fn by_extension(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "md" | "markdown" | "mdown" | "mkd" | "mdx" => "text/markdown",
        "txt" | "text" | "log" | "rst" | "adoc" | "org" | "tex" => "text/plain",
        "html" | "htm" | "xhtml" => "text/html",
        "pdf" => "application/pdf",
        "docx" => DOCX,
        "eml" => "message/rfc822",
        "csv" => "text/csv",
        "tsv" => "text/tab-separated-values",
        "json" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "xml" => "application/xml",
        "sql" => "application/sql",
        "rs" | "py" | "js" | "ts" | "jsx" | "tsx" | "go" | "java" | "kt" | "c" | "h" | "cc" | "cpp" | "hpp" | "cs" | "rb"
        | "php" | "swift" | "scala" | "sh" | "bash" | "zsh" | "ps1" | "lua" | "pl" | "r" | "css" | "scss" | "proto" | "graphql"
        | "tf" | "ini" | "cfg" | "conf" | "properties" => "text/plain",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "doc" => "application/msword",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        _ => return None,
    })
}

fn by_magic(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"%PDF-") {
        return Some("application/pdf");
    }
    if head.starts_with(b"PK\x03\x04") {
        let names_word = head.windows(5).any(|window| window == b"word/");
        return Some(if names_word { DOCX } else { "application/zip" });
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Some("text/plain");
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end inside a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    if text.contains('\0') {
        return None;
    }
    let start: String = text.trim_start_matches('\u{feff}').trim_start().chars().take(64).collect();
    let start = start.to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Some("text/html");
    }
    let mail = ["return-path:", "received:", "delivered-to:", "message-id:", "mime-version:"];
    if mail.iter().any(|header| start.starts_with(header)) {
        return Some("message/rfc822");
    }
    Some("text/plain")
}
