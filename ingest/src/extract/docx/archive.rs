//! The zip archive around a DOCX, which never unpacks more than its limits, whatever its directory claims.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use zip::{ZipArchive, result::ZipError};

use super::{ExtractError, damaged};
use crate::extract::{ExtractLimits, Measure};

/// An archive whose claims have been checked; what an entry really holds is checked while it is read.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    limits: &'a ExtractLimits,
}

/// More entries than any document has.
const MAX_ENTRIES: usize = 20_000;

impl<'a> Archive<'a> {
    /// Opens an archive and checks the sizes that its directory declares.
    pub(super) fn open(bytes: &'a [u8], limits: &'a ExtractLimits) -> Result<Self, ExtractError> {
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
        if zip.len() > MAX_ENTRIES {
            return Err(damaged(format!("{} entries", zip.len())));
        }
        let mut declared = 0_u64;
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(damaged)?;
            let limit = limits.unpacked_bound(entry.compressed_size());
            if entry.size() > limit {
                let entry = String::from_utf8_lossy(entry.name_raw()).into_owned();
                return Err(ExtractError::ZipBomb { entry, limit });
            }
            declared = declared.saturating_add(entry.size());
        }
        if declared > limits.max_unpacked_bytes {
            let limit = limits.max_unpacked_bytes;
            return Err(ExtractError::TooLarge { measure: Measure::Unpacked, limit });
        }
        Ok(Self { zip, limits })
    }

    /// Opens an entry for reading; `None` when there is none of this name.
    pub(super) fn entry(&mut self, name: &str) -> Result<Option<Entry<impl BufRead + '_>>, ExtractError> {
        let name = name.trim_start_matches('/');
        let file = match self.zip.by_name(name) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(damaged(error)),
        };
        let limit = self.limits.unpacked_bound(file.compressed_size());
        let bounded = Bounded { inner: file, left: limit };
        Ok(Some(Entry { name: name.to_owned(), limit, reader: BufReader::new(bounded) }))
    }
}

/// An entry that is being unpacked.
pub(super) struct Entry<R> {
    pub name: String,
    /// The number of bytes after which reading fails with [`io::ErrorKind::QuotaExceeded`].
    pub limit: u64,
    pub reader: R,
}

/// Fails, rather than ends, where an entry goes over its limit.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::QuotaExceeded)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_limit_fails() {
        let read = |left| {
            let mut text = String::new();
            Bounded { inner: &b"four"[..], left }.read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read(4).unwrap(), "four");
        assert_eq!(read(3).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    }
}
