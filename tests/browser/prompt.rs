//! "Try a prompt": what is sent, and what is shown of its answer.

use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};

use super::*;

/// A platform with two models. Each of its answers to a prompt is what the sender gives, piece by piece, and ends when
/// the sender is dropped.
fn paced() -> (Scripted, Sender<String>) {
    let (sender, pieces) = mpsc::channel::<String>();
    let pieces = Mutex::new(pieces);
    let platform = Scripted::serve(move |seen, line| {
        if !seen.path().ends_with("/chat/completions") {
            let models = r#"{"data": [{"id": "first-one"}, {"id": "other"}]}"#;
            line.answer("200 OK", models);
            return Next::Await;
        }
        line.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for piece in pieces.lock().expect("no thread panicked").iter() {
            line.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        }
        line.send("0\r\n\r\n");
        Next::Await
    });
    (platform, sender)
}

fn send(answer: &Sender<String>, piece: &str) {
    answer.send(piece.to_string()).expect("the platform runs");
}

/// An event with a part of the answer.
fn words(words: &str) -> String {
    let event = json!({"choices": [{"delta": {"content": words}}]});
    format!("data: {event}\n\n")
}

/// Sends a prompt, as whoever has no mouse does.
fn ask(chrome: &mut Chrome, model: &str) {
    chrome.value(&format!(
        "document.getElementById('prompt-key').value = '{CLIENT_KEY}';
         document.getElementById('prompt-model').value = '{model}';
         document.getElementById('prompt-send').focus();
         document.getElementById('prompt-send').click()"
    ));
}

/// The condition that the line about the prompt begins with these words.
fn facts(words: &str) -> String {
    format!(
        "document.getElementById('prompt-facts').textContent.startsWith({})",
        json!(words)
    )
}

#[test]
fn a_prompt_needs_no_model_and_is_heard_to_its_end() {
    let (platform, answer) = paced();
    let config = json!({"enable_key_validation": false});
    let proxy = Proxy::with(config, &json!([platform.entry(&["key-number-one"])]));
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&line("Live"), SOON);
    chrome.value("document.getElementById('prompt-send').click()");
    send(&answer, &words("Hello."));
    send(&answer, "data: [DONE]\n\n");
    chrome.wait_for(&facts("Finished"), SOON);
    // Only now does the platform end its answer: whoever has left by then has canceled it.
    drop(answer);
    chrome.wait_for(
        "document.querySelectorAll('#recent tbody tr').length === 2",
        SOON,
    );
    let rows = chrome.value("document.querySelector('#recent tbody').innerText");
    let rows = rows.as_str().expect("text");
    assert!(
        rows.contains("first-one") && !rows.contains("canceled"),
        "{rows}"
    );
    assert_eq!(chrome.problems(), Vec::<String>::new());
}

#[test]
fn a_prompt_can_be_stopped_while_it_awaits_the_models() {
    let platform = Scripted::serve(|seen, line| {
        if seen.path().ends_with("/models") {
            line.end();
            return Next::Close;
        }
        line.answer("200 OK", "{}");
        Next::Await
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-number-one"])]));
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&line("Live"), SOON);
    ask(&mut chrome, "typed");
    chrome.wait_for(&facts("Finished"), SOON);
    ask(&mut chrome, "");
    chrome.wait_for(&facts("Waiting"), CHANGE);
    assert!(platform.next().path().ends_with("/chat/completions"));
    assert!(platform.next().path().ends_with("/models"));
    chrome.value(
        "document.getElementById('prompt-stop').focus();
         document.getElementById('prompt-stop').click()",
    );
    chrome.wait_for(&facts("Stopped"), CHANGE);
    assert_eq!(chrome.value(FOCUSED), json!("prompt-send"));
}

#[test]
fn an_answer_is_followed_unless_its_reader_has_scrolled_up() {
    let (platform, answer) = paced();
    let proxy = Proxy::start(&json!([platform.entry(&["key-number-one"])]));
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&line("Live"), SOON);
    ask(&mut chrome, "typed");
    let scroll = |chrome: &mut Chrome, place: &str| {
        chrome.value(&format!(
            "window.box = document.getElementById('prompt-answer'); box.scrollTop = {place}"
        ))
    };
    let is_at_end = "box.scrollHeight - box.scrollTop - box.clientHeight < 2";
    for (number, (place, follows)) in [
        ("box.scrollHeight", true),
        ("0", false),
        ("box.scrollHeight", true),
    ]
    .into_iter()
    .enumerate()
    {
        scroll(&mut chrome, place);
        let piece = format!("piece {number}");
        send(
            &answer,
            &words(&format!("{}{piece}\n", "line\n".repeat(40))),
        );
        chrome.wait_for(&format!("box.textContent.includes('{piece}')"), SOON);
        assert_eq!(chrome.value(is_at_end), json!(follows), "{piece}");
    }
    drop(answer);
    chrome.wait_for(&facts("Finished"), SOON);
}

#[test]
fn a_model_leaves_with_its_platform() {
    let platform = Scripted::answering("{}");
    let entry = |name: &str| {
        let mut entry = platform.entry(&["key-number-one"]);
        entry["name"] = json!(name);
        entry
    };
    let proxy = Proxy::start(&json!([entry("one"), entry("other")]));
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&headline("All 2 keys are usable"), SOON);
    let chosen = "document.getElementById('prompt-platform').value";
    let model = "document.getElementById('prompt-model').value";
    chrome.value(&format!(
        "{model} = 'of-one';
         {chosen} = 'other';
         document.getElementById('prompt-platform').dispatchEvent(new Event('change'))"
    ));
    assert_eq!(chrome.value(model), json!(""));
    chrome.value(&format!("{model} = 'of-other'"));
    proxy.write("platform.json", &json!([entry("one")]).to_string());
    proxy.signal("HUP");
    chrome.wait_for(&format!("{chosen} === 'one'"), SOON);
    assert_eq!(chrome.value(model), json!(""));
}

#[test]
fn what_a_prompt_gets_is_shown_whatever_its_form() {
    let platform = Scripted::serve(|seen, line| {
        let parts = json!([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]);
        let asks_for = |model: &[u8]| seen.body.windows(5).any(|bytes| bytes == model);
        match seen.path() {
            "/v1/chat/completions" if asks_for(b"parts") => {
                let events = [
                    json!({"choices": [{"delta": {"reasoning": "hm"}}]}),
                    json!({"choices": [{"delta": {"content": parts}}]}),
                ];
                let events = events.map(|event| format!("data: {event}\n\n")).concat();
                let events = format!("data:\n\n{events}");
                line.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\nContent-Length: {}\r\n\r\n{events}",
                    events.len()
                ));
            }
            "/v1/chat/completions" if asks_for(b"moved") => {
                line.send(concat!(
                    "HTTP/1.1 301 Moved Permanently\r\n",
                    "Location: https://platform.example/\r\nContent-Length: 0\r\n\r\n",
                ));
            }
            "/v1/chat/completions" if asks_for(b"typed") => {
                let typed = r#"{"error": {"message": {"why": "not today"}}}"#;
                line.answer("400 Bad Request", typed);
            }
            "/v1/chat/completions" => {
                line.answer("200 OK", r#"{"error": {"message": "not today"}}"#);
            }
            _ => line.answer("404 Not Found", r#"{"error": {"message": "no such page"}}"#),
        }
        Next::Await
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-number-one"])]));
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&headline("The one key is usable"), SOON);
    for (model, end, words) in [
        ("parts", "Finished", "in parts"),
        ("other", "Failed", "not today"),
        ("typed", "Failed", r#"400: {"why":"not today"}"#),
        (
            "moved",
            "Failed",
            "The platform redirects elsewhere: check its base_url.",
        ),
        (
            "",
            "Failed",
            "The platform lists no models (404 no such page): type one above.",
        ),
    ] {
        ask(&mut chrome, model);
        chrome.wait_for(&facts(end), SOON);
        let shown = chrome.value("document.getElementById('prompt-answer').textContent");
        assert_eq!(shown, json!(words), "{model}");
        // Whoever has no mouse can send again.
        assert_eq!(chrome.value(FOCUSED), json!("prompt-send"), "{model}");
        chrome.value("document.getElementById('prompt-facts').textContent = ''");
    }
}
