//! Why a user may read a document, or every reason why not, for admins.
//!
//! The verdict is the permit's. The reasons are read anew from the catalog, entry by entry along the chain of containers,
//! so that they name places and times; a test holds the two to each other.

use rusqlite::Connection;
use serde::Serialize;

use super::Engine;
use crate::access::{Access, AclState, Caller, HeldName, Rule};
use crate::catalog::{DocumentRecord, SectionRecord, directory, documents, intern, sources};
use crate::error::Result;
use crate::timestamp::Timestamp;

/// Why a document is visible to a user, or why not.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The user that was asked about; `public` without one.
    pub user: String,
    /// The document's source.
    pub source: String,
    /// The document's id.
    pub document: String,
    /// The verdict.
    pub visible: bool,
    /// What the document's own ACL was read as; absent where there is no document.
    pub acl_state: Option<AclState>,
    /// When the document's own ACL was read.
    pub acl_read_at: Option<Timestamp>,
    /// Every entry that allows the user, nearest first.
    pub grants: Vec<GrantPath>,
    /// Everything that speaks against it, or would.
    pub reasons: Vec<Reason>,
    /// The sections with an ACL of their own.
    pub sections: Vec<SectionExplanation>,
}

/// Why a section is visible, or why not, beside what holds for its document.
#[derive(Clone, Debug, Serialize)]
pub struct SectionExplanation {
    /// Its name.
    pub name: String,
    /// Whether the user may read it.
    pub visible: bool,
    /// Every entry of its ACL that allows the user.
    pub grants: Vec<GrantPath>,
    /// Everything that speaks against it.
    pub reasons: Vec<Reason>,
}

/// An entry that allows, and how it reaches the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantPath {
    /// The principal that the entry names.
    pub principal: String,
    /// From that principal down to the user: the groups between, and the user.
    pub through: Vec<String>,
    /// `allow` or `grant`.
    pub entry: &'static str,
    /// When a grant ends.
    pub until: Option<Timestamp>,
    /// `document`, `section`, or `container ID`.
    pub place: String,
    /// When the ACL of that place was read.
    pub read_at: Timestamp,
}

/// Something that keeps a document from a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Stable code.
    pub code: &'static str,
    /// For a person.
    pub detail: String,
}

fn reason(code: &'static str, detail: impl Into<String>) -> Reason {
    Reason { code, detail: detail.into() }
}

/// One ACL of a chain.
struct Link {
    place: String,
    rule: Rule,
    read_at: Timestamp,
}

impl Engine {
    /// Why the caller may read a document at `now`, or every reason why not. For admins: it tells what exists.
    pub fn explain(&self, caller: &Caller, source: &str, id: &str, now: Timestamp) -> Result<Explanation> {
        let (permit, _) = self.permit(caller, now);
        let state = self.state.read();
        let access = &state.access;
        self.catalog.read(|db| {
            let mut explanation = Explanation {
                user: caller.principal().map_or_else(|| "public".to_owned(), ToString::to_string),
                source: source.to_owned(),
                document: id.to_owned(),
                visible: false,
                acl_state: None,
                acl_read_at: None,
                grants: Vec::new(),
                reasons: Vec::new(),
                sections: Vec::new(),
            };
            let number = sources::find(db, source)?;
            let document = number.map(|number| DocumentRecord::by_id(db, number, id)).transpose()?.flatten();
            let (Some(number), Some(document)) = (number, document) else {
                explanation.reasons.push(reason("no_such_document", "there is no document with this source and id"));
                return Ok(explanation);
            };
            let held = access.held_names(caller, number);
            let own = Link {
                place: "document".to_owned(),
                rule: intern::rule_by_number(db, document.rule)?,
                read_at: document.acl_read_at,
            };
            explanation.acl_state = Some(own.rule.state);
            explanation.acl_read_at = Some(own.read_at);
            let (chain, broken) = chain(db, number, own)?;
            explanation.reasons.extend(broken);
            explanation.grants = weigh(&chain, &held, now, &mut explanation.reasons);
            guards(access, db, caller, &document, source, &mut explanation.reasons)?;
            if let Some(at) = access.class(document.class).and_then(|class| access.stale_at(class)).filter(|at| *at <= now) {
                explanation.acl_state = Some(AclState::Stale);
                explanation.reasons.push(reason("stale", format!("its ACL was not read again before {at}")));
            }
            if let Some(at) = document.deleted_at {
                explanation.reasons.push(reason("deleted", format!("it was deleted at {at}")));
            }
            explanation.visible = permit.admits(document.class) && document.deleted_at.is_none();
            for section in SectionRecord::of(db, document.num, Some(document.version))? {
                let rule = intern::rule_by_number(db, section.rule)?;
                let own = Link { place: "section".to_owned(), rule, read_at: document.acl_read_at };
                let (chain, mut reasons) = self::chain(db, number, own)?;
                let grants = weigh(&chain, &held, now, &mut reasons);
                let visible = explanation.visible && permit.admits(section.class);
                explanation.sections.push(SectionExplanation { name: section.name, visible, grants, reasons });
            }
            Ok(explanation)
        })
    }
}

/// The ACLs that bear on a rule, nearest first, and what breaks the chain.
fn chain(db: &Connection, source: u32, own: Link) -> Result<(Vec<Link>, Vec<Reason>)> {
    let mut chain: Vec<Link> = Vec::new();
    let mut broken = Vec::new();
    let mut at = own;
    loop {
        if at.rule.state != AclState::Known {
            broken.push(reason("withheld", format!("the ACL of the {} is {}: {}", at.place, at.rule.state, at.rule.problem)));
        }
        let parent = at.rule.parent.clone();
        let inherits = at.rule.inherit;
        chain.push(at);
        let Some(parent) = parent else { return Ok((chain, broken)) };
        let Some((rule, read_at)) = directory::container(db, source, &parent)? else {
            broken.push(reason("missing_parent", format!("container {parent} does not exist")));
            return Ok((chain, broken));
        };
        if !inherits {
            return Ok((chain, broken));
        }
        let place = format!("container {parent}");
        if chain.iter().any(|link| link.place == place) {
            broken.push(reason("container_cycle", format!("container {parent} is its own ancestor")));
            return Ok((chain, broken));
        }
        at = Link { place, rule: intern::rule_by_number(db, rule)?, read_at };
    }
}

/// What the entries of a chain say of a user: those that allow; the others become reasons.
fn weigh(chain: &[Link], held: &[HeldName], now: Timestamp, reasons: &mut Vec<Reason>) -> Vec<GrantPath> {
    let mut grants = Vec::new();
    for link in chain {
        for held in held {
            let named = |list: &[crate::access::Principal]| list.iter().any(|principal| principal.as_str() == held.name);
            let path = |entry, until| GrantPath {
                principal: held.name.clone(),
                through: held.through.clone(),
                entry,
                until,
                place: link.place.clone(),
                read_at: link.read_at,
            };
            if named(&link.rule.deny) {
                reasons.push(reason("denied", format!("the {} denies {}{}", link.place, held.name, via(&held.through))));
            }
            if named(&link.rule.allow) {
                grants.push(path("allow", None));
            }
            for grant in link.rule.grants.iter().filter(|grant| grant.principal.as_str() == held.name) {
                if now < grant.until {
                    grants.push(path("grant", Some(grant.until)));
                } else {
                    let detail =
                        format!("the grant of {} to {}{} ended at {}", link.place, held.name, via(&held.through), grant.until);
                    reasons.push(reason("grant_ended", detail));
                }
            }
        }
    }
    if grants.is_empty() {
        let places: Vec<&str> = chain.iter().map(|link| link.place.as_str()).collect();
        reasons.push(reason("no_entry", format!("no entry allows the user; looked at {}", places.join(", "))));
    }
    grants
}

fn via(through: &[String]) -> String {
    if through.is_empty() { String::new() } else { format!(" (via {})", through.join(", ")) }
}

fn guards(
    access: &Access,
    db: &Connection,
    caller: &Caller,
    document: &DocumentRecord,
    source: &str,
    reasons: &mut Vec<Reason>,
) -> Result<()> {
    let guard = caller.guard();
    if access.class(document.class).is_some_and(|class| access.guard_admits(guard, class)) {
        return Ok(());
    }
    if guard.sources.as_ref().is_some_and(|sources| !sources.iter().any(|admitted| admitted == source)) {
        reasons.push(reason("guard_source", format!("the app may not see source {source}")));
    }
    let labels = documents::labels(db, document.labels)?;
    for (key, value) in guard.labels.iter().filter(|(key, value)| labels.get(*key) != Some(value)) {
        reasons.push(reason("guard_label", format!("the app may only see documents labelled {key}={value}")));
    }
    Ok(())
}
