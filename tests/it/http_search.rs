//! The shape of a search and its answer, its limits, and citations.

use serde_json::{Value, json};

use crate::http::{Answer, Server};

fn search(server: &Server, key: &str, body: &Value) -> Answer {
    server.call("POST", "/v1/search").key(key).header("sightline-user", "user:ana").json(body).send()
}

#[test]
fn a_hit_is_cited_and_its_span_slices_the_document() {
    let server = Server::start();
    let key = server.master();
    let text = "# Keys\n\nIntroduction: grüße.\n\n## Rotation\n\nRotate the signing key every year.";
    let document = json!({ "title": "Signing keys", "text": text, "mime": "text/markdown", "uri": "https://wiki.example/k",
        "acl": { "allow": ["group:eng"] }, "version": "7", "modified_at": "2026-01-02T03:04:05Z" });
    server.put(&key, "wiki/signing-keys", document);
    server.call("PUT", "/v1/groups/eng").key(&key).json(&json!({ "members": ["user:ana"] })).send();
    let answer = search(
        &server,
        &key,
        &json!({ "query": "signing rotation", "mode": "keyword", "why": true, "exact": true, "neighbors": 1 }),
    );
    let answer = answer.value();
    assert!(answer["query_id"].as_str().unwrap().starts_with("q_"));
    assert!(answer["took_ms"].is_f64() && answer["epoch"].is_u64());
    assert_eq!((&answer["mode"], &answer["warnings"]), (&json!("keyword"), &json!([])));
    let hit = &answer["hits"][0];
    let citation = &hit["citation"];
    assert_eq!((&citation["source"], &citation["document"]), (&json!("wiki"), &json!("signing-keys")));
    assert_eq!((&citation["version"], &citation["source_version"]), (&json!(1), &json!("7")));
    let read = server.call("GET", "/v1/documents/wiki/signing-keys").key(&key).header("sightline-user", "user:ana").send().value();
    let at = |end: &str| citation["span"][end].as_u64().unwrap() as usize;
    assert_eq!(&read["text"].as_str().unwrap()[at("start")..at("end")], hit["text"].as_str().unwrap());
    assert_eq!(citation["document_hash"], read["document_hash"]);
    let [start, end] = serde_json::from_value::<[usize; 2]>(hit["highlights"][0].clone()).unwrap();
    assert!(hit["text"].as_str().unwrap().is_char_boundary(start) && start < end);
    assert!(hit["scores"]["keyword"].as_f64().unwrap() > 0.0 && hit["scores"]["vector"].is_null());
    assert_eq!(hit["why"], json!(["group:eng", "allowed on the document"]));
    let plain = search(&server, &key, &json!({ "query": "signing" })).value();
    assert!(plain["hits"][0].get("why").is_none());
}

#[test]
fn without_a_model_keywords_answer_with_a_warning() {
    let server = Server::start();
    let key = server.master();
    server.put(&key, "wiki/a", json!({ "text": "mooring", "acl": { "allow": ["public"] } }));
    for mode in ["hybrid", "vector"] {
        let answer = search(&server, &key, &json!({ "query": "mooring", "mode": mode })).value();
        assert_eq!((&answer["mode"], &answer["warnings"][0]["code"]), (&json!("keyword"), &json!("embedder_unavailable")));
        assert_eq!(answer["hits"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn filters_narrow() {
    let server = Server::start();
    let key = server.master();
    for (path, dept, modified) in [("wiki/a", "eng", "2020-01-01T00:00:00Z"), ("crm/b", "hr", "2020-01-01T00:00:00Z")] {
        let document =
            json!({ "text": "mooring", "acl": { "allow": ["public"] }, "labels": { "dept": dept }, "modified_at": modified });
        server.put(&key, path, document);
    }
    server.put(&key, "wiki/now", json!({ "text": "mooring", "acl": { "allow": ["public"] } }));
    for (narrow, expected) in [
        (json!({}), 3),
        (json!({ "filter": {} }), 3),
        (json!({ "filter": { "sources": ["wiki"] } }), 2),
        (json!({ "filter": { "sources": [] } }), 0),
        (json!({ "filter": { "sources": ["wiki", "crm"], "labels": { "dept": "hr" } } }), 1),
        (json!({ "filter": { "modified_after": "2021-01-01T00:00:00Z" } }), 1),
        (json!({ "max_age": "90d" }), 1),
        (json!({ "max_age": "9000w" }), 3),
        (json!({ "limit": 2 }), 2),
    ] {
        let mut body = json!({ "query": "mooring", "mode": "keyword" });
        body.as_object_mut().unwrap().extend(narrow.as_object().unwrap().clone());
        assert_eq!(search(&server, &key, &body).value()["hits"].as_array().unwrap().len(), expected, "{narrow}");
    }
}

#[test]
fn a_minimal_epoch_is_reached_or_refused() {
    let server = Server::start();
    let key = server.master();
    let epoch = server.put(&key, "wiki/a", json!({ "text": "mooring", "acl": { "allow": ["public"] } }))["epoch"].as_u64().unwrap();
    let answer = search(&server, &key, &json!({ "query": "mooring", "min_epoch": epoch }));
    assert!(answer.value()["epoch"].as_u64().unwrap() >= epoch);
    search(&server, &key, &json!({ "query": "mooring", "min_epoch": epoch + 1 })).is_problem(409, "epoch_not_reached");
}

#[test]
fn a_wrong_search_is_a_bad_request_that_names_the_field() {
    let server = Server::start();
    let key = server.master();
    let long = json!({ "query": "x".repeat((8 << 10) + 1) }).to_string();
    for (body, code, named) in [
        ("", "malformed_json", "EOF"),
        ("{", "malformed_json", "EOF"),
        ("\u{feff}{}", "malformed_json", "expected"),
        ("[\"a\"]", "invalid_field", "object"),
        ("{}", "invalid_field", "query"),
        (r#"{"query":7}"#, "invalid_field", "string"),
        (r#"{"query":null}"#, "invalid_field", "string"),
        (r#"{"query":""}"#, "empty_query", "query"),
        (r#"{"query":" \n\t"}"#, "empty_query", "query"),
        (&long, "query_too_long", "8192"),
        (r#"{"query":"a","limit":0}"#, "invalid_field", "limit"),
        (r#"{"query":"a","limit":101}"#, "invalid_field", "limit"),
        (r#"{"query":"a","limit":-1}"#, "invalid_field", "-1"),
        (r#"{"query":"a","limit":"5"}"#, "invalid_field", "5"),
        (r#"{"query":"a","mode":"fuzzy"}"#, "invalid_field", "fuzzy"),
        (r#"{"query":"a","top_k":5}"#, "unknown_field", "top_k"),
        (r#"{"query":"a","filter":{"source":"wiki"}}"#, "unknown_field", "source"),
        (r#"{"query":"a","filter":{"modified_after":"yesterday"}}"#, "invalid_field", "RFC 3339"),
        (r#"{"query":"a","filter":{"labels":{"dept":7}}}"#, "invalid_field", "string"),
        (r#"{"query":"a","max_age":"soon"}"#, "invalid_field", "max_age"),
        (r#"{"query":"a","neighbors":11}"#, "invalid_field", "neighbors"),
        (r#"{"query":"a","query":"b"}"#, "repeated_field", "query"),
    ] {
        let answer = server.call("POST", "/v1/search").key(&key).body("application/json", body.as_bytes()).send();
        answer.is_problem(400, code);
        assert!(answer.value()["detail"].as_str().unwrap().contains(named), "{body}: {}", answer.body);
    }
    assert_eq!(search(&server, &key, &json!({ "query": "x".repeat(8 << 10), "limit": 100 })).status, 200);
    assert_eq!(search(&server, &key, &json!({ "query": "\"(+!AND OR NOT \\ * ~ ? : {} [] 🦀" })).status, 200);
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml"] {
        let answer = server.call("POST", "/v1/search").key(&key).body(media_type, br#"{"query":"a"}"#).send();
        answer.is_problem(415, "unsupported_media_type");
    }
    let answer = server.call("POST", "/v1/search").key(&key).body("application/json; charset=UTF-8", br#"{"query":"a"}"#).send();
    assert_eq!(answer.status, 200);
}

#[test]
fn a_citation_says_what_became_of_its_passage() {
    let server = Server::start();
    let key = server.master();
    let put = |text: &str| server.put(&key, "wiki/a", json!({ "text": text, "acl": { "allow": ["user:ana"] } }));
    put("the mooring plan");
    let hit = search(&server, &key, &json!({ "query": "mooring", "mode": "keyword" })).value()["hits"][0].clone();
    let token = hit["citation"]["token"].as_str().unwrap();
    let open =
        || server.call("GET", &format!("/v1/citations/{token}")).key(&key).header("sightline-user", "user:ana").send().value();
    assert_eq!(open(), json!({ "status": "current", "text": hit["text"], "citation": hit["citation"], "newer": null }));
    put("the anchor plan");
    let superseded = open();
    assert_eq!((&superseded["status"], &superseded["text"]), (&json!("superseded"), &hit["text"]));
    let newer = &superseded["newer"];
    assert_eq!((&newer["text"], &newer["citation"]["freshness"]), (&json!("the anchor plan"), &json!("current")));
    assert_eq!(newer["citation"]["span"], json!({ "start": 0, "end": 15 }));
    server.call("DELETE", "/v1/documents/wiki/a").key(&key).send();
    let deleted = open();
    assert_eq!((&deleted["status"], &deleted["text"]), (&json!("deleted"), &json!(null)));
}

#[test]
fn hits_are_arranged_as_asked() {
    let settings = r#"{ "old": { "recency": { "half_life": "1d", "weight": 1.0 }, "stale_after": "0s" } }"#;
    let server = Server::with(|config| config.sources = serde_json::from_str(settings).unwrap());
    let key = server.master();
    let filler = "the harbour master keeps a list of every boat, of its owner and of the place at which it lies in winter";
    let put = |path: &str, text: String, modified: &str| {
        server.put(&key, path, json!({ "text": text, "acl": { "allow": ["public"] }, "modified_at": modified }));
    };
    put("wiki/first", format!("mooring mooring mooring. {filler}"), "2020-01-01T00:00:00Z");
    put("wiki/copy", format!("mooring mooring mooring. {filler}!"), "2021-01-01T00:00:00Z");
    put("wiki/third", "mooring, and nothing else that is of use to anyone".to_owned(), "2022-01-01T00:00:00Z");
    let ask = |options: Value| {
        let mut body = json!({ "query": "mooring", "mode": "keyword" });
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        search(&server, &key, &body).value()
    };
    let documents = |answer: &Value| -> Vec<String> {
        let hits = answer["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["citation"]["document"].as_str().unwrap().to_owned()).collect()
    };
    let plain = documents(&ask(json!({})));
    assert_eq!(plain.len(), 3);
    assert_eq!(documents(&ask(json!({ "sort": "modified_at" }))), ["third", "copy", "first"]);
    let collapsed = ask(json!({ "duplicates": "collapse" }));
    assert_eq!(documents(&collapsed), [plain[0].as_str(), "third"]);
    assert_eq!(collapsed["hits"][0]["duplicates"][0]["document"], plain[1].as_str());
    assert!(collapsed["hits"][1].get("duplicates").is_none());
    let faded = ask(json!({ "recency": { "half_life": "365d", "weight": 1.0 } }));
    let score = |answer: &Value, document: &str| {
        let hits = answer["hits"].as_array().unwrap();
        hits.iter().find(|hit| hit["citation"]["document"] == document).unwrap()["score"].as_f64().unwrap()
    };
    assert!(score(&faded, "first") < score(&faded, "copy"));
    assert!(score(&ask(json!({})), "first") / score(&faded, "first") > 16.0);
    assert_eq!(ask(json!({ "recency": "52w" }))["hits"].as_array().unwrap().len(), 3);

    // Of one source scores fall by its own setting, and it was not seen for longer than it should be.
    assert_eq!(ask(json!({}))["warnings"], json!([]));
    put("old/minutes", "mooring mooring mooring mooring".to_owned(), "2020-01-01T00:00:00Z");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let answer = ask(json!({}));
    assert_eq!(documents(&answer)[3], "minutes");
    assert_eq!((&answer["warnings"][0]["code"], &answer["warnings"][0]["source"]), (&json!("source_stale"), &json!("old")));
    assert_ne!(documents(&ask(json!({ "recency": { "half_life": "1d", "weight": 0 } })))[3], "minutes");

    let many: String = (0..40).map(|n| format!("# Part {n}\n\n{}\n\n", "quay ".repeat(200 + n))).collect();
    server.put(&key, "wiki/long", json!({ "text": many, "mime": "text/markdown", "acl": { "allow": ["public"] } }));
    put("wiki/short", "a word on the quay, the pier, the jetty and the breakwater".to_owned(), "2020-01-01T00:00:00Z");
    let ask_quay = |options: Value| {
        let mut body = json!({ "query": "quay", "mode": "keyword", "limit": 5 });
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        documents(&search(&server, &key, &body).value())
    };
    assert_eq!(ask_quay(json!({})), ["long"; 5]);
    assert_eq!(ask_quay(json!({ "per_document": 1 })), ["long", "short"]);
    assert!(ask_quay(json!({ "diversity": 0.9 })).contains(&"short".to_owned()));

    for (wrong, field) in [
        (json!({ "per_document": 0 }), "per_document"),
        (json!({ "diversity": 1.5 }), "diversity"),
        (json!({ "diversity": 0.5, "sort": "modified_at" }), "diversity"),
        (json!({ "recency": "soon" }), "recency"),
        (json!({ "recency": { "half_life": "0d" } }), "recency"),
        (json!({ "recency": { "half_life": "1d", "weight": 2 } }), "recency"),
        (json!({ "sort": "random" }), "modified_at"),
    ] {
        let mut body = json!({ "query": "quay" });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let answer = search(&server, &key, &body);
        assert!(answer.status == 400 && answer.body.contains(field), "{wrong}: {}", answer.body);
    }
}
