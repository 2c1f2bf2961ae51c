//! Problems that no single resource owns: routes, methods, sizes, loads, broken bodies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::http::Server;

#[test]
fn unknown_routes_and_methods_are_problems() {
    let server = Server::start();
    let key = server.master();
    for path in ["/", "/v1", "/v1/", "/v2/search", "/v1/search/", "/v1/documents", "/v1/documents/", "/v1/documents/wiki"] {
        server.call("GET", path).key(&key).send().is_problem(404, "no_such_route");
    }
    for (method, path, allow) in [
        ("GET", "/v1/search", "POST"),
        ("PATCH", "/v1/documents/wiki/a", "GET,HEAD,PUT,DELETE"),
        ("GET", "/v1/documents/wiki/a/acl", "PUT"),
        ("GET", "/v1/documents/batch", "POST"),
        ("DELETE", "/v1/stats", "GET,HEAD"),
        ("PUT", "/healthz", "GET,HEAD"),
    ] {
        let answer = server.call(method, path).key(&key).send();
        answer.is_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[test]
fn a_wrong_document_is_a_bad_request_that_names_the_field() {
    let server = Server::start();
    let key = server.master();
    for (body, code, named) in [
        ("{", "malformed_json", "EOF"),
        ("[]", "invalid_field", "object"),
        ("{}", "invalid_field", "text"),
        (r#"{"text":7}"#, "invalid_field", "string"),
        (r#"{"text":"a","titel":"b"}"#, "unknown_field", "titel"),
        (r#"{"text":"a","labels":{"dept":["hr"]}}"#, "invalid_field", "string"),
        (r#"{"text":"a","modified_at":"today"}"#, "invalid_field", "RFC 3339"),
        (r#"{"text":"a","version":[]}"#, "invalid_field", "version"),
        (r#"{"text":"a","sections":[{"name":"b"}]}"#, "invalid_field", "text"),
        (r#"{"text":"a","sections":[{"name":"b","text":"c","acls":{}}]}"#, "unknown_field", "acls"),
        (r#"{"text":"a","content_base64":"YQ=="}"#, "invalid_field", "content_base64"),
        (r#"{"content_base64":"*"}"#, "invalid_field", "content_base64"),
        (r#"{"text":"a","source":"crm"}"#, "invalid_field", "source"),
        (r#"{"text":"a","id":"b"}"#, "invalid_field", "id"),
        (r#"{"text":""}"#, "empty", "no text"),
    ] {
        let answer = server.call("PUT", "/v1/documents/wiki/a").key(&key).body("application/json", body.as_bytes()).send();
        answer.is_problem(400, code);
        assert!(answer.value()["detail"].as_str().unwrap().contains(named), "{body}: {}", answer.body);
    }
    server.put(&key, "wiki/a", json!({ "text": "a", "source": "wiki", "id": "a", "version": 7 }));
    for query in ["version=0", "version=x", "version=-1", "version="] {
        server.call("GET", &format!("/v1/documents/wiki/a?{query}")).key(&key).send().is_problem(400, "invalid_parameter");
    }
}

#[test]
fn a_body_over_the_limit_is_answered_though_the_client_still_sends() {
    let server = Server::with(|config| config.max_request_body_bytes = 2 << 20);
    let key = server.master();
    let fits = json!({ "text": "word ".repeat(100_000) });
    server.put(&key, "wiki/a", fits);
    let document = json!({ "text": "word ".repeat(600_000) });
    for _ in 0..5 {
        let call = server.call("PUT", "/v1/documents/wiki/a").key(&key).json(&document);
        call.send().is_problem(413, "body_too_large");
        server.call("PUT", "/v1/documents/wiki/a").json(&document).send().is_problem(401, "no_credentials");
    }
    // Without a length the limit holds just as well.
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "PUT /v1/documents/wiki/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: text/plain\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let chunk = "x".repeat(1 << 16);
    for _ in 0..48 {
        socket.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).unwrap();
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn a_slow_request_is_ended() {
    let server = Server::with(|config| config.request_timeout_seconds = 1);
    let key = server.master();
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "PUT /v1/documents/wiki/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: text/plain\r\n\
         content-length: 10\r\nconnection: close\r\n\r\nabc"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("timed_out"), "{answer}");
}

#[test]
fn operators_see_counts_and_jobs() {
    let server = Server::start();
    let key = server.master();
    server.put(&key, "wiki/a", json!({ "text": "mooring", "acl": { "allow": ["public"] } }));
    let stats = server.call("GET", "/v1/stats").key(&key).send().value();
    assert_eq!((&stats["documents"], &stats["withheld"], &stats["model"]), (&json!(1), &json!({}), &json!(null)));
    assert_eq!(server.call("GET", "/v1/jobs?limit=5").key(&key).send().value(), json!({ "jobs": [] }));
    server.call("GET", "/v1/jobs?limit=0").key(&key).send().is_problem(400, "invalid_parameter");
}
