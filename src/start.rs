//! From the configuration files to a running server: what is printed, and what prevents a start.

mod lines;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use crate::capacity::Capacity;
use crate::config::watch::Watch;
use crate::config::{self, Config, Finding, Findings, environment, settings};
use crate::exchange::core::Core;
use crate::ledger::Ledger;
use crate::listen;
use crate::net::network::random_seed;
use crate::policy::access::Clients;
use crate::policy::keyring::Keyring;
use crate::reload::{Reloader, of_state_file};
use crate::server::{Doors, Server, Signals, Stopped, read_clock};
use crate::site::Site;

use lines::Lines;

/// Reports the warnings about `dir`'s files and about the `state_file`.
///
/// # Errors
/// All problems of these files, followed by the warnings.
pub fn check(dir: &Path) -> Result<String, String> {
    let config = read(dir)?;
    let certificates = Site::check(&config, read_clock());
    let state_file = check_state_file(&config);
    let mut findings = config.findings;
    findings.append(certificates);
    findings.append(state_file);
    refuse_problems(dir, &findings)?;
    let warnings = warning_lines(&findings.warnings);
    let shown = dir.display();
    Ok(format!("{warnings}the configuration in {shown} is valid\n"))
}

/// What a start would report on the `state_file`, if its path is known.
fn check_state_file(config: &Config) -> Findings {
    let hides = |problem: &Finding| {
        problem.file == settings::FILE && matches!(problem.path.as_str(), "" | "state_file")
    };
    let is_known = !config.findings.problems.iter().any(hides);
    match is_known {
        true => of_state_file(&config.settings, read_clock()),
        false => Findings::default(),
    }
}

/// Starts the proxy and runs it until it is stopped.
///
/// # Errors
/// A message that says what to do.
pub fn run(dir: &Path) -> Result<Stopped, String> {
    let watch = Watch::new(dir, read_clock());
    let config = read(dir)?;
    refuse_problems(dir, &config.findings)?;
    log::set_boxed_logger(Box::new(Lines::new()))
        .map_err(|error| format!("logging cannot begin: {error}"))?;
    // With SIGXFSZ caught, a file at its size limit makes the write fail and does not end the program.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(failed)?;
    // Only this level filters, so that a new configuration can change it.
    log::set_max_level(config.settings.log_level);
    lines::log_panics();
    let (host, port) = (config.settings.host, config.settings.port);
    // Registered before any client can connect and take the proxy for running.
    let signals = Signals {
        stop: catch(&[SIGTERM, SIGINT]).map_err(failed)?,
        reload: catch(&[SIGHUP]).map_err(failed)?,
    };
    let doors = Doors {
        clients: listen::open(SocketAddr::new(host, port))?,
        demo: listen::open(SocketAddr::from(([127, 0, 0, 1], 0)))?,
    };
    let (mut server, banner) = prepare(dir, watch, config, doors, signals)?;
    lines::print(&banner);
    server
        .run()
        .map_err(|error| format!("the poll failed: {error}"))
}

fn failed(error: io::Error) -> String {
    format!("the start failed: {error}")
}

fn read(dir: &Path) -> Result<Config, String> {
    let shown = dir.display();
    // `dir/.` and not `dir`: resolving it takes search permission on the folder.
    match std::fs::metadata(dir.join(".")) {
        Ok(_) => Ok(config::read(dir, &environment::of_process)),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(format!("{shown} is not a folder; name one with --dir"))
        }
        Err(error) => Err(format!(
            "{shown} cannot be entered: {error}; name another folder with --dir"
        )),
    }
}

fn refuse_problems(dir: &Path, findings: &Findings) -> Result<(), String> {
    match findings.problems.is_empty() {
        true => Ok(()),
        false => Err(refusal(dir, &findings.problems, &findings.warnings)),
    }
}

fn refusal(dir: &Path, problems: &[Finding], warnings: &[Finding]) -> String {
    let mut text = format!("the configuration in {} is not valid:\n", dir.display());
    for problem in problems {
        text.push_str(&format!("{problem}\n"));
    }
    text.push_str(&warning_lines(warnings));
    text + &format!("{} to mend", problems.len())
}

fn warning_lines(warnings: &[Finding]) -> String {
    let line = |warning| format!("warning: {warning}\n");
    warnings.iter().map(line).collect()
}

/// The server, and the banner for the operator.
fn prepare(
    dir: &Path,
    watch: Watch,
    config: Config,
    doors: Doors,
    signals: Signals,
) -> Result<(Server, String), String> {
    let seed = || random_seed().map_err(failed);
    let now = read_clock();
    let demo_port = doors.demo.local_addr().map_err(failed)?.port();
    let warnings = config.findings.warnings.clone();
    let mut clients = Clients::new(config.clients.clone());
    let mut keyring = Keyring::default();
    let mut reloader = Reloader::new(dir, watch, config.settings.clone(), demo_port);
    let site = reloader
        .compile(config, &mut keyring, now)
        .map_err(|problems| refusal(dir, &problems, &[]))?;
    let ledger = match &site.settings.state_file {
        None => Ledger::default(),
        Some(path) => {
            let writer = seed()? as u32;
            let opened = Ledger::open(path, writer, &mut clients, &mut keyring, now);
            let told = |text: &str| Finding::new(settings::FILE, "state_file", text);
            let (ledger, findings) = opened.map_err(|text| told(&text).to_string())?;
            for finding in findings {
                log::warn!("{}", told(&finding));
            }
            ledger
        }
    };
    let capacity = Capacity::raise()
        .map_err(|error| format!("the limit of file descriptors is not known: {error}"))?;
    let address = doors.clients.local_addr().map_err(failed)?;
    let banner = banner(&site, &address, capacity, &warnings);
    // Clients see request ids, so the ids of DNS messages must not be derivable from them.
    let (id_seed, dns_seed) = (seed()?, seed()?);
    let core = Core::new(Rc::new(site), clients, keyring, ledger, id_seed, now);
    let server = Server::new(core, reloader, doors, capacity, signals, dns_seed, now);
    let server = server.map_err(failed)?;
    capacity.suffices()?;
    Ok((server, banner))
}

/// The receiving end of a socket pair that gets a byte for each of these signals.
fn catch(signals: &[i32]) -> io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, sender.try_clone()?)?;
    }
    Ok(receiver)
}

/// The startup message for the operator.
fn banner(site: &Site, address: &SocketAddr, capacity: Capacity, warnings: &[Finding]) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let scheme = if site.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{host}:{}", address.port());
    let mut text = format!(
        "ai-api-proxy {}\nlistening on {url}\n",
        env!("CARGO_PKG_VERSION")
    );
    if address.ip().is_unspecified() {
        text.push_str("and on every other address of this machine\n");
    }
    if site.settings.enable_gui {
        text.push_str(&format!("dashboard: {url}/dashboard\n"));
    }
    text.push_str(&capacity.line(site.settings.max_connections as usize));
    text.push('\n');
    for route in &site.routes {
        let state = match (route.platform.enabled, route.keys.len()) {
            (false, _) => "disabled".to_string(),
            (true, 1) => "1 key".to_string(),
            (true, count) => format!("{count} keys"),
        };
        text.push_str(&format!(
            "  {} {state}: {url}/{}{}\n",
            route.platform.name, route.platform.name, route.platform.api_path
        ));
    }
    text + &warning_lines(warnings) + &warning_lines(&site.warnings)
}
