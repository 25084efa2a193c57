//! The first line of a request: `method SP target SP version` (RFC 9112 section 3).

use super::field::is_token;
use super::malformed::Malformed;
use super::target::Target;
use super::{METHOD_BYTES_MAX, Version};

/// A well-formed request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'b> {
    /// A token, case-sensitive.
    pub method: &'b str,
    pub target: Target<'b>,
    pub version: Version,
}

impl<'b> RequestLine<'b> {
    /// Reads a line without its line end.
    ///
    /// # Errors
    /// It does not have three parts with a single space between them, or one of them is malformed.
    pub fn parse(line: &'b [u8]) -> Result<RequestLine<'b>, Malformed> {
        let (rest, version) = split_version(line)?;
        let space = rest.iter().position(|byte| *byte == b' ');
        let (method, target) = rest.split_at(space.ok_or(Malformed::RequestLine)?);
        if !is_token(method) {
            return Err(Malformed::Method);
        }
        if method.len() > METHOD_BYTES_MAX {
            return Err(Malformed::MethodTooLong);
        }
        let method = str::from_utf8(method).map_err(|_| Malformed::Method)?;
        Ok(RequestLine {
            method,
            target: Target::parse(&target[1..], method)?,
            version,
        })
    }
}

/// Splits a request line at its last space into the rest and the version.
///
/// # Errors
/// There is no space, or no HTTP/1.x after it.
pub fn split_version(line: &[u8]) -> Result<(&[u8], Version), Malformed> {
    let space = line.iter().rposition(|byte| *byte == b' ');
    let (rest, version) = line.split_at(space.ok_or(Malformed::RequestLine)?);
    Ok((rest, Version::parse(&version[1..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        let rows: [(&[u8], &str); 35] = [
            (b"GET / HTTP/1.1", "GET / Http11"),
            (b"POST /a?b HTTP/1.1", "POST /a Http11"),
            (b"get / HTTP/1.1", "get / Http11"),
            (b"M-SEARCH / HTTP/1.1", "M-SEARCH / Http11"),
            (b"!#$%&'*+ / HTTP/1.1", "!#$%&'*+ / Http11"),
            (b"GET / HTTP/1.2", "GET / Http11"),
            (b"GET / HTTP/1.0", "GET / Http10"),
            (b"GET http://a:1/b HTTP/1.1", "GET /b Http11"),
            (b"GET http://a HTTP/1.0", "GET / Http10"),
            (b"OPTIONS * HTTP/1.1", "OPTIONS * Http11"),
            (b"CONNECT a:4 HTTP/1.1", "CONNECT a:4 Http11"),
            (b"GET /a", "Version"),
            (b"GET", "RequestLine"),
            (b"GET HTTP/1.1", "RequestLine"),
            (b"GET  HTTP/1.1", "TargetBlank"),
            (b"GET  / HTTP/1.1", "TargetBlank"),
            (b"GET /  HTTP/1.1", "TargetBlank"),
            (b"GET / a HTTP/1.1", "TargetBlank"),
            (b"GET / HTTP/1.1 ", "Version"),
            (b"GET / HTTP/1.1\t", "Version"),
            (b"GET\t/ HTTP/1.1", "RequestLine"),
            (b"GET /\tHTTP/1.1", "Version"),
            (b"GET /\rHTTP/1.1", "Version"),
            (b"GET /\x0b HTTP/1.1", "TargetByte"),
            (b"GET /\r HTTP/1.1", "TargetByte"),
            (b"GET /\0 HTTP/1.1", "TargetByte"),
            (b"GET /#a HTTP/1.1", "TargetByte"),
            (b"G(T / HTTP/1.1", "Method"),
            (b"G\0T / HTTP/1.1", "Method"),
            (b"GET: / HTTP/1.1", "Method"),
            (b"G\xc3\xa9T / HTTP/1.1", "Method"),
            (b"GET / HTTP/0.9", "VersionNotSupported"),
            (b"GET / HTTP/3.0", "VersionNotSupported"),
            (b"GET * HTTP/1.1", "TargetAsterisk"),
            (b"CONNECT /a HTTP/1.1", "TargetConnect"),
        ];
        for (line, want) in rows {
            let got = match RequestLine::parse(line) {
                Ok(line) => format!("{} {} {:?}", line.method, line.target.path, line.version),
                Err(malformed) => format!("{malformed:?}"),
            };
            assert_eq!(got, want, "{}", line.escape_ascii());
        }
    }
}
