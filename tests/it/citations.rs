//! Citations of every format, seen from outside, over random edits: each slices to its text byte for byte, its hashes agree,
//! and after an edit the old ones are superseded and name what has become of their passages.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::http::{Answer, Server};
use crate::oracle::dice::Dice;

const ROUNDS: usize = 6;
const PARAGRAPHS: usize = 14;
/// Every paragraph has it, so that a search finds all passages.
const ANCHOR: &str = "mooring";
const PLAIN: [&str; 10] = ["harbour", "walrus", "the", "of", "tide", "2026", "rope", "north", "pilot", "chart"];
const RICH: [&str; 8] = ["Straße", "naïve", "日本語", "Ünïcode", "\u{1f9ad}", "don’t", "e\u{301}clair", "C++"];

/// A text before it has a format: headings and their paragraphs.
type Draft = Vec<(String, String)>;

/// A format: its media type, whether it takes any character, and how a draft is written in it.
struct Format {
    name: &'static str,
    mime: &'static str,
    rich: bool,
    write: fn(&Draft) -> Vec<u8>,
    /// What must be known of the place of its passages.
    place: fn(&Value) -> bool,
}

const FORMATS: [Format; 7] = [
    Format { name: "text", mime: "text/plain", rich: true, write: |draft| joined(draft, plain), place: |_| true },
    Format { name: "markdown", mime: "text/markdown", rich: true, write: |draft| joined(draft, markdown), place: has_heading },
    Format { name: "html", mime: "text/html", rich: true, write: |draft| joined(draft, html), place: has_heading },
    Format { name: "pdf", mime: "application/pdf", rich: false, write: pdf, place: |at| at["page"].as_u64().is_some() },
    Format {
        name: "docx",
        mime: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        rich: true,
        write: docx,
        place: has_heading,
    },
    Format { name: "mail", mime: "message/rfc822", rich: true, write: mail, place: |at| at["part"].is_string() },
    Format { name: "sections", mime: "", rich: true, write: sections, place: |_| true },
];

fn has_heading(location: &Value) -> bool {
    location["headings"].as_array().is_some_and(|headings| !headings.is_empty())
}

fn joined(draft: &Draft, write: fn(&str, &str) -> String) -> Vec<u8> {
    draft.iter().map(|(heading, text)| write(heading, text)).collect::<String>().into_bytes()
}

fn plain(_: &str, text: &str) -> String {
    format!("{text}\n\n")
}

fn markdown(heading: &str, text: &str) -> String {
    format!("## {heading}\n\n{text}\n\n")
}

fn html(heading: &str, text: &str) -> String {
    format!("<h2>{heading}</h2>\n<p>{} &amp; <b>more</b></p>\n", text.replace(' ', "\n "))
}

fn docx(draft: &Draft) -> Vec<u8> {
    let paragraph = |(heading, text): &(String, String)| {
        format!(
            r#"<w:p><w:pPr><w:outlineLvl w:val="0"/></w:pPr><w:r><w:t>{heading}</w:t></w:r></w:p><w:p><w:r><w:t>{text}</w:t></w:r></w:p>"#
        )
    };
    let body: String = draft.iter().map(paragraph).collect();
    let document = format!(r#"<?xml version="1.0"?><w:document xmlns:w="urn:w"><w:body>{body}</w:body></w:document>"#);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("word/document.xml", SimpleFileOptions::default()).unwrap();
    zip.write_all(document.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

/// A page of each paragraph, one line for three words.
fn pdf(draft: &Draft) -> Vec<u8> {
    let kids: Vec<String> = (0..draft.len()).map(|page| format!("{} 0 R", 4 + 2 * page)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), draft.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    for (page, (_, text)) in draft.iter().enumerate() {
        let words: Vec<&str> = text.split(' ').collect();
        let lines: String = words.chunks(3).map(|line| format!("({}) Tj 0 -14 Td ", line.join(" "))).collect();
        let content = format!("BT /F1 12 Tf 72 720 Td {lines}ET");
        let resources = "<< /Font << /F1 3 0 R >> >>";
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R /Resources {resources} >>",
            5 + 2 * page
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    let (mut file, mut offsets) = (b"%PDF-1.4\n".to_vec(), Vec::new());
    for (number, object) in (1..).zip(&objects) {
        offsets.push(file.len());
        write!(file, "{number} 0 obj\n{object}\nendobj\n").unwrap();
    }
    let (xref, size) = (file.len(), objects.len() + 1);
    write!(file, "xref\n0 {size}\n0000000000 65535 f \n").unwrap();
    offsets.iter().for_each(|offset| writeln!(file, "{offset:010} 00000 n ").unwrap());
    write!(file, "trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n").unwrap();
    file
}

/// The first half of the paragraphs is the body, each of the others an attachment.
fn mail(draft: &Draft) -> Vec<u8> {
    let (body, attached) = draft.split_at(draft.len() / 2);
    let mut mail = "From: ana@example.org\r\nTo: bo@example.org\r\nSubject: Berths\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n\
                    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"xyz\"\r\n\r\n"
        .to_owned();
    let part = |kind: &str, text: &str| format!("--xyz\r\nContent-Type: text/plain; charset=utf-8\r\n{kind}\r\n{text}\r\n");
    mail += &part("", &body.iter().map(|(_, text)| plain("", text)).collect::<String>());
    for (name, text) in attached {
        mail += &part(&format!("Content-Disposition: attachment; filename=\"{name}.txt\"\r\n"), text);
    }
    (mail + "--xyz--\r\n").into_bytes()
}

/// The last two paragraphs are sections, of which the second is hidden.
fn sections(draft: &Draft) -> Vec<u8> {
    let (outside, inside) = draft.split_at(draft.len() - 2);
    let section = |(at, (_, text)): (usize, &(String, String))| {
        let reader = ["user:ana", "user:bo"][at];
        json!({ "name": format!("section {at}"), "text": text, "acl": { "allow": [reader] } })
    };
    let text: String = outside.iter().map(|(heading, text)| markdown(heading, text)).collect();
    let sections: Vec<Value> = inside.iter().enumerate().map(section).collect();
    json!({ "text": text, "mime": "text/markdown", "acl": { "allow": ["user:ana"] }, "sections": sections }).to_string().into()
}

fn words(dice: &mut Dice, rich: bool) -> String {
    let mut words = vec![ANCHOR.to_owned()];
    for _ in 0..40 + dice.below(50) {
        let rare = format!("w{}", dice.below(10_000));
        words.push(match dice.below(3) {
            0 => rare,
            1 if rich => (*dice.pick(&RICH)).to_owned(),
            _ => (*dice.pick(&PLAIN)).to_owned(),
        });
    }
    words.join(" ") + "."
}

fn edit(draft: &mut Draft, dice: &mut Dice, rich: bool) {
    for _ in 0..=dice.below(2) {
        let at = dice.below(draft.len());
        match dice.below(4) {
            0 => draft[at].1 = words(dice, rich),
            1 => {
                let other = dice.below(draft.len());
                draft.swap(at, other);
            }
            // A word or two, so that the passage remains.
            _ => draft[at].1 = draft[at].1.replacen(ANCHOR, &format!("{ANCHOR} edit{}", dice.below(10_000)), 1),
        }
    }
}

struct Reader<'a> {
    server: &'a Server,
    key: String,
    document: String,
}

impl Reader<'_> {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let call = self.server.call(method, path).key(&self.key).header("sightline-user", "user:ana");
        let answer = match body {
            Some(body) => call.json(body).send(),
            None => call.send(),
        };
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer
    }

    fn open(&self, token: &str) -> Value {
        self.ask("GET", &format!("/v1/citations/{token}"), None).value()
    }

    fn text(&self, version: &Value) -> String {
        let path = format!("/v1/documents/{}?version={version}", self.document);
        self.ask("GET", &path, None).value()["text"].as_str().unwrap().to_owned()
    }

    fn hits(&self) -> Vec<Value> {
        let body = json!({ "query": ANCHOR, "mode": "keyword", "limit": 100 });
        self.ask("POST", "/v1/search", Some(&body)).value()["hits"].as_array().unwrap().clone()
    }

    /// Asserts that a passage is what its citation says.
    fn check(&self, text: &Value, citation: &Value) {
        let whole = self.text(&citation["version"]);
        let [start, end] = ["start", "end"].map(|side| citation["span"][side].as_u64().unwrap() as usize);
        assert_eq!(whole.as_bytes().get(start..end), text.as_str().map(str::as_bytes), "{citation}");
        for (hash, of) in [("text_hash", text.as_str().unwrap()), ("document_hash", &whole)] {
            assert_eq!(citation[hash], blake3::hash(of.as_bytes()).to_string(), "{citation}");
        }
    }
}

#[test]
fn citations_of_every_format_are_checkable_through_every_edit() {
    let mut counted = BTreeMap::new();
    for (seed, format) in (1..).zip(&FORMATS) {
        let (server, mut dice) = (Server::start(), Dice(seed));
        let key = server.master();
        let reader = Reader { server: &server, key: key.clone(), document: "wiki/draft".to_owned() };
        let mut draft: Draft = (0..PARAGRAPHS).map(|at| (format!("Part {at}"), words(&mut dice, format.rich))).collect();
        let mut cited: Vec<Value> = Vec::new();
        for _ in 0..ROUNDS {
            let bytes = (format.write)(&draft);
            let put = server.call("PUT", "/v1/documents/wiki/draft").key(&key);
            let put = if format.mime.is_empty() { put.body("application/json", &bytes) } else { put.body(format.mime, &bytes) };
            let answer = put.send();
            assert_eq!(answer.status, 200, "{}: {}", format.name, answer.body);
            if !format.mime.is_empty() {
                let acl = server.call("PUT", "/v1/documents/wiki/draft/acl").key(&key).json(&json!({ "allow": ["user:ana"] }));
                assert_eq!(acl.send().status, 200);
            }

            let hits = reader.hits();
            assert!(hits.len() >= 2, "{} has {} passages", format.name, hits.len());
            for hit in &hits {
                let citation = &hit["citation"];
                reader.check(&hit["text"], citation);
                assert!((format.place)(&citation["location"]), "{}: {citation}", format.name);
                let expected = json!({ "status": "current", "text": hit["text"], "citation": citation, "newer": null });
                assert_eq!(reader.open(citation["token"].as_str().unwrap()), expected, "{}", format.name);
            }
            let current = reader.text(&hits[0]["citation"]["version"]);
            for hit in &cited {
                let opened = reader.open(hit["citation"]["token"].as_str().unwrap());
                assert_eq!((&opened["status"], &opened["text"]), (&json!("superseded"), &hit["text"]), "{}", format.name);
                reader.check(&opened["text"], &opened["citation"]);
                let (newer, passage) = (&opened["newer"], hit["text"].as_str().unwrap());
                // A passage that moves into a section is another one.
                if current.contains(passage) && format.name != "sections" {
                    assert_eq!(newer["text"], passage, "{}: it stands in the newest text", format.name);
                }
                if newer.is_null() {
                    counted.entry("gone").and_modify(|count| *count += 1).or_insert(1);
                    continue;
                }
                reader.check(&newer["text"], &newer["citation"]);
                assert!((format.place)(&newer["citation"]["location"]), "{}: {newer}", format.name);
                let again = reader.open(newer["citation"]["token"].as_str().unwrap());
                assert_eq!((&again["status"], &again["text"]), (&json!("current"), &newer["text"]), "{}", format.name);
                let kind = if newer["text"] == passage { "kept" } else { "changed" };
                counted.entry(kind).and_modify(|count| *count += 1).or_insert(1);
            }
            cited.extend(hits);
            let before = draft.clone();
            while draft == before {
                edit(&mut draft, &mut dice, format.rich);
            }
        }
    }
    println!("{counted:?}");
    assert!(["kept", "changed", "gone"].iter().all(|kind| counted.get(kind).is_some_and(|count| *count > 20)), "{counted:?}");
}

/// What has become of a passage is the same in a server that never held what is hidden.
#[test]
fn hidden_sections_have_no_part_in_what_became_of_a_passage() {
    let (whole, own) = (Server::start(), Server::start());
    let keys = [whole.master(), own.master()];
    let mut dice = Dice(11);
    let mut draft: Draft = (0..PARAGRAPHS).map(|at| (format!("Part {at}"), words(&mut dice, true))).collect();
    let mut cited: Vec<[String; 2]> = Vec::new();
    let mut renewed = 0;
    for _ in 0..20 {
        let mut document: Value = serde_json::from_slice(&sections(&draft)).unwrap();
        for (server, key) in [(&whole, &keys[0]), (&own, &keys[1])] {
            server.put(key, "wiki/draft", document.clone());
            document["sections"].as_array_mut().unwrap().truncate(1);
        }
        let readers = [(&whole, &keys[0]), (&own, &keys[1])].map(|(server, key)| Reader {
            server,
            key: key.clone(),
            document: "wiki/draft".to_owned(),
        });
        for tokens in &cited {
            let [one, other] = [0, 1].map(|at| {
                let mut opened = readers[at].open(&tokens[at]);
                for citation in ["/citation", "/newer/citation"] {
                    for inherent in ["token", "ingested_at", "verified_at", "version"] {
                        opened.pointer_mut(citation).and_then(|citation| citation.as_object_mut()?.remove(inherent));
                    }
                }
                opened
            });
            assert_eq!(one, other);
            renewed += usize::from(one["newer"]["text"].is_string());
        }
        let tokens = readers.map(|reader| {
            reader.hits().iter().map(|hit| hit["citation"]["token"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        });
        let [ones, others] = tokens;
        assert_eq!(ones.len(), others.len());
        cited.extend(ones.into_iter().zip(others).map(|(one, other)| [one, other]));
        edit(&mut draft, &mut dice, true);
        let hidden = draft.len() - 1;
        draft[hidden].1 = words(&mut dice, true);
    }
    assert!(renewed > 100, "{renewed}");
}
