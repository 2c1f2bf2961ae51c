//! Which documents of a segment have what a query requires, and none of what it excludes.

use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED};

use super::lists::Documents;
use super::query::{Clause, Question, Word};
use super::readable::{contains, insert};
use super::segment::Segment;
use crate::error::Result;

/// The documents among `readable` that a question admits.
pub(super) fn eligible(segment: &Segment, question: &Question, readable: &[u64]) -> Result<Vec<u64>> {
    let mut bits = readable.to_vec();
    for clause in question.must() {
        let having = having(segment, clause, &bits)?;
        bits.iter_mut().zip(having).for_each(|(word, having)| *word &= having);
    }
    for clause in &question.excluded {
        let having = having(segment, clause, &bits)?;
        bits.iter_mut().zip(having).for_each(|(word, having)| *word &= !having);
    }
    Ok(bits)
}

/// The documents that have a clause; only those `among` are looked at where that is dear.
fn having(segment: &Segment, clause: &Clause, among: &[u64]) -> Result<Vec<u64>> {
    let mut bits = vec![0u64; among.len()];
    let word = match clause {
        Clause::Phrase(words) => match words.as_slice() {
            [forms] => &Word::of(forms.clone()),
            words => {
                phrase(segment, words, among, &mut bits)?;
                return Ok(bits);
            }
        },
        Clause::Prefix(word) => word,
    };
    let Some(list) = segment.list(word, &word.name())? else { return Ok(bits) };
    let postings = match &list.documents {
        Documents::Dense(dense) => return Ok(dense.members.clone()),
        Documents::Sparse(postings) => postings,
    };
    let mut cursor = segment.open_list(postings, IndexRecordOption::Basic)?;
    while !cursor.docs().is_empty() {
        cursor.docs().iter().for_each(|doc| insert(&mut bits, *doc));
        cursor.advance();
    }
    Ok(bits)
}

/// The documents `among` in which words stand side by side.
fn phrase(segment: &Segment, words: &[Vec<String>], among: &[u64], bits: &mut [u64]) -> Result<()> {
    let mut places = Vec::with_capacity(words.len());
    for (offset, forms) in (0u32..).zip(words) {
        let Some(place) = Place::open(segment, offset, forms)? else { return Ok(()) };
        places.push(place);
    }
    // Rarest first.
    places.sort_by_key(Place::documents);
    let Some((rarest, others)) = places.split_first_mut() else { return Ok(()) };
    let (mut starts, mut positions) = (Vec::new(), Vec::new());
    loop {
        let doc = rarest.doc();
        if doc == TERMINATED {
            return Ok(());
        }
        if contains(among, doc) && others.iter_mut().all(|other| other.seek(doc)) {
            rarest.starts(&mut starts);
            for other in others.iter_mut() {
                other.starts(&mut positions);
                starts.retain(|start| positions.binary_search(start).is_ok());
                if starts.is_empty() {
                    break;
                }
            }
            if !starts.is_empty() {
                insert(bits, doc);
            }
        }
        rarest.advance();
    }
}

/// A word of a phrase: the postings of its forms, all at one document or beyond it.
struct Place {
    /// Where in the phrase it stands.
    offset: u32,
    forms: Vec<SegmentPostings>,
}

impl Place {
    /// `None` when no chunk has the word.
    fn open(segment: &Segment, offset: u32, forms: &[String]) -> Result<Option<Place>> {
        let forms = forms.iter().filter_map(|form| segment.positions(form).transpose()).collect::<Result<Vec<_>>>()?;
        Ok((!forms.is_empty()).then_some(Place { offset, forms }))
    }

    fn documents(&self) -> u32 {
        self.forms.iter().map(SegmentPostings::doc_freq).fold(0, u32::saturating_add)
    }

    fn doc(&self) -> u32 {
        self.forms.iter().map(SegmentPostings::doc).min().unwrap_or(TERMINATED)
    }

    fn advance(&mut self) {
        let doc = self.doc();
        self.forms.iter_mut().filter(|form| form.doc() == doc).for_each(|form| {
            form.advance();
        });
    }

    /// Moves to `doc`; true when it is there.
    fn seek(&mut self, doc: u32) -> bool {
        for form in self.forms.iter_mut().filter(|form| form.doc() < doc) {
            form.seek(doc);
        }
        self.doc() == doc
    }

    /// Where phrases would begin that have this word here, ascending.
    fn starts(&mut self, starts: &mut Vec<u32>) {
        let doc = self.doc();
        let mut positions = Vec::new();
        starts.clear();
        for form in self.forms.iter_mut().filter(|form| form.doc() == doc) {
            form.positions(&mut positions);
            starts.extend(positions.iter().filter_map(|position| position.checked_sub(self.offset)));
        }
        starts.sort_unstable();
    }
}
