//! One immutable part of the index: a tantivy segment, in memory or in a folder, with what scoring reads for every posting.
//!
//! A segment holds chunks in ascending order of their numbers, and the segments of an index do not overlap, so a chunk is
//! found by bisection. Dead chunks linger until the segment is merged: the rows in memory say what is alive.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tantivy::directory::{Directory, MmapDirectory, OwnedBytes, RamDirectory};
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::InvertedIndexReader;
use tantivy::indexer::merge_filtered_segments;
use tantivy::postings::{SegmentPostings, TermInfo};
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::store::Compressor;
use tantivy::termdict::TermStreamer;
use tantivy::{BitSet, Index, IndexSettings, SegmentReader, TantivyDocument, TantivyError, Term};

use super::by_class::ByClass;
use super::kept::{Bytes, Kept, Room};
use super::lists::{Cursor, Postings, WordList};
use super::packed::Packed;
use super::query::Word;
use crate::access::Bits;
use crate::error::{Error, Result};
use crate::rows::PAGE_ROWS;

/// Parts the fields of a chunk (title, headings, text) in what is added; a phrase does not reach across it.
pub(super) const FIELD_GAP: char = '\n';
/// What the lists of words may take, in bytes, and in bytes for each chunk; beyond it they are made anew.
const MAX_LIST_BYTES: usize = 1 << 20;
const MAX_LIST_BYTES_PER_CHUNK: usize = 84;
/// What postings by class may take beside them: together so much for each chunk.
const MAX_WORD_BYTES_PER_CHUNK: usize = 100;
/// What is remembered of the forms of words may take, in bytes.
const MAX_FORM_BYTES: usize = 512 << 10;
/// What the terms of one byte of text take while a segment is built, in bytes.
const BUILD_BYTES_PER_TEXT_BYTE: usize = 4;

/// A part of the index.
pub(super) struct Segment {
    /// Unique in this process.
    pub(super) id: u64,
    segment: tantivy::Segment,
    field: Field,
    /// By document of the segment: its chunk, ascending.
    pub(super) chunks: Vec<u32>,
    /// By document of the segment: its length as tantivy's one-byte code.
    pub(super) lengths: Vec<u8>,
    /// The average, the shortest and the longest length.
    pub(super) spread: Spread,
    postings: Arc<InvertedIndexReader>,
    lists: Kept<WordList>,
    /// Of words in several forms those that are here.
    forms: Kept<Named>,
    pub(super) by_class: ByClass,
    /// For lists of words, and what they leave for postings by class.
    pub(super) room: Arc<Room>,
}

/// A word and what it is remembered under.
pub(super) struct Named {
    pub(super) word: Word,
    pub(super) name: String,
}

/// How long the chunks of a segment are, in terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub(super) average: f32,
    pub(super) shortest: f32,
    pub(super) longest: f32,
}

struct Fields {
    schema: Schema,
    terms: Field,
    chunk: Field,
}

fn fields() -> Fields {
    let mut builder = Schema::builder();
    let indexing =
        TextFieldIndexing::default().set_tokenizer("whitespace").set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let terms = builder.add_text_field("terms", TextOptions::default().set_indexing_options(indexing));
    let chunk = builder.add_u64_field("chunk", FAST);
    Fields { schema: builder.build(), terms, chunk }
}

fn settings() -> IndexSettings {
    IndexSettings { docstore_compression: Compressor::None, docstore_compress_dedicated_thread: false, ..IndexSettings::default() }
}

impl Bytes for Named {
    fn bytes(&self) -> usize {
        size_of::<Named>() + 2 * self.name.len()
    }
}

impl Segment {
    /// A segment in memory of chunks and their terms, which must ascend by chunk.
    pub(super) fn build(chunks: &[(u32, String)]) -> Result<Segment> {
        let fields = fields();
        let bytes: usize = chunks.iter().map(|(_, terms)| terms.len()).sum();
        let memory = (bytes * BUILD_BYTES_PER_TEXT_BYTE).clamp(100_000, 15_000_000);
        let mut writer = Index::builder()
            .schema(fields.schema)
            .settings(settings())
            .single_segment_index_writer::<TantivyDocument>(RamDirectory::create(), memory)?;
        for (chunk, terms) in chunks {
            let mut document = TantivyDocument::new();
            for part in terms.split(FIELD_GAP) {
                document.add_text(fields.terms, part);
            }
            document.add_u64(fields.chunk, u64::from(*chunk));
            writer.add_document(document)?;
        }
        Segment::of(&writer.finalize()?)
    }

    /// The segment in a folder.
    pub(super) fn open(dir: &Path) -> Result<Segment> {
        let directory = MmapDirectory::open(dir).map_err(TantivyError::from)?;
        Segment::of(&Index::open(directory)?)
    }

    /// Merges neighbouring segments, leaving dead chunks out, into memory or into an empty folder. `None` when nothing lives.
    pub(super) fn merge(segments: &[Arc<Segment>], dead: &Bits, dir: Option<&Path>) -> Result<Option<Segment>> {
        let mut living = 0;
        let alive = segments.iter().map(|segment| {
            let mut bits = BitSet::with_max_value(u32::try_from(segment.len()).unwrap_or(u32::MAX));
            for (doc, chunk) in (0u32..).zip(&segment.chunks) {
                if !dead.contains(*chunk) {
                    bits.insert(doc);
                    living += 1;
                }
            }
            let mut bytes = Vec::new();
            write_alive_bitset(&bits, &mut bytes).map_err(TantivyError::from)?;
            Ok(Some(AliveBitSet::open(OwnedBytes::new(bytes))))
        });
        let alive = alive.collect::<Result<Vec<_>>>()?;
        if living == 0 {
            return Ok(None);
        }
        let directory: Box<dyn Directory> = match dir {
            Some(dir) => Box::new(MmapDirectory::open(dir).map_err(TantivyError::from)?),
            None => Box::new(RamDirectory::create()),
        };
        let parts: Vec<tantivy::Segment> = segments.iter().map(|segment| segment.segment.clone()).collect();
        let merged = merge_filtered_segments(&parts, settings(), alive, directory)?;
        if let Some(dir) = dir {
            // Its files are durable; their names, and the folder's own, are made so before any manifest names it.
            for folder in std::iter::once(dir).chain(dir.parent()) {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))?;
            }
        }
        Segment::of(&merged).map(Some)
    }

    fn of(index: &Index) -> Result<Segment> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let segment =
            index.searchable_segments()?.into_iter().next().ok_or_else(|| Error::corrupt("keyword segment", "it is empty"))?;
        let reader = SegmentReader::open(&segment)?;
        let field = index.schema().get_field("terms")?;
        let numbers = reader.fast_fields().u64("chunk")?;
        let norms = reader.get_fieldnorms_reader(field)?;
        let chunks: Vec<u32> =
            (0..reader.max_doc()).map(|doc| u32::try_from(numbers.values.get_val(doc)).unwrap_or(u32::MAX)).collect();
        if !chunks.is_sorted_by(|a, b| a < b) {
            return Err(Error::corrupt("keyword segment", "its chunks do not ascend"));
        }
        let lengths: Vec<u8> = (0..reader.max_doc()).map(|doc| norms.fieldnorm_id(doc)).collect();
        let length = |code: Option<&u8>| FieldNormReader::id_to_fieldnorm(code.copied().unwrap_or_default()) as f32;
        let total: f64 = lengths.iter().map(|code| f64::from(FieldNormReader::id_to_fieldnorm(*code))).sum();
        let spread = Spread {
            average: ((total / lengths.len().max(1) as f64) as f32).max(1.0),
            shortest: length(lengths.iter().min()),
            longest: length(lengths.iter().max()),
        };
        let room = Arc::new(Room::new(MAX_LIST_BYTES + MAX_WORD_BYTES_PER_CHUNK * chunks.len()));
        Ok(Segment {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            postings: reader.inverted_index(field)?,
            lists: Kept::first_in(MAX_LIST_BYTES + MAX_LIST_BYTES_PER_CHUNK * chunks.len(), &room),
            forms: Kept::new(MAX_FORM_BYTES),
            by_class: ByClass::default(),
            room,
            segment,
            field,
            chunks,
            lengths,
            spread,
        })
    }

    /// How many chunks it holds, alive or not.
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// The code of a document's length.
    #[inline]
    pub(super) fn length(&self, doc: u32) -> u8 {
        self.lengths.get(doc as usize).copied().unwrap_or_default()
    }

    /// The document of the segment that a chunk is.
    pub(super) fn doc(&self, chunk: u32) -> Option<u32> {
        // Numbers have few gaps, so that both ends say nearly where one is.
        let (first, last) = (*self.chunks.first()?, *self.chunks.last()?);
        let most = self.chunks.len().min(chunk.checked_sub(first)? as usize + 1);
        let least = most.min(self.chunks.len().saturating_sub(last.checked_sub(chunk)? as usize + 1));
        let found = self.chunks.get(least..most)?.binary_search(&chunk).ok()?;
        u32::try_from(least + found).ok()
    }

    /// The documents whose chunks are in a page of rows.
    pub(super) fn docs_of_page(&self, page: u32) -> Range<usize> {
        let start = self.chunks.partition_point(|chunk| chunk / PAGE_ROWS < page);
        start..self.chunks.partition_point(|chunk| chunk / PAGE_ROWS <= page)
    }

    /// The postings of a word, remembered under its `name`; `None` when no chunk has it.
    pub(super) fn list(&self, word: &Word, name: &str) -> Result<Option<Arc<WordList>>> {
        let uses = match self.lists.get(name) {
            Ok(known) => return Ok(Some(known)),
            Err(uses) => uses,
        };
        let list = match word {
            Word::Term(term) => match self.info(term)? {
                Some(info) => Some(WordList::stored(&self.postings, info, &self.lengths, self.spread)?),
                None => None,
            },
            Word::Any(forms) => {
                self.merged(forms.iter().filter_map(|form| self.info(form).transpose()).collect::<Result<Vec<_>>>()?)?
            }
            Word::Prefix { prefix, stem } => self.merged(self.begun_by(prefix, stem)?)?,
        };
        let list = list.map(Arc::new);
        list.iter().for_each(|list| self.lists.keep(name, list, uses));
        Ok(list)
    }

    /// A word in several forms as those that are here, so that words which differ in others share what is kept of them; `None`
    /// where it is in one form only.
    pub(super) fn here(&self, word: &Word, name: &str) -> Result<Option<Arc<Named>>> {
        let Word::Any(forms) = word else { return Ok(None) };
        let uses = match self.forms.get(name) {
            Ok(known) => return Ok(Some(known)),
            Err(uses) => uses,
        };
        let mut here = Vec::with_capacity(forms.len());
        for form in forms {
            if self.info(form)?.is_some() {
                here.push(form.clone());
            }
        }
        let word = Word::of(here);
        let named = Arc::new(Named { name: word.name(), word });
        self.forms.keep(name, &named, uses);
        Ok(Some(named))
    }

    fn info(&self, term: &str) -> Result<Option<TermInfo>> {
        Ok(self.postings.get_term_info(&Term::from_field_text(self.field, term)).map_err(TantivyError::from)?)
    }

    /// The terms that begin with `prefix`, and `stem`.
    fn begun_by(&self, prefix: &str, stem: &str) -> Result<Vec<TermInfo>> {
        let mut infos = Vec::new();
        let mut stream = self.postings.terms().range().ge(prefix.as_bytes()).into_stream().map_err(TantivyError::from)?;
        while let Some((_, info)) = stream.next().filter(|(term, _)| term.starts_with(prefix.as_bytes())) {
            infos.push(info.clone());
        }
        if !stem.starts_with(prefix) {
            infos.extend(self.info(stem)?);
        }
        Ok(infos)
    }

    /// Several terms as one word.
    fn merged(&self, infos: Vec<TermInfo>) -> Result<Option<WordList>> {
        match infos.as_slice() {
            [] => return Ok(None),
            [info] => return WordList::stored(&self.postings, info.clone(), &self.lengths, self.spread).map(Some),
            _ => {}
        }
        let mut frequencies = vec![0u32; self.len()];
        for info in infos {
            let mut cursor =
                self.postings.read_block_postings_from_terminfo(&info, IndexRecordOption::WithFreqs).map_err(TantivyError::from)?;
            while !cursor.docs().is_empty() {
                for (doc, frequency) in cursor.docs().iter().zip(cursor.freqs()) {
                    if let Some(sum) = frequencies.get_mut(*doc as usize) {
                        *sum = sum.saturating_add(*frequency);
                    }
                }
                cursor.advance();
            }
        }
        let packed = Packed::new((0u32..).zip(frequencies).filter(|(_, frequency)| *frequency > 0));
        WordList::merged(&self.postings, packed, &self.lengths, self.spread).map(Some)
    }

    /// A cursor over postings of this segment.
    pub(super) fn open_list(&self, postings: &Postings, option: IndexRecordOption) -> Result<Cursor> {
        postings.open(&self.postings, option)
    }

    /// Every term of the dictionary.
    pub(super) fn terms(&self) -> Result<TermStreamer<'_>> {
        Ok(self.postings.terms().stream().map_err(TantivyError::from)?)
    }

    /// The postings of a term of the dictionary.
    pub(super) fn postings_of(&self, info: &TermInfo, option: IndexRecordOption) -> Result<SegmentPostings> {
        Ok(self.postings.read_postings_from_terminfo(info, option).map_err(TantivyError::from)?)
    }

    /// tantivy's index of this one segment.
    pub(super) fn index(&self) -> &Index {
        self.segment.index()
    }

    /// A term's postings with positions.
    pub(super) fn positions(&self, term: &str) -> Result<Option<SegmentPostings>> {
        let term = Term::from_field_text(self.field, term);
        Ok(self.postings.read_postings(&term, IndexRecordOption::WithFreqsAndPositions).map_err(TantivyError::from)?)
    }
}
