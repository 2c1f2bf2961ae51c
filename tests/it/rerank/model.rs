//! A real ONNX cross-encoder, written by hand: the logit of a pair is the sum of its words' weights.
//!
//! The file is protocol buffers, with field numbers from onnx.proto. The graph is Gather (weights by token), Mul (by the
//! attention mask), ReduceSum (over the sequence).

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// A model folder whose words have these weights, and others none.
pub(super) fn folder(weights: &[(&str, f32)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    write(dir.path(), weights, "logits");
    dir
}

/// The same with a name for the output; fastembed wants `logits`.
pub(super) fn write(dir: &Path, weights: &[(&str, f32)], output: &str) {
    let vocabulary: serde_json::Map<String, serde_json::Value> = ["[PAD]", "[UNK]"]
        .into_iter()
        .chain(weights.iter().map(|(word, _)| *word))
        .zip(0..)
        .map(|(word, id)| (word.to_owned(), json!(id)))
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": { "type": "Lowercase" }, "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" },
    });
    let files = [
        ("tokenizer.json", tokenizer),
        ("config.json", json!({ "pad_token_id": 0 })),
        ("special_tokens_map.json", json!({ "pad_token": "[PAD]", "unk_token": "[UNK]" })),
        ("tokenizer_config.json", json!({ "pad_token": "[PAD]" })),
    ];
    for (name, content) in files {
        std::fs::write(dir.join(name), content.to_string()).unwrap();
    }
    let table: Vec<f32> = [0.0, 0.0].into_iter().chain(weights.iter().map(|(_, weight)| *weight)).collect();
    std::fs::write(dir.join("model.onnx"), graph(&table, output)).unwrap();
}

fn graph(weights: &[f32], output: &str) -> Vec<u8> {
    let table: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let parts = [
        node("Gather", &["table", "input_ids"], "rows", None),
        node("Cast", &["attention_mask"], "mask", Some(("to", FLOAT))),
        node("Mul", &["rows", "mask"], "counted", None),
        node("ReduceSum", &["counted", "axes"], output, Some(("keepdims", 1))),
        text(2, "words"),
        tensor("table", FLOAT, weights.len() as u64, &table),
        tensor("axes", INT64, 1, &1i64.to_le_bytes()),
        value(11, "input_ids", INT64, "sequence"),
        value(11, "attention_mask", INT64, "sequence"),
        value(12, output, FLOAT, "one"),
    ];
    let opset = delimited(8, &integer(2, 20));
    [integer(1, 9), text(2, "tests"), opset, delimited(7, &parts.concat())].concat()
}

/// A NodeProto with at most one attribute, an integer.
fn node(operator: &str, inputs: &[&str], output: &str, attribute: Option<(&str, u64)>) -> Vec<u8> {
    let mut parts: Vec<u8> = inputs.iter().flat_map(|input| text(1, input)).collect();
    parts.extend([text(2, output), text(3, output), text(4, operator)].concat());
    if let Some((name, number)) = attribute {
        parts.extend(delimited(5, &[text(1, name), integer(3, number), integer(20, 2)].concat()));
    }
    delimited(1, &parts)
}

/// A TensorProto of one dimension.
fn tensor(name: &str, kind: u64, length: u64, data: &[u8]) -> Vec<u8> {
    delimited(5, &[integer(1, length), integer(2, kind), text(8, name), delimited(9, data)].concat())
}

/// A ValueInfoProto of shape [batch, `size`].
fn value(field: u64, name: &str, kind: u64, size: &str) -> Vec<u8> {
    let dimensions = ["batch", size].map(|size| delimited(1, &text(2, size))).concat();
    delimited(
        field,
        &[text(1, name), delimited(2, &delimited(1, &[integer(1, kind), delimited(2, &dimensions)].concat()))].concat(),
    )
}

fn text(field: u64, value: &str) -> Vec<u8> {
    delimited(field, value.as_bytes())
}

fn delimited(field: u64, data: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(data.len() as u64), data.to_vec()].concat()
}

fn integer(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
