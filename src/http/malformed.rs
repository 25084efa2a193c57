//! Everything that can be wrong with a message's bytes, in words.

/// Why bytes are not a message that may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    BareLineFeed,
    BareCarriageReturn,
    FirstByte,
    RequestLine,
    StatusLine,
    Method,
    TargetTooLong,
    TargetByte,
    TargetForm,
    Authority,
    VersionSyntax,
    VersionTooHigh,
    Status,
    HeadTooLong,
    TooManyFields,
    FieldName,
    FieldValue,
    FoldedLine,
    HostMissing,
    HostTwice,
    HostInvalid,
    LengthInvalid,
    LengthTwice,
    LengthAndCoding,
    CodingInOldVersion,
    CodingWithoutBody,
    CodingNotChunkedLast,
    CodingInvalid,
    CodingUnknown,
    ConnectionInvalid,
    Expectation,
    ChunkSize,
    ChunkExtension,
    ChunkLineTooLong,
    ChunkEnd,
    TrailerTooLong,
    TrailerInvalid,
    CutOff,
}

/// Which status a malformed request gets.
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
    pub fn kind(self) -> Kind {
        match self {
            Malformed::TargetTooLong => Kind::UriTooLong,
            Malformed::HeadTooLong | Malformed::TooManyFields => Kind::HeadersTooLarge,
            Malformed::VersionTooHigh => Kind::VersionNotSupported,
            Malformed::CodingUnknown => Kind::NotImplemented,
            Malformed::Expectation => Kind::ExpectationFailed,
            Malformed::BareLineFeed
            | Malformed::BareCarriageReturn
            | Malformed::FirstByte
            | Malformed::RequestLine
            | Malformed::StatusLine
            | Malformed::Method
            | Malformed::TargetByte
            | Malformed::TargetForm
            | Malformed::Authority
            | Malformed::VersionSyntax
            | Malformed::Status
            | Malformed::FieldName
            | Malformed::FieldValue
            | Malformed::FoldedLine
            | Malformed::HostMissing
            | Malformed::HostTwice
            | Malformed::HostInvalid
            | Malformed::LengthInvalid
            | Malformed::LengthTwice
            | Malformed::LengthAndCoding
            | Malformed::CodingInOldVersion
            | Malformed::CodingWithoutBody
            | Malformed::CodingNotChunkedLast
            | Malformed::CodingInvalid
            | Malformed::ConnectionInvalid
            | Malformed::ChunkSize
            | Malformed::ChunkExtension
            | Malformed::ChunkLineTooLong
            | Malformed::ChunkEnd
            | Malformed::TrailerTooLong
            | Malformed::TrailerInvalid
            | Malformed::CutOff => Kind::BadRequest,
        }
    }

    /// What is wrong, and where.
    pub fn message(self) -> &'static str {
        match self {
            Malformed::BareLineFeed => "a line in the head ends with LF alone; CR LF is needed",
            Malformed::BareCarriageReturn => "the head holds a CR that no LF follows",
            Malformed::FirstByte => {
                "the first byte begins no HTTP message; is this TLS on a plain port?"
            }
            Malformed::RequestLine => {
                "the request line is not `METHOD TARGET HTTP/1.1`, separated by one space each"
            }
            Malformed::StatusLine => "the status line is not `HTTP/1.1 STATUS REASON`",
            Malformed::Method => "the method is no token, or longer than 64 bytes",
            Malformed::TargetTooLong => "the request target is longer than 32 KiB",
            Malformed::TargetByte => {
                "the request target holds a byte outside visible ASCII, or `#`"
            }
            Malformed::TargetForm => {
                "the request target is neither a path nor an http(s) URI; `*` goes with OPTIONS only"
            }
            Malformed::Authority => "the authority in the request target is invalid",
            Malformed::VersionSyntax => "the version is not `HTTP/` and two digits with a dot",
            Malformed::VersionTooHigh => "only HTTP/1.0 and HTTP/1.1 are spoken here",
            Malformed::Status => "the status is not a number of 100 to 599",
            Malformed::HeadTooLong => "the head is longer than 64 KiB",
            Malformed::TooManyFields => "the head has more than 100 fields",
            Malformed::FieldName => {
                "a field's name is no token, or a space stands before its colon"
            }
            Malformed::FieldValue => "a field's value holds a control character",
            Malformed::FoldedLine => "a field is folded over two lines",
            Malformed::HostMissing => "HTTP/1.1 needs a Host field",
            Malformed::HostTwice => "there is more than one Host field",
            Malformed::HostInvalid => "the Host field is no valid host and port",
            Malformed::LengthInvalid => "Content-Length is not one plain decimal number",
            Malformed::LengthTwice => "there is more than one Content-Length",
            Malformed::LengthAndCoding => "Content-Length and Transfer-Encoding are both there",
            Malformed::CodingInOldVersion => "Transfer-Encoding is not part of HTTP/1.0",
            Malformed::CodingWithoutBody => {
                "Transfer-Encoding is there although the status has no body"
            }
            Malformed::CodingNotChunkedLast => "Transfer-Encoding does not end with one chunked",
            Malformed::CodingInvalid => "Transfer-Encoding is no list of codings",
            Malformed::CodingUnknown => "no transfer coding besides chunked is implemented",
            Malformed::ConnectionInvalid => "Connection is no list of tokens",
            Malformed::Expectation => "no expectation besides 100-continue is met",
            Malformed::ChunkSize => "a chunk's size is no hexadecimal number of up to 16 digits",
            Malformed::ChunkExtension => "a chunk's extension is malformed",
            Malformed::ChunkLineTooLong => "a chunk's size line is longer than 4 KiB",
            Malformed::ChunkEnd => "a chunk's data is not followed by CR LF",
            Malformed::TrailerTooLong => "the trailer section is longer than 8 KiB",
            Malformed::TrailerInvalid => "the trailer section is malformed",
            Malformed::CutOff => "the connection ended inside the body",
        }
    }
}
