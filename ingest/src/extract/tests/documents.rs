//! PDF, DOCX and mail.

use super::fixtures::{archive, document_xml, docx, pdf};
use super::*;

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

#[test]
fn pdf_pages_are_joined_and_marked() {
    let extracted = in_process(&pdf(&["First page", "", "Third page"], ""), "application/pdf").unwrap();
    assert_eq!(extracted.text, "First page\n\nThird page");
    assert_eq!(outline(&extracted), ["page 1 @ First page", "page 3 @ Third page"]);
    assert_eq!(extracted.title.as_deref(), Some("Quarterly report"));
}

#[test]
fn pdf_without_text_encrypted_or_damaged_says_so() {
    assert_eq!(code(in_process(&pdf(&["", ""], ""), "application/pdf")), "no_text");
    let encrypted = "/ID [<00><00>] /Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -4 \
        /O <0000000000000000000000000000000000000000000000000000000000000000> \
        /U <0000000000000000000000000000000000000000000000000000000000000000> >>";
    assert_eq!(code(in_process(&pdf(&["Secret"], encrypted), "application/pdf")), "encrypted");
    assert_eq!(code(in_process(b"%PDF-1.7\nnothing else", "application/pdf")), "damaged");
    assert_eq!(code(in_process(b"no pdf", "application/pdf")), "damaged");
}

fn paragraph(style: &str, text: &str) -> String {
    format!(r#"<w:p><w:pPr>{style}</w:pPr><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>"#)
}

fn row(cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<w:tc>{}</w:tc>", paragraph("", cell))).collect();
    format!("<w:tr>{cells}</w:tr>")
}

#[test]
fn docx_keeps_headings_lists_and_tables() {
    let listed = r#"<w:numPr><w:numId w:val="1"/></w:numPr>"#;
    let body = [
        paragraph(r#"<w:pStyle w:val="Ttl"/>"#, "The &lt;title&gt; &#65;&amp;B"),
        paragraph(r#"<w:pStyle w:val="Kop1"/>"#, "Intro"),
        "<w:p><w:r><w:t>Split </w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>".to_owned(),
        "<w:r><w:t>run</w:t><w:br/><w:t>line</w:t><w:instrText>PAGE</w:instrText></w:r></w:p>".to_owned(),
        paragraph(listed, "one"),
        paragraph(listed, "two"),
        format!("<w:tbl>{}{}</w:tbl>", row(&["a", "b"]), row(&["c", ""])),
        paragraph(r#"<w:pStyle w:val="Heading2"/>"#, "Next"),
        paragraph(r#"<w:outlineLvl w:val="2"/>"#, "Outlined"),
        "<mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>".to_owned(),
        "<mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>".to_owned(),
    ];
    let styles = r#"<w:styles><w:style w:styleId="Base"><w:name w:val="heading 1"/></w:style>
        <w:style w:styleId="Kop1"><w:name w:val="Kop"/><w:basedOn w:val="Base"/></w:style>
        <w:style w:styleId="Ttl"><w:name w:val="Title"/></w:style></w:styles>"#;
    let file = archive(&[("word/document.xml", document_xml(&body.concat()).as_bytes()), ("word/styles.xml", styles.as_bytes())]);
    let extracted = in_process(&file, DOCX).unwrap();
    let expected = "The <title> A&B\n\nIntro\n\nSplit run\nline\n\n- one\n- two\n\na | b\nc | \n\nNext\n\nOutlined\n\nbox";
    assert_eq!(extracted.text, expected);
    assert_eq!(extracted.title.as_deref(), Some("The <title> A&B"));
    assert_eq!(outline(&extracted), ["h1 Intro @ Intro", "h2 Next @ Next", "h3 Outlined @ Outlined"]);
}

#[test]
fn docx_finds_its_main_part_and_title() {
    let relations = r#"<Relationships><Relationship Type="http://x/officeDocument" Target="/main/doc2.xml"/></Relationships>"#;
    let core = r#"<cp:coreProperties><dc:title>From the properties</dc:title></cp:coreProperties>"#;
    let file = archive(&[
        ("_rels/.rels", relations.as_bytes()),
        ("main/doc2.xml", document_xml(&paragraph("", "text")).as_bytes()),
        ("docProps/core.xml", core.as_bytes()),
    ]);
    let extracted = in_process(&file, DOCX).unwrap();
    assert_eq!((extracted.text.as_str(), extracted.title.as_deref()), ("text", Some("From the properties")));
}

#[test]
fn docx_bombs_are_stopped() {
    let zeros = vec![b' '; 32 << 20];
    let bomb = archive(&[("word/document.xml", &zeros)]);
    assert_eq!(code(in_process(&bomb, DOCX)), "zip_bomb");
    // An entry that is not read counts as well, by what it declares.
    let unread = archive(&[("word/document.xml", document_xml("").as_bytes()), ("word/media/image.bmp", &zeros)]);
    assert_eq!(code(in_process(&unread, DOCX)), "zip_bomb");
    // The first one with a directory and a header that claim 100 bytes.
    let mut lying = bomb;
    for (signature, field) in [(b"PK\x03\x04", 22), (b"PK\x01\x02", 24)] {
        let at = lying.windows(4).position(|window| window == signature).unwrap() + field;
        lying[at..at + 4].copy_from_slice(&100_u32.to_le_bytes());
    }
    assert_eq!(code(in_process(&lying, DOCX)), "damaged");
    let entities = r#"<!DOCTYPE w [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><w:document><w:p><w:t>&b;</w:t></w:p></w:document>"#;
    assert_eq!(code(in_process(&archive(&[("word/document.xml", entities.as_bytes())]), DOCX)), "damaged");
    assert_eq!(code(in_process(&docx("<w:p><w:r><w:t>&b;</w:t></w:r></w:p>"), DOCX)), "damaged");
    assert_eq!(code(in_process(&docx(&"<w:p>".repeat(100_000)), DOCX)), "too_deep");
    let limits = ExtractLimits { max_text_bytes: 1000, ..ExtractLimits::default() };
    let long = docx(&format!("<w:tbl>{}", row(&["cell"; 400])));
    assert_eq!(code(extract(&long, DOCX, &limits, &Sandbox::in_process())), "too_large");
    let limits = ExtractLimits { max_unpacked_bytes: 2000, ..ExtractLimits::default() };
    let many = archive(&[("a", &[7; 1500]), ("b", &[8; 1500])]);
    assert_eq!(code(extract(&many, DOCX, &limits, &Sandbox::in_process())), "too_large");
}

#[test]
fn docx_encrypted_or_cut_off_says_so() {
    assert_eq!(code(in_process(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old or encrypted", DOCX)), "encrypted");
    assert_eq!(code(in_process(&archive(&[("a.txt", b"a")]), DOCX)), "damaged");
    let whole = docx(&paragraph("", "some text that is long enough to be cut"));
    for length in 0..whole.len() {
        let answer = code(in_process(&whole[..length], DOCX));
        assert!(["damaged", "empty"].contains(&answer), "{length}: {answer}");
    }
}

const MAIL: &str = "Subject: =?utf-8?q?Caf=C3=A9?= plans\r\nFrom: Ana <ana@x.example>\r\nTo: bo@x.example, Cy <cy@x.example>\r\n\
    Date: Fri, 16 Oct 2026 15:42:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n\
    --B\r\nContent-Type: multipart/alternative; boundary=A\r\n\r\n--A\r\nContent-Type: text/plain\r\n\r\nPlain body.\r\n\
    --A\r\nContent-Type: text/html\r\n\r\n<p>HTML body.</p>\r\n--A--\r\n\
    --B\r\nContent-Type: text/csv; name=\"table.csv\"\r\nContent-Disposition: attachment; filename=\"table.csv\"\r\n\r\na,b\r\n\
    --B\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=\"page.html\"\r\n\r\n<h1>Page</h1>\r\n\
    --B\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"scan.pdf\"\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--B--\r\n";

#[test]
fn mail_has_a_head_a_body_and_parts() {
    let extracted = in_process(MAIL.as_bytes(), "message/rfc822").unwrap();
    let expected = "Subject: Café plans\nFrom: Ana <ana@x.example>\nTo: bo@x.example, Cy <cy@x.example>\n\
        Date: 2026-10-16T15:42:00+01:00\n\nPlain body.\n\nAttachment: scan.pdf (application/pdf)\n\na,b\n\n# Page";
    assert_eq!(extracted.text, expected);
    assert_eq!(extracted.title.as_deref(), Some("Café plans"));
    let expected = ["part body @ Subject: Café plans", "part table.csv @ a,b", "part page.html @ # Page", "h1 Page @ # Page"];
    assert_eq!(outline(&extracted), expected);
}

#[test]
fn mail_with_only_html_is_read() {
    let mail = "Subject: x\r\nContent-Type: text/html\r\n\r\n<h2>Hi</h2><p>snake_case</p>";
    let extracted = in_process(mail.as_bytes(), "message/rfc822").unwrap();
    assert_eq!(extracted.text, "Subject: x\n\n## Hi\n\nsnake_case");
    assert_eq!(outline(&extracted), ["part body @ Subject: x", "h2 Hi @ ## Hi"]);
}

#[test]
fn nested_mail_is_read_to_a_depth() {
    let mut mail = "Subject: innermost\r\n\r\nbottom".to_owned();
    for level in 0..5 {
        mail = format!("Subject: level {level}\r\nContent-Type: message/rfc822\r\n\r\n{mail}");
    }
    let extracted = in_process(mail.as_bytes(), "message/rfc822").unwrap();
    let text = &extracted.text;
    assert!(text.contains("Subject: level 1\n") && !text.contains("bottom"), "{text}");
    assert!(text.ends_with("(message/rfc822)"), "{text}");
}

#[test]
fn broken_mail_is_an_error_or_a_text_but_no_panic() {
    for length in 0..MAIL.len() {
        if MAIL.is_char_boundary(length) {
            let answer = code(in_process(&MAIL.as_bytes()[..length], "message/rfc822"));
            assert!(["ok", "damaged", "empty"].contains(&answer), "{length}: {answer}");
        }
    }
    let nul = "Subject: a\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=00b=FF";
    let text = in_process(nul.as_bytes(), "message/rfc822").unwrap().text;
    assert!(text.contains("a b") && !text.contains('\0'), "{text:?}");
    let endless = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n".repeat(3_000);
    assert!(["ok", "damaged", "empty", "timeout"].contains(&code(in_process(endless.as_bytes(), "message/rfc822"))));
}
