//! The demo platform's errors, in OpenAI's shape. It does not know why they occur.

use serde_json::json;

use super::Model;
use crate::service::reply::Reply;

/// The value of `Retry-After` for `demo-429`: short, so that whoever tries it sees the key cool and recover.
const RETRY_AFTER_SECONDS: &str = "2";

/// Why a request gets no answer from a model. Each has OpenAI's status, type and code for the same mistake.
#[derive(Debug)]
pub enum Fault {
    UnknownPath,
    WrongMethod {
        allow: &'static str,
    },
    InvalidKey,
    /// The body is not what the path accepts; `parameter` names the field at fault, if it is a single one.
    Invalid {
        parameter: Option<&'static str>,
        message: String,
    },
    UnknownModel(String),
    RateLimited,
    Failing,
}

impl Fault {
    /// A body that is not what the path accepts.
    pub fn invalid(parameter: Option<&'static str>, message: impl Into<String>) -> Fault {
        Fault::Invalid {
            parameter,
            message: message.into(),
        }
    }

    /// The error in OpenAI's shape.
    pub fn reply(self) -> Reply {
        let status = self.status();
        let (kind, code) = match &self {
            Fault::UnknownPath | Fault::WrongMethod { .. } | Fault::Invalid { .. } => {
                ("invalid_request_error", None)
            }
            Fault::InvalidKey => ("invalid_request_error", Some("invalid_api_key")),
            Fault::UnknownModel(_) => ("invalid_request_error", Some("model_not_found")),
            Fault::RateLimited => ("requests", Some("rate_limit_exceeded")),
            Fault::Failing => ("server_error", None),
        };
        let body = json!({
            "error": {
                "message": self.message(),
                "type": kind,
                "param": self.parameter(),
                "code": code,
            }
        });
        let reply = Reply::json(status, &body);
        match self {
            Fault::WrongMethod { allow } => reply.with("allow", allow),
            // RFC 9110 section 11.6.1: a 401 names the authentication scheme.
            Fault::InvalidKey => reply.with("www-authenticate", "Bearer"),
            Fault::RateLimited => reply.with("retry-after", RETRY_AFTER_SECONDS),
            Fault::UnknownPath
            | Fault::Invalid { .. }
            | Fault::UnknownModel(_)
            | Fault::Failing => reply,
        }
    }

    fn status(&self) -> u16 {
        match self {
            Fault::UnknownPath | Fault::UnknownModel(_) => 404,
            Fault::WrongMethod { .. } => 405,
            Fault::InvalidKey => 401,
            Fault::Invalid { .. } => 400,
            Fault::RateLimited => 429,
            Fault::Failing => 500,
        }
    }

    fn parameter(&self) -> Option<&'static str> {
        match self {
            Fault::Invalid { parameter, .. } => *parameter,
            Fault::UnknownModel(_) => Some("model"),
            Fault::UnknownPath
            | Fault::WrongMethod { .. }
            | Fault::InvalidKey
            | Fault::RateLimited
            | Fault::Failing => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Fault::UnknownPath => "Invalid URL. The demo platform has GET /v1/models, \
                                   POST /v1/chat/completions and POST /v1/embeddings."
                .to_string(),
            Fault::WrongMethod { allow } => format!("This path takes {allow} only."),
            Fault::InvalidKey => {
                "Incorrect API key provided. The demo platform takes demo-key-1 and \
                                  demo-key-2; demo-key-revoked is refused on purpose."
                    .to_string()
            }
            Fault::Invalid { message, .. } => message.clone(),
            Fault::UnknownModel(name) => format!(
                "The model `{name}` does not exist here; the demo platform has {}.",
                Model::ALL.map(Model::name).join(", ")
            ),
            Fault::RateLimited => {
                "Rate limit reached for demo-429. This model always says so.".to_string()
            }
            Fault::Failing => "The server had an error while processing your request. \
                               The model demo-500 always has."
                .to_string(),
        }
    }
}
