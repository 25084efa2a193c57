//! key.json: the keys of clients.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, UNIX_EPOCH};

use super::fields::{Fields, nearest, quoted};
use super::findings::Findings;
use super::json::Json;
use crate::base::client::ClientSpec;
use crate::base::secret::{KEY_BYTES_MAX, KEY_CHARACTERS_MIN, Secret};

pub const FILE: &str = "key.json";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Reads key.json. `platforms` are the names that a whitelist may contain; `None` if not all are known.
pub fn read(value: &Json, platforms: Option<&[&str]>, findings: &mut Findings) -> Vec<ClientSpec> {
    let Json::List(entries) = value else {
        findings.problem(
            "",
            format!(
                "expected a list of keys, found {}; write [ {{ \"key\": \"…\" }} ]",
                value.kind()
            ),
        );
        return Vec::new();
    };
    let mut clients: Vec<ClientSpec> = Vec::new();
    // The place of each key in the list.
    let mut places: HashMap<Secret, usize> = HashMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let Some(mut fields) = Fields::of(entry, &format!("[{place}]"), findings) else {
            continue;
        };
        let client = read_entry(&mut fields, platforms);
        if let Some(client) = client {
            match places.entry(client.key.clone()) {
                Entry::Occupied(other) => {
                    let text = format!(
                        "the same key as [{}].key; remove one of the two",
                        other.get()
                    );
                    fields.problem("key", text);
                }
                Entry::Vacant(free) => {
                    free.insert(place);
                    clients.push(client);
                }
            }
        }
        fields.done();
    }
    clients
}

fn read_entry(fields: &mut Fields<'_, '_>, platforms: Option<&[&str]>) -> Option<ClientSpec> {
    let key = read_key(fields);
    let name = fields
        .text("name")
        .filter(|name| !name.is_empty())
        .map(str::to_string);
    let is_root = fields.flag("is_root", false);
    let limit = |fields: &mut Fields<'_, '_>, name| {
        fields.whole(
            name,
            0,
            (0, 1 << 53),
            "requests",
            "write 10, or 0 for no limit",
        )
    };
    let daily_limit = limit(fields, "daily_limit");
    let hourly_limit = limit(fields, "hourly_limit");
    let cooldown_seconds = fields.whole(
        "cooldown_seconds",
        0,
        (0, 24 * 3600),
        "seconds",
        "write 5, or 0 for none",
    );
    let expires_unix_seconds = read_expiry(fields);
    let platforms = read_whitelist(fields, platforms);
    if daily_limit > 0 && hourly_limit > daily_limit {
        fields.warning(
            "hourly_limit",
            "larger than daily_limit: it is never reached",
        );
    }
    let is_limited = daily_limit | hourly_limit | cooldown_seconds > 0;
    if is_root && (is_limited || expires_unix_seconds.is_some() || platforms.is_some()) {
        fields.warning(
            "is_root",
            "limits, expiry date and whitelist do not apply to a root key",
        );
    }
    Some(ClientSpec {
        key: key?,
        name,
        is_root,
        daily_limit,
        hourly_limit,
        cooldown_seconds,
        expires_unix_seconds,
        platforms,
    })
}

fn read_key(fields: &mut Fields<'_, '_>) -> Option<Secret> {
    let hint = format!("write a secret of {KEY_CHARACTERS_MIN} characters or more");
    let key = fields.required_text("key", &hint)?;
    if key.chars().count() < KEY_CHARACTERS_MIN {
        fields.problem(
            "key",
            format!("too short; write {KEY_CHARACTERS_MIN} characters or more"),
        );
        return None;
    }
    if key.len() > KEY_BYTES_MAX {
        fields.problem(
            "key",
            format!("longer than {KEY_BYTES_MAX} bytes; write a shorter one"),
        );
        return None;
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = "holds a space, a control character or a letter outside ASCII, which no header carries; write visible ASCII";
        fields.problem("key", text);
        return None;
    }
    Some(Secret::new(key))
}

/// `YYYY-MM-DD`, valid through the end of that day; "0" for never.
fn read_expiry(fields: &mut Fields<'_, '_>) -> Option<u64> {
    let text = fields.text("expiry_date").filter(|text| *text != "0")?;
    let day = match text.len() {
        10 => humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).ok(),
        _ => None,
    };
    let Some(day) = day else {
        fields.problem(
            "expiry_date",
            format!(
                "{} is not a date; write YYYY-MM-DD, or \"0\" for never",
                quoted(text)
            ),
        );
        return None;
    };
    Some(
        day.duration_since(UNIX_EPOCH)
            .map_or(0, |since| (since + DAY).as_secs()),
    )
}

fn read_whitelist(fields: &mut Fields<'_, '_>, platforms: Option<&[&str]>) -> Option<Vec<String>> {
    let enabled = fields.flag("enable_platform_whitelist", false);
    let entries = fields.texts("platform_whitelist").unwrap_or_default();
    fields.warn_of_list(
        ("platform_whitelist", entries.is_empty()),
        ("enable_platform_whitelist", enabled),
        "empty: this key may use no platform",
    );
    if !enabled {
        return None;
    }
    for (place, name) in &entries {
        if let Some(platforms) = platforms.filter(|platforms| !platforms.contains(name)) {
            let hint = match nearest(name, platforms) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "write a name that stands there".to_string(),
            };
            let name = quoted(name);
            let text = format!("no platform of platform.json is called {name}; {hint}");
            fields.warning(place, text);
        }
    }
    Some(
        entries
            .into_iter()
            .map(|(_, name)| name.to_string())
            .collect(),
    )
}
