//! Why a file could not be extracted, and what its owner can do about it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Format;

/// Why a file could not be extracted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtractError {
    /// The file, or all of its text, is empty.
    #[error("the file holds no text")]
    Empty,
    /// The text is in an encoding that cannot be told with certainty.
    #[error("the text is neither UTF-8 nor UTF-16 with a byte order mark: byte {offset} does not fit; save it as UTF-8")]
    NotUtf8 {
        /// Offset in the file of the first byte that does not fit.
        offset: u64,
    },
    /// A file that was announced as text holds a NUL byte.
    #[error("this is a binary file, not text: it has a NUL byte at offset {offset}")]
    Binary {
        /// Offset of the NUL byte.
        offset: u64,
    },
    /// The file, or what it holds, is over a limit.
    #[error("{measure} exceeds the limit of {limit}; split the document or raise the limit")]
    TooLarge {
        /// What was measured.
        measure: Measure,
        /// The limit that applies, in the measure's unit.
        limit: u64,
    },
    /// A compressed file unpacks to an amount that no honest document does.
    #[error("`{entry}` unpacks to more than {limit} bytes, as in a zip bomb; save the document again")]
    ZipBomb {
        /// The entry of the archive.
        entry: String,
        /// The number of bytes that this entry may unpack to.
        limit: u64,
    },
    /// The file breaks its own format, or its parser broke on it.
    #[error("the {format} is damaged ({detail}); open it in its own program and save it again")]
    Damaged {
        /// The format that was expected.
        format: Format,
        /// What the parser said, or how it ended.
        detail: String,
    },
    /// The parser took too long.
    #[error("reading the {format} took more than {seconds} s; split the document or raise the limit")]
    TimedOut {
        /// The file's format.
        format: Format,
        /// The limit that applies.
        seconds: u64,
    },
    /// There is no extractor for this type.
    #[error("no text can be extracted from files of type `{mime}`")]
    Unsupported {
        /// The MIME type as it was given.
        mime: String,
    },
    /// The file needs a password.
    #[error("the {format} is encrypted; remove its password and ingest it again")]
    Encrypted {
        /// The file's format.
        format: Format,
    },
    /// The file is intact but holds pictures only.
    #[error("the {format} has pages but no text, as scans have; run text recognition (OCR) on it first")]
    NoText {
        /// The file's format.
        format: Format,
    },
    /// Elements are nested deeper than any honest document's.
    #[error("the {format} nests its elements more than {limit} deep")]
    TooDeep {
        /// The file's format.
        format: Format,
        /// The limit that applies.
        limit: u64,
    },
    /// The child process could not be run; the file itself may be sound.
    #[error("cannot run the extraction process `{program}`: {reason}")]
    Sandbox {
        /// The program that was to run.
        program: String,
        /// What the operating system said.
        reason: String,
    },
}

impl ExtractError {
    /// A stable name for this error, for records and APIs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Binary { .. } => "binary",
            Self::TooLarge { .. } => "too_large",
            Self::ZipBomb { .. } => "zip_bomb",
            Self::Damaged { .. } => "damaged",
            Self::TimedOut { .. } => "timeout",
            Self::Unsupported { .. } => "unsupported",
            Self::Encrypted { .. } => "encrypted",
            Self::NoText { .. } => "no_text",
            Self::TooDeep { .. } => "too_deep",
            Self::Sandbox { .. } => "sandbox",
        }
    }

    /// Whether the same bytes may well succeed when tried again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Sandbox { .. })
    }
}

/// What was over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The file's size, in bytes.
    File,
    /// The size of what a compressed file unpacks to, in bytes.
    Unpacked,
    /// The extracted text's size, in bytes.
    Text,
    /// The number of headings, pages and parts.
    Marks,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "the file's size in bytes",
            Self::Unpacked => "the unpacked size in bytes",
            Self::Text => "the text's size in bytes",
            Self::Marks => "the number of headings, pages and parts",
        })
    }
}
