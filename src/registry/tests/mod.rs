//! The edges of this room against small servers on loopback that stand for AWS, for what AWS offers on a
//! host, and for the API server of Kubernetes.

mod botocore;
mod credentials;
mod moto;
mod pull_secrets;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::environment::AwsEnvironment;

/// A request as it came in.
#[derive(Clone, Debug)]
struct Seen {
    /// `GET /path`.
    line: String,
    /// By lowercase name.
    headers: HashMap<String, String>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

type Answer = dyn Fn(&Seen) -> (u16, String) + Send + Sync;

/// A server that answers as it is told, until the test ends.
struct Fake {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    fn start(answer: impl Fn(&Seen) -> (u16, String) + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (own, answer): (_, Arc<Answer>) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (Arc::clone(&own), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Fake { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().iter().map(|seen| seen.line.clone()).collect()
    }

    fn last(&self) -> Seen {
        self.seen.lock().last().expect("a request").clone()
    }
}

/// Answers one request and closes; status 0 is silence.
fn serve(stream: TcpStream, all: &Mutex<Vec<Seen>>, answer: &Answer) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.split(" HTTP").next()?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let seen = Seen { line, headers, body: String::from_utf8_lossy(&body).into_owned() };
    all.lock().push(seen.clone());
    let (status, body) = answer(&seen);
    if status == 0 {
        let _ = reader.read_line(&mut String::new());
        return None;
    }
    let location = if status == 302 { "location: http://127.0.0.1:9/\r\n" } else { "" };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{location}");
    let mut stream = stream;
    stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).ok()
}

fn environment(set: &[(&str, &str)]) -> AwsEnvironment {
    AwsEnvironment::read(|name| {
        set.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
    })
}
