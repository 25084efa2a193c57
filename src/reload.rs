//! Takes a new version of the configuration up while the proxy runs, or refuses it whole.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use crate::base::now::Now;
use crate::config::watch::Watch;
use crate::config::{self, Config, Finding, Settings};
use crate::exchange::core::Core;
use crate::policy::keyring::Keyring;
use crate::site::{Lasting, Site, client_specs};

/// What is needed to read the configuration again.
pub struct Reloader {
    dir: PathBuf,
    watch: Watch,
    lasting: Lasting,
    /// Where the built-in platform listens.
    demo_port: u16,
}

impl Reloader {
    /// `watch` is older than the configuration that is compiled first: a change since then is not missed.
    pub fn new(dir: &Path, watch: Watch, demo_port: u16) -> Reloader {
        Reloader {
            dir: dir.to_path_buf(),
            watch,
            lasting: Lasting::default(),
            demo_port,
        }
    }

    /// Compiles a configuration; idle connections stay for the endpoints that it still has.
    ///
    /// # Errors
    /// As [`Site::compile`].
    pub fn compile(
        &mut self,
        config: Config,
        keyring: &mut Keyring,
        now: Now,
    ) -> Result<Site, Vec<Finding>> {
        self.watch.follow(&config.findings.named_files);
        Site::compile(config, keyring, &mut self.lasting, self.demo_port, now)
    }

    /// When the files are looked at next.
    pub fn deadline(&self) -> Instant {
        self.watch.deadline()
    }

    /// Looks at the files, if it is time, and takes a new version up; whether there was one.
    pub fn look(&mut self, core: &mut Core, now: Now) -> bool {
        let is_new = self.watch.look(now);
        if is_new {
            self.reload(core, now);
        }
        is_new
    }

    /// Reads the files and takes them up. When anything is wrong, what is in force stays so.
    pub fn reload(&mut self, core: &mut Core, now: Now) {
        self.watch.take();
        let config = config::load(&self.dir, &|name| std::env::var(name).ok());
        let outcome = match config {
            Ok(config) => self.take_up(config, core, now),
            Err(findings) => {
                // One that is missing may come.
                self.watch.follow(&findings.named_files);
                let text = lines(&findings.problems);
                if findings.lacks_descriptors {
                    // Nothing is known of what the files hold: the next look reads them again. It is told once.
                    self.watch.give_back();
                    if core.config_error.as_ref() == Some(&text) {
                        return;
                    }
                }
                Err(text)
            }
        };
        core.config_error = outcome.err();
        match &core.config_error {
            None => log::info!("the configuration was taken up anew"),
            Some(problems) => {
                for problem in problems.lines() {
                    log::error!("{problem}");
                }
                log::error!("the new configuration is refused; the former one stays in force");
            }
        }
    }

    fn take_up(&mut self, config: Config, core: &mut Core, now: Now) -> Result<(), String> {
        for warning in &config.findings.warnings {
            log::warn!("{warning}");
        }
        let clients = client_specs(&config);
        let site = self
            .compile(config, &mut core.keyring, now)
            .map_err(|problems| lines(&problems))?;
        warn_of_restart(&core.site.settings, &site.settings);
        for warning in &site.warnings {
            log::warn!("{warning}");
        }
        log::set_max_level(site.settings.log_level);
        let added = core.clients.reload(clients);
        core.ledger.restore_added(&added, &mut core.clients, now);
        core.take_site(Rc::new(site), now);
        Ok(())
    }
}

fn lines(problems: &[Finding]) -> String {
    let lines: Vec<String> = problems.iter().map(Finding::to_string).collect();
    lines.join("\n")
}

/// What a running process cannot change.
fn warn_of_restart(former: &Settings, new: &Settings) {
    let changes = [
        (former.host != new.host, "host"),
        (former.port != new.port, "port"),
        (former.tls.is_some() != new.tls.is_some(), "tls_cert"),
        (former.state_file != new.state_file, "state_file"),
    ];
    for (_, name) in changes.iter().filter(|(changed, _)| *changed) {
        log::warn!("{name} has changed: it takes effect with the next start");
    }
}
