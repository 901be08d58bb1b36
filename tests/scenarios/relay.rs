//! A relay between depd and an API server, which makes anything go wrong that can go wrong on the way.
//!
//! depd speaks plain HTTP with it, as it would with `kubectl proxy`; the relay adds the credentials of
//! depd's own kubeconfig, so that for the server it is depd. The faults are those of the sandbox, and
//! besides a whole connection can be cut and a watch be kept waiting.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use depd::sandbox::{Fault, FaultHook, RequestRecord, RequestView};
use ureq::Body;
use ureq::http::Response;

use crate::api::Api;
use crate::http::Request;

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Listens until the process ends.
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    api: Api,
    hook: Mutex<Option<FaultHook>>,
    requests: Mutex<Vec<RequestRecord>>,
    /// Targets of watches whose history was gone.
    expired: Mutex<Vec<String>>,
    /// Every connection; `None` while all are cut and none is taken.
    open: Mutex<Option<Vec<TcpStream>>>,
    /// What watches of such targets tell is kept back.
    held: Mutex<Option<String>>,
    let_go: Condvar,
}

impl Relay {
    /// In front of the server of this kubeconfig.
    pub fn start(kubeconfig: &Path) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            api: Api::from_kubeconfig(kubeconfig),
            hook: Mutex::default(),
            requests: Mutex::default(),
            expired: Mutex::default(),
            open: Mutex::new(Some(Vec::new())),
            held: Mutex::default(),
            let_go: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(open) = &mut *own.open.lock().expect("fine") {
                    open.push(stream.try_clone().expect("a handle"));
                    let own = Arc::clone(&own);
                    thread::spawn(move || drop(own.serve(stream)));
                }
            }
        });
        Relay { port, shared }
    }

    /// A kubeconfig without credentials, whose server is the relay, known by this name.
    pub fn kubeconfig(&self, host: &str) -> String {
        format!(
            "current-context: proxied\n\
             clusters: [{{name: proxied, cluster: {{server: 'http://{host}:{}'}}}}]\n\
             contexts: [{{name: proxied, context: {{cluster: proxied, user: none}}}}]\n\
             users: [{{name: none, user: {{}}}}]\n",
            self.port
        )
    }

    pub fn set_faults(&self, hook: FaultHook) {
        *self.shared.hook.lock().expect("fine") = Some(hook);
    }

    pub fn clear_faults(&self) {
        *self.shared.hook.lock().expect("fine") = None;
    }

    /// Everything that was answered, by whom ever.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.requests.lock().expect("fine").clone()
    }

    /// What was watched from a version that the server knows no more: it says so as the answer, or in
    /// the first event.
    pub fn expired(&self) -> Vec<String> {
        self.shared.expired.lock().expect("fine").clone()
    }

    /// Ends every connection, and takes none until [`Relay::mend`].
    pub fn cut(&self) {
        for stream in self.shared.open.lock().expect("fine").take().unwrap_or_default() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        *self.shared.open.lock().expect("fine") = Some(Vec::new());
    }

    /// From now on what a watch with this part in its target tells is kept until [`Relay::let_go`].
    pub fn hold(&self, part: &str) {
        *self.shared.held.lock().expect("fine") = Some(part.to_owned());
    }

    pub fn let_go(&self) {
        *self.shared.held.lock().expect("fine") = None;
        self.shared.let_go.notify_all();
    }
}

impl Shared {
    /// One connection to its end.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            if !self.exchange(&request, &mut stream)? {
                break;
            }
        }
        stream.shutdown(Shutdown::Both)
    }

    /// One request; whether the connection serves another one.
    fn exchange(&self, request: &Request, stream: &mut TcpStream) -> io::Result<bool> {
        let watch = request.method == "GET" && request.target.contains("watch=");
        let (method, target) = (&*request.method, &*request.target);
        let view = RequestView { method, target, user: "depd", watch };
        let hook = self.hook.lock().expect("fine").clone();
        let fault = hook.and_then(|hook| hook(&view));
        match &fault {
            Some(Fault::ResetBefore) => return Ok(false),
            Some(Fault::Respond(response)) => {
                self.record(request, response.code());
                stream.write_all(&response.to_wire())?;
                return Ok(true);
            }
            Some(Fault::HangWatch) => {
                self.record(request, 200);
                stream.write_all(CHUNKED.as_bytes())?;
                // Until the other side gives up.
                let _ = stream.read(&mut [0]);
                return Ok(false);
            }
            Some(Fault::WatchBytes(bytes)) => {
                self.record(request, 200);
                stream.write_all(CHUNKED.as_bytes())?;
                chunk(stream, bytes)?;
                return Ok(false);
            }
            Some(Fault::Delay(time)) => thread::sleep(*time),
            Some(Fault::ResetAfter) | None => {}
        }
        let Ok(answer) = self.api.forward(request) else { return Ok(false) };
        let code = answer.status().as_u16();
        self.record(request, code);
        if matches!(fault, Some(Fault::ResetAfter)) {
            return Ok(false);
        }
        match watch && code == 200 {
            true => self.stream(request, answer, stream)?,
            false => {
                if code == 410 {
                    self.expired.lock().expect("fine").push(request.target.clone());
                }
                whole(answer, stream)?;
            }
        }
        Ok(true)
    }

    fn record(&self, request: &Request, status: u16) {
        let (method, uri) = (request.method.clone(), request.target.clone());
        let record = RequestRecord { method, uri, user: "depd".into(), status };
        self.requests.lock().expect("fine").push(record);
    }

    /// Passes on what comes, as it comes, unless it is held.
    fn stream(
        &self,
        request: &Request,
        answer: Response<Body>,
        stream: &mut TcpStream,
    ) -> io::Result<()> {
        stream.write_all(CHUNKED.as_bytes())?;
        let mut body = answer.into_body().into_reader();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = body.read(&mut buffer)?;
            let text = String::from_utf8_lossy(&buffer[..count]);
            if text.starts_with("{\"type\":\"ERROR\"") && text.contains("410") {
                self.expired.lock().expect("fine").push(request.target.clone());
            }
            let held = self.held.lock().expect("fine");
            let is_held = |held: &mut Option<String>| {
                held.as_ref().is_some_and(|part| request.target.contains(part))
            };
            drop(self.let_go.wait_while(held, is_held).expect("fine"));
            if count == 0 {
                return stream.write_all(b"0\r\n\r\n");
            }
            chunk(stream, &buffer[..count])?;
        }
    }
}

fn whole(answer: Response<Body>, stream: &mut TcpStream) -> io::Result<()> {
    let code = answer.status().as_u16();
    let header = |name: &str| {
        let value = answer.headers().get(name)?.to_str().ok()?;
        Some(format!("{name}: {value}\r\n"))
    };
    let headers = ["content-type", "retry-after"].into_iter().filter_map(header);
    let mut head: String = format!("HTTP/1.1 {code} Answer\r\n");
    head.extend(headers);
    let mut body = Vec::new();
    answer.into_body().into_reader().read_to_end(&mut body)?;
    let mut bytes = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend(body);
    stream.write_all(&bytes)
}

fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    stream.write_all(&framed)
}
