//! Takes up a new version of the configuration while the proxy runs, or refuses all of it.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use crate::base::now::Now;
use crate::config::watch::Watch;
use crate::config::{self, Config, Finding, Findings, Settings, environment, settings};
use crate::exchange::core::Core;
use crate::journal::Journal;
use crate::policy::keyring::Keyring;
use crate::site::{Lasting, Site};

/// What is needed to read the configuration again.
pub struct Reloader {
    dir: PathBuf,
    watch: Watch,
    lasting: Lasting,
    /// The settings with which the process started, some of which cannot change while it runs.
    started_with: Settings,
    /// Where the built-in platform listens.
    demo_port: u16,
}

impl Reloader {
    /// `watch` must be older than the configuration that is compiled first, so that no change in between is missed.
    pub fn new(dir: &Path, watch: Watch, started_with: Settings, demo_port: u16) -> Reloader {
        Reloader {
            dir: dir.to_path_buf(),
            watch,
            lasting: Lasting::default(),
            started_with,
            demo_port,
        }
    }

    /// Compiles a configuration; endpoints that it still has keep their idle connections.
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

    /// When the files are next checked.
    pub fn deadline(&self) -> Instant {
        self.watch.deadline()
    }

    /// Checks the files if it is time, and takes up a new version. Returns whether there was one.
    pub fn look(&mut self, core: &mut Core, now: Now) -> bool {
        let is_new = self.watch.look(now);
        if is_new {
            self.reload(core, now);
        }
        is_new
    }

    /// Reads the files and takes them up. If anything is wrong, the configuration in force stays.
    pub fn reload(&mut self, core: &mut Core, now: Now) {
        self.watch.take();
        let config = config::load(&self.dir, &environment::of_process);
        let outcome = match config {
            Ok(config) => self.take_up(config, core, now),
            Err(findings) => {
                // A file that is missing may appear.
                self.watch.follow(&findings.named_files);
                let text = lines(&findings.problems);
                if findings.lacks_descriptors {
                    // The content of the files is unknown: the next look reads them again. The problem is logged once.
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
            None => log::info!("the new configuration is in force"),
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
        let clients = config.clients.clone();
        let state_file = self.check_state_file(&config.settings, now);
        if !state_file.problems.is_empty() {
            self.watch.follow(&config.findings.named_files);
            return Err(lines(&state_file.problems));
        }
        let site = self
            .compile(config, &mut core.keyring, now)
            .map_err(|problems| lines(&problems))?;
        for name in needing_restart(&self.started_with, &site.settings) {
            log::warn!("{name} has changed: it takes effect with the next start");
        }
        for warning in site.warnings.iter().chain(&state_file.warnings) {
            log::warn!("{warning}");
        }
        log::set_max_level(site.settings.log_level);
        let added = core.clients.reload(clients);
        core.ledger.restore_added(&added, &mut core.clients, now);
        core.take_site(Rc::new(site), now);
        Ok(())
    }

    /// What the next start would report on another `state_file`; the present one is open.
    fn check_state_file(&self, new: &Settings, now: Now) -> Findings {
        match new.state_file == self.started_with.state_file {
            true => Findings::default(),
            false => of_state_file(new, now),
        }
    }
}

/// What a start would report on the `state_file` that `settings` name.
pub fn of_state_file(settings: &Settings, now: Now) -> Findings {
    let mut findings = Findings::of(settings::FILE);
    if let Some(path) = &settings.state_file {
        match Journal::check(path, now) {
            Ok(warnings) => warnings
                .into_iter()
                .for_each(|text| findings.warning("state_file", text)),
            Err(text) => findings.problem("state_file", text),
        }
    }
    findings
}

fn lines(problems: &[Finding]) -> String {
    let lines: Vec<String> = problems.iter().map(Finding::to_string).collect();
    lines.join("\n")
}

/// The settings that differ from those at the start and that a running process cannot change.
fn needing_restart(started_with: &Settings, new: &Settings) -> Vec<&'static str> {
    let (former_tls, new_tls) = (started_with.tls.is_some(), new.tls.is_some());
    let changes = [
        (started_with.host != new.host, "host"),
        (started_with.port != new.port, "port"),
        (former_tls != new_tls, "tls_cert"),
        (started_with.state_file != new.state_file, "state_file"),
    ];
    let changed = changes.into_iter().filter(|(changed, _)| *changed);
    changed.map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::Folder;
    use crate::exchange::testing::{core, now};
    use crate::ledger::Ledger;

    #[test]
    fn a_reload_looks_at_another_state_file_and_compares_with_the_start() {
        let folder = Folder::new();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.at(name), text).expect("a file can be written");
        };
        write("key.json", "[]");
        write("platform.json", "[]");
        let mut core = core("{}", r#""base_url": "http://h.example""#);
        let config = config::read(&folder.0, &|_| None);
        let started_with = config.settings.clone();
        let mut reloader = Reloader::new(&folder.0, Watch::new(&folder.0, now()), started_with, 1);
        const REFUSED: &str = "config.json: state_file: DIR/key.json: it is not a journal of ai-api-proxy; it stays as it is: move it away, or write the path of another file";
        // (config.json, why it is refused, what needs a restart once it is in force)
        let rows: [(&str, Option<&str>, &[&str]); 4] = [
            (r#"{"port": 5001}"#, None, &["port"]),
            (r#"{"state_file": "key.json"}"#, Some(REFUSED), &["port"]),
            (r#"{"state_file": ""}"#, None, &["state_file"]),
            ("{}", None, &[]),
        ];
        let dir = folder.0.display().to_string();
        for (text, want, changed) in rows {
            write("config.json", text);
            reloader.reload(&mut core, now());
            let found = core.config_error.as_ref();
            let found = found.map(|problem| problem.replace(&dir, "DIR"));
            assert_eq!(found.as_deref(), want, "{text}");
            let found = needing_restart(&reloader.started_with, &core.site.settings);
            assert_eq!(found, changed, "{text}");
        }
    }

    #[test]
    fn a_client_key_that_comes_back_has_used_what_it_had() {
        let (folder, now) = (Folder::new(), now());
        let write = |name: &str, text: &str| {
            std::fs::write(folder.at(name), text).expect("a file can be written");
        };
        write("platform.json", "[]");
        // Each process starts without the key. (its number, what the key has used when it is added)
        for (writer, used) in [(1, 0), (2, 1)] {
            let mut core = core("{}", r#""base_url": "http://h.example""#);
            let (clients, keyring) = (&mut core.clients, &mut core.keyring);
            let path = folder.at("usage.journal");
            let opened = Ledger::open(&path, writer, clients, keyring, now);
            core.ledger = opened.expect("it is a journal").0;
            write("key.json", "[]");
            let started_with = config::read(&folder.0, &|_| None).settings;
            let watch = Watch::new(&folder.0, now);
            let mut reloader = Reloader::new(&folder.0, watch, started_with, 1);
            write(
                "key.json",
                r#"[{"key": "a-key-that-goes", "daily_limit": 9}]"#,
            );
            reloader.reload(&mut core, now);
            assert_eq!(core.config_error, None);
            let shown = b"a-key-that-goes";
            let client = core.clients.identify(shown).expect("it is there now");
            assert_eq!(core.clients.usage(client, now).day.used, used);
            let admitted = core.clients.admit(client, "p", false, now);
            let quota = admitted.expect("it may pass");
            core.ledger.admitted(client, quota, &core.clients, now);
            core.write_ledger(now);
        }
    }
}
