//! What an admin should look at: documents that everyone sees, documents that nobody sees, grants about to end, groups
//! that grant nothing, and sources whose ACLs are stale.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::Connection;
use serde::Serialize;

use super::Engine;
use crate::access::{AclState, Caller, ClassNo, Grant, Principal, RuleNo};
use crate::catalog::{directory, intern, sources};
use crate::error::Result;
use crate::timestamp::Timestamp;

/// How many documents of a kind are named; all are counted.
const EXAMPLES: usize = 20;
/// A user of whom nothing is known but that they signed in.
const ANYBODY: &str = "user:\u{2014}anybody\u{2014}";

/// What an admin should look at.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AccessReport {
    /// Visible to every signed-in caller.
    pub visible_to_everyone: Documents,
    /// Visible also without a user.
    pub visible_to_public: Documents,
    /// Shown to nobody, by what is wrong: an ACL state, `missing_parent`, `container_withheld`, or `container_cycle`.
    pub withheld: BTreeMap<String, Documents>,
    /// Grants that end within the time asked for.
    pub grants_ending: Vec<EndingGrant>,
    /// Groups that no entry names, directly or through other groups.
    pub groups_granting_nothing: Vec<String>,
    /// Sources with ACLs that are older than their limit.
    pub stale_sources: Vec<StaleSource>,
}

/// Documents, counted, with the first of them by source and id.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Documents {
    /// How many there are.
    pub count: u64,
    /// Some of them, as `source/id`.
    pub examples: Vec<String>,
}

/// A grant that ends soon.
#[derive(Clone, Debug, Serialize)]
pub struct EndingGrant {
    /// Who is granted.
    pub principal: String,
    /// When it ends.
    pub until: Timestamp,
    /// The containers whose ACL has it, as `source/id`.
    pub containers: Vec<String>,
    /// The documents whose own ACL has it.
    pub documents: Documents,
}

/// A source with stale ACLs.
#[derive(Clone, Debug, Serialize)]
pub struct StaleSource {
    /// The source.
    pub source: String,
    /// How many seconds its ACLs hold.
    pub acl_max_age_seconds: u32,
    /// The documents whose ACL is older.
    pub documents: Documents,
}

impl Engine {
    /// Looks through all classes and rules, for admins. `soon` is how far ahead ending grants are told.
    pub fn access_report(&self, now: Timestamp, soon: Timestamp) -> Result<AccessReport> {
        let anybody = Principal::parse(ANYBODY).ok().and_then(Caller::user).unwrap_or_default();
        let (everyone, _) = self.permit(&anybody, now);
        let (public, _) = self.permit(&Caller::public(), now);
        let (withheld, stale) = {
            let state = self.state.read();
            (state.access.withheld(), state.access.stale(now))
        };
        self.catalog.read(|db| {
            let mut sought = Sought::default();
            let everyone = sought.of_classes(everyone.classes());
            let public = sought.of_classes(public.classes());
            let withheld: Vec<_> =
                withheld.into_iter().map(|(problem, classes)| (problem, sought.of_classes(classes.into_iter()))).collect();
            let mut stale_sources = Vec::new();
            for (number, source) in sources::all(db)? {
                let Some(acl_max_age_seconds) = source.acl_max_age_seconds else { continue };
                let documents = sought.of_classes(stale.get(&number).into_iter().flatten().copied());
                stale_sources.push((source.id, acl_max_age_seconds, documents));
            }
            let stale = sought.of_classes(stale.into_values().flatten());
            let grants = ending_grants(db, &mut sought, now, soon)?;
            let mut found = sought.find(db)?;
            let mut take = |group: usize| found.get_mut(group).map(std::mem::take).unwrap_or_default();
            let mut report = AccessReport {
                visible_to_everyone: take(everyone),
                visible_to_public: take(public),
                withheld: withheld.into_iter().map(|(problem, group)| (problem.to_owned(), take(group))).collect(),
                groups_granting_nothing: idle_groups(db)?,
                ..AccessReport::default()
            };
            report.withheld.insert(AclState::Stale.to_string(), take(stale));
            report.withheld.retain(|_, documents| documents.count > 0);
            for (source, acl_max_age_seconds, group) in stale_sources {
                report.stale_sources.push(StaleSource { source, acl_max_age_seconds, documents: take(group) });
            }
            report.stale_sources.retain(|source| source.documents.count > 0);
            for (mut grant, group) in grants {
                grant.documents = take(group);
                report.grants_ending.push(grant);
            }
            report.grants_ending.retain(|grant| !grant.containers.is_empty() || grant.documents.count > 0);
            Ok(report)
        })
    }
}

/// Groups of documents that are looked for together, in one pass over all documents.
#[derive(Default)]
struct Sought {
    groups: usize,
    by_class: HashMap<ClassNo, Vec<usize>>,
    by_rule: HashMap<RuleNo, Vec<usize>>,
}

impl Sought {
    /// The group of the documents of some classes.
    fn of_classes(&mut self, classes: impl Iterator<Item = ClassNo>) -> usize {
        classes.for_each(|class| self.by_class.entry(class).or_default().push(self.groups));
        self.groups += 1;
        self.groups - 1
    }

    /// The group of the documents whose own ACL is one of some rules.
    fn of_rules(&mut self, rules: impl Iterator<Item = RuleNo>) -> usize {
        rules.for_each(|rule| self.by_rule.entry(rule).or_default().push(self.groups));
        self.groups += 1;
        self.groups - 1
    }

    /// The live documents of each group.
    fn find(&self, db: &Connection) -> Result<Vec<Documents>> {
        let mut found = vec![(0, BTreeSet::new()); self.groups];
        let names = sources::names(db)?;
        let mut statement = db.prepare_cached("SELECT class, rule, source, id FROM documents WHERE deleted_at IS NULL")?;
        let mut rows = if self.by_class.is_empty() && self.by_rule.is_empty() { None } else { Some(statement.query([])?) };
        while let Some(row) = rows.as_mut().map_or(Ok(None), |rows| rows.next())? {
            let groups = [self.by_class.get(&row.get(0)?), self.by_rule.get(&row.get(1)?)];
            for group in groups.into_iter().flatten().flatten() {
                let Some((count, examples)) = found.get_mut(*group) else { continue };
                *count += 1;
                let source = names.get(&row.get(2)?).map_or("", String::as_str);
                examples.insert(format!("{source}/{}", row.get::<_, String>(3)?));
                if examples.len() > EXAMPLES {
                    examples.pop_last();
                }
            }
        }
        Ok(found.into_iter().map(|(count, examples)| Documents { count, examples: examples.into_iter().collect() }).collect())
    }
}

/// The grants that end soon, each with the group of the documents whose own ACL has it.
fn ending_grants(db: &Connection, sought: &mut Sought, now: Timestamp, soon: Timestamp) -> Result<Vec<(EndingGrant, usize)>> {
    let mut rules: BTreeMap<Grant, Vec<RuleNo>> = BTreeMap::new();
    intern::rules(db, |number, _, rule| {
        for grant in rule.grants.into_iter().filter(|grant| now < grant.until && grant.until <= soon) {
            rules.entry(grant).or_default().push(number);
        }
    })?;
    let names = sources::names(db)?;
    let mut containers: HashMap<RuleNo, Vec<String>> = HashMap::new();
    directory::containers(db, |source, id, rule| {
        let source = names.get(&source).map_or("", String::as_str);
        containers.entry(rule).or_default().push(format!("{source}/{id}"));
    })?;
    let mut ending = Vec::new();
    for (grant, rules) in rules {
        let containers: Vec<String> = rules.iter().filter_map(|rule| containers.get(rule)).flatten().cloned().collect();
        let grant =
            EndingGrant { principal: grant.principal.to_string(), until: grant.until, containers, documents: Documents::default() };
        ending.push((grant, sought.of_rules(rules.into_iter())));
    }
    ending.sort_by_key(|(grant, _)| grant.until);
    Ok(ending)
}

/// Groups from which no chain of memberships leads to a name in an entry that allows.
fn idle_groups(db: &Connection) -> Result<Vec<String>> {
    let mut granting: HashSet<String> = HashSet::new();
    intern::rules(db, |_, _, rule| {
        granting.extend(rule.allow.iter().map(Principal::to_string));
        granting.extend(rule.grants.iter().map(|grant| grant.principal.to_string()));
    })?;
    let mut members: HashMap<String, Vec<String>> = HashMap::new();
    directory::memberships(db, |group, member| members.entry(group.to_owned()).or_default().push(member.to_owned()))?;
    // What is a member of a granting group grants, too.
    let mut pending: Vec<String> = granting.iter().cloned().collect();
    while let Some(group) = pending.pop() {
        for member in members.get(&group).into_iter().flatten() {
            if granting.insert(member.clone()) {
                pending.push(member.clone());
            }
        }
    }
    Ok(directory::groups(db)?.into_iter().filter(|group| !granting.contains(group)).collect())
}
