//! Who is let in, as whom, and what a key's scopes and guard leave of it.

use std::collections::BTreeMap;

use serde_json::json;
use sightline_index::{Guard, NewKey, Scope, Timestamp};

use crate::http::Server;

const SEARCH: &str = r#"{"query":"anything"}"#;

#[test]
fn credentials_that_do_not_work_are_unauthorized() {
    let server = Server::start();
    let search = || server.call("POST", "/v1/search").body("application/json", SEARCH.as_bytes());
    search().send().is_problem(401, "no_credentials");
    for wrong in ["Bearer", "Bearer ", "Basic c2w6eA==", "Bearer sl_no_such_key", "sl_no_such_key", "Token sl_x"] {
        search().header("authorization", wrong).send().is_problem(401, "wrong_credentials");
    }
    let long = format!("Bearer sl_{}", "x".repeat(1000));
    search().header("authorization", &long).send().is_problem(401, "wrong_credentials");
    search().header("authorization", "Bearer eyJhbGciOi.e30.x").send().is_problem(401, "no_issuer");
    let key = server.key(&[Scope::Search]);
    search().key(&key).header("sightline-user-token", "eyJhbGciOi.e30.x").send().is_problem(401, "no_issuer");
    search().key(&key).key(&key).send().is_problem(401, "wrong_credentials");
    assert_eq!(search().key(&key).send().status, 200);
    assert_eq!(search().header("authorization", &format!("bearer {key}")).send().status, 200);
    let mut other = key.clone();
    other.pop();
    search().key(&other).send().is_problem(401, "wrong_credentials");
}

#[test]
fn a_revoked_or_expired_key_works_no_longer() {
    let server = Server::start();
    let (id, key) = server.narrow_key(&[Scope::Search], Guard::default());
    let search = |key: &str| server.call("POST", "/v1/search").key(key).body("application/json", SEARCH.as_bytes()).send();
    assert_eq!(search(&key).status, 200);
    server.ring().revoke(&id, Timestamp::now()).unwrap();
    search(&key).is_problem(401, "wrong_credentials");
    let expired = NewKey {
        owner: "tests".to_owned(),
        purpose: "a test".to_owned(),
        scopes: [Scope::Search].into(),
        guard: Guard::default(),
        expires_at: Some(Timestamp::now()),
    };
    let (_, key) = server.ring().create(&expired, Timestamp::now()).unwrap();
    search(&key).is_problem(401, "wrong_credentials");
}

#[test]
fn every_route_needs_its_scope() {
    let server = Server::start();
    let scopes = [Scope::Search, Scope::Ingest, Scope::Admin, Scope::AssertUser];
    let keys: BTreeMap<Scope, String> = scopes.iter().map(|scope| (*scope, server.key(&[*scope]))).collect();
    for (method, path, allowed) in [
        ("POST", "/v1/search", &[Scope::Search][..]),
        ("GET", "/v1/documents/s/i", &[Scope::Search]),
        ("PUT", "/v1/documents/s/i", &[Scope::Ingest]),
        ("DELETE", "/v1/documents/s/i", &[Scope::Ingest]),
        ("PUT", "/v1/documents/s/i/acl", &[Scope::Ingest]),
        ("POST", "/v1/documents/batch", &[Scope::Ingest]),
        ("PUT", "/v1/containers/s/i", &[Scope::Ingest]),
        ("DELETE", "/v1/containers/s/i", &[Scope::Ingest]),
        ("PUT", "/v1/groups/eng", &[Scope::Ingest, Scope::Admin]),
        ("GET", "/v1/groups/eng", &[Scope::Ingest, Scope::Admin]),
        ("DELETE", "/v1/groups/eng", &[Scope::Ingest, Scope::Admin]),
        ("POST", "/v1/groups/eng/members", &[Scope::Ingest, Scope::Admin]),
        ("GET", "/v1/citations/token", &[Scope::Search]),
        ("GET", "/v1/stats", &[Scope::Admin]),
        ("GET", "/v1/jobs", &[Scope::Admin]),
    ] {
        server.call(method, path).send().is_problem(401, "no_credentials");
        for (scope, key) in &keys {
            let answer = server.call(method, path).key(key).send();
            if allowed.contains(scope) {
                assert!(![401, 403].contains(&answer.status), "{method} {path} {scope:?}: {}", answer.body);
            } else {
                answer.is_problem(403, "missing_scope");
            }
        }
    }
}

#[test]
fn probes_need_no_credentials() {
    let server = Server::start();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.call("GET", path).send().status, 200, "{path}");
    }
}

#[test]
fn a_caller_without_a_user_is_public() {
    let server = Server::start();
    let master = server.master();
    for (id, allow) in [("all", "public"), ("staff", "everyone"), ("ana", "user:ana@example.com")] {
        server.put(&master, &format!("wiki/{id}"), json!({ "text": "mooring plan", "acl": { "allow": [allow] } }));
    }
    let found = |user| {
        let mut found = server.found(&master, user, "mooring");
        found.sort();
        found
    };
    assert_eq!(found(None), ["all"]);
    assert_eq!(found(Some("user:bo@example.com")), ["all", "staff"]);
    assert_eq!(found(Some("user:ana@example.com")), ["all", "ana", "staff"]);
    assert_eq!(found(Some("user:Ana@example.com")), ["all", "staff"], "ids are case-sensitive");
}

#[test]
fn naming_a_user_needs_a_scope_and_a_user() {
    let server = Server::start();
    let search = |key: &str, user: &str| {
        server.call("POST", "/v1/search").key(key).header("sightline-user", user).body("application/json", SEARCH.as_bytes()).send()
    };
    search(&server.key(&[Scope::Search]), "user:ana").is_problem(403, "missing_scope");
    let key = server.key(&[Scope::Search, Scope::AssertUser]);
    for wrong in ["ana", "group:eng", "public", "everyone", "user:", "user:a,user:b\t\u{1}"] {
        let answer = server.call("POST", "/v1/search").key(&key).header("sightline-user", "user:ana");
        let answer = if wrong.contains('\u{1}') { answer.header("sightline-user", "user:bo").send() } else { search(&key, wrong) };
        answer.is_problem(400, "bad_header");
    }
    assert_eq!(search(&key, "user:jürgen@example.com").status, 200);
}

#[test]
fn groups_are_believed_only_where_configured() {
    let strict = Server::start();
    let search = |server: &Server, key: &str, groups: &str| {
        let call = server.call("POST", "/v1/search").key(key).header("sightline-user", "user:ana");
        call.header("sightline-groups", groups).json(&json!({ "query": "mooring", "mode": "keyword" })).send()
    };
    search(&strict, &strict.master(), "group:eng").is_problem(403, "groups_not_allowed");
    let server = Server::with(|config| config.allow_asserted_groups = true);
    let master = server.master();
    server.put(&master, "wiki/a", json!({ "text": "mooring plan", "acl": { "allow": ["group:eng"] } }));
    assert_eq!(search(&server, &master, "group:ops, group:eng").value()["hits"].as_array().unwrap().len(), 1);
    assert_eq!(search(&server, &master, "group:ops").value()["hits"].as_array().unwrap().len(), 0);
    search(&server, &master, "eng").is_problem(400, "bad_header");
    search(&server, &master, "user:bo").is_problem(400, "bad_header");
    search(&server, &server.key(&[Scope::Search]), "group:eng").is_problem(403, "missing_scope");
    let call = server.call("POST", "/v1/search").key(&master).header("sightline-groups", "group:eng");
    call.body("application/json", SEARCH.as_bytes()).send().is_problem(400, "bad_header");
}

#[test]
fn a_key_narrows_what_its_callers_see() {
    let server = Server::start();
    let master = server.master();
    for (path, dept) in [("wiki/a", "eng"), ("wiki/b", "hr"), ("crm/c", "eng")] {
        let document = json!({ "text": "mooring plan", "acl": { "allow": ["public"] }, "labels": { "dept": dept } });
        server.put(&master, path, document);
    }
    let guard = |source: Option<&str>, label: Option<&str>| Guard {
        sources: source.map(|source| vec![source.to_owned()]),
        labels: label.map(|label| ("dept".to_owned(), label.to_owned())).into_iter().collect(),
    };
    for (guard, expected) in [
        (guard(None, None), &["a", "b", "c"][..]),
        (guard(Some("wiki"), None), &["a", "b"]),
        (guard(None, Some("eng")), &["a", "c"]),
        (guard(Some("wiki"), Some("eng")), &["a"]),
        (guard(Some("none"), None), &[]),
    ] {
        let (_, key) = server.narrow_key(&[Scope::Search], guard);
        let mut found = server.found(&key, None, "mooring");
        found.sort();
        assert_eq!(found, expected);
        let seen = server.call("GET", "/v1/documents/crm/c").key(&key).send().status;
        assert_eq!(seen == 200, expected.contains(&"c"));
    }
}

#[test]
fn a_key_narrows_what_its_app_writes() {
    let server = Server::start();
    let wiki = Guard { sources: Some(vec!["wiki".to_owned()]), labels: BTreeMap::new() };
    let (_, key) = server.narrow_key(&[Scope::Ingest], wiki);
    let send = |key: &str, method: &str, path: &str, body: &str| {
        server.call(method, path).key(key).body("application/json", body.as_bytes()).send()
    };
    let document = r#"{"text":"a"}"#;
    assert_eq!(send(&key, "PUT", "/v1/documents/wiki/a", document).status, 200);
    assert_eq!(send(&key, "PUT", "/v1/groups/wiki%2Feng", r#"{"members":["user:ana"]}"#).status, 200);
    for (method, path, body) in [
        ("PUT", "/v1/documents/crm/a", document),
        ("DELETE", "/v1/documents/crm/a", ""),
        ("PUT", "/v1/documents/crm/a/acl", "{}"),
        ("PUT", "/v1/containers/crm/a", "{}"),
        ("PUT", "/v1/groups/eng", r#"{"members":[]}"#),
        ("POST", "/v1/groups/crm%2Feng/members", r#"{"add":["user:ana"]}"#),
    ] {
        send(&key, method, path, body).is_problem(403, "outside_guard");
    }
    let labels = Guard { sources: None, labels: [("dept".to_owned(), "hr".to_owned())].into() };
    let (_, key) = server.narrow_key(&[Scope::Ingest], labels);
    assert_eq!(send(&key, "PUT", "/v1/documents/crm/b", r#"{"text":"a","labels":{"dept":"hr"}}"#).status, 200);
    send(&key, "PUT", "/v1/documents/crm/b", document).is_problem(403, "outside_guard");
    send(&key, "DELETE", "/v1/documents/wiki/a", "").is_problem(403, "outside_guard");
    // What carries other labels is not replaced, not even after it was deleted: old versions would open with the new one.
    let master = server.master();
    let mine = r#"{"text":"a","labels":{"dept":"hr"}}"#;
    assert_eq!(send(&master, "PUT", "/v1/documents/crm/c", r#"{"text":"a","labels":{"dept":"eng"}}"#).status, 200);
    send(&key, "PUT", "/v1/documents/crm/c", mine).is_problem(403, "outside_guard");
    assert_eq!(send(&master, "DELETE", "/v1/documents/crm/c", "").status, 200);
    send(&key, "PUT", "/v1/documents/crm/c", mine).is_problem(403, "outside_guard");
    assert_eq!(send(&key, "PUT", "/v1/documents/crm/b", mine).status, 200);
}
