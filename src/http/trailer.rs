//! Which fields of a trailer section may be forwarded (RFC 9110 section 6.5.1).

use super::Field;
use super::connection::is_hop_by_hop;
use super::name::{Names, begins_with, tells_of_client};

/// Fields that would change, after the fact, how a message is framed, routed, authenticated or processed.
const LEFT_OUT: Names<37> = Names::new([
    // How the body is delimited and what it is.
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "trailer",
    "transfer-encoding",
    // Where the message goes and how it is to be treated.
    "age",
    "cache-control",
    "date",
    "expect",
    "expires",
    "host",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "vary",
    "warning",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    // Who sends it: the standard's fields, those in which AI platforms look for a key, and three that the proxy sets.
    "api-key",
    "authentication-info",
    "authorization",
    "cookie",
    "origin",
    "sec-websocket-protocol",
    "set-cookie",
    "www-authenticate",
    "x-api-key",
    "x-goog-api-key",
    "x-proxy-error",
    "x-request-id",
    "x-should-retry",
]);

/// Families of such fields.
const LEFT_OUT_PREFIXES: [&str; 2] = ["access-control-", "proxy-"];

/// The fields of `section` that may be forwarded, in order. `section` is as in [`super::body::Decoded::Trailers`]:
/// well-formed lines, each with its line end.
pub fn trailer_fields(section: &[u8]) -> impl Iterator<Item = Field<'_>> {
    section
        .split(|byte| *byte == b'\n')
        .filter_map(split_line)
        .filter(|field| may_pass(field.name))
}

fn split_line(line: &[u8]) -> Option<Field<'_>> {
    let line = line.strip_suffix(b"\r")?;
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some(Field {
        name: str::from_utf8(&line[..colon]).ok()?,
        value: line[colon + 1..].trim_ascii(),
    })
}

fn may_pass(name: &str) -> bool {
    !is_hop_by_hop(name)
        && !tells_of_client(name)
        && !LEFT_OUT.has(name)
        && !LEFT_OUT_PREFIXES
            .iter()
            .any(|prefix| begins_with(name, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_go_on() {
        let rows = [
            ("", ""),
            ("a: b\r\n", "a=b;"),
            ("a:\t b c \r\nb:\r\n", "a=b c;b=;"),
            (
                "Server-Timing: x;dur=1\r\nDigest: y\r\n",
                "Server-Timing=x;dur=1;Digest=y;",
            ),
            ("Content-Digest: x:y\r\n", "Content-Digest=x:y;"),
            ("proxyx: 1\r\nx-forwarde: 2\r\n", "proxyx=1;x-forwarde=2;"),
            (
                "grpc-status: 0\r\nContent-Length: 5\r\ngrpc-message: ok\r\n",
                "grpc-status=0;grpc-message=ok;",
            ),
            ("Transfer-Encoding: chunked\r\n", ""),
            ("HOST: h\r\n", ""),
            ("Authorization: Bearer x\r\n", ""),
            ("x-api-key: x\r\nX-Goog-Api-Key: x\r\napi-key: x\r\n", ""),
            ("Cookie: a\r\nSet-Cookie: b\r\n", ""),
            (
                "Content-Type: a\r\nContent-Encoding: b\r\nContent-Range: c\r\n",
                "",
            ),
            (
                "Trailer: a\r\nTE: trailers\r\nConnection: a\r\nUpgrade: b\r\nKeep-Alive: c\r\n",
                "",
            ),
            ("Proxy-Authorization: a\r\nproxy-x: b\r\n", ""),
            (
                "X-Forwarded-For: a\r\nx-forwarded-x: b\r\nForwarded: c\r\nVia: d\r\nX-Real-IP: e\r\n",
                "",
            ),
            (
                "Cache-Control: a\r\nExpect: b\r\nMax-Forwards: 1\r\nRange: c\r\nIf-Match: d\r\n",
                "",
            ),
            ("WWW-Authenticate: a\r\nAuthentication-Info: b\r\n", ""),
            ("Access-Control-Allow-Origin: *\r\nOrigin: x\r\n", ""),
        ];
        for (section, want) in rows {
            let got: String = trailer_fields(section.as_bytes())
                .map(|field| format!("{}={};", field.name, field.value.escape_ascii()))
                .collect();
            assert_eq!(got, want, "{section}");
        }
    }
}
