//! Text, Markdown, HTML and MIME types.

use super::*;

#[test]
fn markdown_is_kept_and_its_headings_marked() {
    let text = "\u{feff}---\ntitle: \"Key rotation\"\n---\n# One *two* `three`\r\n\r\nSetext\n------\n\n```\n# code\n```\n\n> # quoted\n\n#### Four {#id}\n";
    let extracted = in_process(text.as_bytes(), "text/markdown; charset=utf-8").unwrap();
    assert_eq!(extracted.text, text.trim_start_matches('\u{feff}'));
    assert_eq!(extracted.title.as_deref(), Some("Key rotation"));
    let expected = ["h1 One two three @ # One *two* `three`", "h2 Setext @ Setext", "h4 Four @ #### Four {#id}"];
    assert_eq!(outline(&extracted), expected);
}

#[test]
fn the_first_heading_is_the_title_else() {
    let title = |text: &str| in_process(text.as_bytes(), "text/markdown").unwrap().title;
    assert_eq!(title("## Not this\n\n# This one\n").as_deref(), Some("This one"));
    assert_eq!(title("+++\ntitle = 'From TOML'\n+++\n# Heading\n").as_deref(), Some("From TOML"));
    assert_eq!(title("---\n\n# After a rule\n\n---\n").as_deref(), Some("After a rule"));
    assert_eq!(title("no heading at all\n"), None);
}

#[test]
fn text_is_kept_byte_for_byte() {
    let text = "  a,b\r\n# no heading\r\n\tc\n";
    let extracted = in_process(text.as_bytes(), "text/csv").unwrap();
    assert_eq!(extracted, Extracted { text: text.into(), ..Extracted::default() });
    for mime in ["application/json", "application/yaml", "text/x-rust", "application/ld+json"] {
        assert_eq!(in_process(b"{}", mime).unwrap().text, "{}");
    }
}

#[test]
fn utf16_is_decoded() {
    let wide = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(order).collect()
    };
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        assert_eq!(in_process(&wide("Grüße 🦀", order), "text/plain").unwrap().text, "Grüße 🦀");
    }
    let mut broken = wide("ab", u16::to_le_bytes);
    broken.extend([0x00, 0xd8, 0x20, 0x00]);
    assert_eq!(in_process(&broken, "text/plain"), Err(ExtractError::NotUtf8 { offset: 6 }));
    broken.truncate(5);
    assert_eq!(in_process(&broken, "text/plain"), Err(ExtractError::NotUtf8 { offset: 4 }));
}

#[test]
fn other_encodings_and_binary_files_are_refused_with_their_offset() {
    assert_eq!(in_process(b"caf\xe9 au lait", "text/plain"), Err(ExtractError::NotUtf8 { offset: 3 }));
    assert_eq!(in_process(b"\xef\xbb\xbfab\xff", "text/markdown"), Err(ExtractError::NotUtf8 { offset: 5 }));
    assert_eq!(in_process(b"ab\0cd", "text/plain"), Err(ExtractError::Binary { offset: 2 }));
    assert_eq!(in_process(b"\x89PNG\0\0", "text/plain"), Err(ExtractError::Binary { offset: 4 }));
    let message = in_process(b"\xff", "text/plain").unwrap_err().to_string();
    assert!(message.contains("byte 0") && message.contains("save it as UTF-8"), "{message}");
}

#[test]
fn empty_oversized_and_unknown_files_are_refused() {
    for empty in [&b""[..], b" \n\t ", b"\xef\xbb\xbf"] {
        assert_eq!(code(in_process(empty, "text/plain")), "empty");
        assert_eq!(code(in_process(empty, "text/html")), "empty");
    }
    assert_eq!(code(in_process(b"x", "image/png")), "unsupported");
    let limits = ExtractLimits { max_file_bytes: 4, ..ExtractLimits::default() };
    assert_eq!(code(extract(b"12345", "text/plain", &limits, &Sandbox::in_process())), "too_large");
    let limits = ExtractLimits { max_text_bytes: 4, ..ExtractLimits::default() };
    assert_eq!(code(extract(b"12345", "text/plain", &limits, &Sandbox::in_process())), "too_large");
    assert_eq!(code(in_process("# a\n".repeat(MAX_MARKS + 1).as_bytes(), "text/markdown")), "too_large");
}

#[test]
fn html_becomes_readable_text() {
    let html = r#"<!doctype html><html><head><title> A  page </title><style>p{}</style></head><body>
        <nav><a href=/>Home</a></nav><h1>Big <em>news</em></h1><script>alert("<div>")</script>
        <p>Set <code>a_b\_c</code> or snake_case, see <a href="https://x.example/long">the manual</a>.</p>
        <ul><li>one<li>two</ul><pre>keep\_this  # as is</pre>
        <table><thead><tr><th>Key</th><th>Value</th></tr></thead><tr><td>a</td><td>1</td></tr></table>
        <img src=x.png alt="A chart"><h2>5 * 3</h2></body></html>"#;
    let extracted = in_process(html.as_bytes(), "text/html").unwrap();
    assert_eq!(extracted.title.as_deref(), Some("A page"));
    let expected = "# Big news\n\nSet `a_b\\_c` or snake_case, see the manual.\n\n- one\n- two\n\n\
        ```\nkeep\\_this  # as is\n```\n\nKey | Value\na | 1\n\nA chart\n\n## 5 * 3";
    assert_eq!(extracted.text, expected);
    assert_eq!(outline(&extracted), ["h1 Big news @ # Big news", "h2 5 * 3 @ ## 5 * 3"]);
}

#[test]
fn html_layout_tables_stay_paragraphs() {
    let html = "<table><tr><td><h1>Title</h1><p>One.</p></td><td><p>Two.</p><p>Three.</p></td></tr></table>";
    let extracted = in_process(html.as_bytes(), "text/html").unwrap();
    assert_eq!(extracted.text, "# Title\n\nOne.\n\nTwo.\n\nThree.");
    assert_eq!(extracted.title.as_deref(), Some("Title"));
}

#[test]
fn nested_html_is_refused_before_the_stack_is_gone() {
    let nested = |tag: &str, depth: usize| format!("{}x", format!("<{tag}>").repeat(depth));
    for tag in ["div", "blockquote", "ul><li", "table><tr><td", "b", "x-y"] {
        let per_unit = 1 + tag.matches('>').count() + tag.matches("table").count();
        assert_eq!(code(in_process(nested(tag, 500 / per_unit).as_bytes(), "text/html")), "ok", "{tag}");
    }
    for (tag, depth) in [("div", 600), ("div", 100_000), ("b", 20_000), ("span", 1_000_000)] {
        assert_eq!(code(in_process(nested(tag, depth).as_bytes(), "text/html")), "too_deep", "{tag}");
    }
    let many = "<div><p>a<br><li>b</div>".repeat(5_000);
    assert_eq!(code(in_process(many.as_bytes(), "text/html")), "ok");
}

#[test]
fn types_are_told_by_name_then_by_content() {
    let mime = |name: &str, head: &[u8]| mime_of(Path::new(name), head).unwrap_or("none");
    assert_eq!(mime("a/README.MD", b""), "text/markdown");
    assert_eq!(mime("page.html", b"%PDF-"), "text/html");
    assert_eq!(mime("report", b"%PDF-1.7"), "application/pdf");
    assert_eq!(mime("Makefile", b"all:\n"), "text/plain");
    assert_eq!(mime("cut", "é".as_bytes().split_at(1).0), "text/plain");
    assert_eq!(mime("page", b"\xef\xbb\xbf <!DOCTYPE HTML>"), "text/html");
    assert_eq!(mime("mail", b"Received: from x"), "message/rfc822");
    assert_eq!(mime("wide", b"\xff\xfea\0"), "text/plain");
    assert_eq!(mime("program", b"\x7fELF\0"), "none");
    assert_eq!(mime("photo.png", b""), "image/png");
    assert!(mime("doc", &fixtures::docx("")).ends_with("wordprocessingml.document"));
    assert_eq!(mime("zip", &fixtures::archive(&[("a.txt", b"a")])), "application/zip");
}

use std::path::Path;
