//! stopgap
use crate::base::secret::Secret;
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
pub struct Config {
    pub settings: Settings,
    pub clients: Vec<ClientKey>,
    pub platforms: Vec<Platform>,
    pub warnings: Vec<String>,
}
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}
pub struct Settings {
    pub enable_gui: bool,
    pub enable_json: bool,
    pub enable_key_validation: bool,
    pub restrict_ip: bool,
    pub allowed_ips: Vec<IpNet>,
    pub trusted_proxies: Vec<IpNet>,
    pub unhealthy_key_retry_minutes: u64,
    pub host: IpAddr,
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
pub struct ClientKey {
    pub key: Secret,
    pub name: Option<String>,
    pub is_root: bool,
    pub daily_limit: u64,
    pub hourly_limit: u64,
    pub cooldown_seconds: u64,
    pub expires_unix_seconds: Option<u64>,
    pub platforms: Option<Vec<String>>,
}
pub struct Platform {
    pub name: String,
    pub display_name: String,
    pub base_url: String,
    pub origin: Origin,
    pub base_path: String,
    pub api_path: String,
    pub auth_header: String,
    pub auth_prefix: String,
    pub auth_suffix: String,
    pub health_path: String,
    pub health_method: String,
    pub health_body: Option<String>,
    pub enabled: bool,
    pub keys: Vec<Secret>,
    pub headers: Vec<(String, String)>,
    pub ca_pem: Option<Vec<u8>>,
    pub max_attempts: u32,
}
pub enum Origin {
    Demo,
    Web { tls: bool, host: String, port: u16 },
}
impl Settings {
    pub fn stub() -> Settings {
        let s = Duration::from_secs;
        Settings {
            enable_gui: true,
            enable_json: true,
            enable_key_validation: true,
            restrict_ip: false,
            allowed_ips: vec![],
            trusted_proxies: vec![],
            unhealthy_key_retry_minutes: 60,
            host: "127.0.0.1".parse().unwrap(),
            port: std::env::var("PORT")
                .ok()
                .and_then(|p| p.parse().ok())
                .unwrap_or(5000),
            tls: None,
            cors_origins: vec!["*".into()],
            max_attempts: 3,
            retry_buffer_bytes: 1 << 20,
            retry_memory_bytes: 64 << 20,
            max_body_bytes: 100 << 20,
            max_connections: 10000,
            connect_timeout: s(10),
            response_timeout: s(600),
            idle_timeout: s(300),
            header_timeout: s(15),
            keepalive_timeout: s(75),
            drain: s(30),
            state_file: None,
            log_level: log::LevelFilter::Debug,
        }
    }
}
pub fn stub() -> Config {
    let p = |name: &str, origin: Origin, keys: &[&str]| Platform {
        name: name.into(),
        display_name: name.into(),
        base_url: "x".into(),
        origin,
        base_path: "".into(),
        api_path: "/v1".into(),
        auth_header: "Authorization".into(),
        auth_prefix: "Bearer ".into(),
        auth_suffix: "".into(),
        health_path: "/v1/models".into(),
        health_method: "GET".into(),
        health_body: None,
        enabled: true,
        keys: keys.iter().map(|k| Secret::new(*k)).collect(),
        headers: vec![],
        ca_pem: std::env::var("CA").ok().map(|p| std::fs::read(p).unwrap()),
        max_attempts: 3,
    };
    let port = std::env::var("UP")
        .ok()
        .and_then(|p| p.parse().ok())
        .unwrap_or(9001);
    Config {
        settings: Settings::stub(),
        clients: vec![
            ClientKey {
                key: Secret::new("root_key"),
                name: Some("root".into()),
                is_root: true,
                daily_limit: 0,
                hourly_limit: 0,
                cooldown_seconds: 0,
                expires_unix_seconds: None,
                platforms: None,
            },
            ClientKey {
                key: Secret::new("lab-client-key-01"),
                name: Some("lab".into()),
                is_root: false,
                daily_limit: 2000000000,
                hourly_limit: 2000000000,
                cooldown_seconds: 0,
                expires_unix_seconds: None,
                platforms: None,
            },
        ],
        platforms: vec![
            p(
                "demo",
                Origin::Demo,
                &["demo-key-revoked", "demo-key-1", "demo-key-2"],
            ),
            p(
                "mock",
                Origin::Web {
                    tls: std::env::var("CA").is_ok(),
                    host: "localhost".into(),
                    port,
                },
                &["lab-upstream-key"],
            ),
        ],
        warnings: vec![],
    }
}
