//! The dashboard's files, as the build has packed them.

use super::reply::Reply;

/// What the dashboard may load and run: its own files, nothing inline, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// A file in the binary.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    pub name: &'static str,
    pub content_type: &'static str,
    /// Weak, since the gzipped bytes have the same one (RFC 9110 section 8.8.3.3).
    pub etag: &'static str,
    pub bytes: &'static [u8],
    pub gzip: &'static [u8],
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// What a request says about the representations that it accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences<'b> {
    pub accept_encoding: Option<&'b [u8]>,
    pub if_none_match: Option<&'b [u8]>,
}

/// The page of `/dashboard`.
pub fn dashboard() -> &'static Asset {
    find("index.html").expect("the build packs static/index.html")
}

/// The file of that name below `/static/`.
pub fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// Answers with `asset`, gzipped if the client accepts that, or with 304 if the client has it already.
pub fn reply(asset: &'static Asset, preferences: Preferences<'_>) -> Reply {
    let has_it = preferences
        .if_none_match
        .is_some_and(|tags| names_tag(tags, asset.etag));
    let packed = preferences.accept_encoding.is_some_and(accepts_gzip);
    let reply = match (has_it, packed) {
        (true, _) => Reply::empty(304),
        (false, true) => {
            Reply::whole(200, asset.content_type, asset.gzip).with("content-encoding", "gzip")
        }
        (false, false) => Reply::whole(200, asset.content_type, asset.bytes),
    };
    reply
        .with("etag", asset.etag)
        .with("cache-control", "no-cache")
        .with("vary", "Accept-Encoding")
        .with("content-security-policy", POLICY)
        .with("x-content-type-options", "nosniff")
        .with("referrer-policy", "no-referrer")
}

/// Whether `If-None-Match` names `etag` or is `*` (RFC 9110 section 13.1.2).
fn names_tag(tags: &[u8], etag: &str) -> bool {
    let mut tags = tags.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|tag| tag == b"*" || opaque(tag) == opaque(etag.as_bytes()))
}

/// A tag without the prefix that marks it as weak.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether `Accept-Encoding` accepts gzip, by its name or by `*`, with a weight above 0 (RFC 9110 section 12.5.3).
fn accepts_gzip(value: &[u8]) -> bool {
    let weight = |wanted: &str| {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let mut codings = text
            .split(',')
            .map(|item| item.split_once(';').unwrap_or((item, "")));
        let (_, parameters) = codings.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
        let weight = parameters
            .trim()
            .trim_start_matches(['q', 'Q'])
            .trim_start()
            .strip_prefix('=');
        Some(weight.map_or(1.0, |weight| weight.trim().parse::<f32>().unwrap_or(0.0)))
    };
    weight("gzip")
        .or_else(|| weight("*"))
        .is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_by_name_or_star() {
        let rows = [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br;q=1, *", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("xgzip", false),
            ("", false),
        ];
        for (value, want) in rows {
            assert_eq!(accepts_gzip(value.as_bytes()), want, "{value:?}");
        }
    }

    #[test]
    fn a_copy_that_the_client_has_is_not_sent_again() {
        let asset = dashboard();
        let opaque = asset.etag.strip_prefix("W/").expect("two codings bear it");
        let second = format!("\"x\", {}", asset.etag);
        let rows = [
            (Some(asset.etag), 304),
            (Some(opaque), 304),
            (Some(second.as_str()), 304),
            (Some("*"), 304),
            (Some("\"other\""), 200),
            (None, 200),
        ];
        for (tags, want) in rows {
            let preferences = Preferences {
                if_none_match: tags.map(str::as_bytes),
                ..Preferences::default()
            };
            assert_eq!(reply(asset, preferences).status, want, "{tags:?}");
        }
    }

    #[test]
    fn all_files_together_stay_under_100_kilobytes() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(bytes < 100_000, "{bytes}");
        assert!(
            ASSETS
                .iter()
                .all(|asset| asset.gzip.len() < asset.bytes.len())
        );
    }
}
