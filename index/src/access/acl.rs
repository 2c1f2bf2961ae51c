//! ACLs as sources give them, read so that whatever is not understood withholds.
//!
//! [`Rule::read`] never fails: it returns a rule whose state says whether it may admit anyone. Two ACLs that mean the
//! same become equal rules (sorted, without repetitions), so that documents with the same rule share a class.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::principal::Principal;
use crate::timestamp::Timestamp;

/// The most entries that allow, deny and grants may have together.
pub const MAX_ACL_ENTRIES: usize = 10_000;

/// Whether an ACL is known well enough to admit anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclState {
    /// Read and understood.
    Known,
    /// The source gave none.
    Unknown,
    /// It could not be understood.
    Invalid,
    /// It has more entries than the limit.
    Overflow,
    /// It is older than its source allows. A stored rule is never in this state: time brings it about.
    Stale,
}

impl std::fmt::Display for AclState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AclState::Known => "known",
            AclState::Unknown => "unknown",
            AclState::Invalid => "invalid",
            AclState::Overflow => "overflow",
            AclState::Stale => "stale",
        })
    }
}

/// An allow entry that ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// Who is allowed.
    pub principal: Principal,
    /// The first moment at which the grant no longer holds.
    pub until: Timestamp,
}

/// An ACL in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// Whether the rule may admit anyone.
    pub state: AclState,
    /// Why it may not, for admins; empty when known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// Principals that may read.
    pub allow: Vec<Principal>,
    /// Principals that may not, whatever allows them.
    pub deny: Vec<Principal>,
    /// Principals that may read for a time.
    pub grants: Vec<Grant>,
    /// The container whose rule is inherited, by its id in the same source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// False cuts what the parent grants and denies.
    pub inherit: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AclFields {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    grants: Vec<GrantFields>,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default = "yes")]
    inherit: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantFields {
    principal: String,
    until: Timestamp,
}

fn yes() -> bool {
    true
}

impl Rule {
    /// Reads the `acl` of a document, section or container. `None` and JSON `null` are an unknown ACL.
    pub fn read(acl: Option<&Value>) -> Rule {
        let Some(acl) = acl.filter(|acl| !acl.is_null()) else {
            return Rule::withheld(AclState::Unknown, "the source gave no acl");
        };
        let entries = ["allow", "deny", "grants"].iter().filter_map(|list| acl.get(list)?.as_array()).map(Vec::len).sum::<usize>();
        if entries > MAX_ACL_ENTRIES {
            return Rule::withheld(AclState::Overflow, format!("{entries} entries, at most {MAX_ACL_ENTRIES} are allowed"));
        }
        Rule::understand(acl).unwrap_or_else(|problem| Rule::withheld(AclState::Invalid, problem))
    }

    /// A rule that admits nobody, with the reason.
    pub fn withheld(state: AclState, problem: impl Into<String>) -> Rule {
        debug_assert_ne!(state, AclState::Known);
        Rule { state, problem: problem.into(), allow: vec![], deny: vec![], grants: vec![], parent: None, inherit: true }
    }

    fn understand(acl: &Value) -> Result<Rule, String> {
        // Serde would read a list as the fields in their order.
        let objects = acl.get("grants").and_then(Value::as_array).into_iter().flatten().chain([acl]);
        if let Some(wrong) = objects.into_iter().find(|value| !value.is_object()) {
            return Err(format!("`{}` is not an object", wrong.to_string().chars().take(80).collect::<String>()));
        }
        if acl.get("parent").is_some_and(Value::is_null) {
            return Err("`parent` is null; leave it out where there is none".to_owned());
        }
        let fields = AclFields::deserialize(acl).map_err(|error| error.to_string())?;
        if fields.parent.as_ref().is_some_and(|parent| parent.is_empty() || parent.len() > 1024) {
            return Err("`parent` is empty or longer than 1024 bytes".to_owned());
        }
        let principals = |names: Vec<String>| {
            let mut list = names.iter().map(|name| Principal::parse(name)).collect::<Result<Vec<_>, _>>()?;
            list.sort();
            list.dedup();
            Ok::<_, String>(list)
        };
        let mut grants = fields
            .grants
            .into_iter()
            .map(|grant| Ok(Grant { principal: Principal::parse(&grant.principal)?, until: grant.until }))
            .collect::<Result<Vec<_>, String>>()?;
        grants.sort();
        grants.dedup();
        Ok(Rule {
            state: AclState::Known,
            problem: String::new(),
            allow: principals(fields.allow)?,
            deny: principals(fields.deny)?,
            grants,
            parent: fields.parent,
            inherit: fields.inherit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_meanings_are_equal_rules() {
        let one = Rule::read(Some(&json!({"allow": ["group:b", "user:a", "group:b"]})));
        let two = Rule::read(Some(&json!({"inherit": true, "allow": ["user:a", "group:b"], "deny": []})));
        assert_eq!(one, two);
        assert_eq!(one.state, AclState::Known);
    }

    #[test]
    fn what_is_not_understood_withholds() {
        for (acl, state) in [
            (json!(null), AclState::Unknown),
            (json!({"allow": ["everyone"], "alow": []}), AclState::Invalid),
            (json!({"allow": ["Everyone"]}), AclState::Invalid),
            (json!({"allow": "everyone"}), AclState::Invalid),
            (json!({"allow": ["user:"]}), AclState::Invalid),
            (json!({"allow": ["everyone"], "deny": [7]}), AclState::Invalid),
            (json!({"grants": [{"principal": "public", "until": "soon"}]}), AclState::Invalid),
            (json!(["everyone"]), AclState::Invalid),
            (json!({"allow": ["everyone"], "parent": null}), AclState::Invalid),
            (json!([["everyone"]]), AclState::Invalid),
            (json!({"grants": [["everyone", "2999-01-01T00:00:00Z"]]}), AclState::Invalid),
            (json!({"allow": vec!["everyone"; MAX_ACL_ENTRIES + 1]}), AclState::Overflow),
        ] {
            let rule = Rule::read(Some(&acl));
            assert_eq!(rule.state, state, "{acl}");
            assert!(rule.allow.is_empty() && rule.grants.is_empty(), "{acl}");
        }
    }
}
