//! What an admin should look at: documents that everyone sees, documents that nobody sees, grants about to end, groups
//! that grant nothing, and sources whose ACLs are stale.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::Connection;
use serde::Serialize;

use super::Engine;
use crate::access::{AclState, Caller, ClassNo, Grant, Principal, RuleNo};
use crate::catalog::{directory, intern, sources};
use crate::error::Result;
use crate::timestamp::Timestamp;

/// How many documents of a kind are named; all are counted.
const EXAMPLES: u32 = 20;
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
            let mut report = AccessReport {
                visible_to_everyone: documents(db, everyone.classes())?,
                visible_to_public: documents(db, public.classes())?,
                groups_granting_nothing: idle_groups(db)?,
                grants_ending: ending_grants(db, now, soon)?,
                ..AccessReport::default()
            };
            for (problem, classes) in withheld {
                let found = documents(db, classes.into_iter())?;
                if found.count > 0 {
                    report.withheld.insert(problem.to_owned(), found);
                }
            }
            for (number, source) in sources::all(db)? {
                let Some(acl_max_age_seconds) = source.acl_max_age_seconds else { continue };
                let found = documents(db, stale.get(&number).into_iter().flatten().copied())?;
                if found.count > 0 {
                    report.stale_sources.push(StaleSource { source: source.id, acl_max_age_seconds, documents: found });
                }
            }
            let stale = documents(db, stale.into_values().flatten())?;
            if stale.count > 0 {
                report.withheld.insert(AclState::Stale.to_string(), stale);
            }
            Ok(report)
        })
    }
}

/// The live documents of some classes.
fn documents(db: &Connection, classes: impl Iterator<Item = ClassNo>) -> Result<Documents> {
    gather(db, "d.class", classes)
}

fn gather(db: &Connection, column: &str, numbers: impl Iterator<Item = u32>) -> Result<Documents> {
    let mut count = db.prepare_cached(&format!("SELECT count(*) FROM documents d WHERE {column} = ?1 AND d.deleted_at IS NULL"))?;
    let mut examples = db.prepare_cached(&format!(
        "SELECT s.id || '/' || d.id FROM documents d JOIN sources s ON s.num = d.source \
         WHERE {column} = ?1 AND d.deleted_at IS NULL ORDER BY 1 LIMIT {EXAMPLES}"
    ))?;
    let mut found = Documents::default();
    for number in numbers {
        let more: i64 = count.query_row([number], |row| row.get(0))?;
        found.count += more.cast_unsigned();
        if more > 0 {
            found.examples.extend(examples.query_map([number], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?);
            found.examples.sort();
            found.examples.truncate(EXAMPLES as usize);
        }
    }
    Ok(found)
}

fn ending_grants(db: &Connection, now: Timestamp, soon: Timestamp) -> Result<Vec<EndingGrant>> {
    let mut rules: BTreeMap<Grant, Vec<RuleNo>> = BTreeMap::new();
    intern::rules(db, |number, _, rule| {
        for grant in rule.grants.into_iter().filter(|grant| now < grant.until && grant.until <= soon) {
            rules.entry(grant).or_default().push(number);
        }
    })?;
    let names: HashMap<u32, String> = sources::all(db)?.into_iter().map(|(number, source)| (number, source.id)).collect();
    let mut containers: HashMap<RuleNo, Vec<String>> = HashMap::new();
    directory::containers(db, |source, id, rule| {
        let source = names.get(&source).map_or("", String::as_str);
        containers.entry(rule).or_default().push(format!("{source}/{id}"));
    })?;
    let mut ending = Vec::new();
    for (grant, rules) in rules {
        let containers: Vec<String> = rules.iter().filter_map(|rule| containers.get(rule)).flatten().cloned().collect();
        let documents = gather(db, "d.rule", rules.into_iter())?;
        if !containers.is_empty() || documents.count > 0 {
            ending.push(EndingGrant { principal: grant.principal.to_string(), until: grant.until, containers, documents });
        }
    }
    ending.sort_by_key(|grant| grant.until);
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
