//! `base_url`: where a platform is.

use std::net::IpAddr;

use super::path::fault_of_path;
use super::{Fields, Origin, PART_BYTES_MAX, quoted};

/// A `base_url` in its parts.
pub(super) struct Base {
    pub(super) url: String,
    pub(super) origin: Origin,
    pub(super) path: String,
}

pub(super) fn read_base_url(fields: &mut Fields<'_, '_>) -> Option<Base> {
    let hint = "write a URL such as \"https://api.example.com\"";
    let url = fields.required_text("base_url", hint)?;
    match parse_base_url(url) {
        Ok(base) => {
            if let Origin::Web {
                tls: false, host, ..
            } = &base.origin
                && !is_local(host)
            {
                fields.warning(
                    "base_url",
                    "keys travel unencrypted over http://; write https://",
                );
            }
            Some(base)
        }
        Err(text) => {
            fields.problem("base_url", text);
            None
        }
    }
}

fn is_local(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn parse_base_url(url: &str) -> Result<Base, String> {
    let base = |origin, path: &str| Base {
        url: url.to_string(),
        origin,
        path: path.trim_end_matches('/').to_string(),
    };
    if url == "demo:" {
        return Ok(base(Origin::Demo, ""));
    }
    if url.len() > PART_BYTES_MAX {
        return Err(format!(
            "longer than {PART_BYTES_MAX} bytes; write a shorter one"
        ));
    }
    let is_foreign =
        |letter: &char| !letter.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&(*letter as u8));
    if let Some(letter) = url.chars().find(is_foreign) {
        return Err(format!(
            "holds {letter:?}, which no URL may; write a plain URL"
        ));
    }
    let (tls, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, _)) => {
            return Err(format!(
                "the scheme {} is not known; write https:// or http://",
                quoted(scheme)
            ));
        }
        None => {
            let text = "begins with no scheme; write https:// or http:// before it, or demo: for the built-in platform";
            return Err(text.to_string());
        }
    };
    if rest.contains(['?', '#']) {
        return Err("a query or fragment has no place here; end the URL with its path".to_string());
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if matches!(authority, "http:" | "https:") {
        return Err("the scheme stands there twice; write it once".to_string());
    }
    if authority.contains('@') {
        return Err("a user name or password has no place here; put keys into `keys`".to_string());
    }
    let (host, port) = split_authority(authority)?;
    if let Some(fault) = fault_of_path(path) {
        return Err(format!(
            "its path {fault}; end the URL with one such as /v1"
        ));
    }
    let default_port = if tls { 443 } else { 80 };
    let origin = Origin::Web {
        tls,
        host: host.to_string(),
        port: port.unwrap_or(default_port),
    };
    Ok(base(origin, path))
}

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (literal, after) = rest
                .split_once(']')
                .ok_or("the address has no closing bracket; write https://[::1]:8080")?;
            literal.parse::<std::net::Ipv6Addr>().map_err(|_| {
                format!(
                    "{} is not an IPv6 address; write https://[::1]:8080",
                    quoted(literal)
                )
            })?;
            (
                literal,
                after.strip_prefix(':').or(after.is_empty().then_some("")),
            )
        }
        None => match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                let text = "more than one colon in the host; write an IPv6 address in brackets, as in https://[::1]:8080";
                return Err(text.to_string());
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let follows = "something other than a port follows the address; write https://[::1]:8080";
    let port = match port.ok_or(follows)? {
        "" => None,
        // `parse` alone would accept a sign, too.
        digits => match digits.parse::<u16>() {
            Ok(port) if port > 0 && !digits.starts_with('+') => Some(port),
            _ => {
                return Err(format!(
                    "{} is not a port; write a number from 1 to 65535",
                    quoted(digits)
                ));
            }
        },
    };
    if host.is_empty() || host.len() > 253 || host.split('.').any(|label| label.len() > 63) {
        return Err(
            "the host name is missing or too long; write https://api.example.com".to_string(),
        );
    }
    if ends_in_number(host) && host.parse::<IpAddr>().is_err() {
        return Err(format!(
            "{host:?} is not an IPv4 address, and no host name ends in a number; write one such as 192.0.2.7"
        ));
    }
    Ok((host, port))
}

/// Whether the last label is a number: such a host can only be an IPv4 address (as in the URL standard of the WHATWG).
fn ends_in_number(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}
