//! The configuration as requests need it: compiled once per load, shared by the requests that began with it.
//! It knows no connection and no request.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::ServerConfig;

use crate::base::now::Now;
use crate::config::{
    Config, Finding, Findings, Origin, Platform, Settings, TlsFiles, platforms, settings,
};
use crate::net::dial::{Endpoint, Security};
use crate::net::resolver::name::is_host_name;
use crate::net::tls;
use crate::policy::keyring::{KeyId, Keyring, PlatformId};
use crate::policy::probes::Probed;

/// One version of the configuration.
pub struct Site {
    pub settings: Settings,
    pub routes: Vec<Route>,
    /// The proxy's own TLS configuration; none when clients connect without TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Warnings about the files that the configuration names.
    pub warnings: Vec<Finding>,
    by_name: BTreeMap<String, usize>,
}

/// A platform as forwarding a request needs it.
pub struct Route {
    pub platform: Platform,
    pub id: PlatformId,
    /// Each key's number, in the configuration's order.
    pub keys: Vec<KeyId>,
    /// The field lines that carry each key, sorted by key number: there may be thousands.
    key_lines: Vec<(KeyId, Box<[u8]>)>,
    pub endpoint: Rc<Endpoint>,
    /// What the path below the platform's name is appended to: `base_url`'s path and `api_path`.
    pub path_prefix: String,
    /// The value of `Host`.
    pub authority: String,
    /// The head of a health probe, without the key's lines and the empty line.
    pub probe_head: Vec<u8>,
}

/// What outlives a version of the configuration.
#[derive(Default)]
pub struct Lasting {
    /// Endpoints by what distinguishes them, so that one that a new version still has keeps its idle connections.
    endpoints: Vec<(EndpointKey, Rc<Endpoint>)>,
    /// How many endpoints have been made: their numbers are not reused.
    endpoints_made: usize,
    /// The proxy's own certificate as compiled, with the TLS sessions that clients may resume.
    tls: Option<(TlsFiles, Arc<ServerConfig>)>,
}

#[derive(Clone, PartialEq, Eq)]
struct EndpointKey {
    host: String,
    port: u16,
    tls: bool,
    ca_pem: Option<Vec<u8>>,
}

impl Site {
    /// Compiles `config`. `demo_port` is where the built-in platform listens.
    ///
    /// # Errors
    /// Every certificate file that cannot be used, and every host for which there can be no certificate.
    pub fn compile(
        config: Config,
        keyring: &mut Keyring,
        lasting: &mut Lasting,
        demo_port: u16,
        now: Now,
    ) -> Result<Site, Vec<Finding>> {
        let (endpoints, tls) = lasting.secure(&config, demo_port)?;
        let warnings = expiry(&config.settings, now).into_iter().collect();
        let listed: Vec<_> = config
            .platforms
            .iter()
            .map(|platform| (platform.name.as_str(), platform.keys.as_slice()))
            .collect();
        let ids = keyring.reload(&listed);
        let routes: Vec<Route> = config
            .platforms
            .into_iter()
            .zip(ids)
            .zip(endpoints)
            .map(|((platform, (id, keys)), endpoint)| Route::new(platform, id, keys, endpoint))
            .collect();
        let by_name = routes
            .iter()
            .enumerate()
            .map(|(place, route)| (route.platform.name.clone(), place))
            .collect();
        Ok(Site {
            settings: config.settings,
            routes,
            tls,
            warnings,
            by_name,
        })
    }

    /// What [`Site::compile`] would report, apart from the fields for which `config` already has a problem.
    pub fn check(config: &Config, now: Now) -> Findings {
        // The built-in platform's port does not matter to a check.
        let secured = Lasting::default().secure(config, 0);
        let mut problems = secured.err().unwrap_or_default();
        let known = &config.findings.problems;
        problems.retain(|new| {
            known
                .iter()
                .all(|known| (known.file, &known.path) != (new.file, &new.path))
        });
        Findings {
            problems,
            warnings: expiry(&config.settings, now).into_iter().collect(),
            ..Findings::default()
        }
    }

    /// The platforms whose keys are probed: the enabled ones.
    pub fn probed(&self) -> Vec<Probed> {
        let routes = self.routes.iter().enumerate();
        let enabled = routes.filter(|(_, route)| route.platform.enabled);
        let probed = |(place, route): (usize, &Route)| Probed {
            platform: route.id,
            place,
            keys: route.keys.clone(),
        };
        enabled.map(probed).collect()
    }

    /// The platform of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Whether `address` may connect under `restrict_ip`.
    pub fn allows_address(&self, address: IpAddr, is_loopback: bool) -> bool {
        !self.settings.restrict_ip
            || is_loopback
            || self
                .settings
                .allowed_ips
                .iter()
                .any(|net| net.contains(&address))
    }

    /// Whether browsers of this origin may call.
    pub fn allows_origin(&self, origin: &str) -> bool {
        let allowed = &self.settings.cors_origins;
        allowed
            .iter()
            .any(|entry| entry == "*" || entry.eq_ignore_ascii_case(origin))
    }
}

impl Route {
    fn new(platform: Platform, id: PlatformId, keys: Vec<KeyId>, endpoint: Rc<Endpoint>) -> Route {
        let mut lines = Vec::new();
        for (id, key) in keys.iter().zip(&platform.keys) {
            // Numbers are assigned in the configuration's order, so this nearly always appends.
            let place = lines.partition_point(|(known, _)| known < id);
            lines.insert(place, (*id, key_lines(&platform, key.expose())));
        }
        let default_port = match endpoint.security {
            Security::Plain => 80,
            Security::Tls(..) => 443,
        };
        let host = match endpoint.host.contains(':') {
            true => format!("[{}]", endpoint.host),
            false => endpoint.host.clone(),
        };
        let authority = match endpoint.port == default_port {
            true => host,
            false => format!("{host}:{}", endpoint.port),
        };
        Route {
            id,
            keys,
            key_lines: lines,
            path_prefix: format!("{}{}", platform.base_path, platform.api_path),
            probe_head: probe_head(&platform, &authority),
            authority,
            endpoint,
            platform,
        }
    }

    /// The field lines that carry `key`, rendered once: its own and the platform's fixed ones.
    pub fn key_lines(&self, key: KeyId) -> &[u8] {
        let place = self.key_lines.binary_search_by_key(&key, |(id, _)| *id);
        &self.key_lines[place.expect("a request tries the keys of its own site")].1
    }

    /// `/name/v1/*`: how clients reach it.
    pub fn pattern(&self) -> String {
        format!("/{}{}/*", self.platform.name, self.platform.api_path)
    }
}

fn is_address_or_name(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || is_host_name(host)
}

fn key_lines(platform: &Platform, key: &str) -> Box<[u8]> {
    let mut lines = format!(
        "{}: {}{key}{}\r\n",
        platform.auth_header, platform.auth_prefix, platform.auth_suffix
    );
    for (name, value) in &platform.headers {
        lines.push_str(&format!("{name}: {value}\r\n"));
    }
    lines.into_bytes().into_boxed_slice()
}

/// The head of a probe up to the `key_lines`. The fields that the platform configures replace the usual ones.
fn probe_head(platform: &Platform, authority: &str) -> Vec<u8> {
    let (method, base) = (&platform.health_method, &platform.base_path);
    let path = &platform.health_path;
    let mut head = format!("{method} {base}{path} HTTP/1.1\r\nHost: {authority}\r\n");
    let defaults = &platform.default_headers;
    for (name, value) in defaults {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut put_unless_configured = |name: &str, value: &str| {
        let mut names = defaults.iter().map(|(name, _)| name);
        if !platform.sets_field(name) && !names.any(|own| own.eq_ignore_ascii_case(name)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    };
    put_unless_configured(
        "User-Agent",
        concat!("ai-api-proxy/", env!("CARGO_PKG_VERSION")),
    );
    put_unless_configured("Accept", "application/json");
    if let Some(body) = &platform.health_body {
        put_unless_configured("Content-Type", "application/json");
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.into_bytes()
}

impl EndpointKey {
    fn of(platform: &Platform, demo_port: u16) -> EndpointKey {
        match &platform.origin {
            Origin::Demo => EndpointKey {
                host: "127.0.0.1".to_string(),
                port: demo_port,
                tls: false,
                ca_pem: None,
            },
            Origin::Web { tls, host, port } => EndpointKey {
                host: host.clone(),
                port: *port,
                tls: *tls,
                ca_pem: platform.ca_pem.clone(),
            },
        }
    }
}

/// The endpoint of each platform, and the proxy's own TLS configuration.
type Secured = (Vec<Rc<Endpoint>>, Option<Arc<ServerConfig>>);

impl Lasting {
    fn secure(&mut self, config: &Config, demo_port: u16) -> Result<Secured, Vec<Finding>> {
        self.forget_unused();
        let (mut endpoints, mut problems) = (Vec::new(), Vec::new());
        for platform in &config.platforms {
            match self.endpoint(EndpointKey::of(platform, demo_port)) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(faults) => problems.extend(faults.into_iter().map(|(name, text)| {
                    let path = format!("[{}].{name}", platform.place);
                    Finding::new(platforms::FILE, &path, &text)
                })),
            }
        }
        match self.tls(config.settings.tls.as_ref()) {
            Ok(tls) if problems.is_empty() => return Ok((endpoints, tls)),
            Ok(_) => {}
            Err(faults) => problems.extend(faults),
        }
        Err(problems)
    }

    /// Forgets the endpoints that neither the version in force nor a request in flight uses.
    fn forget_unused(&mut self) {
        self.endpoints
            .retain(|(_, endpoint)| Rc::strong_count(endpoint) > 1);
    }

    /// The endpoint for `key`, or which fields of the platform are wrong, and why.
    fn endpoint(&mut self, key: EndpointKey) -> Result<Rc<Endpoint>, Vec<(&'static str, String)>> {
        if let Some((_, endpoint)) = self.endpoints.iter().find(|(known, _)| *known == key) {
            return Ok(Rc::clone(endpoint));
        }
        let security = match key.tls {
            false => match is_address_or_name(&key.host) {
                true => Security::Plain,
                false => return Err(vec![("base_url", tls::invalid_host(&key.host))]),
            },
            true => {
                let config = tls::client_config(key.ca_pem.as_deref());
                match (config, tls::server_name(&key.host)) {
                    (Ok(config), Ok(name)) => Security::Tls(config, name),
                    (config, name) => {
                        let config = config.err().map(|text| ("ca_file", text));
                        let name = name.err().map(|text| ("base_url", text));
                        return Err(config.into_iter().chain(name).collect());
                    }
                }
            }
        };
        let endpoint = Rc::new(Endpoint {
            id: self.endpoints_made,
            host: key.host.clone(),
            port: key.port,
            security,
        });
        self.endpoints_made += 1;
        self.endpoints.push((key, Rc::clone(&endpoint)));
        Ok(endpoint)
    }

    fn tls(&mut self, files: Option<&TlsFiles>) -> Result<Option<Arc<ServerConfig>>, Vec<Finding>> {
        let Some(files) = files else {
            return Ok(None);
        };
        if let Some((_, config)) = self.tls.as_ref().filter(|(known, _)| known == files) {
            return Ok(Some(Arc::clone(config)));
        }
        let config = tls::server_config(&files.cert_pem, files.key_pem.expose().as_bytes());
        let finding = |(path, text): tls::Fault| Finding::new(settings::FILE, path, &text);
        let config =
            config.map_err(|faults| -> Vec<_> { faults.into_iter().map(finding).collect() })?;
        self.tls = Some((files.clone(), Arc::clone(&config)));
        Ok(Some(config))
    }
}

/// A warning, when the proxy's own certificate has expired.
fn expiry(settings: &Settings, now: Now) -> Option<Finding> {
    let files = settings.tls.as_ref()?;
    let until = tls::expires_unix_seconds(&files.cert_pem)?;
    let date = UNIX_EPOCH + Duration::from_secs(until);
    (until <= now.unix_seconds()).then(|| {
        let text = format!(
            "the certificate expired at {}; clients will refuse it until it is renewed",
            humantime::format_rfc3339_seconds(date)
        );
        Finding::new(settings::FILE, "tls_cert", &text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::{core, core_with_keys};

    const HOST: usize = "Host: h.example\r\n".len();

    #[test]
    fn an_endpoint_that_nobody_uses_is_not_kept_and_its_number_not_given_again() {
        let mut lasting = Lasting::default();
        let made = |lasting: &mut Lasting, host: &str| {
            lasting.forget_unused();
            let key = EndpointKey {
                host: host.to_string(),
                port: 80,
                tls: false,
                ca_pem: None,
            };
            let endpoint = lasting.endpoint(key).expect("plain HTTP");
            (endpoint, lasting.endpoints.len())
        };
        let (first, kept) = made(&mut lasting, "a.example");
        assert_eq!((first.id, kept), (0, 1));
        let (again, kept) = made(&mut lasting, "a.example");
        assert_eq!((again.id, kept), (0, 1));
        drop((first, again));
        let (anew, kept) = made(&mut lasting, "a.example");
        assert_eq!((anew.id, kept), (1, 1));
        let (other, kept) = made(&mut lasting, "b.example");
        assert_eq!((other.id, kept), (2, 2));
    }

    #[test]
    fn each_key_has_its_own_lines_in_whatever_order_the_numbers_are() {
        let keys = r#"["sk-a", "sk-b", "sk-c"]"#;
        let core = core_with_keys("{}", keys, r#""base_url": "http://h.example""#);
        let route = &core.site.routes[0];
        // As after reloads that put a key in front and removed another.
        let ids = [5, 0, 3].map(KeyId);
        let (platform, endpoint) = (route.platform.clone(), Rc::clone(&route.endpoint));
        let route = Route::new(platform, route.id, ids.to_vec(), endpoint);
        let lines = ids.map(|id| String::from_utf8_lossy(route.key_lines(id)));
        let want = ["a", "b", "c"].map(|key| format!("Authorization: Bearer sk-{key}\r\n"));
        assert_eq!(lines, want);
    }

    #[test]
    fn what_a_platform_configures_stands_in_place_of_a_probe_s_usual_fields() {
        let usual = format!(
            "Host: h.example\r\nUser-Agent: ai-api-proxy/{}\r\nAccept: application/json\r\n",
            env!("CARGO_PKG_VERSION")
        );
        let (agent, accept) = usual.split_at(usual.find("Accept").expect("it stands there"));
        let posted = "Content-Type: application/json\r\nContent-Length: 2\r\n";
        let rows = [
            ("", usual.clone()),
            (
                r#", "headers": {"user-agent": "mine"}"#,
                format!("Host: h.example\r\n{accept}"),
            ),
            (
                r#", "auth_header": "ACCEPT", "auth_format": "{key}""#,
                agent.to_string(),
            ),
            (
                r#", "health_check_method": "POST", "health_check_body": {}"#,
                format!("{usual}{posted}"),
            ),
            (
                r#", "health_check_method": "POST", "health_check_body": {}, "headers": {"Content-Type": "x"}"#,
                format!("{usual}Content-Length: 2\r\n"),
            ),
            (
                r#", "default_headers": {"accept": "x", "Version": "2023"}"#,
                format!(
                    "Host: h.example\r\naccept: x\r\nVersion: 2023\r\n{}",
                    &agent[HOST..]
                ),
            ),
        ];
        for (fields, want) in rows {
            let core = core("{}", &format!(r#""base_url": "http://h.example"{fields}"#));
            let head = String::from_utf8_lossy(&core.site.routes[0].probe_head);
            let (_, head) = head.split_once("\r\n").expect("a request line");
            assert_eq!(head, want, "{fields}");
        }
    }
}
