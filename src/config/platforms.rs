//! platform.json: where requests go, and the keys for that.

mod base_url;
mod headers;
mod keys;
mod path;

use std::path::Path;

use super::environment::Environment;
use super::fields::{Fields, quoted};
use super::findings::Findings;
use super::json::Json;
use super::settings::attempts;
use crate::base::buffer::ROOM_BYTES_MIN;
use crate::base::secret::{KEY_BYTES_MAX, Secret};

use base_url::{Base, read_base_url};
use headers::{is_reserved, is_value, read_headers};
use keys::read_keys;
use path::{fault_of_path, fault_of_query};

pub const FILE: &str = "platform.json";

/// First path segments that the program uses itself.
pub const OWN_SEGMENTS: [&str; 8] = [
    "info",
    "routes",
    "health",
    "stats",
    "events",
    "metrics",
    "dashboard",
    "static",
];

/// Other names under which `/info` lists pages, in the same list as the platforms.
const PAGES_OF_INFO: [&str; 2] = ["health_full", "health_quick"];

/// Most bytes of `headers` and `default_headers` of a platform together.
pub const HEADERS_BYTES_MAX: usize = 8 * 1024;

/// Most bytes of each other text that becomes part of a head.
pub const PART_BYTES_MAX: usize = 2 * 1024;

// A request's head has room for all that is added to it: the fields, the key with its header's name and format, and the
// path and host of `base_url` with `api_path`; 1 KiB is left for what only becomes longer when it is rewritten.
const _: () =
    assert!(HEADERS_BYTES_MAX + KEY_BYTES_MAX + 5 * PART_BYTES_MAX + 1024 <= ROOM_BYTES_MIN);

/// One entry of platform.json. `headers` and `health_body` may hold secrets, and therefore it cannot be printed.
#[derive(Clone)]
pub struct Platform {
    /// Its place in the file.
    pub place: usize,
    pub name: String,
    pub display_name: String,
    /// As written in the file.
    pub base_url: String,
    pub origin: Origin,
    /// The path of `base_url`, without a trailing slash.
    pub base_path: String,
    /// Empty, or with a leading slash and no trailing one.
    pub api_path: String,
    pub auth_header: String,
    /// What comes before and after the key in the auth header.
    pub auth_prefix: String,
    pub auth_suffix: String,
    /// Below `base_path`; includes `api_path`.
    pub health_path: String,
    pub health_method: String,
    pub health_body: Option<String>,
    pub enabled: bool,
    pub keys: Vec<Secret>,
    /// Names and values that replace the client's.
    pub headers: Vec<(String, String)>,
    /// Those that are sent only if the client's request has no field of that name.
    pub default_headers: Vec<(String, String)>,
    /// The content of `ca_file`.
    pub ca_pem: Option<Vec<u8>>,
    pub max_attempts: u32,
}

impl Platform {
    /// Whether the platform's own fields replace others of this name.
    pub fn sets_field(&self, name: &str) -> bool {
        let mut fixed = self.headers.iter().map(|(name, _)| name);
        name.eq_ignore_ascii_case(&self.auth_header)
            || fixed.any(|fixed| name.eq_ignore_ascii_case(fixed))
    }
}

/// Where a platform is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built into the program.
    Demo,
    Web {
        tls: bool,
        host: String,
        port: u16,
    },
}

/// Reads platform.json.
pub fn read(
    value: &Json,
    dir: &Path,
    environment: &Environment<'_>,
    attempts_default: u32,
    findings: &mut Findings,
) -> Vec<Platform> {
    let Json::List(entries) = value else {
        let text = format!(
            "expected a list of platforms, found {}; write [ {{ \"name\": … }} ]",
            value.kind()
        );
        findings.problem("", text);
        return Vec::new();
    };
    let mut platforms: Vec<Platform> = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let Some(mut fields) = Fields::of(entry, &format!("[{place}]"), findings) else {
            continue;
        };
        let platform = read_entry(place, &mut fields, dir, environment, attempts_default);
        if let Some(platform) = platform {
            if let Some(other) = platforms.iter().find(|other| other.name == platform.name) {
                let text = format!(
                    "the same name as [{}].name; choose another one",
                    other.place
                );
                fields.problem("name", text);
            }
            platforms.push(platform);
        }
        fields.done();
    }
    platforms
}

fn read_entry(
    place: usize,
    fields: &mut Fields<'_, '_>,
    dir: &Path,
    environment: &Environment<'_>,
    attempts_default: u32,
) -> Option<Platform> {
    let name = read_name(fields);
    let display_name = fields
        .text("display_name")
        .filter(|text| !text.is_empty())
        .map(str::to_string);
    let base = read_base_url(fields);
    let api_path = read_api_path(fields).unwrap_or_default();
    let auth_header = read_auth_header(fields);
    let (auth_prefix, auth_suffix) = read_auth_format(fields);
    let health_path = read_health_path(fields, &api_path);
    let health_method = read_method(fields);
    let health_body = read_health_body(fields);
    let enabled = fields.flag("enabled", true);
    let keys = read_keys(fields, environment, enabled);
    let (headers, default_headers) = read_headers(fields, &auth_header);
    warn_of_twice(fields, base.as_ref(), &api_path);
    let ca_pem = read_ca_file(fields, dir);
    let max_attempts = attempts(fields, attempts_default);
    let (name, base) = (name?, base?);
    Some(Platform {
        place,
        display_name: display_name.unwrap_or_else(|| name.clone()),
        name,
        base_url: base.url,
        origin: base.origin,
        base_path: base.path,
        api_path,
        auth_header,
        auth_prefix,
        auth_suffix,
        health_path,
        health_method,
        health_body,
        enabled,
        keys,
        headers,
        default_headers,
        ca_pem,
        max_attempts,
    })
}

fn read_name(fields: &mut Fields<'_, '_>) -> Option<String> {
    let hint = "write the first part of the platform's path, such as \"openai\"";
    let name = fields.required_text("name", hint)?;
    let is_segment = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_segment) {
        fields.problem(
            "name",
            format!(
                "{} cannot be part of a path; write letters, digits, _ and - only",
                quoted(name)
            ),
        );
        return None;
    }
    if OWN_SEGMENTS.contains(&name) || PAGES_OF_INFO.contains(&name) {
        fields.problem(
            "name",
            format!("{name} is a page of the proxy's own; choose another name"),
        );
        return None;
    }
    Some(name.to_string())
}

/// A text that becomes part of a head, and must leave room for the rest of it.
fn read_part<'j>(fields: &mut Fields<'j, '_>, name: &'static str) -> Option<&'j str> {
    let text = fields.text(name)?;
    if text.len() > PART_BYTES_MAX {
        let problem = format!("longer than {PART_BYTES_MAX} bytes; write a shorter one");
        fields.problem(name, problem);
        return None;
    }
    Some(text)
}

/// Empty, or with a leading slash and no trailing one.
fn read_api_path(fields: &mut Fields<'_, '_>) -> Option<String> {
    let text = read_part(fields, "api_path")?;
    if let Some(fault) = fault_of_path(text) {
        fields.problem("api_path", format!("{fault}; write one such as \"/v1\""));
        return None;
    }
    let trimmed = text.trim_matches('/');
    Some(match trimmed.is_empty() {
        true => String::new(),
        false => format!("/{trimmed}"),
    })
}

/// A base URL that was copied from the platform may already contain the path.
fn warn_of_twice(fields: &mut Fields<'_, '_>, base: Option<&Base>, api_path: &str) {
    if !api_path.is_empty() && base.is_some_and(|base| base.path.ends_with(api_path)) {
        let text = "base_url ends with it, too: the platform gets it twice; leave out one of them";
        fields.warning("api_path", text);
    }
}

fn read_auth_header(fields: &mut Fields<'_, '_>) -> String {
    let default = "Authorization".to_string();
    match read_part(fields, "auth_header") {
        None => default,
        Some(name) if !is_token(name) => {
            fields.problem(
                "auth_header",
                format!(
                    "{} is not a header name; write one such as x-api-key",
                    quoted(name)
                ),
            );
            default
        }
        Some(name) if is_reserved(name) => {
            fields.problem(
                "auth_header",
                format!("{name} frames or routes messages; write Authorization or x-api-key"),
            );
            default
        }
        Some(name) => name.to_string(),
    }
}

fn read_auth_format(fields: &mut Fields<'_, '_>) -> (String, String) {
    let format = read_part(fields, "auth_format").unwrap_or("Bearer {key}");
    let parts: Vec<&str> = format.split("{key}").collect();
    match parts.as_slice() {
        [prefix, suffix] if is_value(format) => (
            prefix.trim_start().to_string(),
            suffix.trim_end().to_string(),
        ),
        _ => {
            let text = "must hold {key} exactly once and no control character; write \"Bearer {key}\" or \"{key}\"";
            fields.problem("auth_format", text);
            ("Bearer ".to_string(), String::new())
        }
    }
}

/// `/models` and `/v1/models` mean the same where `api_path` is `/v1`.
fn read_health_path(fields: &mut Fields<'_, '_>, api_path: &str) -> String {
    let text = read_part(fields, "health_check_endpoint").unwrap_or("/models");
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Some(fault) = fault_of_path(path).or_else(|| fault_of_query(query)) {
        let problem = format!("{fault}; write one such as \"/models\"");
        fields.problem("health_check_endpoint", problem);
        return String::new();
    }
    let text = match text.starts_with('/') {
        true => text.to_string(),
        false => format!("/{text}"),
    };
    match text.strip_prefix(api_path) {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) => text,
        Some(_) | None => format!("{api_path}{text}"),
    }
}

fn read_method(fields: &mut Fields<'_, '_>) -> String {
    match fields.text("health_check_method") {
        None => "GET".to_string(),
        Some(method)
            if is_token(method)
                && method.len() <= 16
                && !method.bytes().any(|byte| byte.is_ascii_lowercase())
                && !matches!(method, "CONNECT" | "TRACE") =>
        {
            method.to_string()
        }
        Some(method) => {
            fields.problem(
                "health_check_method",
                format!("{} cannot be used; write GET or POST", quoted(method)),
            );
            "GET".to_string()
        }
    }
}

fn read_health_body(fields: &mut Fields<'_, '_>) -> Option<String> {
    let body = fields.value("health_check_body")?;
    if let Json::Text(_) = body {
        let text = "sent as a JSON text, in its quotes; write the object itself, { … }";
        fields.warning("health_check_body", text);
    }
    Some(body.render())
}

fn read_ca_file(fields: &mut Fields<'_, '_>, dir: &Path) -> Option<Vec<u8>> {
    let path = dir.join(fields.text("ca_file")?);
    let pem = fields.content("ca_file", &path)?;
    let mark = b"-----BEGIN CERTIFICATE-----";
    if !pem.windows(mark.len()).any(|place| place == mark) {
        fields.problem(
            "ca_file",
            "holds no PEM certificate; write the path of a file with -----BEGIN CERTIFICATE-----",
        );
        return None;
    }
    Some(pem)
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_byte)
}
