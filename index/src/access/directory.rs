//! The directory: which principals are members of which groups. Groups nest; cycles are legal and harmless.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::SourceNo;

/// Memberships between interned principals.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    groups_of: HashMap<u32, BTreeSet<u32>>,
    members_of: HashMap<u32, BTreeSet<u32>>,
}

/// A principal that a caller has, and how they come by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Held {
    /// The principal.
    pub(crate) principal: u32,
    /// The member through which a group is held, or the user that an alias stands for; `None` for what the caller holds
    /// by themselves.
    pub(crate) through: Option<u32>,
    /// The only source in which the name means the caller, for an alias.
    pub(crate) in_source: Option<SourceNo>,
}

impl Directory {
    /// Puts `member` into `group`.
    pub(crate) fn add(&mut self, group: u32, member: u32) {
        self.groups_of.entry(member).or_default().insert(group);
        self.members_of.entry(group).or_default().insert(member);
    }

    /// Takes `member` out of `group`.
    pub(crate) fn remove(&mut self, group: u32, member: u32) {
        drop_edge(&mut self.groups_of, member, group);
        drop_edge(&mut self.members_of, group, member);
    }

    /// Empties `group`.
    pub(crate) fn clear(&mut self, group: u32) {
        for member in self.members_of.remove(&group).unwrap_or_default() {
            drop_edge(&mut self.groups_of, member, group);
        }
    }

    /// All principals that follow from `own`, each once, nearest first, and of equally near ones by name: numbers tell in
    /// which order names came in, also those that stand in hidden documents alone.
    pub(crate) fn closure<'a>(&self, own: impl IntoIterator<Item = u32>, name: impl Fn(u32) -> &'a str) -> Vec<Held> {
        let mut seen = HashSet::new();
        let mut held: Vec<Held> = own
            .into_iter()
            .filter(|principal| seen.insert(*principal))
            .map(|principal| Held { principal, through: None, in_source: None })
            .collect();
        let mut next = 0;
        while let Some(&Held { principal, .. }) = held.get(next) {
            next += 1;
            let groups = self.groups_of.get(&principal).into_iter().flatten().copied();
            let mut more: Vec<u32> = groups.filter(|group| seen.insert(*group)).collect();
            more.sort_unstable_by_key(|group| name(*group));
            held.extend(more.into_iter().map(|group| Held { principal: group, through: Some(principal), in_source: None }));
        }
        held
    }
}

fn drop_edge(edges: &mut HashMap<u32, BTreeSet<u32>>, from: u32, to: u32) {
    if let Some(targets) = edges.get_mut(&from) {
        targets.remove(&to);
        if targets.is_empty() {
            edges.remove(&from);
        }
    }
}
