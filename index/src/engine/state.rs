//! What the engine keeps in memory, and the effects of a committed write on it.
//!
//! A transaction collects effects while it runs; they are applied only after it has committed, all before the write is
//! answered. Readers take an unchanging [`View`].

use std::sync::Arc;

use crate::access::{Access, Class, ClassNo, DEAD, LabelsNo, PermitCache, Rule, RuleNo, SourceNo};
use crate::keyword::{Corpus, KeywordSnapshot};
use crate::rows::Rows;
use crate::timestamp::Timestamp;
use crate::vector::VectorSnapshot;

/// What memory keeps of a chunk beside its class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// 44 bits that tell documents apart, 19 that tell the chunks of one apart, and whether it has a vector; in halves, since there
    /// are millions of these and a number of 64 bits would be aligned.
    order: [u32; 2],
    /// Seconds since the epoch: when the source modified the document, else when it came in.
    pub(crate) modified: u32,
}

/// Bytes of a chunk's facts in a file.
pub(super) const FACTS_BYTES: usize = 12;

impl Facts {
    pub(crate) fn new(source: &str, document: &str, ordinal: u32, modified: Timestamp, vector: bool) -> Facts {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(source.len() as u64).to_le_bytes());
        hasher.update(source.as_bytes());
        hasher.update(document.as_bytes());
        let mut hash = [0; 8];
        hash.copy_from_slice(hasher.finalize().as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
        let order = u64::from_le_bytes(hash) << 20 | u64::from(ordinal.min((1 << 19) - 1)) << 1 | u64::from(vector);
        Facts { order: [(order >> 32) as u32, order as u32], modified: modified.seconds() }
    }

    /// Orders equal scores, the same in every engine that holds the chunk.
    #[inline]
    pub(crate) fn order(&self) -> u64 {
        let [high, low] = self.order.map(u64::from);
        high << 32 | low
    }

    /// As they stand in a file.
    pub(super) fn bytes(&self) -> [u8; FACTS_BYTES] {
        let [high, low] = self.order;
        let mut bytes = [0; FACTS_BYTES];
        bytes.as_chunks_mut().0.copy_from_slice(&[high, low, self.modified].map(u32::to_le_bytes));
        bytes
    }

    /// As they stand in a file.
    pub(super) fn of_bytes(bytes: &[u8]) -> Facts {
        let number = |at: usize| bytes.as_chunks().0.get(at).map_or(0, |number| u32::from_le_bytes(*number));
        Facts { order: [number(0), number(1)], modified: number(2) }
    }

    /// Whether it has a vector.
    pub(crate) fn has_vector(&self) -> bool {
        self.order[1] & 1 == 1
    }
}

/// Everything that a search reads, fixed at one moment.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// By chunk.
    pub(crate) classes: Rows<ClassNo>,
    /// By chunk.
    pub(crate) facts: Rows<Facts>,
    /// By class: live chunks and their length.
    pub(crate) counts: Rows<Count>,
    /// One more than the highest chunk number.
    pub(crate) end: u32,
    pub(crate) keyword: KeywordSnapshot,
    pub(crate) vectors: VectorSnapshot,
}

/// Live chunks of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count {
    pub(crate) chunks: u32,
    pub(crate) tokens: u64,
}

impl View {
    /// The chunks that a permit admits, counted.
    pub(crate) fn corpus(&self, classes: impl Iterator<Item = ClassNo>) -> Corpus {
        classes.map(|class| self.counts.get(class)).fold(Corpus::default(), |sum, count| Corpus {
            chunks: sum.chunks + u64::from(count.chunks),
            tokens: sum.tokens + count.tokens,
        })
    }

    /// Makes a chunk live, gives it another class, or with [`DEAD`] takes it away.
    pub(crate) fn set_class(&mut self, chunk: u32, class: ClassNo, tokens: u32) {
        let old = std::mem::replace(self.classes.get_mut(chunk), class);
        for (number, sign) in [(old, -1i64), (class, 1)] {
            if number != DEAD {
                let count = self.counts.get_mut(number);
                count.chunks = count.chunks.saturating_add_signed(sign as i32);
                count.tokens = count.tokens.saturating_add_signed(sign * i64::from(tokens));
            }
        }
        self.end = self.end.max(chunk + 1);
        self.place(chunk);
    }

    /// Lets the vectors know the class of a chunk.
    pub(crate) fn place(&mut self, chunk: u32) {
        if self.facts.get(chunk).has_vector() {
            self.vectors.place(chunk, self.classes.get(chunk));
        }
    }
}

/// The access tables, the permits made from them, and the current view: they change together under one lock.
pub(crate) struct State {
    pub(crate) access: Access,
    pub(crate) permits: PermitCache,
    pub(crate) view: Arc<View>,
}

/// What a committed write changes in memory.
#[derive(Debug)]
pub(crate) enum Effect {
    Source(SourceNo, String),
    Labels(LabelsNo, Vec<(String, String)>),
    Rule(RuleNo, SourceNo, Box<Rule>),
    Class(ClassNo, Class),
    Container(SourceNo, String, Option<RuleNo>),
    Alias(SourceNo, String, Option<String>),
    MaxAge(SourceNo, Option<u32>),
    Member(String, String),
    NotMember(String, String),
    EmptyGroup(String),
    Chunk(Box<NewRow>),
    /// A chunk takes another class; [`DEAD`] takes it away.
    Reclass {
        chunk: u32,
        class: ClassNo,
        tokens: u32,
    },
    Modified {
        chunk: u32,
        at: Timestamp,
    },
}

/// A chunk that becomes live.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) chunk: u32,
    pub(crate) class: ClassNo,
    pub(crate) tokens: u32,
    pub(crate) terms: String,
    pub(crate) vector: Option<Arc<[f32]>>,
    pub(crate) facts: Facts,
}

impl Effect {
    /// True when permits made before no longer hold.
    pub(crate) fn alters_permits(&self) -> bool {
        !matches!(self, Effect::Chunk(_) | Effect::Reclass { .. } | Effect::Modified { .. })
    }

    /// Applies the effect to the tables and to the view that is being made.
    pub(crate) fn apply(self, access: &mut Access, view: &mut View) {
        match self {
            Effect::Source(number, id) => access.add_source(number, &id),
            Effect::Labels(number, labels) => access.add_labels(number, labels.iter().map(|(key, value)| (key, value))),
            Effect::Rule(number, source, rule) => access.add_rule(number, source, &rule),
            Effect::Class(number, class) => access.add_class(number, class),
            Effect::Container(source, id, rule) => access.set_container(source, &id, rule),
            Effect::Alias(source, alias, canonical) => access.set_alias(source, &alias, canonical.as_deref()),
            Effect::MaxAge(source, seconds) => access.set_max_age(source, seconds),
            Effect::Member(group, member) => access.add_member(&group, &member),
            Effect::NotMember(group, member) => access.remove_member(&group, &member),
            Effect::EmptyGroup(group) => access.clear_group(&group),
            Effect::Chunk(row) => {
                *view.facts.get_mut(row.chunk) = row.facts;
                view.set_class(row.chunk, row.class, row.tokens);
            }
            Effect::Reclass { chunk, class, tokens } => view.set_class(chunk, class, tokens),
            Effect::Modified { chunk, at } => view.facts.get_mut(chunk).modified = at.seconds(),
        }
    }
}
