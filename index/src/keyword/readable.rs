//! What one permit admits of the index, kept between searches: the documents of each segment, few or many.
//!
//! They are found once per permit and segment, by the permitted classes ([`super::by_class`]), or where these have many documents
//! from `chunk → class`. Few are a list ([`super::few`]), which is made anew when rows have changed since. Many are a bitmap, of which only
//! the pages that changed are read again: pages are shared between snapshots, so an unchanged one is the same allocation. How many of
//! them have a term is kept for as long as the bitmap stays equal, so a write does not make every search count anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tantivy::schema::IndexRecordOption;

use super::bm25::Corpus;
use super::few::{Few, MAX_BYTES};
use super::kept::Room;
use super::lists::{Documents, WordList};
use super::segment::Segment;
use crate::access::{Bits, ClassNo, DEAD, Permit};
use crate::error::Result;
use crate::rows::{PAGE_ROWS, Rows};

/// How many permits are remembered.
const MAX_PERMITS: usize = 256;
/// What is kept of them may take, in bytes.
const MAX_PERMIT_BYTES: usize = 256 << 20;
/// How many counts are kept per permit and segment, and for words of how many postings at least: shorter ones are counted
/// anew in less than a microsecond.
const MAX_COUNTED_WORDS: usize = 1_024;
const MIN_COUNTED_POSTINGS: u32 = 512;

/// The chunks that a permit admits.
pub(crate) struct Readable {
    permit: Arc<Bits>,
    rows: Rows<ClassNo>,
    pub(super) corpus: Corpus,
    /// In the order of the snapshot's segments.
    pub(super) parts: Vec<Arc<Part>>,
    used: AtomicU64,
}

/// The documents of one segment that a permit admits.
pub(super) struct Part {
    segment: u64,
    pub(super) count: usize,
    pub(super) documents: Admitted,
}

/// Documents that a permit admits.
pub(super) enum Admitted {
    Few(Box<Few>),
    Many(Many),
}

/// Documents as a bitmap.
pub(super) struct Many {
    bits: Vec<u64>,
    /// How many of them have a word.
    df: Mutex<HashMap<Box<str>, u32>>,
}

impl Readable {
    fn bytes(&self) -> usize {
        let bytes = self.parts.iter().map(|part| match &part.documents {
            Admitted::Few(few) => few.bytes(),
            Admitted::Many(many) => many.bits.len() * 8,
        });
        bytes.sum()
    }

    /// The parts of few documents.
    pub(super) fn few(&self) -> impl Iterator<Item = &Few> {
        self.parts.iter().filter_map(|part| match &part.documents {
            Admitted::Few(few) => Some(&**few),
            Admitted::Many(_) => None,
        })
    }

    fn fits(&self, segments: &[Arc<Segment>], rows: &Rows<ClassNo>) -> bool {
        self.parts.len() == segments.len()
            && self.parts.iter().zip(segments).all(|(part, segment)| part.segment == segment.id)
            && self.rows.same(rows)
    }
}

/// What a part is made for.
struct Asked<'a> {
    permit: &'a Bits,
    rows: &'a Rows<ClassNo>,
    room: &'a Arc<Room>,
    /// Segments of so many documents and more are sorted by class.
    sorted_from: usize,
}

impl Part {
    fn new(segment: &Segment, asked: &Asked<'_>) -> Part {
        let Asked { permit, rows, room, sorted_from } = *asked;
        let none = || vec![0; segment.len().div_ceil(64)];
        let sorted = segment.len() >= sorted_from;
        let Some(permitted) = sorted.then(|| segment.by_class.admitted(segment, permit, rows)).flatten() else {
            let mut bits = none();
            set(&mut bits, segment, 0..segment.len(), permit, rows);
            return Part::of(segment, bits, asked);
        };
        let count = permitted.count();
        if Few::are(segment, count) {
            let documents = Admitted::Few(Box::new(Few::by_class(segment, permitted, room)));
            return Part { segment: segment.id, count, documents };
        }
        let mut bits = none();
        permitted.docs().for_each(|doc| insert(&mut bits, doc));
        Part { segment: segment.id, count, documents: Admitted::Many(Many { bits, df: Mutex::default() }) }
    }

    fn of(segment: &Segment, bits: Vec<u64>, asked: &Asked<'_>) -> Part {
        let count = count(&bits);
        let documents = if Few::are(segment, count) {
            Admitted::Few(Box::new(Few::ascending(segment, numbers(&bits).collect(), asked.room)))
        } else {
            Admitted::Many(Many { bits, df: Mutex::default() })
        };
        Part { segment: segment.id, count, documents }
    }

    /// The same part after some pages of rows have changed.
    fn refreshed(self: &Arc<Part>, segment: &Segment, changed: &[u32], asked: &Asked<'_>) -> Arc<Part> {
        let (Some(first), Some(last)) = (segment.chunks.first(), segment.chunks.last()) else { return self.clone() };
        let (first, last) = (first / PAGE_ROWS, last / PAGE_ROWS);
        let mut changed = changed.iter().filter(|page| (first..=last).contains(page)).peekable();
        match &self.documents {
            Admitted::Few(few) if changed.peek().is_some() => {
                let part = Part::new(segment, asked);
                let same = matches!(&part.documents, Admitted::Few(now) if now.same(few));
                if same { self.clone() } else { Arc::new(part) }
            }
            Admitted::Few(_) => self.clone(),
            Admitted::Many(many) => {
                let mut bits: Option<Vec<u64>> = None;
                for page in changed {
                    let bits = bits.get_or_insert_with(|| many.bits.clone());
                    set(bits, segment, segment.docs_of_page(*page), asked.permit, asked.rows);
                }
                match bits.filter(|bits| *bits != many.bits) {
                    Some(bits) if Few::are(segment, count(&bits)) => Arc::new(Part::new(segment, asked)),
                    Some(bits) => Arc::new(Part::of(segment, bits, asked)),
                    None => self.clone(),
                }
            }
        }
    }

    /// The documents as a bitmap.
    pub(super) fn bits(&self, segment: &Segment) -> &[u64] {
        match &self.documents {
            Admitted::Few(few) => few.bits(segment),
            Admitted::Many(many) => &many.bits,
        }
    }

    /// True when the permit admits the document.
    #[inline]
    pub(super) fn contains(&self, doc: u32) -> bool {
        match &self.documents {
            Admitted::Few(few) => few.place(doc).is_some(),
            Admitted::Many(many) => contains(&many.bits, doc),
        }
    }
}

impl Many {
    /// How many permitted chunks of the segment have a word, remembered under `name`.
    pub(super) fn df(&self, segment: &Segment, name: &str, list: &WordList) -> Result<u32> {
        let kept = list.len >= MIN_COUNTED_POSTINGS;
        if let Some(df) = self.df.lock().get(name).filter(|_| kept) {
            return Ok(*df);
        }
        let df = match &list.documents {
            Documents::Dense(dense) => dense.members.iter().zip(&self.bits).map(|(a, b)| (a & b).count_ones()).sum(),
            Documents::Sparse(postings) => {
                let mut df = 0;
                let mut cursor = segment.open_list(postings, IndexRecordOption::Basic)?;
                while !cursor.docs().is_empty() {
                    df += cursor.docs().iter().map(|doc| u32::from(contains(&self.bits, *doc))).sum::<u32>();
                    cursor.advance();
                }
                df
            }
        };
        if !kept {
            return Ok(df);
        }
        let mut known = self.df.lock();
        if known.len() >= MAX_COUNTED_WORDS {
            known.clear();
        }
        known.insert(name.into(), df);
        Ok(df)
    }
}

/// True when the bit of `doc` is set.
#[inline]
pub(super) fn contains(bits: &[u64], doc: u32) -> bool {
    bits.get(doc as usize / 64).is_some_and(|word| word >> (doc % 64) & 1 == 1)
}

/// Sets the bit of `doc`.
#[inline]
pub(super) fn insert(bits: &mut [u64], doc: u32) {
    if let Some(word) = bits.get_mut(doc as usize / 64) {
        *word |= 1 << (doc % 64);
    }
}

/// How many bits are set.
pub(super) fn count(bits: &[u64]) -> usize {
    bits.iter().map(|word| word.count_ones() as usize).sum()
}

/// The documents whose bits are set, ascending.
pub(super) fn numbers(bits: &[u64]) -> impl Iterator<Item = u32> {
    (0u32..).step_by(64).zip(bits).flat_map(|(start, word)| ones(*word).map(move |bit| start + bit))
}

/// Sets the bits of some documents to whether the permit admits them.
fn set(bits: &mut [u64], segment: &Segment, docs: std::ops::Range<usize>, permit: &Bits, rows: &Rows<ClassNo>) {
    let mut at = docs.start;
    while at < docs.end {
        let end = docs.end.min((at / 64 + 1) * 64);
        let admitted = admitted(segment.chunks.get(at..end).unwrap_or_default(), permit, rows) << (at % 64);
        let asked = u64::MAX >> (64 - (end - at)) << (at % 64);
        if let Some(word) = bits.get_mut(at / 64) {
            *word = *word & !asked | admitted;
        }
        at = end;
    }
}

/// By place among up to 64 chunks, whether the permit admits them.
fn admitted(chunks: &[u32], permit: &Bits, rows: &Rows<ClassNo>) -> u64 {
    let admits = |class: ClassNo| u64::from(class != DEAD && permit.contains(class));
    let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return 0 };
    let start = (first % PAGE_ROWS) as usize;
    // Most chunks follow each other: their classes are read in one go.
    let together = (last - first) as usize == chunks.len() - 1 && first / PAGE_ROWS == last / PAGE_ROWS;
    match rows.page(first / PAGE_ROWS).and_then(|page| page.get(start..start + chunks.len())).filter(|_| together) {
        Some(classes) => classes.iter().rev().fold(0, |bits, class| bits << 1 | admits(*class)),
        None => chunks.iter().rev().fold(0, |bits, chunk| bits << 1 | admits(rows.get(*chunk))),
    }
}

/// The bits of a word that are set, ascending.
#[inline]
pub(super) fn ones(word: u64) -> Ones {
    Ones(word)
}

/// See [`ones`].
pub(super) struct Ones(u64);

impl Iterator for Ones {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let bit = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (bit < 64).then_some(bit)
    }
}

/// What is remembered of permits.
pub(super) struct Permits {
    known: Mutex<HashMap<u64, Arc<Readable>>>,
    clock: AtomicU64,
    room: Arc<Room>,
    sorted_from: usize,
}

impl Permits {
    /// Segments of so many documents and more are sorted by class.
    pub(super) fn new(sorted_from: usize) -> Permits {
        Permits { known: Mutex::default(), clock: AtomicU64::new(0), room: Arc::new(Room::new(MAX_BYTES)), sorted_from }
    }

    /// What `permit` admits of `segments` under `rows`; `corpus` counts it when it is not remembered.
    pub(super) fn get(
        &self,
        permit: &Permit,
        segments: &[Arc<Segment>],
        rows: &Rows<ClassNo>,
        corpus: impl FnOnce() -> Corpus,
    ) -> Arc<Readable> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let bits = permit.bits();
        let known = {
            let known = self.known.lock();
            if self.room.is_tight() {
                forget_oldest(&known, permit.fingerprint());
            }
            known.get(&permit.fingerprint()).filter(|known| known.permit == *bits).cloned()
        };
        if let Some(known) = known.as_ref().filter(|known| known.fits(segments, rows)) {
            known.used.store(now, Ordering::Relaxed);
            return known.clone();
        }
        let changed = known.as_ref().map(|known| rows.changed(&known.rows)).unwrap_or_default();
        let before: HashMap<u64, &Arc<Part>> =
            known.iter().flat_map(|known| &known.parts).map(|part| (part.segment, part)).collect();
        let asked = Asked { permit: bits, rows, room: &self.room, sorted_from: self.sorted_from };
        let parts = segments.iter().map(|segment| match before.get(&segment.id) {
            Some(part) => part.refreshed(segment, &changed, &asked),
            None => Arc::new(Part::new(segment, &asked)),
        });
        let parts = parts.collect();
        let readable =
            Arc::new(Readable { permit: bits.clone(), rows: rows.clone(), corpus: corpus(), parts, used: AtomicU64::new(now) });
        self.keep(permit.fingerprint(), readable.clone());
        readable
    }

    fn keep(&self, fingerprint: u64, readable: Arc<Readable>) {
        let mut known = self.known.lock();
        known.insert(fingerprint, readable);
        let mut bytes: usize = known.values().map(|readable| readable.bytes()).sum();
        while known.len() > 1 && (known.len() > MAX_PERMITS || bytes > MAX_PERMIT_BYTES) {
            let oldest = known.iter().min_by_key(|(_, readable)| readable.used.load(Ordering::Relaxed)).map(|(key, _)| *key);
            let Some(gone) = oldest.and_then(|oldest| known.remove(&oldest)) else { break };
            bytes = bytes.saturating_sub(gone.bytes());
        }
    }

    /// Forgets everything, so that the next search of any permit counts anew.
    pub(super) fn clear(&self) {
        self.known.lock().clear();
    }
}

/// Forgets the excerpts of the permit that was used longest ago, so that those of another one have room.
fn forget_oldest(known: &HashMap<u64, Arc<Readable>>, but: u64) {
    let others = known.iter().filter(|(permit, readable)| **permit != but && readable.few().any(|few| few.excerpt_bytes() > 0));
    let oldest = others.min_by_key(|(_, readable)| readable.used.load(Ordering::Relaxed));
    oldest.iter().flat_map(|(_, readable)| readable.few()).for_each(Few::forget);
}
