//! Bodies and paths of the HTTP API, over its router.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use sightline::config::Config;
use sightline::http::{Service, router};
use sightline_index::{AclState, Engine, Guard, KeyRing, NewKey, Options, Principal, Rule, Scope, Timestamp};
use sightline_ingest::{Limits, Pipeline, Sandbox};
use tempfile::TempDir;
use tower_service::Service as _;

use super::{QUICK, Target, scratch, texts};

const WORDS: &[&str] = &[
    "\"op\":\"put\"",
    "\"op\":\"delete\"",
    "\"source\":\"s\"",
    "\"id\":\"a\"",
    "\"text\":\"walrus\"",
    "\"content_base64\":\"aGFsbG8=\"",
    "\"mime\":\"text/markdown\"",
    "\"acl\":{\"allow\":[\"everyone\"]}",
    "\"acl\":null",
    "\"sections\":[]",
    "\"labels\":{\"a\":\"b\"}",
    "\"version\":7",
    "\"modified_at\":\"9999-12-31T23:59:59-23:59\"",
    "\"until\":\"9999-12-31T23:59:59-23:59\"",
    "\"title\":\"t\"",
    "\"limit\":100",
    "\"mode\":\"keyword\"",
    "\"filter\":{\"sources\":[]}",
    "\"min_epoch\":1",
    "\"max_age\":\"7d\"",
    "\"neighbors\":3",
    "\"why\":true",
    "\"exact\":true",
    "text/html",
    "message/rfc822",
    "\\ud800",
    "\\u0000",
    "\n",
    ",",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "null",
    "1e400",
];

pub(super) fn targets() -> Vec<Target> {
    let http = |name, seeds, start| Target { name, words: WORDS, seeds, start, fresh_after: 1_000, short: 150, ..QUICK };
    vec![
        http(
            "batch",
            || {
                texts(&[
                    "{\"source\":\"s\",\"id\":\"a\",\"text\":\"walrus\",\"acl\":{\"allow\":[\"user:zed\"]}}\n\
                     {\"op\":\"delete\",\"source\":\"s\",\"id\":\"a\"}\r\n\n{\"op\":\"put\",\"source\":\"s\",\"id\":\"b\",\"text\":\"# Walrus\",\
                     \"mime\":\"text/markdown\"}",
                    "{\"source\":\"s\",\"id\":\"c\",\"content_base64\":\"aGFsbG8=\",\"mime\":\"text/plain\",\"sections\":[{\"name\":\"n\",\
                     \"text\":\"walrus\",\"acl\":{}}]}\n{\"op\":\"x\"}\nnonsense\n",
                ])
            },
            batch,
        ),
        http(
            "document",
            || {
                texts(&[
                    "{\"text\":\"walrus\",\"acl\":{\"allow\":[\"user:zed\"],\"grants\":[{\"principal\":\"public\",\
                     \"until\":\"2030-01-01T00:00:00Z\"}]},\"labels\":{\"a\":\"b\"},\"modified_at\":\"2026-01-01T00:00:00Z\",\"version\":3}",
                    "{\"title\":\"t\",\"uri\":\"u\",\"mime\":\"text/html\",\"text\":\"<p>walrus</p>\",\"acl\":{\"allow\":[\"everyone\"]}}",
                    "{\"sections\":[{\"name\":\"n\",\"text\":\"walrus\",\"acl\":{\"allow\":[\"user:zed\"]}},{\"name\":\"m\",\"text\":\"seal\"}],\
                     \"acl\":{\"allow\":[\"public\"]}}",
                ])
            },
            document,
        ),
        http(
            "search",
            || {
                texts(&[
                    "{\"query\":\"walrus\",\"limit\":10,\"mode\":\"keyword\",\"why\":true,\"neighbors\":1}",
                    "{\"query\":\"+walrus -seal \\\"two words\\\" pre*\",\"filter\":{\"sources\":[\"s\"],\"labels\":{\"a\":\"b\"},\
                     \"modified_after\":\"2020-01-01T00:00:00Z\"},\"max_age\":\"30d\",\"min_epoch\":0,\"exact\":true,\"mode\":\"hybrid\"}",
                ])
            },
            search,
        ),
        Target {
            words: &[
                "GET ",
                "PUT ",
                "DELETE ",
                "POST ",
                "/v1/documents/",
                "/v1/containers/",
                "/v1/groups/",
                "/members",
                "/acl",
                "/v1/citations/",
                "/v1/access/",
                "?version=",
                "?",
                "%2F",
                "%",
                "%00",
                "%ff",
                "/",
                "..",
                "\n",
            ],
            ..http(
                "path",
                || {
                    texts(&[
                        "GET /v1/documents/s/open1?version=1",
                        "PUT /v1/documents/s/a%2Fb\n{\"text\":\"walrus\"}",
                        "PUT /v1/documents/s/open1/acl\n{\"allow\":[\"public\"]}",
                        "PUT /v1/containers/s/c\n{\"allow\":[\"public\"]}",
                        "PUT /v1/groups/eng/members\n{\"members\":[\"user:ana\"]}",
                        "POST /v1/groups/eng/members\n{\"add\":[\"user:ana\"],\"remove\":[]}",
                        "GET /v1/citations/AAAA",
                        "POST /v1/access/explain\n{\"caller\":\"user:zed\",\"source\":\"s\",\"document\":\"open1\"}",
                        "GET /v1/access/report?limit=5",
                        "GET /v1/health",
                        "GET /v1/stats",
                    ])
                },
                path,
            )
        },
    ]
}

/// The router over a data directory with a few documents.
struct World {
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
    key: String,
    dir: TempDir,
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl World {
    fn new() -> World {
        let dir = scratch();
        let engine = Arc::new(Engine::open(dir.path(), &Options::default()).unwrap());
        let scopes = [Scope::Search, Scope::Ingest, Scope::Admin, Scope::AssertUser].into_iter().collect();
        let key = NewKey { owner: "o".to_owned(), purpose: "p".to_owned(), scopes, guard: Guard::default(), expires_at: None };
        let (_, key) = KeyRing::open(dir.path()).unwrap().create(&key, Timestamp::now()).unwrap();
        let config = Config { data: dir.path().to_owned(), embedder_instances: 0, ..Config::default() };
        let pipeline = Pipeline::new(engine, None, Limits::default(), Sandbox::in_process());
        let world = World {
            router: router(Arc::new(Service::new(pipeline, config))),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            key,
            dir,
        };
        for (id, reader) in [("open1", "user:zed"), ("open2", "public"), ("shut1", "user:bo"), ("shut2", "group:eng")] {
            let body = json!({ "text": format!("A walrus and a seal, two words of {id}."), "labels": { "a": "b" }, "acl": { "allow": [reader] } });
            let answer = world.call("PUT", &format!("/v1/documents/s/{id}"), body.to_string().as_bytes()).unwrap();
            assert_eq!(answer.status, 200);
        }
        world
    }

    /// The answer; `None` for what is no request.
    fn call(&self, method: &str, uri: &str, body: &[u8]) -> Option<Answer> {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("authorization", format!("Bearer {}", self.key)).header("sightline-user", "user:zed");
        let request = request.body(Body::from(body.to_vec())).ok()?;
        let mut router = self.router.clone();
        let (status, kind, body) = self.runtime.block_on(async move {
            let response = router.call(request).await.unwrap();
            let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
            let status = response.status().as_u16();
            (status, kind, axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap().to_vec())
        });
        assert!(status < 500, "{status}: {}", String::from_utf8_lossy(&body));
        if status >= 400 && method != "HEAD" {
            assert_eq!(kind.as_deref(), Some("application/problem+json"), "{status}");
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert!(problem["status"] == status && !problem["code"].as_str().unwrap().is_empty(), "{problem}");
        }
        Some(Answer { status, body })
    }
}

fn batch() -> super::Check {
    let world = World::new();
    Box::new(move |input| {
        let answer = world.call("POST", "/v1/documents/batch", input).unwrap();
        assert_eq!(answer.status, 200);
        let answer = String::from_utf8(answer.body).unwrap();
        let receipts: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let numbers: Vec<u64> = receipts.iter().map(|receipt| receipt["line"].as_u64().unwrap()).collect();
        let lines = (1..).zip(input.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
        assert_eq!(numbers, lines.map(|(number, _)| number).collect::<Vec<u64>>());
        let internal = receipts.iter().find(|receipt| receipt["error"]["status"].as_u64().is_some_and(|status| status >= 500));
        assert!(internal.is_none(), "{internal:?}");
        receipts.iter().all(|receipt| receipt.get("error").is_none())
    })
}

fn document() -> super::Check {
    let world = World::new();
    Box::new(move |input| {
        let path = "/v1/documents/s/made";
        world.call("DELETE", path, b"").unwrap();
        if world.call("PUT", path, input).unwrap().status != 200 {
            assert_eq!(world.call("GET", path, b"").unwrap().status, 404);
            return false;
        }
        // What was taken can be read again by whoever opens the data directory later.
        Engine::open(world.dir.path(), &Options { read_only: true, ..Options::default() })
            .expect("the data directory can be opened");
        let shown = world.call("GET", path, b"").unwrap();
        let sent: Value = serde_json::from_slice(input).expect("what was taken is JSON");
        let rule = Rule::read(sent.get("acl"));
        let means = |principal: &Principal| ["user:zed", "everyone", "public"].contains(&principal.as_str());
        let granted = rule.grants.iter().any(|grant| means(&grant.principal) && Timestamp::now() < grant.until);
        let admitted = rule.state == AclState::Known
            && (rule.allow.iter().any(means) || granted)
            && !rule.deny.iter().any(means)
            && (rule.parent.is_none() || !rule.inherit);
        assert!(shown.status == 404 || admitted, "seen under {rule:?}");
        if shown.status != 200 {
            return true;
        }
        let shown: Value = serde_json::from_slice(&shown.body).unwrap();
        let text = shown["text"].as_str().unwrap();
        for time in ["modified_at", "ingested_at"] {
            assert!(shown[time].as_str().is_none_or(|time| Timestamp::parse(time).is_some()), "{time} is {}", shown[time]);
        }
        for section in shown["sections"].as_array().unwrap() {
            let at = |end: &str| section["span"][end].as_u64().unwrap() as usize;
            assert!(text.get(at("start")..at("end")).is_some(), "{section} is not a span of the text");
        }
        true
    })
}

fn search() -> super::Check {
    let world = World::new();
    Box::new(move |input| {
        let answer = world.call("POST", "/v1/search", input).unwrap();
        if answer.status != 200 {
            return false;
        }
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let found = answer["hits"].as_array().unwrap().iter().map(|hit| hit["citation"]["document"].as_str().unwrap());
        let found: BTreeSet<&str> = found.collect();
        assert!(found.iter().all(|id| ["open1", "open2"].contains(id)), "{found:?}");
        true
    })
}

fn path() -> super::Check {
    let world = World::new();
    Box::new(move |input| {
        let text = String::from_utf8_lossy(input);
        let (line, body) = text.split_once('\n').unwrap_or((&text, ""));
        let Some((method, uri)) = line.split_once(' ') else { return false };
        world.call(method, uri, body.as_bytes()).is_some_and(|answer| answer.status < 400)
    })
}
