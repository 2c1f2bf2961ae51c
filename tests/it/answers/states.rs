//! What became of a cited passage, and who may read it.

use serde_json::{Value, json};

use super::{READER, check, codes, search};
use crate::http::Scene;

const TEXT: &str = "# Travel policy\n\nThe daily allowance for trips abroad is EUR 71. Claims are paid within ten days after approval.\n\n\
                    Receipts above EUR 25 are kept for seven years by the travel desk.\n";
const CLAIM: &str = "The daily allowance for trips abroad is EUR 71 [1].";

impl Scene {
    fn put(&self, id: &str, text: &str, reader: &str) {
        let document = json!({ "text": text, "mime": "text/markdown", "acl": { "allow": [reader] } });
        self.server.put(&self.key, &format!("wiki/{id}"), document);
    }

    fn token(&self, id: &str, reader: &str) -> String {
        let body = json!({ "query": "allowance", "mode": "keyword", "limit": 100 });
        let call = self.server.call("POST", "/v1/search").key(&self.key).header("sightline-user", reader).json(&body);
        let hits = call.send().value()["hits"].as_array().unwrap().clone();
        let hit = hits.iter().find(|hit| hit["citation"]["document"] == id).unwrap();
        hit["citation"]["token"].as_str().unwrap().to_owned()
    }

    fn check(&self, answer: &str, tokens: &[&str]) -> Value {
        check(&self.server, &self.key, &json!({ "answer": answer, "citations": tokens }))
    }
}

/// A token with one character changed.
fn forged(token: &str) -> String {
    let last = if token.ends_with('A') { 'B' } else { 'A' };
    let mut forged: String = token.chars().rev().skip(1).collect::<String>().chars().rev().collect();
    forged.insert(20, last);
    forged
}

#[test]
fn hidden_forged_foreign_and_absent_citations_are_one_answer() {
    let (scene, elsewhere) = (Scene::new(), Scene::new());
    scene.put("travel", TEXT, READER);
    scene.put("secret", &TEXT.replace("71", "99"), "user:bo");
    elsewhere.put("travel", TEXT, READER);
    let (ours, hidden) = (scene.token("travel", READER), scene.token("secret", "user:bo"));
    assert_eq!(scene.check(CLAIM, &[&ours])["verdict"], "pass");

    let answer = |token: &str| {
        let body = json!({ "answer": CLAIM, "citations": [token] });
        let call = scene.server.call("POST", "/v1/answers/check").key(&scene.key).header("sightline-user", READER);
        let (status, headers, body) = call.json(&body).send().observable();
        (status, headers.into_iter().filter(|(name, _)| name != "content-length").collect::<Vec<_>>(), body.replace(token, "TOKEN"))
    };
    let absent = answer("never");
    for token in [&hidden, &forged(&ours), &elsewhere.token("travel", READER), &forged(&hidden)] {
        assert_eq!(answer(token), absent, "{token}");
    }
    let report: Value = serde_json::from_str(&absent.2).unwrap();
    assert_eq!((&report["verdict"], codes(&report)), (&json!("fail"), vec!["claim_unsupported", "citation_not_found"]));
    assert_eq!(report["claims"][0]["verdict"], "unreadable");
    let citation = json!({ "marker": "1", "token": "TOKEN", "state": "not_found", "stale": false, "cited": true });
    assert_eq!(report["citations"][0], citation);

    // The hidden text supports nothing, also beside one that is read, and no mark leads to it.
    let report = scene.check("The daily allowance for trips abroad is EUR 99 [1].", &[&ours, &hidden]);
    assert_eq!(codes(&report), ["claim_unsupported", "citation_not_found", "citation_unused"]);
    // A revocation is obeyed at once.
    scene.put("travel", TEXT, "user:bo");
    assert_eq!(answer(&ours), answer("never"));
}

#[test]
fn a_superseded_passage_counts_as_what_it_has_become() {
    let scene = Scene::new();
    scene.put("travel", TEXT, READER);
    let token = scene.token("travel", READER);
    scene.put("travel", &TEXT.replace("seven years", "nine years"), READER);
    let report = scene.check(CLAIM, &[&token]);
    assert_eq!((&report["verdict"], codes(&report)), (&json!("pass"), vec!["citation_superseded"]));
    let citation = &report["citations"][0];
    assert_eq!((&citation["state"], &citation["citation"]["freshness"]), (&json!("superseded"), &json!("superseded")));
    assert!(citation["newer"]["text"].as_str().unwrap().contains("nine years"), "{citation}");
    let strict = json!({ "answer": CLAIM, "citations": [token], "strict": true });
    assert_eq!(check(&scene.server, &scene.key, &strict)["verdict"], "fail");

    scene.put("travel", &TEXT.replace("71", "75"), READER);
    let report = scene.check(CLAIM, &[&token]);
    assert_eq!((&report["verdict"], &report["claims"][0]["verdict"]), (&json!("fail"), &json!("outdated")));
    let outdated = &report["problems"][0];
    assert_eq!(
        (&outdated["code"], &outdated["fails"], &outdated["claim"]),
        (&json!("citation_superseded"), &json!(true), &json!(0))
    );
    assert_eq!(report["claims"][0]["missing"], json!(["71"]));

    scene.put("travel", "Nothing of it is left here but this.", READER);
    let report = scene.check(CLAIM, &[&token]);
    assert_eq!((&report["verdict"], &report["citations"][0]["newer"]), (&json!("fail"), &Value::Null));
    scene.server.call("DELETE", "/v1/documents/wiki/travel").key(&scene.key).send();
    let report = scene.check(CLAIM, &[&token]);
    assert_eq!(
        (&report["claims"][0]["verdict"], codes(&report)),
        (&json!("unreadable"), vec!["claim_unsupported", "citation_deleted"])
    );
}

#[test]
fn a_moved_citation_is_told_where_it_belongs() {
    let scene = Scene::new();
    scene.put("travel", TEXT, READER);
    scene.put("terms", "# Terms\n\nContractors have no allowance. They are paid EUR 90 an hour by invoice.\n", READER);
    let (travel, terms) = (scene.token("travel", READER), scene.token("terms", READER));
    let report =
        scene.check("Contractors are paid EUR 90 an hour [1]. The allowance abroad is EUR 71 per day [2].", &[&travel, &terms]);
    assert_eq!(codes(&report), ["citation_elsewhere", "citation_elsewhere"]);
    assert_eq!((&report["problems"][0]["marker"], &report["problems"][1]["marker"]), (&json!("2"), &json!("1")));
    let report = scene.check("The allowance abroad is EUR 71 [1]. It's 28 at home [a][7].", &[&travel]);
    assert_eq!(codes(&report), ["claim_uncited", "marker_undefined"]);
}

#[test]
fn a_source_that_was_not_asked_for_long_is_stale() {
    let scene = Scene::new();
    scene.put("travel", TEXT, READER);
    let token = scene.token("travel", READER);
    let ask = |age: &str| check(&scene.server, &scene.key, &json!({ "answer": CLAIM, "citations": [token], "max_age": age }));
    assert_eq!((codes(&ask("1d")), &ask("1d")["verdict"]), (vec![], &json!("pass")));
    std::thread::sleep(std::time::Duration::from_millis(5));
    let report = ask("0s");
    assert_eq!(
        (codes(&report), &report["verdict"], &report["citations"][0]["stale"]),
        (vec!["source_stale"], &json!("fail"), &json!(true))
    );
}

#[test]
fn the_report_points_into_answer_and_passages() {
    let scene = Scene::new();
    scene.put("travel", TEXT, READER);
    let hit = search(&scene.server, &scene.key, "allowance", 1).remove(0);
    let (passage, token) = (hit["text"].as_str().unwrap(), hit["citation"]["token"].as_str().unwrap());
    let answer =
        "## Allowance\n\nFor trips abroad the daily allowance is EUR 71 [1]. It says “claims are paid within ten days” [1].";
    let report = scene.check(answer, &[token]);
    let slice = |text: &str, span: &Value| {
        text[span["start"].as_u64().unwrap() as usize..span["end"].as_u64().unwrap() as usize].to_owned()
    };
    for claim in report["claims"].as_array().unwrap() {
        assert_eq!(slice(answer, &claim["span"]), claim["text"].as_str().unwrap());
    }
    let [first, second] = [&report["claims"][0], &report["claims"][1]];
    assert_eq!((&first["verdict"], &first["support"], &first["markers"]), (&json!("supported"), &json!(1.0), &json!(["1"])));
    assert_eq!(slice(passage, &first["evidence"][0]["span"]).trim(), "The daily allowance for trips abroad is EUR 71.");
    assert_eq!(second["verdict"], "misquoted");
    let quote = &second["quotes"][0];
    assert_eq!(slice(answer, &quote["span"]), "claims are paid within ten days");
    assert_eq!(
        (&quote["verbatim"], &quote["at"], &quote["nearest"]),
        (&json!(false), &Value::Null, &json!("Claims are paid within ten days"))
    );

    let report = scene.check("It says “Claims are paid … after approval.” [1]", &[token]);
    let quote = &report["claims"][0]["quotes"][0];
    assert_eq!(
        (report["verdict"].as_str(), slice(passage, &quote["at"])),
        (Some("pass"), "Claims are paid within ten days after approval.".to_owned())
    );
}
