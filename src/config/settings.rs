//! config.json: the program's settings.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::fields::{Fields, quoted};
use super::findings::Findings;
use super::json::Json;
use crate::base::secret::Secret;

pub const FILE: &str = "config.json";

const YEAR_SECONDS: u64 = 366 * 24 * 3600;
const TIB: u64 = 1 << 40;

/// config.json, with its defaults filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    pub enable_gui: bool,
    pub enable_json: bool,
    pub enable_key_validation: bool,
    pub restrict_ip: bool,
    pub allowed_ips: Vec<IpNet>,
    pub trusted_proxies: Vec<IpNet>,
    /// 0: never by timer.
    pub unhealthy_key_retry: Duration,
    pub host: IpAddr,
    /// 0: any free port.
    pub port: u16,
    pub tls: Option<TlsFiles>,
    pub cors_origins: Vec<String>,
    pub max_attempts: u32,
    pub retry_buffer_bytes: u64,
    pub retry_memory_bytes: u64,
    pub max_body_bytes: u64,
    pub max_connections: u64,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub idle_timeout: Duration,
    pub header_timeout: Duration,
    pub keepalive_timeout: Duration,
    pub drain: Duration,
    pub state_file: Option<PathBuf>,
    pub log_level: log::LevelFilter,
}

/// The certificate for the proxy's own HTTPS and its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert_pem: Vec<u8>,
    pub key_pem: Secret,
}

/// Reads config.json; a setting that is missing or wrong gets its default.
pub fn read(value: &Json, dir: &Path, findings: &mut Findings) -> Settings {
    let empty = Json::Object(Vec::new());
    let mut fields = match Fields::of(value, "", findings) {
        Some(fields) => fields,
        None => return read(&empty, dir, &mut Findings::of(FILE)),
    };
    let settings = Settings {
        enable_gui: fields.flag("enable_gui", true),
        enable_json: fields.flag("enable_json", true),
        enable_key_validation: fields.flag("enable_key_validation", true),
        restrict_ip: fields.flag("restrict_ip", false),
        allowed_ips: nets(&mut fields, "allowed_ips"),
        trusted_proxies: nets(&mut fields, "trusted_proxies"),
        unhealthy_key_retry: Duration::from_secs(
            60 * fields.whole(
                "unhealthy_key_retry_minutes",
                60,
                (0, 366 * 24 * 60),
                "minutes",
                "write 60, or 0 for never",
            ),
        ),
        host: host(&mut fields),
        port: fields.whole("port", 5000, (0, 65535), "", "write 5000") as u16,
        tls: tls_files(&mut fields, dir),
        cors_origins: origins(&mut fields),
        max_attempts: attempts(&mut fields, 3),
        retry_buffer_bytes: bytes(&mut fields, "retry_buffer_bytes", 1 << 20),
        retry_memory_bytes: bytes(&mut fields, "retry_memory_bytes", 64 << 20),
        max_body_bytes: bytes(&mut fields, "max_body_bytes", 100 << 20),
        max_connections: fields.whole(
            "max_connections",
            10_000,
            (1, 1_000_000),
            "connections",
            "write 10000",
        ),
        connect_timeout: seconds(&mut fields, "connect_timeout_seconds", 10),
        response_timeout: seconds(&mut fields, "response_timeout_seconds", 600),
        idle_timeout: seconds(&mut fields, "idle_timeout_seconds", 300),
        header_timeout: seconds(&mut fields, "header_timeout_seconds", 15),
        keepalive_timeout: seconds(&mut fields, "keepalive_timeout_seconds", 75),
        drain: Duration::from_secs(fields.whole(
            "drain_seconds",
            30,
            (0, YEAR_SECONDS),
            "seconds",
            "write 30",
        )),
        state_file: state_file(&mut fields, dir),
        log_level: log_level(&mut fields),
    };
    warn(&settings, &mut fields);
    fields.done();
    settings
}

/// `max_attempts`, in config.json and of a platform.
pub fn attempts(fields: &mut Fields<'_, '_>, default: u32) -> u32 {
    fields.whole(
        "max_attempts",
        u64::from(default),
        (1, 100),
        "tries",
        "write 3, or 1 for no retry",
    ) as u32
}

fn bytes(fields: &mut Fields<'_, '_>, name: &'static str, default: u64) -> u64 {
    fields.whole(
        name,
        default,
        (0, TIB),
        "bytes",
        &format!("write {default}"),
    )
}

fn seconds(fields: &mut Fields<'_, '_>, name: &'static str, default: u64) -> Duration {
    let hint = format!("write {default}");
    Duration::from_secs(fields.whole(name, default, (1, YEAR_SECONDS), "seconds", &hint))
}

fn nets(fields: &mut Fields<'_, '_>, name: &'static str) -> Vec<IpNet> {
    let mut nets = Vec::new();
    for (place, text) in fields.texts(name).unwrap_or_default() {
        let net = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match net {
            Ok(net) => nets.push(canonical(net)),
            Err(_) => fields.problem(
                &place,
                format!(
                    "{} is not an address or range; write 192.0.2.7 or 192.0.2.0/24",
                    quoted(text)
                ),
            ),
        }
    }
    nets
}

/// Converts a range of IPv4-mapped IPv6 addresses to IPv4, as is done with peers' addresses.
fn canonical(net: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let length = net.prefix_len().checked_sub(MAPPED_BITS);
    match (net.addr().to_canonical(), length) {
        (IpAddr::V4(address), Some(length)) => {
            IpNet::new(IpAddr::V4(address), length).unwrap_or(net)
        }
        _ => net,
    }
}

fn host(fields: &mut Fields<'_, '_>) -> IpAddr {
    let default = IpAddr::from([0, 0, 0, 0]);
    match fields.text("host") {
        None => default,
        Some("localhost") => IpAddr::from([127, 0, 0, 1]),
        Some(text) => text.parse().unwrap_or_else(|_| {
            fields.problem(
                "host",
                format!(
                    "{} is not an address; write 127.0.0.1, 0.0.0.0 or ::",
                    quoted(text)
                ),
            );
            default
        }),
    }
}

fn tls_files(fields: &mut Fields<'_, '_>, dir: &Path) -> Option<TlsFiles> {
    match (fields.text("tls_cert"), fields.text("tls_key")) {
        (Some(cert), Some(key)) => {
            // A file that cannot be read is a problem by itself: the other one is read all the same.
            let mut content =
                |name, path| fields.content(name, &dir.join(path)).unwrap_or_default();
            Some(TlsFiles {
                cert_pem: content("tls_cert", cert),
                key_pem: Secret::new(String::from_utf8_lossy(&content("tls_key", key))),
            })
        }
        (None, None) => None,
        (Some(_), None) => {
            fields.problem(
                "tls_cert",
                "given without tls_key; give both, or neither for plain HTTP",
            );
            None
        }
        (None, Some(_)) => {
            fields.problem(
                "tls_key",
                "given without tls_cert; give both, or neither for plain HTTP",
            );
            None
        }
    }
}

fn origins(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let Some(texts) = fields.texts("cors_origins") else {
        return vec!["*".to_string()];
    };
    let mut origins = Vec::new();
    for (place, text) in texts {
        match is_origin(text) {
            true => origins.push(text.to_string()),
            false => fields.problem(
                &place,
                format!("{} is not an origin; write https://app.example (no path, no final slash), null or *", quoted(text)),
            ),
        }
    }
    origins
}

/// `scheme://host[:port]` (RFC 6454), `*` or `null`.
fn is_origin(text: &str) -> bool {
    if matches!(text, "*" | "null") {
        return true;
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_authority = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\*\"".contains(&byte);
    !scheme.is_empty()
        && scheme.bytes().all(is_scheme)
        && !authority.is_empty()
        && authority.bytes().all(is_authority)
}

fn state_file(fields: &mut Fields<'_, '_>, dir: &Path) -> Option<PathBuf> {
    match fields.text("state_file") {
        None => Some(dir.join("usage.journal")),
        Some("") => None,
        Some(name) => Some(dir.join(name)),
    }
}

fn log_level(fields: &mut Fields<'_, '_>) -> log::LevelFilter {
    match fields.text("log_level") {
        None | Some("info") => log::LevelFilter::Info,
        Some("error") => log::LevelFilter::Error,
        Some("warn") => log::LevelFilter::Warn,
        Some("debug") => log::LevelFilter::Debug,
        Some("trace") => log::LevelFilter::Trace,
        Some(other) => {
            fields.problem(
                "log_level",
                format!(
                    "{} is not a log level; write error, warn, info, debug or trace",
                    quoted(other)
                ),
            );
            log::LevelFilter::Info
        }
    }
}

fn warn(settings: &Settings, fields: &mut Fields<'_, '_>) {
    let reachable = !settings.host.is_loopback() && fields.is_sound("host");
    if reachable && !settings.enable_key_validation && !settings.restrict_ip {
        fields.warning(
            "enable_key_validation",
            "whoever reaches this port may use your keys; set it to true, or host to 127.0.0.1",
        );
    }
    fields.warn_of_list(
        ("allowed_ips", settings.allowed_ips.is_empty()),
        ("restrict_ip", settings.restrict_ip),
        "empty: with restrict_ip only this machine may connect",
    );
    if settings.max_body_bytes == 0 {
        let text = "0: every request with a body gets 413; write 104857600";
        fields.warning("max_body_bytes", text);
    }
    if settings.retry_buffer_bytes > settings.retry_memory_bytes / 4 * 3 {
        fields.warning(
            "retry_buffer_bytes",
            "larger than three quarters of retry_memory_bytes, which bound it",
        );
    }
}
