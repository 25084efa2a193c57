//! `keys`: the keys themselves, or the variables that hold them.

use std::collections::HashSet;

use super::{Environment, Fields, KEY_BYTES_MAX, Secret};

/// Keys in order, each once.
#[derive(Default)]
struct Keys {
    listed: Vec<Secret>,
    known: HashSet<Secret>,
}

/// An entry is a key, or the name of a variable that holds one or several. Each part of an entry with commas is checked
/// by itself, so that no variable's name is sent upstream as if it were a key.
pub(super) fn read_keys(
    fields: &mut Fields<'_, '_>,
    environment: &Environment<'_>,
    enabled: bool,
) -> Vec<Secret> {
    let mut keys = Keys::default();
    let mut may_have_more = false;
    for (place, entry) in fields.texts("keys").unwrap_or_default() {
        if parts(entry).next().is_none() && enabled {
            fields.warning(&place, "empty: it gives no key");
        }
        for part in parts(entry) {
            let Some(value) = environment.value(part) else {
                if !is_variable_name(part) {
                    if is_reference(part) && enabled {
                        let text = "sent as a key, as it stands; write a variable's name without $ and braces";
                        fields.warning(&place, text);
                    }
                    add_key(fields, &place, "", part, &mut keys);
                } else if !environment.is_whole {
                    may_have_more = true;
                } else if enabled {
                    let text = format!(
                        "the variable {part} is not set; set it in .env or leave the entry out"
                    );
                    fields.warning(&place, text);
                }
                continue;
            };
            if parts(&value).next().is_none() && enabled {
                let text = format!("the variable {part} is empty: it gives no key");
                fields.warning(&place, text);
            }
            if environment.is_hidden(part) && enabled {
                let text = format!(
                    "the variable {part} has another value in .env; the process environment's counts, so remove one of the two"
                );
                fields.warning(&place, text);
            }
            let whose = format!("the variable {part}: ");
            for key in parts(&value) {
                add_key(fields, &place, &whose, key, &mut keys);
            }
        }
    }
    if enabled && keys.listed.is_empty() && !may_have_more && fields.is_sound("keys") {
        fields.warning(
            "keys",
            "no usable key: the platform answers 503 until it has one",
        );
    }
    keys.listed
}

/// The parts between commas, without surrounding whitespace.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// `whose` says where the key comes from, if it is not at `place` itself.
fn add_key(fields: &mut Fields<'_, '_>, place: &str, whose: &str, key: &str, keys: &mut Keys) {
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = "holds a space, a control character or a letter outside ASCII, which no header carries; copy the key again";
        fields.problem(place, format!("{whose}{text}"));
    } else if key.len() > KEY_BYTES_MAX {
        let text = format!("{whose}longer than {KEY_BYTES_MAX} bytes; copy the key again");
        fields.problem(place, text);
    } else if keys.known.insert(Secret::new(key)) {
        keys.listed.push(Secret::new(key));
        if is_quoted(key) {
            let text = format!("{whose}the quotes are sent as part of the key; leave them out");
            fields.warning(place, text);
        }
    } else {
        let text = format!("{whose}the same key again; it is used once");
        fields.warning(place, text);
    }
}

/// As Docker's `--env-file` hands values on that are quoted as in `.env`: one key has both quotes, or the first and the last
/// have one each.
fn is_quoted(key: &str) -> bool {
    key.starts_with(['"', '\'']) || key.ends_with(['"', '\''])
}

/// A variable reference as in a shell, `$NAME` or `${NAME}`.
fn is_reference(text: &str) -> bool {
    let name = text.strip_prefix('$').unwrap_or_default();
    let inner = name
        .strip_prefix('{')
        .and_then(|name| name.strip_suffix('}'));
    is_variable_name(inner.unwrap_or(name))
}

/// `^[A-Z][A-Z0-9_]*$`
fn is_variable_name(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_uppercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}
