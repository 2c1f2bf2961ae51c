//! Batches: a receipt for each line, in order, while lines still come in.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Server;

fn receipts(body: &str) -> Vec<Value> {
    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_line_has_a_receipt_and_a_bad_one_stops_nothing() {
    let server = Server::start();
    let key = server.master();
    let acl = json!({ "allow": ["public"] });
    let lines = [
        json!({ "source": "wiki", "id": "a/1", "text": "mooring one", "acl": acl }).to_string(),
        "not json".to_owned(),
        String::new(),
        json!({ "source": "wiki", "id": "b", "text": "mooring two", "acl": "everyone" }).to_string(),
        json!({ "op": "delete", "source": "wiki", "id": "a/1" }).to_string(),
        json!({ "op": "delete", "source": "wiki", "id": "none" }).to_string(),
        json!({ "id": "c", "text": "mooring" }).to_string(),
        json!({ "source": "wiki", "id": "d", "text": "mooring", "txt": 1 }).to_string(),
        json!({ "op": "frob", "source": "wiki", "id": "d" }).to_string(),
        json!({ "op": "put", "source": "wiki", "id": "d", "text": "mooring three", "acl": acl }).to_string(),
        json!({ "source": "wi/ki", "id": "d", "text": "mooring" }).to_string(),
        json!([1, 2]).to_string(),
    ];
    let body = lines.join("\n");
    let answer = server.call("POST", "/v1/documents/batch").key(&key).body("application/x-ndjson", body.as_bytes()).send();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    let receipts = receipts(&answer.body);
    let told: Vec<(u64, &str)> = receipts
        .iter()
        .map(|receipt| {
            (receipt["line"].as_u64().unwrap(), receipt["outcome"].as_str().or(receipt["error"]["code"].as_str()).unwrap())
        })
        .collect();
    let expected = [
        (1, "created"),
        (2, "malformed_json"),
        (4, "created"),
        (5, "deleted"),
        (6, "not_found"),
        (7, "invalid_field"),
        (8, "unknown_field"),
        (9, "invalid_field"),
        (10, "created"),
        (11, "invalid_field"),
        (12, "invalid_field"),
    ];
    assert_eq!(told, expected);
    assert_eq!((&receipts[0]["source"], &receipts[0]["id"]), (&json!("wiki"), &json!("a/1")));
    assert_eq!(receipts[2]["acl_state"], "invalid");
    assert_eq!(server.found(&key, None, "mooring"), ["d"]);
}

#[test]
fn the_later_line_of_a_document_wins() {
    let server = Server::start();
    let key = server.master();
    let line = |number: usize| {
        let id = if number.is_multiple_of(2) { "same".to_owned() } else { format!("other-{number}") };
        json!({ "source": "wiki", "id": id, "text": format!("mooring {number}"), "acl": { "allow": ["public"] } }).to_string()
    };
    let body = (0..61).map(line).collect::<Vec<_>>().join("\n");
    let answer = server.call("POST", "/v1/documents/batch").key(&key).body("application/x-ndjson", body.as_bytes()).send();
    let receipts = receipts(&answer.body);
    let numbers: Vec<u64> = receipts.iter().map(|receipt| receipt["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=61).collect::<Vec<_>>());
    let read = server.call("GET", "/v1/documents/wiki/same").key(&key).send().value();
    assert_eq!((&read["text"], &read["version"]), (&json!("mooring 60"), &json!(31)));
}

#[test]
fn a_line_that_is_refused_at_the_write_fails_alone() {
    let server = Server::start();
    let key = server.master();
    let line = |number: usize| {
        let label = if number == 20 { "x".repeat(2000) } else { "short".to_owned() };
        json!({ "source": "wiki", "id": number.to_string(), "text": "mooring", "labels": { "dept": label } }).to_string()
    };
    let body = (0..40).map(line).collect::<Vec<_>>().join("\n");
    let answer = server.call("POST", "/v1/documents/batch").key(&key).body("application/x-ndjson", body.as_bytes()).send();
    for (number, receipt) in receipts(&answer.body).iter().enumerate() {
        let expected = if number == 20 { &receipt["error"]["code"] } else { &receipt["outcome"] };
        assert_eq!(expected, if number == 20 { "invalid_field" } else { "created" }, "{receipt}");
    }
}

#[test]
fn a_line_that_is_too_long_fails_alone() {
    let server = Server::with(|config| config.max_request_body_bytes = 1000);
    let key = server.master();
    let line = |id: &str, bytes: usize| json!({ "source": "wiki", "id": id, "text": "x".repeat(bytes) }).to_string();
    let body = [line("a", 10), line("b", 5000), line("c", 10)].join("\r\n") + "\r\n";
    let answer = server.call("POST", "/v1/documents/batch").key(&key).body("application/x-ndjson", body.as_bytes()).send();
    let receipts = receipts(&answer.body);
    assert_eq!(receipts.len(), 3);
    assert_eq!((&receipts[1]["line"], &receipts[1]["error"]["code"]), (&json!(2), &json!("body_too_large")));
    assert_eq!((&receipts[0]["outcome"], &receipts[2]["outcome"]), (&json!("created"), &json!("created")));
}

#[test]
fn a_receipt_comes_before_the_next_line_is_sent() {
    let server = Server::start();
    let key = server.master();
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v1/documents/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/x-ndjson\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    for number in 1..=3 {
        let line = json!({ "source": "wiki", "id": number.to_string(), "text": "mooring" }).to_string() + "\n";
        socket.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).unwrap();
        let receipt = loop {
            let mut text = String::new();
            assert!(reader.read_line(&mut text).unwrap() > 0);
            if text.starts_with('{') {
                break serde_json::from_str::<Value>(&text).unwrap();
            }
        };
        assert_eq!((&receipt["line"], &receipt["outcome"]), (&json!(number), &json!("created")));
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
}

#[test]
fn an_empty_batch_has_no_receipts() {
    let server = Server::start();
    let key = server.master();
    let answer = server.call("POST", "/v1/documents/batch").key(&key).body("application/x-ndjson", b"\n\n").send();
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let answer = server.call("POST", "/v1/documents/batch").key(&key).body("application/pdf", b"").send();
    answer.is_problem(415, "unsupported_media_type");
}
