//! Is the index what the catalog says? A fingerprint of each chunk's postings, positions and length, of the index as it is
//! stored and of one that is made anew from the same terms.

use std::collections::HashMap;

use tantivy::postings::Postings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED};

use super::index::KeywordSnapshot;
use super::segment::Segment;
use crate::error::Result;

/// By chunk: a digest of what the index holds of it.
pub(crate) type Fingerprints = HashMap<u32, u64>;

/// The fingerprints of chunks with these terms, which must ascend by chunk.
pub(crate) fn fingerprints(chunks: &[(u32, String)]) -> Result<Fingerprints> {
    let mut found = Fingerprints::new();
    if !chunks.is_empty() {
        Segment::build(chunks)?.add_fingerprints(&mut found)?;
    }
    Ok(found)
}

impl KeywordSnapshot {
    /// The fingerprints of all chunks of the index, and which of its files are damaged.
    pub(crate) fn verify(&self) -> Result<(Fingerprints, Vec<String>)> {
        let mut found = Fingerprints::new();
        let mut damaged = Vec::new();
        for segment in self.segments.iter() {
            let files = segment.damaged_files()?;
            if files.is_empty() {
                segment.add_fingerprints(&mut found)?;
            }
            damaged.extend(files);
        }
        Ok((found, damaged))
    }
}

impl Segment {
    fn add_fingerprints(&self, found: &mut Fingerprints) -> Result<()> {
        let mut digests: Vec<u64> = self.lengths.iter().map(|length| mix(u64::from(*length))).collect();
        let mut positions = Vec::new();
        let mut terms = self.terms()?;
        while terms.advance() {
            let mut hash = [0; 8];
            hash.copy_from_slice(blake3::hash(terms.key()).as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
            let term = u64::from_le_bytes(hash);
            let mut postings = self.postings_of(terms.value(), IndexRecordOption::WithFreqsAndPositions)?;
            while postings.doc() != TERMINATED {
                postings.positions(&mut positions);
                let place = positions.iter().fold(term, |digest, position| mix(digest ^ u64::from(*position)));
                if let Some(digest) = digests.get_mut(postings.doc() as usize) {
                    *digest = digest.wrapping_add(mix(place ^ u64::from(postings.term_freq())));
                }
                postings.advance();
            }
        }
        found.extend(self.chunks.iter().copied().zip(digests));
        Ok(())
    }

    fn damaged_files(&self) -> Result<Vec<String>> {
        let damaged = self.index().validate_checksum()?;
        Ok(damaged.into_iter().map(|file| format!("keyword index: {} is damaged", file.display())).collect())
    }
}

/// The finalizer of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
