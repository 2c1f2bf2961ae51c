//! Versions as callers count them: an edit of what a caller may not read is none to them. And catalogs of older formats.

use serde_json::{Value, json};
use sightline_index::{
    Caller, Engine, Error, Freshness, NewChunk, NewDocument, NewSection, Options, Principal, Query, Timestamp, Write,
};

use crate::http::Server;

fn user(name: &str) -> Caller {
    Caller::user(Principal::parse(name).unwrap()).unwrap()
}

fn document(public: &str, salary: &str) -> Value {
    json!({
        "title": "Staff", "text": public, "mime": "text/plain", "acl": { "allow": ["everyone"] },
        "sections": [{ "name": "pay", "text": salary, "acl": { "allow": ["user:hr"] } }]
    })
}

/// The version, token and time of the only hit.
fn hit(server: &Server, key: &str, user: &str) -> (Value, String, Value) {
    let question = json!({ "query": "mooring", "mode": "keyword" });
    let found = server.call("POST", "/v1/search").key(key).header("sightline-user", user).json(&question).send().value();
    let citation = &found["hits"][0]["citation"];
    (citation["version"].clone(), citation["token"].as_str().unwrap().to_owned(), citation["ingested_at"].clone())
}

#[test]
fn an_edit_of_a_hidden_section_is_no_new_version() {
    let server = Server::start();
    let key = server.master();
    let put = |text, pay| server.put(&key, "wiki/staff", document(text, pay))["version"].clone();
    let open = |token: &str, user: &str| {
        let call = server.call("GET", &format!("/v1/citations/{token}")).key(&key).header("sightline-user", user);
        call.send().value()["citation"]["freshness"].clone()
    };
    let read = |version: u32, user: &str| {
        let path = format!("/v1/documents/wiki/staff?version={version}");
        server.call("GET", &path).key(&key).header("sightline-user", user).send()
    };
    assert_eq!(put("The mooring plan.", "Ana earns 100."), 1);
    let (outside, inside) = (hit(&server, &key, "user:bo"), hit(&server, &key, "user:hr"));
    assert_eq!((&outside.0, &inside.0), (&json!(1), &json!(1)));

    assert_eq!(put("The mooring plan.", "Ana earns 200."), 2);
    assert_eq!(hit(&server, &key, "user:bo"), outside);
    let changed = hit(&server, &key, "user:hr");
    assert_eq!(changed.0, 2);
    assert!(changed.1 != inside.1 && changed.2 != inside.2);
    assert_eq!((open(&outside.1, "user:bo"), open(&inside.1, "user:hr")), (json!("current"), json!("superseded")));
    // A token can be passed on: what it names is current to whom nothing changed.
    assert_eq!((open(&inside.1, "user:bo"), open(&outside.1, "user:hr")), (json!("current"), json!("superseded")));
    read(2, "user:bo").is_problem(404, "not_found");
    assert_eq!(read(1, "user:hr").value()["text"].as_str().unwrap().matches("100").count(), 1);

    assert_eq!(put("The new mooring plan.", "Ana earns 200."), 3);
    assert_eq!((hit(&server, &key, "user:bo").0, hit(&server, &key, "user:hr").0), (json!(2), json!(3)));
    assert_eq!(open(&outside.1, "user:bo"), "superseded");
    assert_eq!(read(1, "user:bo").value()["freshness"], "superseded");
    assert_eq!(read(2, "user:bo").value()["freshness"], "current");

    // Gone and there again is a new version to everybody.
    server.call("DELETE", "/v1/documents/wiki/staff").key(&key).send();
    assert_eq!(put("The new mooring plan.", "Ana earns 200."), 4);
    assert_eq!((hit(&server, &key, "user:bo").0, hit(&server, &key, "user:hr").0), (json!(3), json!(4)));
}

/// A document of an outer part, a section for `user:hr`, and another outer part; the section can stand at the end.
fn with_section(last: bool) -> NewDocument {
    let (outer, pay, more) = ("The mooring plan.\n\n", "Ana earns 100.\n\n", "Tie twice.\n\n");
    let text = if last { [outer, more, pay] } else { [outer, pay, more] }.concat();
    let span = |part: &str| text.find(part).map(|start| (start, start + part.len())).unwrap();
    let (start, end) = span(pay);
    let mut chunks: Vec<NewChunk> =
        [outer, pay, more].map(span).map(|(start, end)| NewChunk { start, end, ..NewChunk::default() }).into();
    chunks.sort_by_key(|chunk| chunk.start);
    NewDocument {
        source: "wiki".to_owned(),
        id: "rules".to_owned(),
        acl: Some(json!({ "allow": ["everyone"] })),
        sections: vec![NewSection { name: "pay".to_owned(), start, end, acl: json!({ "allow": ["user:hr"] }) }],
        chunks,
        text,
        ..NewDocument::default()
    }
}

#[test]
fn a_hidden_section_is_no_gap_between_neighbours_and_may_move_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    let now = Timestamp(1_800_000_000_000);
    let ask = |who: &Caller, neighbors| {
        let query = Query { text: "mooring".to_owned(), limit: 5, neighbors, ..Query::default() };
        engine.search(who, &query, now).unwrap().hits.pop().unwrap()
    };
    engine.write(vec![Write::Put(Box::new(with_section(false)))], now).unwrap();
    let (outside, inside) = (user("user:bo"), user("user:hr"));
    let (theirs, hers) = (ask(&outside, 1), ask(&inside, 1));
    assert_eq!(theirs.text, "The mooring plan.\n\nTie twice.\n\n");
    assert_eq!(hers.text, "The mooring plan.\n\nAna earns 100.\n\nTie twice.\n\n");

    engine.write(vec![Write::Put(Box::new(with_section(true)))], now).unwrap();
    assert_eq!(ask(&outside, 1).citation, theirs.citation);
    assert_eq!(ask(&inside, 1).citation.version, 2);
    let opened = engine.citation(&outside, &theirs.citation.token, now).unwrap();
    assert_eq!((opened.text.as_ref(), &opened.citation), (Some(&theirs.text), &theirs.citation));
    let opened = engine.citation(&inside, &hers.citation.token, now).unwrap();
    assert_eq!(opened.citation.freshness, Freshness::Superseded);
}

fn reading() -> Options {
    Options { read_only: true, ..Options::default() }
}

/// A catalog of an older format: reading leaves it alone, and whoever may write migrates it.
fn migrated(found: u32, dump: &str) -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.sqlite")).unwrap();
    catalog.execute_batch(dump).unwrap();
    catalog.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(catalog);
    let refused = Engine::open(dir.path(), &reading());
    assert!(matches!(refused, Err(Error::OlderFormat { found: format, .. }) if format == found));
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    (dir, engine)
}

#[test]
fn a_catalog_of_format_1_is_migrated() {
    let (dir, engine) = migrated(1, include_str!("../formats/1.sql"));
    let now = Timestamp(1_800_000_000_000);
    let (outside, inside) = (user("user:bo"), user("user:ana"));
    let read = |who: &Caller, version| engine.document(who, "share", "plan.md", version, now);
    let (theirs, hers) = (read(&outside, None).unwrap(), read(&inside, None).unwrap());
    assert_eq!((theirs.version, theirs.text.contains("Ana")), (2, false));
    assert_eq!((hers.version, hers.text.contains("200")), (3, true));
    assert!(read(&inside, Some(1)).unwrap().text.contains("100"));
    assert_eq!(read(&outside, Some(1)).unwrap().freshness, Freshness::Superseded);
    assert!(matches!(read(&outside, Some(3)), Err(Error::NotFound)));
    let query = Query { text: "mooring".to_owned(), limit: 5, ..Query::default() };
    assert_eq!(engine.search(&outside, &query, now).unwrap().hits.len(), 1);
    engine.write(vec![Write::Delete { source: "share".to_owned(), id: "plan.md".to_owned() }], now).unwrap();
    drop(engine);
    Engine::open(dir.path(), &reading()).unwrap();
}

#[test]
fn a_catalog_of_format_2_is_migrated() {
    let (dir, engine) = migrated(2, include_str!("../formats/2.sql"));
    let now = Timestamp(1_800_000_000_000);
    for (text, document, shown) in [("rotating", "keys.md", "rotated"), ("Verteidigung", "umzug.md", "Verteidigungen")] {
        let query = Query { text: text.to_owned(), limit: 5, ..Query::default() };
        let hits = engine.search(&user("user:bo"), &query, now).unwrap().hits;
        let [hit] = hits.as_slice() else { panic!("{text}: {hits:?}") };
        let [[start, end]] = hit.highlights[..] else { panic!("{text}: {hit:?}") };
        assert_eq!((hit.citation.document.as_str(), &hit.text[start..end]), (document, shown));
    }
    drop(engine);
    let engine = Engine::open(dir.path(), &reading()).unwrap();
    assert_eq!(engine.check_deep().unwrap(), Vec::<String>::new());
}
