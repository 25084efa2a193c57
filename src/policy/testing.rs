//! For tests: keys of clients and platforms, and a platform's rejection of one.

use crate::base::client::ClientSpec;
use crate::base::secret::Secret;

use super::keyring::Outcome;

/// A client's key without any limits.
pub fn unlimited(key: &str) -> ClientSpec {
    ClientSpec {
        key: Secret::new(key),
        name: None,
        is_root: false,
        daily_limit: 0,
        hourly_limit: 0,
        cooldown_seconds: 0,
        expires_unix_seconds: None,
        platforms: None,
    }
}

pub fn secrets(names: &[&str]) -> Vec<Secret> {
    names.iter().map(|name| Secret::new(*name)).collect()
}

pub fn rejected() -> Outcome {
    Outcome::Rejected {
        reason: "401".to_string(),
    }
}
