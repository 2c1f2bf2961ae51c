//! Who asks in a permission-aware evaluation, and the ACLs that decide what they read.
//!
//! A collection with `acl.jsonl` brings its ACLs, and callers are drawn from its directory. Any other gets a deterministic
//! assignment: each caller is in one group, and a hash of caller and document decides whether the group may read it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Value, json};
use sightline_index::{Caller, Principal};

use super::collection::{Collection, Judged};

/// Shares that callers read, in per cent; the next caller of a round is a negative one. The first caller of all reads
/// everything.
const SHARES: [u64; 3] = [50, 10, 1];

/// How many users are looked at for each caller that is wanted: many read the same.
const USERS_PER_CALLER: usize = 10;

/// ACLs, groups and callers over a collection.
#[derive(Debug)]
pub(super) struct Assignment {
    /// By document; without one it is withheld.
    pub(super) acls: BTreeMap<String, Value>,
    pub(super) groups: Vec<(Principal, Vec<Principal>)>,
    pub(super) askers: Vec<Asker>,
}

/// A caller of the evaluation.
#[derive(Debug)]
pub(super) struct Asker {
    /// What the report calls them.
    pub(super) name: String,
    pub(super) caller: Caller,
    /// What they may read, where the assignment decided it; else the engine is asked document by document.
    pub(super) readable: Option<HashSet<String>>,
}

impl Assignment {
    /// Callers over a collection: `count`, or where users are drawn more, of whom those count who read something else than
    /// the ones before.
    pub(super) fn new(collection: &Collection, count: usize) -> Assignment {
        match &collection.acls {
            Some(acls) => Assignment {
                acls: acls.clone(),
                groups: collection.directory.clone(),
                askers: drawn(acls, &collection.directory, count),
            },
            None => assigned(collection, count),
        }
    }
}

/// Users that the directory or an ACL names, in the order of a hash of their names.
fn drawn(acls: &BTreeMap<String, Value>, directory: &[(Principal, Vec<Principal>)], count: usize) -> Vec<Asker> {
    let named = acls.values().filter_map(|acl| acl.get("allow")?.as_array()).flatten();
    let named = named.filter_map(|name| Principal::parse(name.as_str()?).ok());
    let users: BTreeSet<Principal> =
        directory.iter().flat_map(|(_, members)| members).cloned().chain(named).filter(Principal::is_user).collect();
    let mut users: Vec<(u64, Principal)> = users.into_iter().map(|user| (hash(&[user.as_str()]), user)).collect();
    users.sort();
    let asker =
        |(_, user): (u64, Principal)| Some(Asker { name: user.as_str().to_owned(), caller: Caller::user(user)?, readable: None });
    users.into_iter().filter_map(asker).take(count.saturating_mul(USERS_PER_CALLER)).collect()
}

fn assigned(collection: &Collection, count: usize) -> Assignment {
    let mut allowed: BTreeMap<&str, Vec<String>> =
        collection.documents.iter().map(|document| (document.id.as_str(), Vec::new())).collect();
    let (mut groups, mut askers) = (Vec::new(), Vec::new());
    for number in 0..count {
        let (Ok(user), Ok(group)) =
            (Principal::parse(&format!("user:eval/{number}")), Principal::parse(&format!("group:eval/{number}")))
        else {
            continue;
        };
        let (name, readable) = readable(collection, number);
        for (document, groups) in &mut allowed {
            if readable.contains(*document) {
                groups.push(group.as_str().to_owned());
            }
        }
        groups.push((group, vec![user.clone()]));
        askers.extend(Caller::user(user).map(|caller| Asker { name, caller, readable: Some(readable) }));
    }
    let acls = allowed.into_iter().map(|(document, groups)| (document.to_owned(), json!({ "allow": groups }))).collect();
    Assignment { acls, groups, askers }
}

/// What the caller of this number may read, and its name.
fn readable(collection: &Collection, number: usize) -> (String, HashSet<String>) {
    let seed = number.to_string();
    let all = || collection.documents.iter().map(|document| document.id.clone());
    let Some(turn) = number.checked_sub(1) else { return ("everything".to_owned(), all().collect()) };
    match SHARES.get(turn % (SHARES.len() + 1)) {
        Some(share) => {
            let readable = all().filter(|id| hash(&[&seed, id]) % 100 < *share).collect();
            (format!("{share} % at random #{number}"), readable)
        }
        None => {
            // A coin for each first relevant document, so that queries about one document fall together.
            let relevant = |judged: &Judged| -> Vec<String> {
                judged.iter().filter(|(_, score)| **score > 0).map(|(document, _)| document.clone()).collect()
            };
            let queries = collection.judgements.values().map(relevant);
            let hidden = queries.filter(|ids| ids.first().is_some_and(|first| hash(&[&seed, first]).is_multiple_of(2))).flatten();
            let hidden: HashSet<String> = hidden.collect();
            (format!("negative #{number}"), all().filter(|id| !hidden.contains(id)).collect())
        }
    }
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}
