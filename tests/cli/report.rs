//! `depd report`: the preview, and the test of what is set up.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::thread;

use super::{depd, folder, refuses, stderr};

/// A receiver that answers its requests with these statuses, in turn, and then 200; returns its
/// address.
fn receiver(statuses: &[&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let mut statuses = Vec::from(statuses).into_iter();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            while let Some(length) = length_of(&mut reader) {
                reader.read_exact(&mut vec![0; length]).expect("a body");
                let status = statuses.next().unwrap_or("200 OK");
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno");
                reader.get_mut().write_all(answer.as_bytes()).expect("it listens");
            }
        }
    });
    format!("http://127.0.0.1:{port}/services/SECRET")
}

fn length_of(reader: &mut impl BufRead) -> Option<usize> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Some(length);
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn the_preview_is_a_page_with_every_kind_of_message() {
    let folder = folder();
    let output = depd(folder.path(), &["report", "preview"]).output().expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(folder.path().join("depd-preview.html")).expect("written");
    for title in ["Deployed", "Failed", "Timed out", "Namespace created", "Rolled back", "Digest"] {
        assert!(page.contains(&format!("<h2>{title}</h2>")), "{title}");
    }
}

#[test]
fn a_test_says_for_each_receiver_and_message_what_came_back() {
    let folder = folder();
    let mut command = depd(folder.path(), &["report", "test", "--slack-rate", "100"]);
    command.env("WEBHOOK_FOR_SLACK", receiver(&["200 OK", "404 Not Found"]));
    command.env("WEBHOOK_URL", receiver(&["500 Internal Server Error", "302 Found"]));
    command.env("ON_VERDICT", "/bin/false");
    let output = command.output().expect("it runs");
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
    // The ports are other ones each time.
    let lines = text.lines().map(|line| line.split(" (127").next().unwrap_or(line));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_test_of_receivers_that_take_everything_succeeds() {
    let folder = folder();
    let mut command = depd(folder.path(), &["report", "test"]);
    command.env("WEBHOOK_FOR_TEAMS", receiver(&[])).env("ON_VERDICT", "/bin/true");
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{} {}", stdout(&output), stderr(&output));
}

#[test]
fn what_is_set_badly_is_named_and_no_secret_is_repeated() {
    let check = |settings: &[(&str, &str)], arguments: &[&str], line: &str| {
        let folder = folder();
        let arguments = [&["report", "test"], arguments].concat();
        let command = || {
            let mut command = depd(folder.path(), &arguments);
            command.envs(settings.iter().copied());
            command
        };
        refuses(command(), 2, line);
        assert!(!stderr(&command().output().expect("it runs")).contains("hush"));
    };
    check(&[], &[], "depd: nobody is set up: set WEBHOOK_FOR_SLACK");
    for name in ["WEBHOOK_FOR_SLACK", "WEBHOOK_FOR_TEAMS", "WEBHOOK_FOR_DISCORD", "WEBHOOK_URL"] {
        let address = "http://hooks.example.com/hush";
        let line = format!("depd: the webhook's address in {name} is not usable: plain http://");
        check(&[(name, address)], &[], &line);
    }
    let url = ("WEBHOOK_URL", "https://hooks.example.com/");
    let line = "depd: the secret in WEBHOOK_SECRET is shorter than 16 characters";
    check(&[url, ("WEBHOOK_SECRET", "hush")], &[], line);
    check(
        &[url, ("REPORT", "errors")],
        &[],
        "depd: --report (or REPORT) errors: \"errors\" is none",
    );
    let line = "depd: --report (or REPORT) irc=all: there is no receiver irc, only slack, teams";
    check(&[url], &["--report", "irc=all"], line);
    let line = "depd: cannot read the secret of WEBHOOK_FOR_TEAMS from nope";
    check(&[], &["--teams-webhook-file", "nope"], line);
}
