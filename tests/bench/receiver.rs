//! A receiver of messages on loopback, which notes when each one came and reads it later.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::figures::Stamp;
use crate::services::names_in;
use crate::verdicts::Moments;

/// Listens until the process ends.
pub struct Receiver {
    port: u16,
    bodies: Bodies,
}

type Bodies = Arc<Mutex<Vec<(Stamp, Vec<u8>)>>>;

impl Receiver {
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let bodies = Bodies::default();
        let taken = Arc::clone(&bodies);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                thread::spawn(move || serve(stream, &taken));
            }
        });
        Receiver { port, bodies }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/services/T/B/bench", self.port)
    }

    /// Forgets what came until now.
    pub fn clear(&self) {
        self.bodies.lock().expect("not poisoned").clear();
    }

    /// How many messages came.
    pub fn count(&self) -> usize {
        self.bodies.lock().expect("not poisoned").len()
    }

    /// When the first message came that has `word` in its title, by the services that it names (a
    /// digest names several).
    pub fn told(&self, word: &str) -> Moments {
        let mut told = Moments::new();
        for (at, body) in self.bodies.lock().expect("not poisoned").iter() {
            let message: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            let title = message["attachments"][0]["title"].as_str().unwrap_or_default();
            if title.to_lowercase().contains(word) {
                for name in names_in(&String::from_utf8_lossy(body)) {
                    told.entry(name.to_owned()).or_insert(*at);
                }
            }
        }
        told
    }
}

fn serve(stream: TcpStream, taken: &Bodies) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    while let Some(body) = read_body(&mut reader) {
        taken.lock().expect("not poisoned").push((Stamp::now(), body));
        if reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

fn read_body(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}
