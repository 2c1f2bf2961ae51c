//! What the tables must hold on their own; the wide net is the oracle in `tests/it`.

use serde_json::{Value, json};

use super::*;
use crate::timestamp::Timestamp;

/// Tables with one class per document of source 1, numbered from 1.
fn tables(groups: &[(&str, &[&str])], containers: &[(&str, Value)], documents: &[Value]) -> Access {
    let mut access = Access::default();
    access.add_source(1, "wiki");
    access.add_labels(1, []);
    for (group, members) in groups {
        for member in *members {
            access.add_member(group, member);
        }
    }
    for (at, (id, acl)) in containers.iter().enumerate() {
        let number = 1000 + at as u32;
        access.add_rule(number, 1, &Rule::read(Some(acl)));
        access.set_container(1, id, Some(number));
    }
    for (at, acl) in documents.iter().enumerate() {
        let number = 1 + at as u32;
        access.add_rule(number, 1, &Rule::read(Some(acl)));
        access.add_class(number, Class { source: 1, labels: 1, rule: number, section: None, read_at: None });
    }
    access
}

fn sees(access: &Access, user: &str, now: Timestamp) -> Vec<u32> {
    let caller = match user {
        "" => Caller::public(),
        user => Caller::user(Principal::parse(user).unwrap()).unwrap(),
    };
    PermitCache::default().permit(access, &caller, now).classes().collect()
}

const NOW: Timestamp = Timestamp(1_000);

#[test]
fn nested_and_cyclic_groups_and_denies() {
    let access = tables(
        &[("group:eng", &["group:platform", "user:bo"]), ("group:platform", &["user:ana", "group:eng"])],
        &[],
        &[
            json!({"allow": ["group:eng"]}),
            json!({"allow": ["group:eng"], "deny": ["user:bo"]}),
            json!({"allow": ["everyone"]}),
            json!({"allow": ["public"]}),
            json!({"allow": ["public"], "deny": ["everyone"]}),
            json!({}),
        ],
    );
    assert_eq!(sees(&access, "user:ana", NOW), [1, 2, 3, 4]);
    assert_eq!(sees(&access, "user:bo", NOW), [1, 3, 4]);
    assert_eq!(sees(&access, "user:cy", NOW), [3, 4]);
    assert_eq!(sees(&access, "", NOW), [4, 5]);
}

#[test]
fn containers_inherit_cut_and_withhold() {
    let access = tables(
        &[],
        &[
            ("top", json!({"allow": ["user:ana"], "deny": ["user:bo"]})),
            ("sub", json!({"allow": ["user:bo", "user:cy"], "parent": "top"})),
            ("cut", json!({"allow": ["user:bo"], "parent": "top", "inherit": false})),
            ("bad", json!({"allow": ["user:ana"], "color": "red"})),
            ("a", json!({"allow": ["user:ana"], "parent": "b"})),
            ("b", json!({"allow": ["user:ana"], "parent": "a"})),
        ],
        &[
            json!({"parent": "sub"}),
            json!({"parent": "cut"}),
            json!({"parent": "bad", "allow": ["user:ana"]}),
            json!({"parent": "missing", "allow": ["user:ana"]}),
            json!({"parent": "a", "allow": ["user:ana"]}),
            json!({"parent": "sub", "inherit": false, "allow": ["user:dee"]}),
        ],
    );
    assert_eq!(sees(&access, "user:ana", NOW), [1]);
    assert_eq!(sees(&access, "user:bo", NOW), [2]);
    assert_eq!(sees(&access, "user:cy", NOW), [1]);
    assert_eq!(sees(&access, "user:dee", NOW), [6]);
}

#[test]
fn grants_end_on_time() {
    let access = tables(&[], &[], &[json!({"grants": [{"principal": "user:ana", "until": "1970-01-01T00:00:02Z"}]})]);
    let mut cache = PermitCache::default();
    let ana = Caller::user(Principal::parse("user:ana").unwrap()).unwrap();
    let mut count = |now| cache.permit(&access, &ana, Timestamp(now)).classes().count();
    assert_eq!([count(1_999), count(2_000), count(1_000)], [1, 0, 1]);
}

#[test]
fn guards_narrow_and_never_widen() {
    let access = tables(&[], &[], &[json!({"allow": ["public"]})]);
    let see = |guard| PermitCache::default().permit(&access, &Caller::public().with_guard(guard), NOW).classes().count();
    assert_eq!(see(Guard::default()), 1);
    assert_eq!(see(Guard { sources: Some(vec!["wiki".into()]), ..Guard::default() }), 1);
    assert_eq!(see(Guard { sources: Some(vec![]), ..Guard::default() }), 0);
    assert_eq!(see(Guard { labels: [("dept".to_owned(), "hr".to_owned())].into(), ..Guard::default() }), 0);
}

#[test]
fn the_reason_names_principal_chain_and_place() {
    let access = tables(
        &[("group:eng", &["group:platform"]), ("group:platform", &["user:ana"])],
        &[("infra", json!({"allow": ["group:eng"]}))],
        &[json!({"parent": "infra"})],
    );
    let ana = Caller::user(Principal::parse("user:ana").unwrap()).unwrap();
    let permit = PermitCache::default().permit(&access, &ana, NOW);
    assert_eq!(access.why(&ana, &permit, 1, NOW), ["group:eng", "via group:platform", "allowed on container wiki/infra"]);
}
