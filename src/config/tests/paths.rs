//! The fields of platform.json that are paths, or contain one.

use super::platforms::read;
use super::*;

const CODE: &str = "holds a % without two hexadecimal digits behind it";
const DOTS: &str = "has a segment . or .., which servers read in different ways";
const QUERY: &str = "has a query or fragment, which has no place here";
const URL: &str = "is a whole URL, of which only the path belongs here";

/// Paths, and what is reported for each; a quoted letter is one that may stand in a URL only encoded.
const WRONG: [(&str, &str); 17] = [
    ("/%zz", CODE),
    ("/v1%2", CODE),
    ("/v1/%", CODE),
    ("/..", DOTS),
    ("/v1/../v2", DOTS),
    ("/./v1", DOTS),
    ("/v1/%2E.", DOTS),
    ("/[1]", "'['"),
    (r"/v1\\", r"'\\'"),
    ("/{id}", "'{'"),
    ("/v 1", "' '"),
    (r"/m HTTP/1.1\r\nX: 1", "' '"),
    (r"/v1\r\nX:1", r"'\r'"),
    ("/ä", "'ä'"),
    ("/v1#x", QUERY),
    ("https://h/v1", URL),
    ("HTTP://h", URL),
];

#[test]
fn paths_that_are_wrong() {
    let expect = |rows: &[(&str, &str)], field: &str, before: &str, end: &str| {
        for (path, fault) in rows {
            let fault = match fault.starts_with('\'') {
                true => format!("holds {fault}, which stands in a URL only encoded"),
                false => fault.to_string(),
            };
            let text = format!(r#"[{{"name": "p", "enabled": false, "{field}": "{before}{path}""#);
            let text = match field {
                "base_url" => format!("{text}}}]"),
                _ => format!(r#"{text}, "base_url": "https://h"}}]"#),
            };
            let found = lines(&load_files(&[("platform.json", &text)], &[]));
            let want = format!("platform.json: [0].{field}: {}", end.replace('@', &fault));
            assert_eq!(found, [want], "{text}");
        }
    };
    let api_path = r#"@; write one such as "/v1""#;
    expect(&WRONG, "api_path", "", api_path);
    expect(&[("/v1?x", QUERY)], "api_path", "", api_path);
    let health = r#"@; write one such as "/models""#;
    expect(&WRONG, "health_check_endpoint", "", health);
    let queries = [("/m?x=%zz", CODE), ("/m?{", "'{'"), ("/m?x#y", QUERY)];
    expect(&queries, "health_check_endpoint", "", health);
    // Letters that no part of a URL may contain are reported for the whole URL.
    let base_url = "its path @; end the URL with one such as /v1";
    expect(&WRONG[..8], "base_url", "https://h", base_url);
}

#[test]
fn a_path_that_stands_twice() {
    for (base_url, api_path, is_twice) in [
        ("https://h/v1", "/v1", true),
        ("https://h/api/v1/", "v1/", true),
        ("https://h/v1", "", false),
        ("https://h/api", "/v1", false),
        ("https://h/openaiv1", "/v1", false),
        ("https://v1", "/v1", false),
    ] {
        let text = format!(
            r#"[{{"name": "p", "enabled": false, "base_url": "{base_url}", "api_path": "{api_path}"}}]"#
        );
        let found = lines(&load_files(&[("platform.json", &text)], &[]));
        let want = "warning: platform.json: [0].api_path: base_url ends with it, too: the platform gets it twice; leave out one of them";
        let want = is_twice.then_some(want);
        assert_eq!(found, Vec::from_iter(want), "{text}");
    }
}

#[test]
fn health_paths() {
    for (api_path, endpoint, want) in [
        ("", "/models", "/models"),
        ("/v1", "/models", "/v1/models"),
        ("/v1", "/v1/models", "/v1/models"),
        ("v1/", "models", "/v1/models"),
        ("/v1", "/v1", "/v1"),
        ("/v1", "/v1?x=1", "/v1?x=1"),
        ("/v1", "/v1beta/models", "/v1/v1beta/models"),
        ("/", "models?limit=1", "/models?limit=1"),
        ("", "/m?u=https://h/../x?y", "/m?u=https://h/../x?y"),
        (
            "/a:b@c;d=e/%7Bid%7D/...",
            "/~x",
            "/a:b@c;d=e/%7Bid%7D/.../~x",
        ),
    ] {
        let platform = read(&format!(
            r#""api_path": "{api_path}", "health_check_endpoint": "{endpoint}""#
        ));
        assert_eq!(platform.health_path, want, "{api_path} {endpoint}");
    }
}
