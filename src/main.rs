//! The program: arguments, start, exit status.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::rc::Rc;

use ai_api_proxy::exchange::core::Core;
use ai_api_proxy::net::network::random_seed;
use ai_api_proxy::policy::access::Clients;
use ai_api_proxy::policy::keyring::Keyring;
use ai_api_proxy::server::{self, Server, Stopped};
use ai_api_proxy::site::{Endpoints, Site, client_specs};

fn main() -> ExitCode {
    match run() {
        Ok(Stopped::Drained) => ExitCode::SUCCESS,
        Ok(Stopped::CutShort) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("ai-api-proxy: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Stopped, String> {
    let config = ai_api_proxy::config::stub();
    simple_logger::SimpleLogger::new()
        .with_level(config.settings.log_level)
        .init()
        .map_err(|error| error.to_string())?;
    let now = server::read_clock();
    let (listener, demo_listener) =
        server::open_listeners(config.settings.host, config.settings.port)?;
    let port = |listener: &std::net::TcpListener| {
        listener
            .local_addr()
            .map_err(|error| error.to_string())
            .map(|address| address.port())
    };
    let mut keyring = Keyring::new();
    let clients = Clients::new(client_specs(&config));
    let site = Site::compile(
        config,
        &mut keyring,
        &mut Endpoints::default(),
        port(&demo_listener)?,
    )?;
    println!(
        "listening on http://{}",
        listener.local_addr().map_err(|error| error.to_string())?
    );
    let _ = std::io::stdout().flush();
    let seed = random_seed().map_err(|error| error.to_string())?;
    let (signals, notify) = UnixStream::pair().map_err(|error| error.to_string())?;
    signals
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let notify = notify.try_clone().map_err(|error| error.to_string())?;
        signal_hook::low_level::pipe::register(signal, notify)
            .map_err(|error| error.to_string())?;
    }
    let core = Core::new(Rc::new(site), clients, keyring, seed, now);
    let mut server = Server::new(core, listener, demo_listener, signals, seed, now)
        .map_err(|error| error.to_string())?;
    server.run().map_err(|error| error.to_string())
}
