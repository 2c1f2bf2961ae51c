//! Extractors and the chunker: whatever a file holds, passages are spans of its text that leave nothing out.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use sightline::cli::EXTRACT_CHILD;
use sightline_index::{Engine, NewDocument, Options};
use sightline_ingest::{
    ChunkLimits, Content, ExtractError, ExtractLimits, Incoming, IncomingSection, IngestError, Limits, Pipeline, Sandbox,
    SectionPlace,
};
use tempfile::TempDir;

use super::{QUICK, Target, scratch, texts};

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
/// Between the texts of sections in inputs of the chunker.
const SECTION: &str = "\n%%\n";
const SIZES: [usize; 10] = [0, 1, 2, 5, 40, 200, 1_200, 1_500, 100_000, usize::MAX];

pub(super) fn targets() -> Vec<Target> {
    let sandboxed = |name, words, seeds, start| Target { name, words, seeds, start, short: 15, max_bytes: 256 << 10, ..QUICK };
    vec![
        Target {
            name: "markdown",
            words: &[
                "# ", "## ", "\n", "\n\n", "```", "~~~", "> ", "- ", "1. ", "|", "---", "[a](b)", "<div>", "<!--", "**", "_",
                "&amp;", "&#x0;", "\t", "\\", "===\n", "![", "[^1]", "\r",
            ],
            seeds: || files_of(&["company/handbook/leave.md", "company/hr/salary-bands.md"]),
            start: || reader("text/markdown", Sandbox::in_process()),
            short: 300,
            ..QUICK
        },
        Target {
            name: "plain",
            words: &["\n", "\n\n", "\r\n", ". ", "\u{2028}", "\u{feff}", "\t"],
            seeds: || {
                let mut seeds = files_of(&["company/handbook/remote-work.txt"]);
                let utf16 = |mark: &[u8], unit: fn(u16) -> [u8; 2]| {
                    [mark.to_vec(), "Grüße 😀\n\nzwei".encode_utf16().flat_map(unit).collect()].concat()
                };
                seeds.extend([utf16(b"\xff\xfe", u16::to_le_bytes), utf16(b"\xfe\xff", u16::to_be_bytes)]);
                seeds
            },
            start: || reader("text/plain", Sandbox::in_process()),
            short: 300,
            ..QUICK
        },
        Target {
            name: "chunker",
            words: &[
                "# ",
                "\n## ",
                "\n\n",
                SECTION,
                ". ",
                "。",
                "日本語",
                "aaaaaaaaaaaaaaaaaaaaaaaa",
                "```\n",
                "\u{301}",
                "👩‍👩‍👧",
                "\n- ",
            ],
            seeds: || {
                texts(&[
                    "\x06\x07\x05# One\n\nA sentence. Another one.\n\n## Two\n\n日本語の文。もう一つ。\n%%\nA section.\n%%\n# More\n\nAnd more.",
                    "\x03\x04\x02# A\n\nshort\n\n# B\n\nlonger than the first, and cut somewhere\n\n# C\n\n!!!???",
                    "\x01\x01\x01e\u{301}👩‍👩‍👧 x",
                ])
            },
            start: chunker,
            short: 500,
            ..QUICK
        },
        Target {
            name: "docx-xml",
            words: &[
                "<w:p>",
                "</w:p>",
                "<w:r>",
                "<w:t>",
                "</w:t>",
                "<w:tbl><w:tr><w:tc>",
                "</w:tc></w:tr></w:tbl>",
                "<w:br/>",
                "<w:tab/>",
                "<w:pStyle w:val=\"Heading1\"/>",
                "<w:del>",
                "<w:ins>",
                "<w:fldSimple>",
                "<!--",
                "<![CDATA[",
                "]]>",
                "&lt;",
                "&#0;",
                "&x;",
                "<w:outlineLvl w:val=\"3\"/>",
                "<mc:AlternateContent>",
                "<w:txbxContent>",
            ],
            seeds: || {
                let mut seeds = document_xml();
                seeds.push(paragraph("<w:p><w:pPr><w:outlineLvl w:val=\"0\"/></w:pPr><w:r><w:t>Walrus</w:t></w:r></w:p><w:p><w:r><w:t>x</w:t></w:r></w:p>"));
                seeds
            },
            start: docx_xml,
            short: 150,
            max_bytes: 64 << 10,
            ..QUICK
        },
        sandboxed(
            "html",
            &[
                "<div>",
                "</div>",
                "<table><tr><td>",
                "<h1>",
                "<p>",
                "<script>",
                "<style>",
                "<title>",
                "&nbsp;",
                "&#x110000;",
                "<!--",
                "<svg>",
                "<a href='",
            ],
            || files_of(&["company/handbook/expenses.html", "company/operations/service/rma-process.html"]),
            || reader("text/html", sandbox()),
        ),
        sandboxed(
            "mail",
            &[
                "\n--",
                "boundary=\"x\"",
                "Content-Type: multipart/mixed; ",
                "Content-Type: message/rfc822\n",
                "\n\n",
                "=?utf-8?B?",
                "?=",
                "Content-Transfer-Encoding: base64\n",
                "quoted-printable",
                "=\n",
                "filename*=utf-8''",
                "charset=utf-16",
            ],
            || files_of(&["company/handbook/all-hands-2026-10.eml", "company/board/directors/reply-to-approach.eml"]),
            || reader("message/rfc822", sandbox()),
        ),
        sandboxed(
            "docx",
            &["PK\x03\x04", "PK\x01\x02", "PK\x05\x06", "word/document.xml", "[Content_Types].xml", "../"],
            || files_of(&["company/welcome/code-of-conduct.docx"]),
            || reader(DOCX, sandbox()),
        ),
        sandboxed(
            "pdf",
            &[
                "obj",
                "endobj",
                "stream\n",
                "endstream",
                "/Length ",
                "/Kids [",
                "/Type /Page",
                "/FlateDecode",
                "<<",
                ">>",
                "xref",
                "1 0 R",
                "BT",
                "Tj",
                "/ToUnicode",
            ],
            || files_of(&["company/finance/budget-2027.pdf"]),
            || reader("application/pdf", sandbox()),
        ),
    ]
}

fn files_of(paths: &[&str]) -> Vec<Vec<u8>> {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    paths.iter().map(|path| std::fs::read(demo.join(path)).unwrap()).collect()
}

fn sandbox() -> Sandbox {
    Sandbox::new(PathBuf::from(env!("CARGO_BIN_EXE_sightline")), vec![EXTRACT_CHILD.into()])
}

fn pipeline(limits: Limits, sandbox: Sandbox) -> (Pipeline, TempDir) {
    let dir = scratch();
    let engine = Arc::new(Engine::open(dir.path(), &Options::default()).unwrap());
    (Pipeline::new(engine, None, limits, sandbox), dir)
}

fn limits() -> Limits {
    // The child has to be stopped before the input counts as slow.
    let extract =
        ExtractLimits { child_seconds: 1, child_memory_bytes: 512 << 20, max_text_bytes: 4 << 20, ..ExtractLimits::default() };
    Limits { extract, ..Limits::default() }
}

fn incoming(mime: &str, bytes: &[u8]) -> Incoming {
    let content = Content::Bytes(bytes.to_vec());
    Incoming { source: "s".to_owned(), id: "i".to_owned(), mime: mime.to_owned(), content, ..Incoming::default() }
}

/// Prepares a document and looks at it; `None` when the file was refused.
fn prepared(pipeline: &Pipeline, incoming: Incoming) -> Option<NewDocument> {
    let document = match pipeline.prepare(incoming) {
        Ok((document, _)) => document,
        Err(IngestError::Extract(ExtractError::Sandbox { reason, .. })) => panic!("the child did not answer: {reason}"),
        Err(IngestError::Extract(_)) => return None,
        Err(error) => panic!("{error}"),
    };
    let text = &document.text;
    assert!(!text.contains('\0'));
    let title = document.title.as_deref().unwrap_or("t");
    assert!(!title.is_empty() && title.chars().count() <= 500 && !title.contains(['\n', '\0']), "title {title:?}");
    let mut from = 0;
    for chunk in &document.chunks {
        assert!(from <= chunk.start && chunk.start < chunk.end, "{}..{} after {from}", chunk.start, chunk.end);
        let between = text.get(from..chunk.start).expect("chunks begin at characters");
        assert!(between.trim().is_empty(), "{between:?} is in no chunk");
        let passage = text.get(chunk.start..chunk.end).expect("chunks end at characters");
        assert!(passage.trim() == passage && !passage.is_empty(), "{passage:?} begins or ends with white space");
        let max = pipeline.limits().chunk.max_chars.max(1);
        assert!(passage.chars().count() <= max, "{} characters, at most {max} are allowed", passage.chars().count());
        from = chunk.end;
    }
    assert!(text.get(from..).unwrap().trim().is_empty(), "the end is in no chunk");
    Some(document)
}

fn reader(mime: &'static str, sandbox: Sandbox) -> super::Check {
    let (pipeline, dir) = pipeline(limits(), sandbox);
    Box::new(move |input| {
        let _kept = &dir;
        prepared(&pipeline, incoming(mime, input)).is_some()
    })
}

/// Three bytes of limits, and texts of which all but the first are sections.
fn chunker() -> super::Check {
    let (first, dir) = pipeline(limits(), Sandbox::in_process());
    Box::new(move |input| {
        let _kept = &dir;
        let Some((sizes, text)) = input.split_first_chunk::<3>() else { return false };
        let [target_chars, max_chars, min_chars] = sizes.map(|size| SIZES[size as usize % SIZES.len()]);
        let limits = Limits { chunk: ChunkLimits { target_chars, max_chars, min_chars }, ..limits() };
        let pipeline = Pipeline::new(first.engine().clone(), None, limits, Sandbox::in_process());
        let text = String::from_utf8_lossy(text).replace('\0', " ");
        let mut parts = text.split(SECTION);
        let mut incoming = incoming("text/markdown", parts.next().unwrap_or_default().as_bytes());
        incoming.sections = (0..)
            .zip(parts)
            .map(|(number, text)| IncomingSection {
                name: format!("n{number}"),
                place: SectionPlace::Text(text.to_owned()),
                acl: Some(json!({})),
            })
            .collect();
        prepared(&pipeline, incoming).is_some()
    })
}

/// The text of a DOCX file, which is put into a whole archive.
fn docx_xml() -> super::Check {
    let (pipeline, dir) = pipeline(limits(), Sandbox::in_process());
    Box::new(move |input| {
        let _kept = &dir;
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file("word/document.xml", stored).unwrap();
        archive.write_all(input).unwrap();
        let bytes = archive.finish().unwrap().into_inner();
        prepared(&pipeline, incoming(DOCX, &bytes)).is_some()
    })
}

fn document_xml() -> Vec<Vec<u8>> {
    let read = |bytes: Vec<u8>| {
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut text = Vec::new();
        std::io::copy(&mut archive.by_name("word/document.xml").unwrap(), &mut text).unwrap();
        text
    };
    files_of(&["company/welcome/code-of-conduct.docx"]).into_iter().map(read).collect()
}

fn paragraph(inner: &str) -> Vec<u8> {
    let space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
    format!("<w:document xmlns:w=\"{space}\"><w:body>{inner}</w:body></w:document>").into_bytes()
}
