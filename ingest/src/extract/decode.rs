//! Bytes to text: UTF-8, or UTF-16 with a byte order mark; nothing is guessed and nothing is replaced.

use std::borrow::Cow;

use super::ExtractError;

/// Decodes a whole file; a byte order mark is dropped, everything else is kept.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ExtractError> {
    let text = if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        Cow::Owned(utf16(rest, u16::from_le_bytes)?)
    } else if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        Cow::Owned(utf16(rest, u16::from_be_bytes)?)
    } else {
        let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mark_bytes = bytes.len() - rest.len();
        let text = std::str::from_utf8(rest).map_err(|error| {
            let offset = (mark_bytes + error.valid_up_to()) as u64;
            ExtractError::NotUtf8 { offset }
        });
        // A binary file is called that, even where its first bytes are no UTF-8 either.
        match (text, bytes.iter().position(|&byte| byte == 0)) {
            (_, Some(offset)) => {
                return Err(ExtractError::Binary { offset: offset as u64 });
            }
            (text, None) => Cow::Borrowed(text?),
        }
    };
    match text.find('\0') {
        Some(offset) => Err(ExtractError::Binary { offset: offset as u64 }),
        None => Ok(text),
    }
}

/// Decodes UTF-16 that follows a byte order mark of two bytes.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, ExtractError> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    let mut offset = 2;
    for decoded in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let character = decoded.map_err(|_| ExtractError::NotUtf8 { offset })?;
        offset += 2 * character.len_utf16() as u64;
        text.push(character);
    }
    if odd.is_empty() { Ok(text) } else { Err(ExtractError::NotUtf8 { offset }) }
}
