//! Why a caller may see a chunk: the shortest chain from one of their principals to an entry that allows it.

use super::caller::Caller;
use super::directory::Held;
use super::permit::Permit;
use super::tables::Access;
use super::{ClassNo, RuleNo};
use crate::timestamp::Timestamp;

impl Access {
    /// The grant path of a class, such as `["group:eng", "via group:platform", "allowed on container wiki/infra"]`.
    /// Empty when the permit does not admit the class.
    pub(crate) fn why(&self, caller: &Caller, permit: &Permit, class: ClassNo, now: Timestamp) -> Vec<String> {
        let (true, Some(class)) = (permit.admits(class), self.class(class)) else { return Vec::new() };
        // The caller's own chain: the permit may have been made for another caller with the same rights.
        let held = self.principals(caller);
        let mut path = self.path(&held, class.rule, now, "allowed on the document");
        if let Some(section) = class.section {
            path.extend(self.path(&held, section.get(), now, "allowed on the section"));
        }
        path
    }

    fn path(&self, all: &[Held], rule: RuleNo, now: Timestamp, own: &str) -> Vec<String> {
        let mut place = own.to_owned();
        let mut at = rule;
        // A chain is never longer than there are containers.
        for _ in 0..=self.containers.len() {
            for held in all {
                if !self.means(held, at) {
                    continue;
                }
                let allows = self.allow_by.get(&held.principal).is_some_and(|rules| rules.contains(&at));
                let grant = self.grants_by.get(&held.principal).into_iter().flatten();
                let until = grant.filter(|(rule, until)| *rule == at && now < *until).map(|(_, until)| *until).max();
                if allows || until.is_some() {
                    let mut path = vec![self.names.text(held.principal).to_owned()];
                    let mut through = held.through;
                    while let Some(member) = through {
                        let step = all.iter().find(|held| held.principal == member);
                        through = step.and_then(|step| step.through);
                        if through.is_some() {
                            path.push(format!("via {}", self.names.text(member)));
                        }
                    }
                    path.push(match until.filter(|_| !allows) {
                        Some(until) => format!("{place} until {until}"),
                        None => place,
                    });
                    return path;
                }
            }
            let Some(row) = self.rule(at).filter(|row| row.inherit) else { break };
            let Some(container) = row.parent().and_then(|parent| self.containers.get(parent as usize)) else { break };
            let Some(next) = container.rule else { break };
            place = format!("allowed on container {}/{}", self.source_id(container.source), container.id);
            at = next;
        }
        Vec::new()
    }

    fn source_id(&self, number: super::SourceNo) -> &str {
        self.sources.iter().find(|(_, source)| **source == number).map_or("", |(id, _)| id.as_str())
    }
}
