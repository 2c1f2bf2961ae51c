//! Where a text must or may be cut by its structure, and which page, part and section an offset is in.

use std::{ops::Range, rc::Rc};

use super::SectionSpan;
use crate::extract::{Mark, MarkKind};

/// The text from one heading or border to the next.
pub(super) struct Block {
    pub span: Range<usize>,
    /// Counts the borders before the block; blocks of different regions never share a chunk.
    pub region: usize,
    /// The headings that the block is under, as indexes into the marks, outermost first.
    pub path: Rc<[usize]>,
}

enum Cut<'a> {
    Border,
    Part,
    Heading { level: u8, mark: usize, words: &'a str },
}

/// Cuts a text at its headings, pages, mail parts and section borders; the blocks cover it without gap.
pub(super) fn blocks(text: &str, marks: &[Mark], sections: &[SectionSpan]) -> Vec<Block> {
    let mut open: Vec<(u8, usize)> = Vec::new();
    let mut region = 0;
    let mut path: Rc<[usize]> = Rc::new([]);
    let mut start = 0;
    let mut blocks = Vec::new();
    for (at, cut) in cuts(text, marks, sections) {
        if at > start {
            blocks.push(Block { span: start..at, region, path: Rc::clone(&path) });
            start = at;
        }
        match cut {
            Cut::Border => region += 1,
            Cut::Part => {
                region += 1;
                open.clear();
            }
            Cut::Heading { words: "", .. } => continue,
            Cut::Heading { level, mark, .. } => {
                while open.pop_if(|(outer, _)| *outer >= level).is_some() {}
                open.push((level, mark));
            }
        }
        path = open.iter().map(|(_, mark)| *mark).collect();
    }
    blocks.push(Block { span: start..text.len(), region, path });
    blocks
}

/// All cuts in order; those at one offset in the order of the marks.
fn cuts<'a>(text: &str, marks: &'a [Mark], sections: &[SectionSpan]) -> Vec<(usize, Cut<'a>)> {
    let mut cuts: Vec<(usize, Cut<'a>)> = marks
        .iter()
        .enumerate()
        .map(|(index, mark)| {
            let cut = match &mark.kind {
                MarkKind::Heading { level, text } => Cut::Heading { level: *level, mark: index, words: text },
                MarkKind::Part(_) => Cut::Part,
                MarkKind::Page(_) => Cut::Border,
            };
            (text.floor_char_boundary(mark.at), cut)
        })
        .collect();
    for span in sections.iter().filter_map(|section| span_of(text, section)) {
        cuts.push((span.start, Cut::Border));
        cuts.push((span.end, Cut::Border));
    }
    cuts.sort_by_key(|(at, _)| *at);
    cuts
}

/// A section's span on character boundaries, never narrower than it was given; `None` when it is empty.
fn span_of(text: &str, section: &SectionSpan) -> Option<Range<usize>> {
    let end = section.end.min(text.len());
    (section.start < end).then(|| text.floor_char_boundary(section.start)..text.ceil_char_boundary(end))
}

/// Follows a text from its start and knows the page, part and section of the place it has reached.
pub(super) struct Places<'a> {
    /// The page of this place.
    pub page: Option<u32>,
    /// The mail part of this place.
    pub part: Option<&'a str>,
    marks: std::iter::Peekable<std::vec::IntoIter<(usize, &'a MarkKind)>>,
    sections: std::iter::Peekable<std::vec::IntoIter<(Range<usize>, &'a str)>>,
    open: Vec<(usize, &'a str)>,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &str, marks: &'a [Mark], sections: &'a [SectionSpan]) -> Self {
        let mut marks: Vec<_> = marks.iter().map(|mark| (text.floor_char_boundary(mark.at), &mark.kind)).collect();
        marks.sort_by_key(|(at, _)| *at);
        let mut sections: Vec<_> =
            sections.iter().filter_map(|section| Some((span_of(text, section)?, section.name.as_str()))).collect();
        sections.sort_by_key(|(span, _)| span.start);
        Self {
            page: None,
            part: None,
            marks: marks.into_iter().peekable(),
            sections: sections.into_iter().peekable(),
            open: Vec::new(),
        }
    }

    /// Moves on to an offset, which must not be before the last one.
    pub(super) fn advance(&mut self, to: usize) {
        while let Some((_, kind)) = self.marks.next_if(|(at, _)| *at <= to) {
            match kind {
                MarkKind::Page(page) => self.page = Some(*page),
                MarkKind::Part(name) => self.part = Some(name),
                MarkKind::Heading { .. } => {}
            }
        }
        while let Some((span, name)) = self.sections.next_if(|(span, _)| span.start <= to) {
            self.open.push((span.end, name));
        }
        self.open.retain(|(end, _)| *end > to);
    }

    /// The section of this place; of several, the one that began last.
    pub(super) fn section(&self) -> Option<&'a str> {
        self.open.last().map(|(_, name)| *name)
    }
}
