//! An answer of the program's own, before it is written. It knows nothing of connections.

use std::borrow::Cow;
use std::time::Duration;

use super::demo::DemoStream;

/// Status, fields and content; what every answer has (date, id, length) is added when it is written.
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    pub content: Content,
    /// How long it is held back: used by the demo platform's slow model.
    pub delay: Duration,
}

/// What an answer's body is.
pub enum Content {
    /// The status has no body.
    None,
    Whole(Cow<'static, [u8]>),
    /// Events of the demo platform, as they become due.
    Demo(DemoStream),
    /// The figures, again and again.
    Events,
}

impl Reply {
    /// An answer with a body.
    pub fn whole(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Reply {
        Reply {
            status,
            fields: vec![("content-type", content_type.into())],
            content: Content::Whole(body.into()),
            delay: Duration::ZERO,
        }
    }

    /// A JSON answer that must not be cached: it shows the present state.
    pub fn json(status: u16, value: &serde_json::Value) -> Reply {
        Reply::whole(status, "application/json", value.to_string().into_bytes())
            .with("cache-control", "no-store")
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Reply {
        Reply {
            status,
            fields: Vec::new(),
            content: Content::None,
            delay: Duration::ZERO,
        }
    }

    /// An answer whose body has no bytes.
    pub fn empty_body(status: u16) -> Reply {
        Reply {
            content: Content::Whole(Cow::Borrowed(&[])),
            ..Reply::empty(status)
        }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Reply {
        self.fields.push((name, value.into()));
        self
    }
}
