//! The token webhook of the real control plane: whatever token the API server does not know itself, it
//! asks a test about.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use serde_json::{Value, json};

/// A group that may do what depd may do; see `tests/cluster/rbac.yaml`.
const GROUP: &str = "depd-test";

/// Whose token it is, if it is good.
type Judge = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// There is one address, hence one webhook for all tests of this process.
#[derive(Default)]
pub struct Webhook(Mutex<Vec<(String, Judge)>>);

impl Webhook {
    pub fn shared() -> &'static Webhook {
        static SHARED: OnceLock<Webhook> = OnceLock::new();
        SHARED.get_or_init(|| {
            let address = std::env::var("DEPD_TEST_TOKEN_WEBHOOK").expect("an address");
            let listener = TcpListener::bind(address).expect("a free port");
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    thread::spawn(move || drop(review(stream)));
                }
            });
            Webhook::default()
        })
    }

    /// From now on this judge is asked about tokens that begin like this.
    pub fn judge(
        &self,
        prefix: &str,
        judge: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) {
        self.0.lock().expect("fine").push((prefix.to_owned(), Arc::new(judge)));
    }

    fn user_of(&self, token: &str) -> Option<String> {
        let judges = self.0.lock().expect("fine");
        let judge = judges.iter().find_map(|(prefix, judge)| {
            token.strip_prefix(prefix.as_str()).map(|rest| (Arc::clone(judge), rest))
        });
        drop(judges);
        let (judge, rest) = judge?;
        judge(rest)
    }
}

/// One TokenReview after the other on a connection.
fn review(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let asked: Value = serde_json::from_slice(&body)?;
        let token = asked["spec"]["token"].as_str().unwrap_or_default();
        let user = Webhook::shared().user_of(token);
        let answer = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "status": {
                "authenticated": user.is_some(),
                "user": { "username": user.unwrap_or_default(), "groups": [GROUP] },
            },
        })
        .to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        reader.get_mut().write_all(format!("{head}{answer}").as_bytes())?;
    }
}
