//! Any four files: every problem is one line, and what is accepted can be served: the heads made from it are, read
//! strictly, of the intended shape.

use std::collections::BTreeSet;
use std::fs;

use ai_api_proxy::config::{self, Config, Finding};
use ai_api_proxy::exchange::core::Core;
use ai_api_proxy::ledger::Ledger;
use ai_api_proxy::policy::access::Clients;
use ai_api_proxy::policy::keyring::Keyring;
use ai_api_proxy::site::{Lasting, Route, Site};

use super::folder::Folder;
use super::input::{now, steps};
use super::reader::Head;

thread_local! {
    static FOLDER: Folder = Folder::new("configuration");
}

/// The file of each kind of step.
const FILES: [(u8, &str); 4] = [
    (b'c', "config.json"),
    (b'p', "platform.json"),
    (b'k', "key.json"),
    (b'e', ".env"),
];

/// The content of files that no step provides; `.env` need not exist.
const KEYS: &[u8] = br#"[{"key": "client-key-1"}]"#;
const PLATFORMS: &[u8] =
    br#"[{"name": "p", "base_url": "http://h.example", "keys": ["sk-platform-1"]}]"#;

/// `data`: steps `c`, `p`, `k` and `e`, each with a file's content.
pub fn check(data: &[u8]) {
    if names_device(data) {
        return;
    }
    FOLDER.with(|folder| {
        for (_, name) in FILES {
            // It may not exist.
            let _ = fs::remove_file(folder.path().join(name));
        }
        let defaults = [(b'k', KEYS), (b'p', PLATFORMS)].into_iter();
        for (kind, content) in defaults.chain(steps(data)) {
            if let Some((_, name)) = FILES.iter().find(|(file, _)| *file == kind) {
                fs::write(folder.path().join(name), content).expect("a file can be written");
            }
        }
        match config::load(folder.path(), &|_| None) {
            Err(findings) => {
                assert!(!findings.problems.is_empty(), "refused without a word");
                check_lines(findings.problems.iter().chain(&findings.warnings));
            }
            Ok(config) => {
                check_lines(config.findings.warnings.iter());
                check_served(config);
            }
        }
    });
}

/// Reading from a device may never end, which is not what is tested here.
fn names_device(data: &[u8]) -> bool {
    [&b"/dev"[..], b"/proc", b"/sys", b"\\"]
        .iter()
        .any(|part| data.windows(part.len()).any(|window| window == *part))
        && data
            .windows(2)
            .any(|window| window == b"\"/" || window == b"..")
}

fn check_lines<'f>(findings: impl Iterator<Item = &'f Finding>) {
    for finding in findings {
        let line = finding.to_string();
        assert!(!line.contains(['\n', '\r', '\x1b', '\0']), "{line:?}");
        assert!(!finding.text.is_empty(), "{line:?}");
    }
}

fn check_served(config: Config) {
    let clients = Clients::new(config.clients.clone());
    let names: BTreeSet<String> = config
        .platforms
        .iter()
        .map(|platform| platform.name.clone())
        .collect();
    assert_eq!(names.len(), config.platforms.len(), "a name stands twice");
    let mut keyring = Keyring::default();
    let site = Site::compile(config, &mut keyring, &mut Lasting::default(), 1, now());
    let Ok(site) = site else {
        return;
    };
    site.routes.iter().for_each(check_route);
    let ledger = Ledger::default();
    drop(Core::new(site.into(), clients, keyring, ledger, 1, now()));
}

fn check_route(route: &Route) {
    for key in &route.keys {
        let mut bytes = [&route.probe_head, route.key_lines(*key), b"\r\n"].concat();
        let head = Head::take(&mut bytes).expect("a head");
        assert!(bytes.is_empty(), "more than a head: {head:?}");
        assert_eq!(head.one("host"), Some(route.authority.as_str()));
        assert!(
            head.one(&route.platform.auth_header.to_ascii_lowercase())
                .is_some()
        );
        for usual in ["user-agent", "accept"] {
            assert!(head.one(usual).is_some(), "{usual}: {head:?}");
        }
        // Only the probe's body gives the head a framing.
        let has_body = route.platform.health_body.is_some();
        assert_eq!(head.framing().is_some(), has_body, "{head:?}");
        let parts: Vec<&str> = head.start.split(' ').collect();
        assert!(
            matches!(parts[..], [_, target, "HTTP/1.1"] if target.starts_with('/')),
            "{head:?}"
        );
    }
    let prefix = route.path_prefix.as_bytes();
    assert!(prefix.is_empty() || prefix[0] == b'/');
    assert!(prefix.iter().all(u8::is_ascii_graphic), "{prefix:?}");
}
