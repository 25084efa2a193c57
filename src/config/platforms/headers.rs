//! Header fields that a platform is sent: those that replace the client's, and those for clients that send none.

use super::{HEADERS_BYTES_MAX, is_token};
use crate::config::fields::{Fields, name_shown};
use crate::config::json::Json;

/// A name and a value.
type Header = (String, String);

/// Fields that frame or route a message, or concern one connection: no platform sets them.
const RESERVED_FIELDS: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "date",
];

/// `headers` and `default_headers`.
pub(super) fn read_headers(
    fields: &mut Fields<'_, '_>,
    auth_header: &str,
) -> (Vec<Header>, Vec<Header>) {
    let headers = read_list(fields, "headers", auth_header, &[]);
    let defaults = read_list(fields, "default_headers", auth_header, &headers);
    let lines = headers.iter().chain(&defaults);
    let bytes: usize = lines
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    if bytes > HEADERS_BYTES_MAX {
        let text = format!("more than {HEADERS_BYTES_MAX} bytes together; leave some out");
        fields.problem("headers", text);
    }
    (headers, defaults)
}

/// One of the two lists; no name may be in both.
fn read_list(
    fields: &mut Fields<'_, '_>,
    list: &'static str,
    auth_header: &str,
    others: &[Header],
) -> Vec<Header> {
    let entries = match fields.value(list) {
        None => return Vec::new(),
        Some(Json::Object(entries)) => entries,
        Some(other) => {
            let text = format!(
                "expected an object, found {}; write {{ \"name\": \"value\" }}",
                other.kind()
            );
            fields.problem(list, text);
            return Vec::new();
        }
    };
    let mut headers: Vec<Header> = Vec::new();
    for (name, value) in entries {
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || b"-_".contains(&byte);
        let place = format!("{list}.{}", name_shown(name, is_letter));
        let Some(value) = fields.text_of(&place, value) else {
            continue;
        };
        if !is_value(value) {
            fields.problem(&place, "holds a control character or a letter outside ASCII; write one line of visible ASCII");
            continue;
        }
        let value = value.trim().to_string();
        if !is_token(name) && is_usual_name(&value) {
            let text =
                "no header name, but its value looks like one; write { \"name\": \"value\" }";
            fields.problem(&place, text);
        } else if !is_token(name) {
            fields.problem(&place, "no header name; write letters, digits and -");
        } else if is_reserved(name) {
            fields.problem(&place, "frames or routes messages; leave it out");
        } else if name.eq_ignore_ascii_case(auth_header) {
            fields.problem(&place, "set by auth_header and keys; leave it out");
        } else if headers
            .iter()
            .chain(others)
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
        {
            fields.problem(&place, "given more than once; keep one");
        } else {
            headers.push((name.clone(), value));
        }
    }
    headers
}

pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED_FIELDS
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Whether it looks like a header's name and like nothing else, as `Content-Type` does.
fn is_usual_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'-';
    let is_telling = text.contains('-') || text.eq_ignore_ascii_case("authorization");
    is_telling && text.bytes().all(is_letter)
}

/// One line of visible ASCII, spaces and tabs.
pub(super) fn is_value(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}
