//! Counts the tokens of a response from its body's bytes as they pass, and tells whether a stream has said that it is
//! over. It holds no document, decodes no content coding and does not know which platform sent it: the shapes of OpenAI,
//! Anthropic and Gemini differ recognisably.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::event_stream::{DataLines, Part};
use super::field::parse_decimal;
use super::json_scan::{JsonScan, Stop};
use super::name;
use super::search::last_line;

/// Sees the body of one response, in pieces of any size, and passes on to the scan what may contain token counts. For
/// almost every piece of a stream that is nothing, and then only the few bytes of this value are touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageSieve {
    format: Format,
    lines: DataLines,
    event: Event,
}

/// What the latest event of a stream has been found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Whole, with nothing to count.
    Passed,
    /// Part of it has been passed to the scan.
    Read,
    /// Whole, and the last one, as it says itself.
    Last,
}

/// Reads JSON that may contain token counts.
#[derive(Clone, Debug, Default)]
pub struct UsageScan {
    json: JsonScan<WORD_BYTES_MAX>,
    place: Place,
    /// What the usage object being read says so far.
    usage: Usage,
    tokens: Tokens,
}

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON texts: one, a list of them, or several in a row.
    Json,
    /// Server-sent events whose data are JSON texts.
    EventStream,
    /// Anything else, encoded bodies included: nothing is counted.
    Ignored,
}

/// What a response says of its tokens, `None` where it says nothing. Tokens read from or written to a platform's cache
/// are not added to what the platform reports as input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: Option<u64>,
    pub output: Option<u64>,
}

/// Longest key or number that is looked at: `candidatesTokenCount` and `u64::MAX` have 20 bytes.
const WORD_BYTES_MAX: usize = 24;

/// The data of the last event of OpenAI's streams, with either end of its line.
const LAST_DATA: [&[u8]; 2] = [b"[DONE]\n", b"[DONE]\r"];

/// What the names of all token counts have in common.
static COMMON: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("oken"));

/// The object that the scan is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    /// The outermost object, below the last key that was read.
    Top(TopKey),
    /// The object that holds the usage of an event: `message` (Anthropic), `response` (OpenAI) or `interaction` (Gemini),
    /// below a key.
    Holder(HolderKey),
    /// A usage object, and the kind of object that contains it.
    Usage(Within, UsageKey),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Top,
    Holder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TopKey {
    Usage,
    Holder,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HolderKey {
    Usage,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsageKey {
    Input,
    Output,
    /// Gemini's thoughts, which are billed as output and counted separately from it.
    Thoughts,
    Other,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    input: Option<u64>,
    output: Option<u64>,
    thoughts: Option<u64>,
}

impl Format {
    /// From the values of `Content-Type` and `Content-Encoding` (RFC 9110 sections 8.3 and 8.4).
    pub fn of(content_type: Option<&[u8]>, content_encoding: Option<&[u8]>) -> Format {
        let coding = content_encoding.unwrap_or_default().trim_ascii();
        if !coding.is_empty() && !name::is(coding, "identity") {
            return Format::Ignored;
        }
        let media_type = content_type
            .unwrap_or_default()
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        let media_type = media_type.trim_ascii();
        let ends_with = |end: &str| {
            let start = media_type.len().checked_sub(end.len());
            start.is_some_and(|start| name::is(&media_type[start..], end))
        };
        if name::is(media_type, "text/event-stream") {
            Format::EventStream
        } else if name::is(media_type, "application/json") || ends_with("+json") {
            Format::Json
        } else {
            Format::Ignored
        }
    }
}

impl UsageSieve {
    pub fn new(format: Format) -> UsageSieve {
        UsageSieve {
            format,
            lines: DataLines::default(),
            event: Event::Passed,
        }
    }

    /// Whether the latest event, which came in one piece, says that no other follows. Some clients leave then.
    pub fn is_over(&self) -> bool {
        self.event == Event::Last
    }

    /// Takes the next bytes of the body, after transfer decoding.
    pub fn pass(&mut self, bytes: &[u8], scan: &mut UsageScan) {
        match self.format {
            Format::Ignored => {}
            Format::Json => scan.read(bytes),
            Format::EventStream if self.is_nothing_to_count(bytes) => {}
            Format::EventStream => self.pass_lines(bytes, scan),
        }
    }

    #[inline(never)]
    fn pass_lines(&mut self, mut bytes: &[u8], scan: &mut UsageScan) {
        while let Some(part) = self.lines.next(&mut bytes) {
            match part {
                Part::Data(data) if self.is_whole_event_without_tokens(data, bytes) => {
                    self.event = match LAST_DATA.contains(&data) {
                        true => Event::Last,
                        false => Event::Passed,
                    };
                }
                Part::Data(data) => {
                    self.event = Event::Read;
                    scan.read(data);
                }
                Part::EventEnd if self.event == Event::Read => {
                    self.event = Event::Passed;
                    scan.restart();
                }
                Part::EventEnd => {}
            }
        }
    }

    /// Whether `bytes` are whole events with nothing to count, the last of them with a JSON object as its data. Almost
    /// every event of a stream arrives alone and is one, and need not be split into lines.
    fn is_nothing_to_count(&self, bytes: &[u8]) -> bool {
        self.event == Event::Passed
            && self.lines == DataLines::LineBegin
            && ends_with_object(bytes)
            && COMMON.find(bytes).is_none()
    }

    /// The same of one event among others, or of the last one. A search shows it several times faster than reading the
    /// JSON.
    fn is_whole_event_without_tokens(&self, data: &[u8], rest: &[u8]) -> bool {
        let ends_here = match data.last() {
            Some(b'\r') => rest.starts_with(b"\n\r") || rest.starts_with(b"\r"),
            Some(b'\n') => rest.starts_with(b"\n"),
            _ => false,
        };
        ends_here && self.event != Event::Read && COMMON.find(data).is_none()
    }
}

/// Whether `bytes` end with an event whose last line is of data and closes an object.
fn ends_with_object(bytes: &[u8]) -> bool {
    let lines = bytes.strip_suffix(b"\n\n");
    let lines = lines.or_else(|| bytes.strip_suffix(b"\r\n\r\n"));
    lines.is_some_and(|lines| lines.ends_with(b"}") && last_line(lines).starts_with(b"data:"))
}

impl UsageScan {
    /// What has been reported so far. Platforms that repeat the usage in a stream give the sum so far: the last one
    /// counts.
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// Starts afresh, so that broken JSON in one event does not affect the next.
    fn restart(&mut self) {
        self.json.restart();
        self.place = Place::Outside;
    }

    #[inline(never)]
    fn read(&mut self, mut json: &[u8]) {
        while let Some(stop) = self.json.next(&mut json) {
            match stop {
                Stop::Open => {
                    if let Some(inside) = self.place.opened() {
                        self.json.enter();
                        self.usage = Usage::default();
                        self.place = inside;
                    }
                }
                Stop::Close => {
                    if let Place::Usage(..) = self.place {
                        self.tokens.take(self.usage);
                    }
                    self.place = self.place.closed();
                }
                Stop::Key(key) => self.place = self.place.below(key),
                Stop::Scalar(text) => {
                    if let Place::Usage(_, key) = self.place
                        && let Some(number) = parse_decimal(text)
                    {
                        self.usage.note(key, number);
                    }
                }
                Stop::Text(_) => {}
            }
        }
    }
}

impl Place {
    /// The place inside an object that opens here, if it is of interest.
    fn opened(self) -> Option<Place> {
        match self {
            Place::Outside => Some(Place::Top(TopKey::Other)),
            Place::Top(TopKey::Usage) => Some(Place::Usage(Within::Top, UsageKey::Other)),
            Place::Top(TopKey::Holder) => Some(Place::Holder(HolderKey::Other)),
            Place::Holder(HolderKey::Usage) => Some(Place::Usage(Within::Holder, UsageKey::Other)),
            Place::Top(TopKey::Other) | Place::Holder(HolderKey::Other) | Place::Usage(..) => None,
        }
    }

    fn closed(self) -> Place {
        match self {
            Place::Outside | Place::Top(_) => Place::Outside,
            Place::Holder(_) | Place::Usage(Within::Top, _) => Place::Top(TopKey::Other),
            Place::Usage(Within::Holder, _) => Place::Holder(HolderKey::Other),
        }
    }

    /// The same object, below `key`.
    fn below(self, key: &[u8]) -> Place {
        match self {
            Place::Outside => Place::Outside,
            Place::Top(_) => Place::Top(match key {
                b"usage" | b"usageMetadata" => TopKey::Usage,
                b"message" | b"response" | b"interaction" => TopKey::Holder,
                _ => TopKey::Other,
            }),
            Place::Holder(_) => Place::Holder(match key {
                b"usage" => HolderKey::Usage,
                _ => HolderKey::Other,
            }),
            Place::Usage(within, _) => Place::Usage(
                within,
                match key {
                    b"prompt_tokens"
                    | b"input_tokens"
                    | b"promptTokenCount"
                    | b"total_input_tokens" => UsageKey::Input,
                    b"completion_tokens"
                    | b"output_tokens"
                    | b"candidatesTokenCount"
                    | b"total_output_tokens" => UsageKey::Output,
                    b"thoughtsTokenCount" | b"total_thought_tokens" => UsageKey::Thoughts,
                    _ => UsageKey::Other,
                },
            ),
        }
    }
}

impl Usage {
    /// Gateways that write both of OpenAI's names leave one of them at 0: the larger number is the right one.
    fn note(&mut self, key: UsageKey, number: u64) {
        let slot = match key {
            UsageKey::Input => &mut self.input,
            UsageKey::Output => &mut self.output,
            UsageKey::Thoughts => &mut self.thoughts,
            UsageKey::Other => return,
        };
        *slot = (*slot).max(Some(number));
    }
}

impl Tokens {
    /// Takes what `usage` says; numbers that it lacks stay as they were.
    fn take(&mut self, usage: Usage) {
        let output = match (usage.output, usage.thoughts) {
            (Some(output), Some(thoughts)) => Some(output.saturating_add(thoughts)),
            (output, thoughts) => output.or(thoughts),
        };
        self.input = usage.input.or(self.input);
        self.output = output.or(self.output);
    }
}

#[cfg(test)]
mod tests;
