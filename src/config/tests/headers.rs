//! The fields of platform.json that become header lines.

use super::platforms::{expect, read};

#[test]
fn auth() {
    const FORMAT: &str = "@auth_format: must hold {key} exactly once and no control character; write \"Bearer {key}\" or \"{key}\"";
    expect(&[
        (r#""auth_format": "Bearer""#, &[FORMAT]),
        (r#""auth_format": """#, &[FORMAT]),
        (r#""auth_format": "{key}{key}""#, &[FORMAT]),
        (r#""auth_format": "{KEY}""#, &[FORMAT]),
        (r#""auth_format": "{key}\r\nX: 1""#, &[FORMAT]),
        (r#""auth_format": "Schlüssel {key}""#, &[FORMAT]),
        (
            r#""auth_header": "X Key""#,
            &[r#"@auth_header: "X Key" is not a header name; write one such as x-api-key"#],
        ),
        (
            r#""auth_header": "X-Key:""#,
            &[r#"@auth_header: "X-Key:" is not a header name; write one such as x-api-key"#],
        ),
        (
            r#""auth_header": """#,
            &[r#"@auth_header: "" is not a header name; write one such as x-api-key"#],
        ),
        (
            r#""auth_header": "HOST""#,
            &["@auth_header: HOST frames or routes messages; write Authorization or x-api-key"],
        ),
    ]);
    for (format, prefix, suffix) in [
        ("Bearer {key}", "Bearer ", ""),
        ("{key}", "", ""),
        ("Token token=\\\"{key}\\\" ", "Token token=\"", "\""),
    ] {
        let platform = read(&format!(r#""auth_format": "{format}""#));
        assert_eq!(
            (platform.auth_prefix.as_str(), platform.auth_suffix.as_str()),
            (prefix, suffix)
        );
    }
}

#[test]
fn fixed_headers() {
    const VALUE: &str =
        "holds a control character or a letter outside ASCII; write one line of visible ASCII";
    const NAME: &str = "no header name; write letters, digits and -";
    const SWAPPED: &str =
        r#"no header name, but its value looks like one; write { "name": "value" }"#;
    const FRAMING: &str = "frames or routes messages; leave it out";
    for (name, value, place, want) in [
        ("X-A", "a\\r\\nX-Injected: 1", "X-A", VALUE),
        ("X-A", "a\\nb", "X-A", VALUE),
        ("X-A", "a\\u0000", "X-A", VALUE),
        ("X-A", "é", "X-A", VALUE),
        ("X\\r\\nX-Injected", "a", "X\\r\\nX…cted", NAME),
        ("X-Secret-Bearer sk-abcdefghijkl", "a", "X-Se…ijkl", NAME),
        ("sk-abcdefghijkl42", "é", "sk-a…kl42", VALUE),
        ("OpenAI-Organization", "é", "OpenAI-Organization", VALUE),
        ("X A", "a", "X A", NAME),
        ("X:", "a", "X:", NAME),
        ("X A", "gzip", "X A", NAME),
        ("X A", "sk-abcdefghijkl42", "X A", NAME),
        ("application/json", "Content-Type", "appl…json", SWAPPED),
        (
            "Bearer sk-abcdefghijkl42",
            "AUTHORIZATION",
            "Bear…kl42",
            SWAPPED,
        ),
        ("", "a", "", NAME),
        ("Host", "a", "Host", FRAMING),
        ("content-LENGTH", "1", "content-LENGTH", FRAMING),
        ("Transfer-Encoding", "chunked", "Transfer-Encoding", FRAMING),
        ("Connection", "close", "Connection", FRAMING),
        (
            "authorization",
            "x",
            "authorization",
            "set by auth_header and keys; leave it out",
        ),
    ] {
        let want = format!("@headers.{place}: {want}");
        expect(&[(&format!(r#""headers": {{"{name}": "{value}"}}"#), &[&want])]);
    }
    let large = format!(r#""headers": {{"x": "{}"}}"#, "y".repeat(8188));
    let largest = format!(r#""headers": {{"x": "{}"}}"#, "y".repeat(8187));
    expect(&[
        (
            r#""headers": {"x": 1}"#,
            &["@headers.x: expected a text, found 1; write it in double quotes"],
        ),
        (
            r#""headers": {"x": "1", "X": "2"}"#,
            &["@headers.X: given more than once; keep one"],
        ),
        (
            r#""headers": {"X-Key": "1"}, "auth_header": "x-key""#,
            &["@headers.X-Key: set by auth_header and keys; leave it out"],
        ),
        (
            &large,
            &["@headers: more than 8192 bytes together; leave some out"],
        ),
        (&largest, &[]),
        (
            r#""default_headers": {"x": 1}"#,
            &["@default_headers.x: expected a text, found 1; write it in double quotes"],
        ),
        (
            r#""headers": {"x": "1"}, "default_headers": {"X": "2"}"#,
            &["@default_headers.X: given more than once; keep one"],
        ),
        (
            &format!(r#"{largest}, "default_headers": {{"y": ""}}"#),
            &["@headers: more than 8192 bytes together; leave some out"],
        ),
    ]);
    let headers = read(r#""headers": {"b": " x\ty ", "A": ""}"#).headers;
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    assert_eq!(headers, [pair("b", "x\ty"), pair("A", "")]);
}
