//! What admins ask of the tables: whom a caller is, and which classes nobody can be admitted to.

use std::collections::{BTreeMap, HashMap};

use super::acl::AclState;
use super::caller::Caller;
use super::tables::{Access, Soundness};
use super::{ClassNo, RuleNo, SourceNo};
use crate::timestamp::Timestamp;

/// A name that means a caller in some source.
#[derive(Clone, Debug)]
pub(crate) struct HeldName {
    pub(crate) name: String,
    /// From that name down to the caller; empty for what the caller holds by themselves.
    pub(crate) through: Vec<String>,
}

impl Access {
    /// The names that mean a caller in the ACLs of a source.
    pub(crate) fn held_names(&self, caller: &Caller, source: SourceNo) -> Vec<HeldName> {
        let all = self.principals(caller);
        let means = |held: &&super::directory::Held| match held.in_source {
            Some(only) => only == source,
            None => !self.aliases.contains(source, held.principal),
        };
        let name = |held: &super::directory::Held| {
            let mut through = Vec::new();
            let mut next = held.through;
            while let Some(member) = next {
                through.push(self.names.text(member).to_owned());
                next = all.iter().find(|held| held.principal == member && held.in_source.is_none()).and_then(|held| held.through);
            }
            HeldName { name: self.names.text(held.principal).to_owned(), through }
        };
        all.iter().filter(means).map(name).collect()
    }

    /// Classes that admit nobody whoever asks, by what is wrong.
    pub(crate) fn withheld(&self) -> BTreeMap<&'static str, Vec<ClassNo>> {
        let mut sound = Soundness::new(self, Default::default());
        let mut withheld: BTreeMap<&'static str, Vec<ClassNo>> = BTreeMap::new();
        for (number, class) in self.all_classes().filter(|(_, class)| class.section.is_none()) {
            if !sound.check(class.rule) {
                withheld.entry(self.fault(class.rule)).or_default().push(number);
            }
        }
        withheld
    }

    /// Classes whose ACL is older than its source allows, by source.
    pub(crate) fn stale(&self, now: Timestamp) -> HashMap<SourceNo, Vec<ClassNo>> {
        let mut stale: HashMap<SourceNo, Vec<ClassNo>> = HashMap::new();
        for (number, class) in self.all_classes().filter(|(_, class)| class.section.is_none()) {
            if self.stale_at(class).is_some_and(|at| at <= now) {
                stale.entry(class.source).or_default().push(number);
            }
        }
        stale
    }

    /// What is wrong with the chain of a rule that is not sound.
    fn fault(&self, rule: RuleNo) -> &'static str {
        let mut at = rule;
        // A chain without a cycle is not longer than there are containers.
        for step in 0..=self.containers.len() {
            let Some(row) = self.rule(at) else { return "unknown" };
            match row.state {
                AclState::Known => {}
                _ if step > 0 => return "container_withheld",
                AclState::Unknown => return "unknown",
                AclState::Invalid | AclState::Stale => return "invalid",
                AclState::Overflow => return "overflow",
            }
            let Some(parent) = row.parent().and_then(|parent| self.containers.get(parent as usize)) else { break };
            let Some(next) = parent.rule else { return "missing_parent" };
            at = next;
        }
        "container_cycle"
    }
}
