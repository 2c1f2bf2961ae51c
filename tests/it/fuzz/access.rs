//! ACLs, principals and points in time.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sightline_index::{AclState, Caller, MAX_PRINCIPAL_ID_BYTES, Principal, Rule, Timestamp};

use super::{QUICK, Target, texts};

pub(super) const ACL_WORDS: &[&str] = &[
    "allow",
    "deny",
    "grants",
    "parent",
    "inherit",
    "principal",
    "until",
    "everyone",
    "public",
    "user:zed",
    "user:",
    "group:eng",
    "group:",
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "\"",
    ",",
    ":",
    "[",
    "]",
    "{",
    "}",
    "9999-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00+23:59",
    "2030-01-01T00:00:00Z",
    "\\u0065veryone",
    "1e999",
    "-0",
];

pub(super) fn targets() -> Vec<Target> {
    vec![
        Target { name: "acl", words: ACL_WORDS, seeds: acls, start: || Box::new(acl), ..QUICK },
        Target {
            name: "principal",
            words: &["user:", "group:", "everyone", "public"],
            seeds: || texts(&["user:ana", "group:eng", "everyone", "public", "user:zo\u{e9}", "User:ana"]),
            start: || Box::new(principal),
            ..QUICK
        },
        Target {
            name: "timestamp",
            words: &["T", "Z", "+23:59", "-23:59", "9999-12-31", "0000-01-01", "23:59:60", ".999999999", "1970", "-"],
            seeds: || {
                texts(&[
                    "2026-12-31T01:00:00.250+01:00",
                    "1969-12-31T23:59:59.999Z",
                    "2024-02-29T00:00:00Z",
                    "9999-12-31T23:59:59-00:01",
                ])
            },
            start: || Box::new(timestamp),
            ..QUICK
        },
    ]
}

pub(super) fn acls() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"allow":["user:zed","group:eng","everyone"],"deny":["user:bo"],"parent":"/"}"#,
        r#"{"grants":[{"principal":"public","until":"2030-01-01T00:00:00Z"},{"principal":"user:zed","until":"2031-01-01T00:00:00+01:00"}]}"#,
        r#"{"allow":[],"deny":[],"grants":[],"inherit":false}"#,
        r#"{"parent":"a/b"}"#,
        "null",
        "{}",
    ])
}

fn acl(input: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return false };
    let rule = Rule::read(Some(&value));
    let kept: Rule = serde_json::from_str(&serde_json::to_string(&rule).unwrap()).expect("a rule reads back as it was stored");
    assert_eq!(kept, rule);
    if rule.state != AclState::Known {
        assert!(rule.allow.is_empty() && rule.deny.is_empty() && rule.grants.is_empty() && rule.parent.is_none(), "{rule:?}");
        assert!(!rule.problem.is_empty() && matches!(rule.state, AclState::Unknown | AclState::Invalid | AclState::Overflow));
        return false;
    }
    assert!(means(&value, &rule).is_some(), "{value} is not understood, and read as {rule:?}");
    let again = json!({ "allow": rule.allow, "deny": rule.deny, "grants": rule.grants, "inherit": rule.inherit });
    let mut again = again.as_object().unwrap().clone();
    again.extend(rule.parent.as_ref().map(|parent| ("parent".to_owned(), json!(parent))));
    assert_eq!(Rule::read(Some(&Value::Object(again))), rule);
    true
}

/// Whether the value says what the rule says, and nothing else.
fn means(value: &Value, rule: &Rule) -> Option<()> {
    let members = value.as_object()?;
    for member in members.keys() {
        ["allow", "deny", "grants", "parent", "inherit"].contains(&member.as_str()).then_some(())?;
    }
    let list = |name: &str| members.get(name).map_or(Some(&[][..]), |list| list.as_array().map(Vec::as_slice));
    for (name, read) in [("allow", &rule.allow), ("deny", &rule.deny)] {
        let said = list(name)?.iter().map(Value::as_str).collect::<Option<BTreeSet<&str>>>()?;
        (said == read.iter().map(Principal::as_str).collect()).then_some(())?;
    }
    let said = list("grants")?.iter().map(|grant| {
        let grant = grant.as_object().filter(|grant| grant.len() == 2)?;
        Some((grant.get("principal")?.as_str()?, Timestamp::parse(grant.get("until")?.as_str()?)?.0))
    });
    let read = rule.grants.iter().map(|grant| (grant.principal.as_str(), grant.until.0));
    (said.collect::<Option<BTreeSet<_>>>()? == read.collect()).then_some(())?;
    (members.get("parent") == rule.parent.as_ref().map(|parent| json!(parent)).as_ref()).then_some(())?;
    let inherits = members.get("inherit").map_or(Some(true), Value::as_bool)?;
    (inherits == rule.inherit).then_some(())
}

fn principal(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let Ok(principal) = Principal::parse(&text) else { return false };
    assert_eq!((principal.as_str(), principal.to_string().as_str()), (&*text, &*text));
    let id = text.strip_prefix("user:").or(text.strip_prefix("group:"));
    match id {
        None => assert!(["everyone", "public"].contains(&&*text), "{text}"),
        Some(id) => assert!((1..=MAX_PRINCIPAL_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control), "{text}"),
    }
    assert_eq!((principal.is_user(), principal.is_group()), (text.starts_with("user:"), text.starts_with("group:")));
    assert_eq!(Caller::user(principal.clone()).is_some(), principal.is_user());
    let kept = serde_json::to_string(&principal).unwrap();
    assert_eq!(serde_json::from_str::<Principal>(&kept).unwrap(), principal);
    true
}

fn timestamp(input: &[u8]) -> bool {
    if let Some(bytes) = input.first_chunk::<8>() {
        let at = Timestamp(i64::from_le_bytes(*bytes));
        let text = at.to_string();
        assert!(text == "invalid time" || Timestamp::parse(&text) == Some(at), "{at:?} is written as {text}");
    }
    let Some(at) = Timestamp::parse(&String::from_utf8_lossy(input)) else { return false };
    assert_eq!(Timestamp::parse(&at.to_string()), Some(at), "{at:?} is written as {at}");
    let kept = serde_json::to_string(&at).unwrap();
    assert_eq!(serde_json::from_str::<Timestamp>(&kept).unwrap(), at);
    true
}
