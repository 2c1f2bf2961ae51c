//! Aliases: a source's own user ids and the canonical users that they stand for.

use std::collections::HashMap;

use super::SourceNo;
use super::directory::Held;

/// Aliases by source, in both directions.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    canonical: HashMap<(SourceNo, u32), u32>,
    by_canonical: HashMap<u32, Vec<(SourceNo, u32)>>,
}

impl Aliases {
    /// Maps a source's user id, or ends that.
    pub(crate) fn set(&mut self, source: SourceNo, alias: u32, canonical: Option<u32>) {
        if let Some(old) = self.canonical.remove(&(source, alias))
            && let Some(list) = self.by_canonical.get_mut(&old)
        {
            list.retain(|known| *known != (source, alias));
        }
        if let Some(canonical) = canonical {
            self.canonical.insert((source, alias), canonical);
            self.by_canonical.entry(canonical).or_default().push((source, alias));
        }
    }

    /// True when there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.canonical.is_empty()
    }

    /// True when the name stands for somebody in this source.
    pub(crate) fn contains(&self, source: SourceNo, name: u32) -> bool {
        self.canonical.contains_key(&(source, name))
    }

    /// What a canonical user is called in sources.
    pub(crate) fn of(&self, canonical: u32) -> impl Iterator<Item = Held> + '_ {
        let aliases = self.by_canonical.get(&canonical).into_iter().flatten();
        aliases.map(move |(source, alias)| Held { principal: *alias, through: Some(canonical), in_source: Some(*source) })
    }
}
