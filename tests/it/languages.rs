//! Keyword search in several languages: short questions find passages whose words are inflected, spelt or joined otherwise.

use serde_json::json;

use crate::http::Server;

const TEXTS: [(&str, &str); 13] = [
    ("de", "Die Verträge mit den Lieferanten werden in der Rechtsabteilung aufbewahrt und dürfen das Haus nicht verlassen."),
    ("fr", "Les contrats des fournisseurs sont conservés au service juridique et ne doivent pas quitter la maison."),
    ("pl", "Wszystkie umowy z dostawcami są przechowywane w dziale prawnym i nie wolno ich wynosić z budynku firmy."),
    ("ru", "Договоры с поставщиками хранятся в юридическом отделе, и мой начальник не разрешает выносить их."),
    ("ar", "تحفظ العقود مع الموردين في الإدارة القانونية ولا يسمح بإخراجها من المبنى."),
    ("ko", "공급업체와의 계약서는 법무팀에서 보관하며 건물 밖으로 반출할 수 없습니다."),
    ("ja", "仕入先との契約書は法務部で保管し、建物の外に持ち出してはならない。サーバーの予備もある。"),
    ("zh", "与供应商签订的合同由法务部保管，不得带出大楼。"),
    ("hi", "आपूर्तिकर्ताओं के साथ अनुबंध कानूनी विभाग में रखे जाते हैं और बाहर नहीं ले जाए जा सकते।"),
    ("mixed", "Серверы стоят в подвале. The backup servers are in the attic, где сухо и прохладно и никто не ходит."),
    ("code", "Patch CVE-2024-3094 before the audit. The invoice INV/2024/77 is still open."),
    ("parts", "In 2024 there were 3094 tickets, 77 of them with a CVE or an INV number, and 2024 was a good year, patch or not."),
    ("title", "He wrote that the Ａｎｇｓｔｒöｍ exponent and the naïve estimate of the ﬁrst café differ."),
];

#[test]
fn questions_find_passages_in_their_language() {
    let server = Server::start();
    let key = server.master();
    for (id, text) in TEXTS {
        server.put(&key, &format!("texts/{id}"), json!({ "text": text, "acl": { "allow": ["public"] } }));
    }
    for (query, expected) in [
        ("Vertrag Lieferant", "de"),
        ("vertrage", "de"),
        ("contrat fournisseur", "fr"),
        ("umowy", "pl"),
        ("договор поставщика", "ru"),
        ("мой", "ru"),
        ("عقود", "ar"),
        ("계약서", "ko"),
        ("법무팀은", "ko"),
        ("契約書", "ja"),
        ("サーバー", "ja"),
        ("合同", "zh"),
        ("अनुबंध", "hi"),
        ("server", "mixed"),
        ("сервер", "mixed"),
        ("CVE-2024-3094", "code"),
        ("cve 2024/3094 CVE_2024_3094", "code"),
        ("INV-2024-77", "code"),
        ("angstrom", "title"),
        ("first cafe", "title"),
    ] {
        let body = json!({ "query": query, "mode": "keyword" });
        let answer = server.call("POST", "/v1/search").key(&key).json(&body).send().value();
        assert_eq!(answer["hits"][0]["citation"]["document"], expected, "{query}: {answer:#}");
        let hit = &answer["hits"][0];
        let text = hit["text"].as_str().unwrap();
        for span in hit["highlights"].as_array().unwrap() {
            let [start, end] = serde_json::from_value::<[usize; 2]>(span.clone()).unwrap();
            assert!(text.get(start..end).is_some_and(|shown| !shown.is_empty()), "{query}: {span}");
        }
        assert!(!hit["highlights"].as_array().unwrap().is_empty(), "{query}");
    }
    for absent in ["अनबध", "अनुबध"] {
        let body = json!({ "query": absent, "mode": "keyword" });
        let answer = server.call("POST", "/v1/search").key(&key).json(&body).send().value();
        assert_eq!(answer["hits"], json!([]), "{absent}");
    }
}

/// What is highlighted is what matched, also where only the title tells the language of a passage.
#[test]
fn highlights_are_in_the_language_that_is_indexed() {
    let server = Server::start();
    let key = server.master();
    let title = "Die Verträge mit den Lieferanten werden in der Rechtsabteilung aufbewahrt und dürfen das Haus nicht verlassen";
    let document = json!({ "title": title, "text": "Lieferungen an Behörden: 12.", "acl": { "allow": ["public"] } });
    server.put(&key, "texts/short", document);
    let body =
        json!({ "query": "Welche Lieferung ist an die Behörde gegangen, und wann wird sie dort gebraucht?", "mode": "keyword" });
    let answer = server.call("POST", "/v1/search").key(&key).json(&body).send().value();
    let hit = &answer["hits"][0];
    let spans: Vec<[usize; 2]> = serde_json::from_value(hit["highlights"].clone()).unwrap();
    let shown: Vec<&str> = spans.iter().map(|[start, end]| &hit["text"].as_str().unwrap()[*start..*end]).collect();
    assert_eq!(shown, ["Lieferungen", "an", "Behörden"]);
}

#[test]
fn quotes_that_nothing_has_do_not_hide_the_rest() {
    let server = Server::start();
    let key = server.master();
    for (id, text) in TEXTS {
        server.put(&key, &format!("texts/{id}"), json!({ "text": text, "acl": { "allow": ["public"] } }));
    }
    let ask = |query: &str| {
        let body = json!({ "query": query, "mode": "keyword" });
        let answer = server.call("POST", "/v1/search").key(&key).json(&body).send().value();
        let codes: Vec<String> =
            answer["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap().to_owned()).collect();
        (answer["hits"].as_array().unwrap().len(), codes)
    };
    assert_eq!(ask("\"backup servers\""), (1, vec![]));
    assert_eq!(ask("\"servers backup\" attic").1, ["phrase_not_found"]);
    assert!(ask("\"servers backup\" attic").0 > 0);
    assert_eq!(ask("+\"servers backup\" attic"), (0, vec![]));
    // What is excluded stays excluded.
    assert_eq!(ask("\"servers backup\" -attic").0, 0);
}
