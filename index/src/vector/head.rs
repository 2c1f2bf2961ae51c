//! The head of a derived file that belongs to a catalog: what it is, what it belongs to, and checksums.
//!
//! 128 bytes, little-endian: magic, format, dimensions, two numbers of the file's own, sequence, catalog, zeros, BLAKE3 of the
//! body at 64, BLAKE3 of the head before it at 96.

use std::path::Path;

use crate::error::{Error, Result};

/// The bytes of a head.
pub(super) const HEAD_BYTES: usize = 128;
const BODY_HASH_AT: usize = 64;
const HEAD_HASH_AT: usize = 96;

/// What a file belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The name of the catalog: 16 characters.
    pub(super) catalog: String,
    /// The number of values in a vector.
    pub(super) dimensions: usize,
    /// The sequence of the catalog when the file was made.
    pub(super) seq: u64,
}

/// What a kind of file begins with: its magic and its format.
pub(super) type Kind = (&'static [u8; 8], u32);

/// The head of a file with this body.
pub(super) fn head_of((magic, format): Kind, origin: &Origin, numbers: [u32; 2], body: &blake3::Hash) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend(magic);
    for number in [format, origin.dimensions as u32].into_iter().chain(numbers) {
        head.extend(number.to_le_bytes());
    }
    head.extend(origin.seq.to_le_bytes());
    head.extend(origin.catalog.as_bytes());
    head.resize(BODY_HASH_AT, 0);
    head.extend(body.as_bytes());
    head.extend(blake3::hash(&head).as_bytes());
    head
}

/// The numbers of a file of this kind, catalog and dimension that is not ahead of the sequence; its body is not looked at.
///
/// # Errors
/// [`Error::Corrupt`] where it is damaged, of another origin, or ahead of it.
pub(super) fn read_head(path: &Path, bytes: &[u8], (magic, format): Kind, origin: &Origin) -> Result<[u32; 2]> {
    let wrong = |what: &str| Error::corrupt(path.display().to_string(), what);
    let head = bytes.get(..HEAD_BYTES).ok_or_else(|| wrong("it is too short"))?;
    let (hashed, rest) = head.split_at(HEAD_HASH_AT);
    if *rest != *blake3::hash(hashed).as_bytes() {
        return Err(wrong("its head is damaged"));
    }
    let number = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    let known = head.starts_with(magic) && number(8) == format;
    if !known || number(12) as usize != origin.dimensions || head.get(32..48) != Some(origin.catalog.as_bytes()) {
        return Err(wrong("it belongs to another catalog, model or release"));
    }
    let seq = head.get(24..32).and_then(|bytes| bytes.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes);
    if seq > origin.seq {
        return Err(wrong("it is ahead of the catalog"));
    }
    Ok([number(16), number(20)])
}

/// The BLAKE3 hash of the body, as the head of a file says.
pub(super) fn body_hash(bytes: &[u8]) -> &[u8] {
    bytes.get(BODY_HASH_AT..HEAD_HASH_AT).unwrap_or_default()
}

/// Checks every byte of the body.
///
/// # Errors
/// [`Error::Corrupt`] where it is not what was written.
pub(super) fn verify_body(path: &Path, bytes: &[u8]) -> Result<()> {
    let body = bytes.get(HEAD_BYTES..).unwrap_or_default();
    if body_hash(bytes) == blake3::hash(body).as_bytes() {
        return Ok(());
    }
    Err(Error::corrupt(path.display().to_string(), "its body is damaged; delete it while nothing is running"))
}
