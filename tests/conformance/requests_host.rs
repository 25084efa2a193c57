//! The Host field.

use crate::requests_run::{Row, row};

const HOST: &str = "9112 3.2";

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = refused()
        .into_iter()
        .map(|(name, lines)| row(name, HOST, format!("GET /test/a HTTP/1.1|{lines}|")).refused(400))
        .collect();
    rows.extend(passed().into_iter().map(|(name, lines)| {
        row(name, "9110 7.2", format!("GET /test/a HTTP/1.1|{lines}|")).passes("GET /v1/a")
    }));
    rows.extend(in_other_forms());
    rows
}

fn refused() -> Vec<(&'static str, &'static str)> {
    vec![
        ("no Host", ""),
        ("no Host among other fields", "X: y|"),
        ("two Hosts", "Host: h|Host: i|"),
        ("two equal Hosts", "Host: h|Host: h|"),
        ("two Hosts apart", "Host: h|X: y|HOST: h|"),
        ("an empty Host", "Host:|"),
        ("a blank Host", "Host: \t |"),
        ("two names in Host", "Host: h, i|"),
        ("two names in Host without a space", "Host: h,i|"),
        ("a space in Host", "Host: h i|"),
        ("a tab in Host", "Host: h\ti|"),
        ("a user in Host", "Host: u@h|"),
        ("a user and a password in Host", "Host: u:p@h:80|"),
        ("a path in Host", "Host: h/test|"),
        ("a query in Host", "Host: h?a|"),
        ("a fragment in Host", "Host: h#a|"),
        ("a URL in Host", "Host: http://h|"),
        ("a backslash in Host", "Host: h\\i|"),
        ("a quote in Host", "Host: \"h\"|"),
        ("a port in letters in Host", "Host: h:http|"),
        ("a negative port in Host", "Host: h:-80|"),
        ("a port too large in Host", "Host: h:65536|"),
        ("two ports in Host", "Host: h:80:80|"),
        ("only a port in Host", "Host: :80|"),
        ("an IPv6 address without brackets in Host", "Host: ::1|"),
        ("an open bracket in Host", "Host: [::1|"),
        ("no address in brackets in Host", "Host: [h]|"),
        ("something after the bracket in Host", "Host: [::1]x|"),
        ("a zone in Host", "Host: [fe80::1%25eth0]|"),
        ("UTF-8 in Host", "Host: h\u{e9}|"),
        ("NUL in Host", "Host: h\0|"),
        ("a control byte in Host", "Host: h\x01|"),
        ("a broken escape in Host", "Host: h%2|"),
        ("Host with a space before the colon", "Host : h|"),
        ("Host with a space before it", " Host: h|"),
        ("a folded Host", "Host: h| i|"),
        ("a Host value on the next line", "Host:| h|"),
        ("a field that only ends like Host", "X-Host: h|"),
    ]
}

fn passed() -> Vec<(&'static str, &'static str)> {
    vec![
        ("a name", "Host: api.example.com|"),
        (
            "a name in capitals and a dot at its end",
            "Host: API.Example.COM.|",
        ),
        ("a port", "Host: h:5000|"),
        ("an empty port", "Host: h:|"),
        ("an address", "Host: 127.0.0.1:80|"),
        ("an IPv6 address", "Host: [2001:db8::1]|"),
        ("an IPv6 address and a port", "Host: [::ffff:1.2.3.4]:80|"),
        ("an escape in a name", "Host: a%2Db|"),
        ("an underscore in a name", "Host: a_b|"),
        ("no space after the colon", "Host:h|"),
        ("blanks around", "Host: \t h \t|"),
        ("the name of the field in capitals", "HOST: h|"),
        ("Host as the last field", "X: y|Host: h|"),
    ]
}

fn in_other_forms() -> Vec<Row> {
    vec![
        row("HTTP/1.0 with Host", HOST, "GET /test/a HTTP/1.0|Host: h||")
            .passes("GET /v1/a")
            .closes(),
        row(
            "HTTP/1.0 with two Hosts",
            HOST,
            "GET /test/a HTTP/1.0|Host: h|Host: i||",
        )
        .refused(400),
        row(
            "HTTP/1.0 with an invalid Host",
            HOST,
            "GET /test/a HTTP/1.0|Host: u@h||",
        )
        .refused(400),
        row(
            "absolute-form without Host",
            HOST,
            "GET http://h/test/a HTTP/1.1||",
        )
        .refused(400),
        row(
            "absolute-form with an invalid Host",
            HOST,
            "GET http://h/test/a HTTP/1.1|Host: a b||",
        )
        .refused(400),
        row(
            "absolute-form with two Hosts",
            HOST,
            "GET http://h/test/a HTTP/1.1|Host: h|Host: h||",
        )
        .refused(400),
        row(
            "absolute-form in HTTP/1.0 without Host",
            HOST,
            "GET http://h/test/a HTTP/1.0||",
        )
        .passes("GET /v1/a")
        .closes(),
        row("an asterisk without Host", HOST, "OPTIONS * HTTP/1.1||").refused(400),
        row("HEAD without Host", "9110 9.3.2", "HEAD /test/a HTTP/1.1||").refused(400),
        row(
            "HEAD with two lengths",
            "9110 9.3.2",
            "HEAD /test/a HTTP/1.1|Host: h|Content-Length: 1|Content-Length: 1||",
        )
        .refused(400),
        row(
            "HEAD with a bare LF",
            "9110 9.3.2",
            "HEAD /test/a HTTP/1.1|Host: h\n|",
        )
        .refused(400),
        row(
            "HEAD of HTTP/2.0",
            "9110 9.3.2",
            "HEAD /test/a HTTP/2.0|Host: h||",
        )
        .refused(505),
        row("a page without Host", HOST, "GET /info HTTP/1.1||").refused(400),
    ]
}
