//! Where a platform's keys come from: the process, then `.env`, then the entry itself.

use super::*;
use crate::base::secret::Secret;

/// `.env`, the process's variables and the platform's `keys`; then the resulting keys, and what is reported.
struct Row {
    file: &'static str,
    process: &'static [(&'static str, &'static str)],
    keys: &'static str,
    want: &'static [&'static str],
    lines: &'static [&'static str],
}

const NO_KEY: &str = "warning: @keys: no usable key: the platform answers 503 until it has one";
const UNSET: &str = "warning: @keys[0]: the variable OPENAI_API_KEYS is not set; set it in .env or leave the entry out";
const EMPTY: &str = "warning: @keys[0]: the variable OPENAI_API_KEYS is empty: it gives no key";

const HIDDEN: &str = "warning: @keys[0]: the variable OPENAI_API_KEYS has another value in .env; the process environment's counts, so remove one of the two";
const QUOTED: &str = "warning: @keys[0]: the variable OPENAI_API_KEYS: the quotes are sent as part of the key; leave them out";

const BARE_ON_2: &str = "warning: .env: line 2: $ outside single quotes begins a variable's name, which ends before any _; write ${NAME} for a variable, or NAME='value' where a $ is in the value";

const UNREADABLE: &str = "cannot be read; write NAME=value with letters, digits and _ in the name; NAME='value' where a blank, \", \\ or $ is in the value, and NAME=\"value\" where a ' is";

const REFERENCE: &str =
    "warning: @keys[0]: sent as a key, as it stands; write a variable's name without $ and braces";

const fn row(
    file: &'static str,
    keys: &'static str,
    want: &'static [&'static str],
    lines: &'static [&'static str],
) -> Row {
    Row {
        file,
        process: &[],
        keys,
        want,
        lines,
    }
}

const NAME: &str = r#"["OPENAI_API_KEYS"]"#;

const ROWS: [Row; 37] = [
    row(
        "OPENAI_API_KEYS=sk-1\nOTHER=x\nOPENAI_API_KEYS=sk-2",
        NAME,
        &["sk-1"],
        &[
            "warning: .env: line 3: the variable is set further up, which counts; keep one of the two",
        ],
    ),
    row(
        "OTHER_KEY=sk-1\nOPENAI_API_KEYS=$OTHER_KEY",
        NAME,
        &["_KEY"],
        &[BARE_ON_2],
    ),
    row(
        "OTHER_KEY=sk-1\nOPENAI_API_KEYS=\"${OTHER_KEY}, sk-2\"\n",
        NAME,
        &["sk-1", "sk-2"],
        &[],
    ),
    row(
        "# don't: $x\n#'$x\nOPENAI_API_KEYS=s'$\"k'\"-\\$'1\"\\$# # $x '$x\n",
        NAME,
        &["s$\"k-$'1$#"],
        &[],
    ),
    row(
        "OPENAI_API_KEYS=sk-1\nOTHER=\"it's # $x .\"\n",
        NAME,
        &["sk-1"],
        &[BARE_ON_2],
    ),
    row("", r#"["sk-1"]"#, &["sk-1"], &[]),
    row("OPENAI_API_KEYS=sk-1", NAME, &["sk-1"], &[]),
    row(
        "OPENAI_API_KEYS=sk-1,sk-2 , sk-3,",
        r#"["OPENAI_API_KEYS"]"#,
        &[],
        &["problem"],
    ),
    row(
        "OPENAI_API_KEYS=\"sk-1, sk-2 ,,sk-3,\"",
        NAME,
        &["sk-1", "sk-2", "sk-3"],
        &[],
    ),
    row("OPENAI_API_KEYS='  sk-1  '", NAME, &["sk-1"], &[]),
    row("export OPENAI_API_KEYS=sk-1 # mine", NAME, &["sk-1"], &[]),
    row("# all\n\nOPENAI_API_KEYS = sk-1\n", NAME, &["sk-1"], &[]),
    row("OPENAI_API_KEYS=sk-1\r\nOTHER=x\r\n", NAME, &["sk-1"], &[]),
    row("\u{feff}OPENAI_API_KEYS=sk-1", NAME, &["sk-1"], &[]),
    row("OPENAI_API_KEYS=sk-1 ", NAME, &["sk-1"], &[]),
    row("openai=sk-1", r#"["openai"]"#, &["sk-1"], &[]),
    row(
        "OPENAI_API_KEYS=AKIAUPPERCASE",
        NAME,
        &["AKIAUPPERCASE"],
        &[],
    ),
    row("", NAME, &[], &[UNSET, NO_KEY]),
    row("", r#"["OPENAI_API_KEYS", "sk-1"]"#, &["sk-1"], &[UNSET]),
    row("", r#"[" OPENAI_API_KEYS "]"#, &[], &[UNSET, NO_KEY]),
    row("", r#"["OPENAI_API_KEYS,sk-1"]"#, &["sk-1"], &[UNSET]),
    row("OPENAI_API_KEYS=", NAME, &[], &[EMPTY, NO_KEY]),
    row("OPENAI_API_KEYS=\" , ,\"", NAME, &[], &[EMPTY, NO_KEY]),
    row(
        "OPENAI_API_KEYS=sk-1",
        r#"["OPENAI_API_KEYS", "sk-1", "sk-2"]"#,
        &["sk-1", "sk-2"],
        &["warning: @keys[1]: the same key again; it is used once"],
    ),
    row(
        "OPENAI_API_KEYS=sk-1,sk-1",
        NAME,
        &["sk-1"],
        &["warning: @keys[0]: the variable OPENAI_API_KEYS: the same key again; it is used once"],
    ),
    row(
        "OPENAI_API_KEYS=sk-1",
        r#"["${OPENAI_API_KEYS}"]"#,
        &["${OPENAI_API_KEYS}"],
        &[REFERENCE],
    ),
    row("", r#"["$KEY"]"#, &["$KEY"], &[REFERENCE]),
    row(
        "",
        r#"["$key", "${KEY", "$"]"#,
        &["$key", "${KEY", "$"],
        &[],
    ),
    row("", "[]", &[], &[NO_KEY]),
    row(
        "",
        r#"[""]"#,
        &[],
        &["warning: @keys[0]: empty: it gives no key", NO_KEY],
    ),
    Row {
        file: "OPENAI_API_KEYS=of-the-file",
        process: &[("OPENAI_API_KEYS", " of-the-process ")],
        keys: NAME,
        want: &["of-the-process"],
        lines: &[HIDDEN],
    },
    Row {
        file: "OPENAI_API_KEYS=' the-same'",
        process: &[("OPENAI_API_KEYS", "the-same ")],
        keys: NAME,
        want: &["the-same"],
        lines: &[],
    },
    Row {
        file: "OPENAI_API_KEYS=",
        process: &[("OPENAI_API_KEYS", "of-the-process")],
        keys: NAME,
        want: &["of-the-process"],
        lines: &[],
    },
    Row {
        file: "",
        process: &[("OPENAI_API_KEYS", "'sk-1',\"sk-2,sk-3,sk-4\",sk-\"5'6")],
        keys: NAME,
        want: &["'sk-1'", "\"sk-2", "sk-3", "sk-4\"", "sk-\"5'6"],
        lines: &[QUOTED, QUOTED, QUOTED],
    },
    Row {
        file: "",
        process: &[("OPENAI_API_KEYS", "sk-1,sk-2")],
        keys: NAME,
        want: &["sk-1", "sk-2"],
        lines: &[],
    },
    Row {
        file: "OPENAI_API_KEYS=of-the-file",
        process: &[("OPENAI_API_KEYS", "")],
        keys: NAME,
        want: &[],
        lines: &[EMPTY, HIDDEN, NO_KEY],
    },
    Row {
        file: "OPENAI_API_KEYS=sk-1",
        process: &[("OTHER", "x")],
        keys: NAME,
        want: &["sk-1"],
        lines: &[],
    },
];

#[test]
fn keys() {
    for row in ROWS {
        let text = format!(
            r#"[{{"name": "p", "base_url": "https://h.example", "keys": {}}}]"#,
            row.keys
        );
        let files = [("platform.json", text.as_str()), (".env", row.file)];
        let result = load_files(&files, row.process);
        if row.lines == ["problem"] {
            let found = lines(&result);
            assert!(
                result.is_err() && found[0].starts_with(".env: "),
                "{found:?}"
            );
            continue;
        }
        let want = row.lines.iter();
        let want: Vec<String> = want
            .map(|line| line.replace('@', "platform.json: [0]."))
            .collect();
        assert_eq!(lines(&result), want, "{:?} {}", row.file, row.keys);
        let config = result.expect("no row here has a problem");
        let keys: Vec<&str> = config.platforms[0]
            .keys
            .iter()
            .map(|key| key.expose())
            .collect();
        assert_eq!(keys, row.want, "{:?} {}", row.file, row.keys);
    }
}

#[test]
fn a_disabled_platform_needs_no_key() {
    for keys in [NAME, "[]", r#"[""]"#] {
        let text = format!(
            r#"[{{"name": "p", "base_url": "https://h.example", "enabled": false, "keys": {keys}}}]"#
        );
        assert!(
            lines(&load_files(&[("platform.json", &text)], &[])).is_empty(),
            "{keys}"
        );
    }
}

#[test]
fn keys_that_no_header_carries() {
    const WRONG: &str = "holds a space, a control character or a letter outside ASCII, which no header carries; copy the key again";
    let long = format!(r#"["{}"]"#, "k".repeat(4097));
    for (keys, want) in [
        (r#"["sk 1", "sk-2"]"#, format!("[0].keys[0]: {WRONG}")),
        (
            r#"["sk-2", "sk-1\r\nX: 1"]"#,
            format!("[0].keys[1]: {WRONG}"),
        ),
        (r#"["sk-é", "sk-2"]"#, format!("[0].keys[0]: {WRONG}")),
        (
            r#"["sk-2", 7]"#,
            "[0].keys[1]: expected a text, found 7; write it in double quotes".to_string(),
        ),
        (
            r#"{"a": 1}"#,
            r#"[0].keys: expected a list, found an object; write ["…", "…"]"#.to_string(),
        ),
        (
            r#""sk-live-0123456789""#,
            r#"[0].keys: expected a list, found "sk-l…6789"; write ["…", "…"]"#.to_string(),
        ),
        (
            &long,
            "[0].keys[0]: longer than 4096 bytes; copy the key again".to_string(),
        ),
    ] {
        let text = format!(r#"[{{"name": "p", "base_url": "https://h.example", "keys": {keys}}}]"#);
        let found = lines(&load_files(&[("platform.json", &text)], &[]));
        assert_eq!(found[0], format!("platform.json: {want}"), "{keys}");
    }
    let long = "k".repeat(4097);
    for (value, want) in [
        ("sk-2,sk 1", WRONG),
        (&long, "longer than 4096 bytes; copy the key again"),
    ] {
        let text = format!(r#"[{{"name": "p", "base_url": "https://h.example", "keys": {NAME}}}]"#);
        let variables = [("OPENAI_API_KEYS", value)];
        let found = lines(&load_files(&[("platform.json", &text)], &variables));
        let want = format!("platform.json: [0].keys[0]: the variable OPENAI_API_KEYS: {want}");
        assert_eq!(found, [want]);
    }
}

#[test]
fn lines_of_the_file_that_cannot_be_read() {
    let long = format!("GOOD={}\n", "x".repeat(20_000));
    for (file, want) in [
        ("OPENAI KEY=sk-secret", "line 1"),
        ("# one\nGOOD=1\nA=sk secret\n", "line 3"),
        ("\nA=sk-secret== x", "line 2"),
        ("\u{feff}GOOD=1\r\nB='sk-secret\r\n", "line 2"),
        ("sk-secret-without-a-name", "line 1"),
        ("GOOD=1\n\n=sk-secret", "line 3"),
        ("SECRET-KEY=sk-secret", "line 1"),
        ("# A=sk secret\nB=1\nA=sk secret", "line 3"),
        ("GOOD='one\ntwo'\n\nA='sk\nsecret' x\nB=1", "line 4"),
        ("GOOD=1\nA='sk-secret\n\n# two\n", "line 2"),
        (&format!("{long}A=sk secret"), "line 2"),
    ] {
        let found = lines(&load_files(&[(".env", file)], &[]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found, [format!(".env: {want}: {UNREADABLE}")]);
    }
}

/// What the message about such a line says helps.
#[test]
fn values_that_need_quotes() {
    for (value, quoted) in [
        ("sk-1, sk-2", "'sk-1, sk-2'"),
        (r#"sk"1"#, r#"'sk"1'"#),
        (r"sk\1", r"'sk\1'"),
        (r#""$sk""#, "'$sk'"),
        ("sk'1", r#""sk'1""#),
    ] {
        let found = lines(&load_files(&[(".env", &format!("A={value}"))], &[]));
        assert_eq!(found, [format!(".env: line 1: {UNREADABLE}")], "{value}");
        let text = r#"[{"name": "p", "base_url": "https://h.example", "keys": ["A"]}]"#;
        let file = format!("A={quoted}");
        let config = valid(&[("platform.json", text), (".env", &file)], &[]);
        let keys: Vec<&str> = config.platforms[0]
            .keys
            .iter()
            .map(Secret::expose)
            .collect();
        assert_eq!(keys.join(", "), quoted[1..quoted.len() - 1], "{quoted}");
    }
}
