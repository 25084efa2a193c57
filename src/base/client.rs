//! A client key and its limits, as `key.json` gives them and policy enforces them.

use super::secret::Secret;

/// One entry of `key.json`, checked.
#[derive(Clone, Debug)]
pub struct ClientSpec {
    pub key: Secret,
    /// What pages show in place of the key.
    pub name: Option<String>,
    pub is_root: bool,
    /// Requests a day, 0 for no limit.
    pub daily_limit: u64,
    /// Requests an hour, 0 for no limit.
    pub hourly_limit: u64,
    /// The least time between two requests, 0 for none.
    pub cooldown_seconds: u64,
    /// The first second at which the key is no longer valid.
    pub expires_unix_seconds: Option<u64>,
    /// The platforms that the key may use; `None` for all.
    pub platforms: Option<Vec<String>>,
}
