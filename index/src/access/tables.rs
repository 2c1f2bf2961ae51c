//! The access tables: rules, containers and classes by their catalog numbers, with the indexes that make a permit cheap.
//!
//! A permit is computed from the entries that name the caller's principals, downwards through the containers, so it
//! costs what the caller may read and not what there is. Nothing here is persisted; the catalog is.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use super::acl::{AclState, Rule};
use super::aliases::Aliases;
use super::bits::Bits;
use super::caller::{Caller, Guard};
use super::directory::{Directory, Held};
use super::names::Names;
use super::{ClassNo, DEAD, LabelsNo, SourceNo};
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
    pub(crate) section: Option<NonZeroU32>,
    /// When the ACL was read, in seconds, rounded down so that few classes differ; `None` where ACLs do not age.
    pub(crate) read_at: Option<NonZeroU32>,
}

/// A rule in the tables; its entries are in the indexes by principal.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleRow {
    pub(super) source: SourceNo,
    /// One more than the parent's number, so that a row takes 16 bytes.
    parent: Option<NonZeroU32>,
    /// The newest of the classes with this rule; the others follow in [`ClassRow::next`].
    first_class: ClassNo,
    pub(super) state: AclState,
    pub(super) inherit: bool,
}

impl RuleRow {
    pub(super) fn parent(&self) -> Option<ContainerNo> {
        self.parent.map(|number| number.get() - 1)
    }
}

/// A class in the tables, in 24 bytes.
#[derive(Clone, Copy, Debug)]
struct ClassRow {
    source: SourceNo,
    labels: LabelsNo,
    rule: NonZeroU32,
    section: Option<NonZeroU32>,
    read_at: Option<NonZeroU32>,
    /// The next class with the same rule.
    next: ClassNo,
}

impl ClassRow {
    fn class(&self) -> Class {
        let ClassRow { source, labels, rule, section, read_at, .. } = *self;
        Class { source, labels, rule: rule.get(), section, read_at }
    }
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

/// The tables of one engine. Rules and classes are numbered densely by the catalog, so both are arrays.
#[derive(Debug, Default)]
pub(crate) struct Access {
    pub(super) names: Names,
    pub(super) directory: Directory,
    pub(super) aliases: Aliases,
    rules: Vec<Option<RuleRow>>,
    pub(super) containers: Vec<ContainerRow>,
    container_numbers: HashMap<(SourceNo, String), ContainerNo>,
    containers_with: HashMap<RuleNo, Vec<ContainerNo>>,
    pub(super) allow_by: HashMap<u32, Vec<RuleNo>>,
    pub(super) deny_by: HashMap<u32, Vec<RuleNo>>,
    pub(super) grants_by: HashMap<u32, Vec<(RuleNo, Timestamp)>>,
    classes: Vec<Option<ClassRow>>,
    pub(super) sources: HashMap<String, SourceNo>,
    /// By source: how many seconds an ACL holds after it was read.
    max_ages: HashMap<SourceNo, u32>,
    labels: HashMap<LabelsNo, Vec<(u32, u32)>>,
}

/// The rules that a set of principals satisfies at a time.
pub(super) struct Admitted {
    pub(super) classes: Bits,
    /// The first moment at which a grant that was counted ends, or an ACL becomes stale.
    pub(super) valid_until: Option<Timestamp>,
}

impl Access {
    /// Makes room for rules and classes up to these numbers.
    pub(crate) fn reserve(&mut self, rules: u32, classes: u32) {
        self.rules.reserve_exact(rules as usize + 1);
        self.classes.reserve_exact(classes as usize + 1);
    }

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
        let above = parent.and_then(|parent| NonZeroU32::new(parent + 1));
        let slot = slot(&mut self.rules, number);
        if slot.is_some() {
            return;
        }
        *slot = Some(RuleRow { source, parent: above, first_class: DEAD, state: rule.state, inherit: rule.inherit });
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
        let Some(number_of_rule) = NonZeroU32::new(class.rule) else { return };
        let slot_of_class = slot(&mut self.classes, number);
        if slot_of_class.is_some() {
            return;
        }
        let rule = slot(&mut self.rules, class.rule);
        let next = rule.as_ref().map_or(DEAD, |rule| rule.first_class);
        let Class { source, labels, section, read_at, .. } = class;
        *slot_of_class = Some(ClassRow { source, labels, rule: number_of_rule, section, read_at, next });
        if let Some(rule) = rule {
            rule.first_class = number;
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
        self.class_row(number).map(|row| row.class())
    }

    /// The rule with this number.
    pub(super) fn rule(&self, number: RuleNo) -> Option<RuleRow> {
        self.rules.get(number as usize).copied().flatten()
    }

    /// The classes with this rule.
    fn classes_of(&self, rule: RuleNo) -> impl Iterator<Item = (ClassNo, Class)> + '_ {
        let mut at = self.rule(rule).map_or(DEAD, |rule| rule.first_class);
        std::iter::from_fn(move || {
            let row = self.class_row(at)?;
            let number = std::mem::replace(&mut at, row.next);
            Some((number, row.class()))
        })
    }

    fn class_row(&self, number: ClassNo) -> Option<ClassRow> {
        self.classes.get(number as usize).copied().flatten()
    }

    /// Every class.
    pub(super) fn all_classes(&self) -> impl Iterator<Item = (ClassNo, Class)> + '_ {
        (0..).zip(&self.classes).filter_map(|(number, row)| Some((number, row.as_ref()?.class())))
    }

    /// Sets how many seconds the ACLs of a source hold after they were read.
    pub(crate) fn set_max_age(&mut self, source: SourceNo, seconds: Option<u32>) {
        match seconds {
            Some(seconds) => self.max_ages.insert(source, seconds),
            None => self.max_ages.remove(&source),
        };
    }

    /// Maps a source's user id to the canonical one, or ends that.
    pub(crate) fn set_alias(&mut self, source: SourceNo, alias: &str, canonical: Option<&str>) {
        let alias = self.names.intern(alias);
        let canonical = canonical.map(|canonical| self.names.intern(canonical));
        self.aliases.set(source, alias, canonical);
    }

    /// When the ACL of this class becomes stale; `None` where it does not.
    pub(crate) fn stale_at(&self, class: Class) -> Option<Timestamp> {
        let (read_at, max_age) = (class.read_at?, self.max_ages.get(&class.source)?);
        Some(Timestamp((i64::from(read_at.get()) + i64::from(*max_age)) * 1000))
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
        // A name that no rule, no group and no alias mentions cannot matter.
        let mut held = self.directory.closure(own.filter_map(|name| self.names.find(name)), |number| self.names.text(number));
        let user = caller.principal().and_then(|user| self.names.find(user.as_str()));
        held.extend(user.into_iter().flat_map(|user| self.aliases.of(user)));
        held
    }

    /// True when an entry of a rule that names the principal means this caller: in a source where the name is an alias it
    /// means whom it stands for, and nobody else.
    pub(super) fn means(&self, held: &Held, rule: RuleNo) -> bool {
        if held.in_source.is_none() && self.aliases.is_empty() {
            return true;
        }
        let Some(source) = self.rule(rule).map(|rule| rule.source) else { return false };
        match held.in_source {
            Some(only) => only == source,
            None => !self.aliases.contains(source, held.principal),
        }
    }

    /// The classes that these principals may read at `now`, narrowed by the guard.
    pub(super) fn admitted(&self, principals: &[Held], guard: &Guard, now: Timestamp) -> Admitted {
        let (allowed, mut valid_until) = self.allowed(principals, now);
        let mut sound = Soundness::new(self, self.denied(principals));
        let mut classes = Bits::with_len(self.classes.len());
        for rule in allowed.iter().filter(|rule| sound.check(*rule)).collect::<Vec<_>>() {
            for (number, class) in self.classes_of(rule) {
                let section = class.section.is_none_or(|section| allowed.contains(section.get()) && sound.check(section.get()));
                if !section || !self.guard_admits(guard, class) {
                    continue;
                }
                let stale_at = self.stale_at(class);
                if stale_at.is_none_or(|at| now < at) {
                    classes.insert(number);
                    valid_until = earlier(valid_until, stale_at);
                }
            }
        }
        Admitted { classes, valid_until }
    }

    /// Rules with a deny entry for one of the principals.
    pub(super) fn denied(&self, principals: &[Held]) -> HashSet<RuleNo> {
        let mut denied = HashSet::new();
        for held in principals {
            let rules = self.deny_by.get(&held.principal).into_iter().flatten();
            denied.extend(rules.filter(|rule| self.means(held, **rule)).copied());
        }
        denied
    }

    /// Rules with an allow entry or a running grant for one of the principals, their own or inherited.
    fn allowed(&self, principals: &[Held], now: Timestamp) -> (Bits, Option<Timestamp>) {
        let mut allowed = Bits::with_len(self.rules.len());
        let mut pending = Vec::new();
        let mut valid_until = None;
        for held in principals {
            let rules = self.allow_by.get(&held.principal).into_iter().flatten().copied();
            let grants = self.grants_by.get(&held.principal).into_iter().flatten();
            let running = grants.filter(|(_, until)| now < *until).map(|(rule, until)| {
                valid_until = earlier(valid_until, Some(*until));
                *rule
            });
            for rule in rules.chain(running) {
                if self.means(held, rule) && allowed.insert(rule) {
                    pending.push(rule);
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

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The place of a number in an array that grows as needed.
fn slot<T: Clone>(rows: &mut Vec<Option<T>>, number: u32) -> &mut Option<T> {
    let at = number as usize;
    if rows.len() <= at {
        rows.resize(at + 1, None);
    }
    rows.get_mut(at).expect("INVARIANT: the array was just made long enough")
}

/// Whether nothing speaks against a rule: every ACL on its chain is known, none denies, every parent exists, no cycle.
pub(super) struct Soundness<'a> {
    tables: &'a Access,
    denied: HashSet<RuleNo>,
    known: HashMap<RuleNo, bool>,
}

impl<'a> Soundness<'a> {
    pub(super) fn new(tables: &'a Access, denied: HashSet<RuleNo>) -> Soundness<'a> {
        Soundness { tables, denied, known: HashMap::new() }
    }

    pub(super) fn check(&mut self, rule: RuleNo) -> bool {
        let mut chain = Vec::new();
        let mut at = rule;
        let verdict = loop {
            if let Some(&known) = self.known.get(&at) {
                break known;
            }
            // A rule on its own chain is a cycle of containers: withheld. The mark is overwritten below.
            self.known.insert(at, false);
            chain.push(at);
            let Some(row) = self.tables.rule(at) else { break false };
            if row.state != AclState::Known || self.denied.contains(&at) {
                break false;
            }
            let Some(parent) = row.parent() else { break true };
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
