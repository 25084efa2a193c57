//! Everything that can be wrong with a message, in one closed list.

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    // The head as a whole.
    NotRequest,
    NotTls,
    NotResponse,
    EmptyLines,
    BareLineFeed,
    BareCarriageReturn,
    HeadTooLong,

    // The request line and the status line.
    RequestLine,
    RequestLineTooLong,
    Method,
    MethodTooLong,
    Version,
    VersionNotSupported,
    StatusLine,
    Status,

    // The target.
    TargetTooLong,
    TargetBlank,
    TargetByte,
    TargetForm,
    TargetAuthority,
    TargetAsterisk,
    TargetConnect,

    // Field lines.
    FieldsTooMany,
    FieldFolded,
    FieldColon,
    FieldNameEmpty,
    FieldNameBlank,
    FieldName,
    FieldNul,
    FieldValue,

    // Fields that this layer reads.
    HostMissing,
    HostTwice,
    Host,
    Expectation,
    ConnectionOptionsTooMany,
    Length,
    LengthTwice,
    LengthWithCoding,
    Coding,
    CodingMissing,
    CodingInHttp10,
    CodingNotChunked,
    CodingBeforeChunked,
    CodingChunkedTwice,
    CodingWithoutBody,

    // The body.
    ChunkSize,
    ChunkSizeTooLarge,
    ChunkExtension,
    ChunkLineTooLong,
    ChunkOverhead,
    ChunkEnd,
    TrailersTooLong,
    Truncated,
}

/// Which response fits a malformed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400
    BadRequest,
    /// 414
    UriTooLong,
    /// 431
    HeadersTooLarge,
    /// 505
    VersionNotSupported,
    /// 501
    NotImplemented,
    /// 417
    ExpectationFailed,
}

impl Malformed {
    /// Which response fits, if the malformed message is a request.
    pub fn kind(self) -> Kind {
        use Malformed::*;
        match self {
            RequestLineTooLong | TargetTooLong => Kind::UriTooLong,
            HeadTooLong | FieldsTooMany | ConnectionOptionsTooMany => Kind::HeadersTooLarge,
            VersionNotSupported => Kind::VersionNotSupported,
            MethodTooLong | CodingBeforeChunked => Kind::NotImplemented,
            Expectation => Kind::ExpectationFailed,
            NotRequest | NotTls | NotResponse | EmptyLines | BareLineFeed | BareCarriageReturn
            | RequestLine | Method | Version | StatusLine | Status | TargetBlank | TargetByte
            | TargetForm | TargetAuthority | TargetAsterisk | TargetConnect | FieldFolded
            | FieldColon | FieldNameEmpty | FieldNameBlank | FieldName | FieldNul | FieldValue
            | HostMissing | HostTwice | Host | Length | LengthTwice | LengthWithCoding | Coding
            | CodingMissing | CodingInHttp10 | CodingNotChunked | CodingChunkedTwice
            | CodingWithoutBody | ChunkSize | ChunkSizeTooLarge | ChunkExtension
            | ChunkLineTooLong | ChunkOverhead | ChunkEnd | TrailersTooLong | Truncated => {
                Kind::BadRequest
            }
        }
    }

    /// What is wrong and where, as a phrase without a full stop.
    pub fn message(self) -> &'static str {
        use Malformed::*;
        match self {
            NotRequest => "a first byte that does not begin an HTTP request (is it TLS?)",
            NotTls => "plain HTTP on a port that speaks HTTPS; write https:// in place of http://",
            NotResponse => "an answer that does not begin with HTTP/ (is it TLS?)",
            EmptyLines => "more than 4 empty lines before the request",
            BareLineFeed => "a line feed without a carriage return before it",
            BareCarriageReturn => "a carriage return without a line feed after it, in a field",
            HeadTooLong => "a head of more than 64 KiB",
            RequestLine => {
                "a request line that is not method, target and version with spaces between"
            }
            RequestLineTooLong => "a request line too long for a target of 32 KiB",
            Method => "a method that is not a token",
            MethodTooLong => "a method of more than 64 bytes",
            Version => "a malformed version in the first line",
            VersionNotSupported => "a version other than HTTP/1.x",
            StatusLine => {
                "a status line that is not version, status and reason with spaces between"
            }
            Status => "a status that is not a number from 100 to 599",
            TargetTooLong => "a request target of more than 32 KiB",
            TargetBlank => "an extra space or tab in the request line",
            TargetByte => "a byte in the request target that is not visible ASCII, or is #",
            TargetForm => "a request target that is neither a path nor an http or https URL",
            TargetAuthority => {
                "a request target whose authority is not a host with an optional port"
            }
            TargetAsterisk => "a request target * with a method other than OPTIONS",
            TargetConnect => "a CONNECT request whose target is not a host with a port",
            FieldsTooMany => "more than 100 fields",
            FieldFolded => "a space or tab at the beginning of a field line (a folded field)",
            FieldColon => "a field line without a colon",
            FieldNameEmpty => "a field without a name",
            FieldNameBlank => "a space before the colon of a field",
            FieldName => "a field name that is not a token",
            FieldNul => "a NUL byte in a field",
            FieldValue => "a control character in a field's value",
            HostMissing => "no Host field in an HTTP/1.1 request",
            HostTwice => "more than one Host field",
            Host => "a Host field that is not a host with an optional port",
            Expectation => "an Expect field with an expectation other than 100-continue",
            ConnectionOptionsTooMany => "more than 16 field names in the Connection field",
            Length => "a Content-Length field that is not a number of bytes",
            LengthTwice => "more than one Content-Length field",
            LengthWithCoding => "a Content-Length field beside a Transfer-Encoding field",
            Coding => "a Transfer-Encoding field that is not a list of plain codings",
            CodingMissing => "an empty Transfer-Encoding field",
            CodingInHttp10 => "a Transfer-Encoding field in an HTTP/1.0 message",
            CodingNotChunked => "a Transfer-Encoding field whose last coding is not chunked",
            CodingBeforeChunked => "a Transfer-Encoding field with a coding other than chunked",
            CodingChunkedTwice => "a Transfer-Encoding field that names chunked twice",
            CodingWithoutBody => "a Transfer-Encoding field in an answer that has no body",
            ChunkSize => "a chunk whose line does not begin with a hexadecimal size",
            ChunkSizeTooLarge => "a chunk size of more than 16 hexadecimal digits",
            ChunkExtension => "malformed text after the size in a chunk's line",
            ChunkLineTooLong => "a chunk line of more than 4 KiB",
            ChunkOverhead => "much more chunk extensions than data in a chunked body",
            ChunkEnd => "a chunk that is not followed by a line end",
            TrailersTooLong => "a trailer section of more than 8 KiB",
            Truncated => "the connection ended inside a body",
        }
    }
}
