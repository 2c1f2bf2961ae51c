//! Joining short pieces with their neighbours under the same heading.

use std::rc::Rc;

use super::weight::Bounds;

/// A trimmed passage on its way to becoming a chunk.
pub(super) struct Piece {
    pub start: usize,
    pub end: usize,
    /// In units of weight.
    pub weight: usize,
    pub region: usize,
    pub path: Rc<[usize]>,
    /// Whether it joins sections of different headings, so that its path is only what they have in common.
    pub mixed: bool,
}

/// Joins pieces that are too short to stand alone with a neighbour that is close in the outline, never across regions.
pub(super) fn merge(pieces: Vec<Piece>, bounds: &Bounds) -> Vec<Piece> {
    let mut merged: Vec<Piece> = Vec::with_capacity(pieces.len());
    let mut pieces = pieces.into_iter().peekable();
    while let Some(next) = pieces.next() {
        match merged.last_mut() {
            Some(last) if should_join(last, &next, pieces.peek(), bounds) => join(last, &next),
            _ => merged.push(next),
        }
    }
    merged
}

fn should_join(last: &Piece, next: &Piece, after: Option<&Piece>, bounds: &Bounds) -> bool {
    if !fit(last, next, bounds) || !are_close(&last.path, &next.path) {
        return false;
    }
    if last.weight < bounds.min {
        return true;
    }
    // A heading with a line or two belongs to what it introduces rather than to what precedes it.
    let introduces = |after: &Piece| last.path != next.path && after.path.starts_with(&next.path) && fit(next, after, bounds);
    next.weight < bounds.min && !after.is_some_and(introduces)
}

fn fit(a: &Piece, b: &Piece, bounds: &Bounds) -> bool {
    a.region == b.region && a.weight + gap(a, b) + b.weight <= bounds.max
}

/// The weight of the white space between two pieces, at most.
fn gap(a: &Piece, b: &Piece) -> usize {
    2 * b.start.saturating_sub(a.end)
}

/// Whether two places in the outline are the same, siblings, or one within the other.
fn are_close(a: &[usize], b: &[usize]) -> bool {
    let common = common_length(a, b);
    common == a.len() || common == b.len() || (common + 1 == a.len() && common + 1 == b.len())
}

fn common_length(a: &[usize], b: &[usize]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn join(last: &mut Piece, next: &Piece) {
    let common = common_length(&last.path, &next.path);
    let is_introduction = !last.mixed && common == last.path.len() && last.weight < next.weight;
    if is_introduction {
        last.path = Rc::clone(&next.path);
    } else if common < last.path.len() {
        last.path = last.path.iter().copied().take(common).collect();
        last.mixed = true;
    }
    last.weight += gap(last, next) + next.weight;
    last.end = next.end;
}
