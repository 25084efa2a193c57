//! Parses JSON text and keeps what a map would lose: a field that is given twice is a problem, not a choice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::base::secret::KEY_CHARACTERS_MIN;

/// A JSON value with its fields in order, duplicates included. It may hold secrets, and therefore cannot be printed.
#[derive(Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Whole(u64),
    /// Any other number, as it would be written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a whole file.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Json, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Err("the file is empty; write { } or [ ]".to_string());
        }
        serde_json::from_str(text).map_err(|error| {
            let line = text.lines().nth(error.line().saturating_sub(1));
            let place = error.column().saturating_sub(1);
            let rest = line.and_then(|line| line.get(place..)).unwrap_or_default();
            match rest.starts_with(['/', '#']) {
                true => format!("{error}; JSON has no comments: leave them out"),
                false => error.to_string(),
            }
        })
    }

    /// What kind of value it is, in words for a message. The caller shows texts, since they may be secrets; so may a
    /// long number, which can be a key without its quotes.
    pub fn kind(&self) -> String {
        match self {
            Json::Text(_) => "a text".to_string(),
            Json::List(_) => "a list".to_string(),
            Json::Object(_) => "an object".to_string(),
            Json::Null | Json::Bool(_) | Json::Whole(_) | Json::Number(_) => {
                let shown = self.render();
                match shown.len() < KEY_CHARACTERS_MIN {
                    true => shown,
                    false => "a number".to_string(),
                }
            }
        }
    }

    /// The value as compact JSON text.
    pub fn render(&self) -> String {
        match self {
            Json::Null => "null".to_string(),
            Json::Bool(value) => value.to_string(),
            Json::Whole(value) => value.to_string(),
            Json::Number(text) => text.clone(),
            Json::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Json::List(items) => {
                let items: Vec<String> = items.iter().map(Json::render).collect();
                format!("[{}]", items.join(","))
            }
            Json::Object(fields) => {
                let field = |(name, value): &(String, Json)| {
                    format!(
                        "{}:{}",
                        serde_json::Value::from(name.as_str()),
                        value.render()
                    )
                };
                let fields: Vec<String> = fields.iter().map(field).collect();
                format!("{{{}}}", fields.join(","))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(serde_json::Value::from(value).to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        Ok(Json::Object(object))
    }
}
