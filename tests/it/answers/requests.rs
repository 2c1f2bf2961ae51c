//! The request: its forms, its bounds, and that no answer takes long.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_index::Scope;

use super::{READER, check, codes, search};
use crate::http::Server;

const ACL: &str = "public";

fn scene() -> (Server, String, String) {
    let server = Server::start();
    let key = server.master();
    server.put(&key, "wiki/a", json!({ "text": "The mooring fee is 71 euros for each night.", "acl": { "allow": [ACL] } }));
    let token = search(&server, &key, "mooring", 1)[0]["citation"]["token"].as_str().unwrap().to_owned();
    (server, key, token)
}

#[test]
fn citations_are_given_in_three_forms() {
    let (server, key, token) = scene();
    for (marker, citations) in [
        ("[1]", json!([token])),
        ("[a]", json!([{ "marker": "a", "token": token }])),
        ("[Lee 2020]", json!({ "Lee 2020": token })),
        ("[^1]", json!({ "1": token })),
        ("【1】", json!([token])),
    ] {
        let report =
            check(&server, &key, &json!({ "answer": format!("The mooring fee is €71 {marker}."), "citations": citations }));
        assert_eq!(report["verdict"], "pass", "{report}");
    }
    let report = check(&server, &key, &json!({ "answer": "The mooring fee is €71." }));
    assert_eq!((codes(&report), &report["claims"][0]["verdict"]), (vec!["claim_uncited"], &json!("uncited")));
    let report = check(&server, &key, &json!({ "answer": "I found no information on that." }));
    assert_eq!((&report["verdict"], &report["claims"]), (&json!("pass"), &json!([])));
}

#[test]
fn a_wrong_request_is_refused_and_names_the_field() {
    let (server, key, token) = scene();
    let many: Vec<&str> = vec![&token; 101];
    let (long, sentences) = ("x".repeat((64 << 10) + 1), "Ab cd. ".repeat(1_001));
    let markers: String = (1..=17).map(|number| format!("[{number}]")).collect();
    for (body, code, named) in [
        (json!({}), "invalid_field", "answer"),
        (json!({ "answer": " " }), "invalid_field", "empty"),
        (json!({ "answer": 7 }), "invalid_field", "string"),
        (json!({ "answer": long }), "invalid_field", "65536"),
        (json!({ "answer": sentences }), "invalid_field", "1000"),
        (json!({ "answer": format!("Boats sail {markers}.") }), "invalid_field", "16"),
        (json!({ "answer": "a", "citations": many }), "invalid_field", "100"),
        (json!({ "answer": "a", "citations": "x" }), "invalid_field", "citations"),
        (json!({ "answer": "a", "citations": [7] }), "invalid_field", "citations"),
        (json!({ "answer": "a", "citations": { "1": 7 } }), "invalid_field", "citations"),
        (json!({ "answer": "a", "citations": [{ "marker": "1" }] }), "invalid_field", "token"),
        (json!({ "answer": "a", "citations": [{ "marker": "1", "token": "x", "page": 1 }] }), "unknown_field", "page"),
        (json!({ "answer": "a", "citations": { "": "x" } }), "invalid_field", "marker"),
        (json!({ "answer": "a", "citations": { "[1]": "x" } }), "invalid_field", "brackets"),
        (
            json!({ "answer": "a", "citations": [{ "marker": "a", "token": "x" }, { "marker": "a", "token": "y" }] }),
            "invalid_field",
            "twice",
        ),
        (json!({ "answer": "a", "max_age": "soon" }), "invalid_field", "max_age"),
        (json!({ "answer": "a", "model": "x" }), "unknown_field", "model"),
    ] {
        let answer = server.call("POST", "/v1/answers/check").key(&key).json(&body).send();
        answer.is_problem(400, code);
        let shown: String = body.to_string().chars().take(100).collect();
        assert!(answer.value()["detail"].as_str().unwrap().contains(named), "{shown}: {}", answer.body);
    }
    let answer = server.call("POST", "/v1/answers/check").key(&server.key(&[Scope::Ingest])).json(&json!({ "answer": "a" })).send();
    answer.is_problem(403, "missing_scope");
    server.call("POST", "/v1/answers/check").json(&json!({ "answer": "a" })).send().is_problem(401, "no_credentials");
    server.call("GET", "/v1/answers/check").key(&key).send().is_problem(405, "method_not_allowed");
}

#[test]
fn no_answer_takes_long() {
    let server = Server::start();
    let key = server.master();
    // Passages as long as they get: with ten neighbours on either side.
    for document in 0..100 {
        let text: String =
            (0..600).map(|at| format!("The mooring fee {} of berth {at} is not {} euros, says Bo. ", document, at * 7)).collect();
        server.put(&key, &format!("wiki/{document}"), json!({ "text": text, "acl": { "allow": [READER] } }));
    }
    let body = json!({ "query": "mooring", "mode": "keyword", "limit": 100, "neighbors": 10 });
    let hits = server.call("POST", "/v1/search").key(&key).header("sightline-user", READER).json(&body).send().value();
    let tokens: Vec<Value> = hits["hits"].as_array().unwrap().iter().map(|hit| hit["citation"]["token"].clone()).collect();
    assert_eq!(tokens.len(), 100);
    let fill = |piece: &str| piece.repeat((64 << 10) / piece.len());
    for answer in [
        fill("The fee was never 5 euros of berth 7 [1-16]. "),
        fill("The mooring fee is not 71 euros [1]. ")[..999 * 37].to_owned(),
        format!("{} [1-16].", &fill("the mooring fee of berth 71 is not 497 euros ")[..65_000]),
        format!("\"{}\" [1-16].", &fill("the ... mooring ... fee ")[..65_000]),
        format!("“{}” [1].", &fill("The mooring fee 0 of berth ")[..65_000]),
        fill("[1]"),
        fill("[1"),
        fill("\"a b c\" "),
        fill("“"),
        fill("【"),
        fill("- "),
        fill("| "),
        fill("不"),
        fill("a\n\n"),
        fill("1,"),
        fill("..."),
    ] {
        let started = Instant::now();
        let body = json!({ "answer": answer, "citations": tokens });
        let checked = server.call("POST", "/v1/answers/check").key(&key).header("sightline-user", READER).json(&body).send();
        assert!([200, 400].contains(&checked.status), "{}", checked.body);
        println!("{:?} {} {}", started.elapsed(), checked.status, &answer.chars().take(30).collect::<String>());
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{:?}: {}",
            started.elapsed(),
            &answer.chars().take(60).collect::<String>()
        );
    }
}
