//! A Slack of our own: takes webhook messages on loopback and keeps them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::Request;
use crate::tls::{Authority, listen};
use crate::wait::wait_for;

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Message {
    /// `good`, `warning` or `danger`.
    pub color: String,
    /// The attachment's title, for example `Deployed: web (shop)`.
    pub title: String,
    /// The attachment's text.
    pub text: String,
    /// When it arrived.
    pub at: Instant,
    /// All of it.
    pub body: Value,
    /// The lines before it.
    pub headers: Vec<String>,
}

impl Message {
    /// Its field `Image`: from which to which.
    pub fn change(&self) -> Option<&str> {
        let fields = self.body["attachments"][0]["fields"].as_array()?;
        fields.iter().find(|field| field["title"] == "Image")?["value"].as_str()
    }
}

/// Listens until the process ends.
pub struct Receiver {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    messages: Mutex<Vec<Message>>,
    /// Connections are closed at once, as by a receiver that is down.
    down: AtomicBool,
    /// Messages are read and never answered.
    silent: AtomicBool,
    /// So many were.
    refused: AtomicUsize,
}

impl Receiver {
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state: Arc<State> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.down.load(Ordering::SeqCst) {
                    shared.refused.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let shared = Arc::clone(&shared);
                stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a limit");
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Receiver { port, state }
    }

    /// One that speaks TLS, as `name`; its address besides.
    pub fn start_encrypted(name: &str, authority: &Authority) -> (Receiver, String) {
        let state: Arc<State> = Arc::default();
        let shared = Arc::clone(&state);
        let address = listen(authority.server(name), move |stream| serve(stream, &shared));
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        (Receiver { port, state }, address)
    }

    /// From now on every new connection is closed without an answer.
    pub fn go_down(&self) {
        self.state.down.store(true, Ordering::SeqCst);
    }

    /// From now on messages are read and never answered.
    pub fn go_silent(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }

    /// Answers again.
    pub fn come_back(&self) {
        self.state.silent.store(false, Ordering::SeqCst);
        self.state.down.store(false, Ordering::SeqCst);
    }

    /// Connections that were closed without an answer.
    pub fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/services/T/B/test-webhook-secret", self.port)
    }

    pub fn messages(&self) -> Vec<Message> {
        self.state.messages.lock().expect("not poisoned").clone()
    }

    /// Waits for the first message whose title begins like this.
    #[track_caller]
    pub fn wait_for(&self, title: &str) -> Message {
        wait_for(&format!("a message titled {title:?}; there are {:?}", self.titles()), || {
            self.messages().into_iter().find(|message| message.title.starts_with(title))
        })
    }

    pub fn titles(&self) -> Vec<String> {
        self.messages().into_iter().map(|message| message.title).collect()
    }
}

fn serve(stream: impl Read + Write, state: &State) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(request)) = Request::read(&mut reader) {
        let body: Value = serde_json::from_slice(&request.body).expect("a message is JSON");
        let attachment = &body["attachments"][0];
        let text = |name: &str| attachment[name].as_str().unwrap_or_default().to_owned();
        let message = Message {
            color: text("color"),
            title: text("title"),
            text: text("text"),
            at: Instant::now(),
            body: body.clone(),
            headers: request.head,
        };
        if state.down.load(Ordering::SeqCst) {
            state.refused.fetch_add(1, Ordering::SeqCst);
            return;
        }
        state.messages.lock().expect("not poisoned").push(message);
        if state.silent.load(Ordering::SeqCst) {
            // Until the other side gives up.
            let _ = reader.read_line(&mut String::new());
            return;
        }
        if reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}
