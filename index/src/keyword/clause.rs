//! Which documents of a segment have what a query requires, and none of what it excludes.

use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED};

use super::query::{Clause, Question, Word};
use super::readable::contains;
use super::segment::Segment;
use crate::error::Result;

/// The documents among `readable` that a question admits.
pub(super) fn eligible(segment: &Segment, question: &Question, readable: &[u64]) -> Result<Vec<u64>> {
    let mut bits = readable.to_vec();
    for clause in &question.required {
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
        Clause::Phrase(terms) => match terms.as_slice() {
            [term] => &Word::Term(term.clone()),
            terms => {
                phrase(segment, terms, among, &mut bits)?;
                return Ok(bits);
            }
        },
        Clause::Prefix(word) => word,
    };
    let Some(list) = segment.list(word)? else { return Ok(bits) };
    if let Some(dense) = &list.dense {
        return Ok(dense.members.clone());
    }
    let mut cursor = segment.open_list(&list, IndexRecordOption::Basic)?;
    while !cursor.docs().is_empty() {
        cursor.docs().iter().for_each(|doc| insert(&mut bits, *doc));
        cursor.advance();
    }
    Ok(bits)
}

fn insert(bits: &mut [u64], doc: u32) {
    if let Some(word) = bits.get_mut(doc as usize / 64) {
        *word |= 1 << (doc % 64);
    }
}

/// The documents `among` in which terms stand side by side.
fn phrase(segment: &Segment, terms: &[String], among: &[u64], bits: &mut [u64]) -> Result<()> {
    // Rarest first; each with its place in the phrase.
    let mut lists: Vec<(u32, SegmentPostings)> = Vec::with_capacity(terms.len());
    for (place, term) in (0u32..).zip(terms) {
        let Some(postings) = segment.positions(term)? else { return Ok(()) };
        lists.push((place, postings));
    }
    lists.sort_by_key(|(_, postings)| postings.doc_freq());
    let Some(((place, rarest), others)) = lists.split_first_mut() else { return Ok(()) };
    let (mut starts, mut positions) = (Vec::new(), Vec::new());
    let mut doc = rarest.doc();
    while doc != TERMINATED {
        if contains(among, doc) && others.iter_mut().all(|(_, other)| seek(other, doc)) {
            rarest.positions(&mut positions);
            starts.clear();
            starts.extend(positions.iter().filter_map(|position| position.checked_sub(*place)));
            for (place, other) in others.iter_mut() {
                other.positions(&mut positions);
                starts.retain(|start| positions.binary_search(&(start + *place)).is_ok());
                if starts.is_empty() {
                    break;
                }
            }
            if !starts.is_empty() {
                insert(bits, doc);
            }
        }
        doc = rarest.advance();
    }
    Ok(())
}

/// Moves to `doc`; true when it is there.
fn seek(postings: &mut SegmentPostings, doc: u32) -> bool {
    let at = postings.doc();
    at == doc || (at < doc && postings.seek(doc) == doc)
}
