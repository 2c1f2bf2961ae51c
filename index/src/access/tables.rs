//! The access tables: rules, containers and classes by their catalog numbers, with the indexes that make a permit cheap.
//!
//! A permit is computed from the entries that name the caller's principals, downwards through the containers, so it
//! costs what the caller may read and not what there is. Nothing here is persisted; the catalog is.

use std::collections::{HashMap, HashSet};

use super::acl::{AclState, Rule};
use super::bits::Bits;
use super::caller::{Caller, Guard};
use super::directory::{Directory, Held};
use super::names::Names;
use super::{ClassNo, LabelsNo, SourceNo};
use crate::timestamp::Timestamp;

/// Number of an interned rule.
pub(crate) type RuleNo = u32;
/// Number of a container in the tables; containers that are only named by a parent have one too.
pub(crate) type ContainerNo = u32;

/// What documents with the same effective guards share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(crate) source: SourceNo,
    pub(crate) labels: LabelsNo,
    pub(crate) rule: RuleNo,
    /// The narrower rule of a section; both must admit.
    pub(crate) section: Option<RuleNo>,
}

#[derive(Debug)]
pub(super) struct RuleRow {
    pub(super) state: AclState,
    pub(super) parent: Option<ContainerNo>,
    pub(super) inherit: bool,
}

#[derive(Debug, Default)]
pub(super) struct ContainerRow {
    /// `None` while the container is named by a parent but was never given.
    pub(super) rule: Option<RuleNo>,
    /// Rules that inherit from this container.
    pub(super) under: Vec<RuleNo>,
    pub(super) id: String,
    pub(super) source: SourceNo,
}

/// The tables of one engine.
#[derive(Debug, Default)]
pub(crate) struct Access {
    pub(super) names: Names,
    pub(super) directory: Directory,
    pub(super) rules: HashMap<RuleNo, RuleRow>,
    pub(super) containers: Vec<ContainerRow>,
    container_numbers: HashMap<(SourceNo, String), ContainerNo>,
    containers_with: HashMap<RuleNo, Vec<ContainerNo>>,
    pub(super) allow_by: HashMap<u32, Vec<RuleNo>>,
    pub(super) deny_by: HashMap<u32, Vec<RuleNo>>,
    pub(super) grants_by: HashMap<u32, Vec<(RuleNo, Timestamp)>>,
    pub(super) classes: HashMap<ClassNo, Class>,
    classes_of: HashMap<RuleNo, Vec<ClassNo>>,
    pub(super) sources: HashMap<String, SourceNo>,
    labels: HashMap<LabelsNo, Vec<(u32, u32)>>,
    max_rule: RuleNo,
}

/// The rules that a set of principals satisfies at a time.
pub(super) struct Admitted {
    pub(super) classes: Bits,
    /// The first moment at which a grant that was counted ends.
    pub(super) valid_until: Option<Timestamp>,
}

impl Access {
    /// Adds a source.
    pub(crate) fn add_source(&mut self, number: SourceNo, id: &str) {
        self.sources.insert(id.to_owned(), number);
    }

    /// Adds an interned set of labels.
    pub(crate) fn add_labels<'a>(&mut self, number: LabelsNo, labels: impl IntoIterator<Item = (&'a String, &'a String)>) {
        let pairs = labels.into_iter().map(|(key, value)| (self.names.intern(key), self.names.intern(value))).collect();
        self.labels.insert(number, pairs);
    }

    /// Adds a rule of a source.
    pub(crate) fn add_rule(&mut self, number: RuleNo, source: SourceNo, rule: &Rule) {
        let parent = rule.parent.as_deref().map(|parent| self.container(source, parent));
        if self.rules.insert(number, RuleRow { state: rule.state, parent, inherit: rule.inherit }).is_some() {
            return;
        }
        self.max_rule = self.max_rule.max(number);
        for principal in &rule.allow {
            self.allow_by.entry(self.names.intern(principal.as_str())).or_default().push(number);
        }
        for principal in &rule.deny {
            self.deny_by.entry(self.names.intern(principal.as_str())).or_default().push(number);
        }
        for grant in &rule.grants {
            self.grants_by.entry(self.names.intern(grant.principal.as_str())).or_default().push((number, grant.until));
        }
        if let (Some(parent), true) = (parent, rule.inherit) {
            self.containers.get_mut(parent as usize).expect("INVARIANT: container() made it").under.push(number);
        }
    }

    /// Gives a container its rule, or takes it away.
    pub(crate) fn set_container(&mut self, source: SourceNo, id: &str, rule: Option<RuleNo>) {
        let number = self.container(source, id);
        let row = self.containers.get_mut(number as usize).expect("INVARIANT: container() made it");
        if let Some(old) = std::mem::replace(&mut row.rule, rule)
            && let Some(list) = self.containers_with.get_mut(&old)
        {
            list.retain(|container| *container != number);
        }
        if let Some(rule) = rule {
            self.containers_with.entry(rule).or_default().push(number);
        }
    }

    /// Adds a class.
    pub(crate) fn add_class(&mut self, number: ClassNo, class: Class) {
        if self.classes.insert(number, class).is_none() {
            self.classes_of.entry(class.rule).or_default().push(number);
        }
    }

    /// Puts a member into a group.
    pub(crate) fn add_member(&mut self, group: &str, member: &str) {
        let (group, member) = (self.names.intern(group), self.names.intern(member));
        self.directory.add(group, member);
    }

    /// Takes a member out of a group.
    pub(crate) fn remove_member(&mut self, group: &str, member: &str) {
        if let (Some(group), Some(member)) = (self.names.find(group), self.names.find(member)) {
            self.directory.remove(group, member);
        }
    }

    /// Takes all members out of a group.
    pub(crate) fn clear_group(&mut self, group: &str) {
        if let Some(group) = self.names.find(group) {
            self.directory.clear(group);
        }
    }

    /// The number of a source, when it exists.
    pub(crate) fn source(&self, id: &str) -> Option<SourceNo> {
        self.sources.get(id).copied()
    }

    /// The classes that satisfy a guard or a filter.
    pub(crate) fn guard_admits(&self, guard: &Guard, class: Class) -> bool {
        let source = guard.sources.as_ref().is_none_or(|sources| sources.iter().any(|id| self.source(id) == Some(class.source)));
        source
            && (guard.labels.is_empty() || {
                let held = self.labels.get(&class.labels).map_or(&[][..], Vec::as_slice);
                guard.labels.iter().all(|(key, value)| match (self.names.find(key), self.names.find(value)) {
                    (Some(key), Some(value)) => held.contains(&(key, value)),
                    _ => false,
                })
            })
    }

    /// The class with this number.
    pub(crate) fn class(&self, number: ClassNo) -> Option<Class> {
        self.classes.get(&number).copied()
    }

    /// Every principal that a caller has.
    pub(super) fn principals(&self, caller: &Caller) -> Vec<Held> {
        let own = caller
            .principal()
            .into_iter()
            .chain(caller.asserted_groups())
            .map(|principal| principal.as_str())
            .chain(caller.principal().map(|_| "everyone"))
            .chain(["public"]);
        // A name that no rule and no group mentions cannot matter.
        self.directory.closure(own.filter_map(|name| self.names.find(name)))
    }

    /// The classes that these principals may read at `now`, narrowed by the guard.
    pub(super) fn admitted(&self, principals: &[Held], guard: &Guard, now: Timestamp) -> Admitted {
        let (allowed, valid_until) = self.allowed(principals, now);
        let mut denied = HashSet::new();
        for held in principals {
            denied.extend(self.deny_by.get(&held.principal).into_iter().flatten().copied());
        }
        let mut sound = Soundness { tables: self, denied: &denied, known: HashMap::new() };
        let mut classes = Bits::default();
        for rule in allowed.iter().filter(|rule| sound.check(*rule)).collect::<Vec<_>>() {
            for &number in self.classes_of.get(&rule).into_iter().flatten() {
                let Some(class) = self.class(number) else { continue };
                let section = class.section.is_none_or(|section| allowed.contains(section) && sound.check(section));
                if section && self.guard_admits(guard, class) {
                    classes.insert(number);
                }
            }
        }
        Admitted { classes, valid_until }
    }

    /// Rules with an allow entry or a running grant for one of the principals, their own or inherited.
    fn allowed(&self, principals: &[Held], now: Timestamp) -> (Bits, Option<Timestamp>) {
        let mut allowed = Bits::with_len(self.max_rule as usize + 1);
        let mut pending = Vec::new();
        let mut valid_until = None::<Timestamp>;
        for held in principals {
            for &rule in self.allow_by.get(&held.principal).into_iter().flatten() {
                if allowed.insert(rule) {
                    pending.push(rule);
                }
            }
            for &(rule, until) in self.grants_by.get(&held.principal).into_iter().flatten() {
                if now < until {
                    valid_until = Some(valid_until.map_or(until, |earliest| earliest.min(until)));
                    if allowed.insert(rule) {
                        pending.push(rule);
                    }
                }
            }
        }
        while let Some(rule) = pending.pop() {
            for container in self.containers_with.get(&rule).into_iter().flatten() {
                for &under in self.containers.get(*container as usize).map_or(&[][..], |row| &row.under) {
                    if allowed.insert(under) {
                        pending.push(under);
                    }
                }
            }
        }
        (allowed, valid_until)
    }

    fn container(&mut self, source: SourceNo, id: &str) -> ContainerNo {
        if let Some(&number) = self.container_numbers.get(&(source, id.to_owned())) {
            return number;
        }
        let number = u32::try_from(self.containers.len()).expect("INVARIANT: fewer than 2^32 containers");
        self.containers.push(ContainerRow { id: id.to_owned(), source, ..ContainerRow::default() });
        self.container_numbers.insert((source, id.to_owned()), number);
        number
    }
}

/// Whether nothing speaks against a rule: every ACL on its chain is known, none denies, every parent exists, no cycle.
struct Soundness<'a> {
    tables: &'a Access,
    denied: &'a HashSet<RuleNo>,
    known: HashMap<RuleNo, bool>,
}

impl Soundness<'_> {
    fn check(&mut self, rule: RuleNo) -> bool {
        let mut chain = Vec::new();
        let mut at = rule;
        let verdict = loop {
            if let Some(&known) = self.known.get(&at) {
                break known;
            }
            // A rule on its own chain is a cycle of containers: withheld. The mark is overwritten below.
            self.known.insert(at, false);
            chain.push(at);
            let Some(row) = self.tables.rules.get(&at) else { break false };
            if row.state != AclState::Known || self.denied.contains(&at) {
                break false;
            }
            let Some(parent) = row.parent else { break true };
            let Some(parent_rule) = self.tables.containers.get(parent as usize).and_then(|container| container.rule) else {
                break false;
            };
            if !row.inherit {
                break true;
            }
            at = parent_rule;
        };
        self.known.extend(chain.into_iter().map(|rule| (rule, verdict)));
        verdict
    }
}
