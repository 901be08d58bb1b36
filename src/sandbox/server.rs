//! Sockets and threads: the listener, one thread per connection, and their end.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::api::{self, Reply};
use super::faults::Fault;
use super::http::{Request, Response, Unread, Wire};
use super::shared::Shared;
use super::status::Status;
use super::watch::{self, Watch};
use super::{RequestRecord, SandboxError};

/// More connections than this are closed at once.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may be silent between requests; kube-apiserver's IdleTimeout.
const IDLE: Duration = Duration::from_secs(90);
/// How long a client whose request was refused may be silent.
const REFUSED: Duration = Duration::from_secs(1);
/// How long a client may refuse to read.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How often a watch looks whether its client is still there.
const LOOK_AROUND: Duration = Duration::from_secs(1);

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// The listener and its connections.
pub(super) struct Server {
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Connection>>,
}

struct Connection {
    socket: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and serves until [`Server::stop`].
    pub(super) fn start(
        port: u16,
        shared: &Arc<Shared>,
        tls: ServerConfig,
    ) -> Result<Server, SandboxError> {
        let bind = |error| SandboxError::Listen { port, error };
        let listener = TcpListener::bind(("127.0.0.1", port)).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let connections = Arc::new(Connections::default());
        let accept = {
            let (shared, connections) = (shared.clone(), connections.clone());
            let tls = Arc::new(tls);
            move || accept(&listener, &shared, &tls, &connections)
        };
        let accepting = spawn("sandbox-accept", accept)?;
        Ok(Server { address, accepting: Some(accepting), connections })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the listener, every connection, and their threads. The caller has told `Shared` before.
    pub(super) fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        // Wakes the listener, which then sees that it is to stop.
        drop(TcpStream::connect(self.address));
        drop(accepting.join());
        let mut threads = Vec::new();
        for (_, connection) in self.connections.open.lock().iter_mut() {
            drop(connection.socket.shutdown(Shutdown::Both));
            threads.extend(connection.thread.take());
        }
        for thread in threads {
            drop(thread.join());
        }
    }
}

/// Starts a named thread.
pub(super) fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, SandboxError> {
    thread::Builder::new().name(name.into()).spawn(body).map_err(SandboxError::Thread)
}

fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    tls: &Arc<ServerConfig>,
    connections: &Arc<Connections>,
) {
    loop {
        let accepted = listener.accept();
        if shared.is_stopping() {
            return;
        }
        match accepted {
            Ok((socket, _)) => open(socket, shared, tls, connections),
            Err(error) => {
                // Out of file descriptors, mostly: let connections end before the next try.
                log::warn!("sandbox: cannot accept a connection: {error}");
                shared.pause(Duration::from_millis(50));
            }
        }
    }
}

fn open(
    socket: TcpStream,
    shared: &Arc<Shared>,
    tls: &Arc<ServerConfig>,
    connections: &Arc<Connections>,
) {
    if connections.open.lock().len() >= MAX_CONNECTIONS {
        log::warn!("sandbox: more than {MAX_CONNECTIONS} connections; one is closed");
        return;
    }
    let id = connections.next.fetch_add(1, Ordering::Relaxed);
    let Ok(own) = socket.try_clone() else { return };
    connections.open.lock().insert(id, Connection { socket: own, thread: None });
    let body = {
        let (shared, tls, connections) = (shared.clone(), tls.clone(), connections.clone());
        move || {
            if let Err(error) = serve(socket, &shared, tls) {
                log::debug!("sandbox: a connection ended: {error}");
            }
            connections.open.lock().remove(&id);
        }
    };
    match spawn("sandbox-connection", body) {
        Ok(thread) => {
            if let Some(connection) = connections.open.lock().get_mut(&id) {
                connection.thread = Some(thread);
            }
        }
        Err(error) => {
            log::warn!("sandbox: {error}");
            connections.open.lock().remove(&id);
        }
    }
}

/// One connection from its handshake to its end.
fn serve(mut socket: TcpStream, shared: &Shared, tls: Arc<ServerConfig>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(IDLE))?;
    socket.set_write_timeout(Some(WRITE_LIMIT))?;
    let mut session = ServerConnection::new(tls).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    let certified = session.peer_certificates().and_then(|c| shared.authority.user(c));
    let mut wire = Wire::new(StreamOwned::new(session, socket));
    while !shared.is_stopping() {
        let request = match wire.read() {
            Ok(request) => request,
            Err(Unread::Closed) => break,
            Err(Unread::Refused(status)) => {
                wire.answer(&Response::status(&status), false, true)?;
                wire.stream.sock.set_read_timeout(Some(REFUSED))?;
                wire.drain();
                break;
            }
        };
        let last = request.last;
        let kept = exchange(&mut wire, shared, &request, certified.as_deref())?;
        if last || kept == Kept::No {
            break;
        }
    }
    wire.stream.conn.send_close_notify();
    wire.stream.conn.write_tls(&mut wire.stream.sock)?;
    Ok(())
}

#[derive(PartialEq)]
enum Kept {
    Yes,
    No,
}

/// One request and its answer.
fn exchange(
    wire: &mut Wire<Tls>,
    shared: &Shared,
    request: &Request,
    certified: Option<&str>,
) -> io::Result<Kept> {
    let record = |user: &str, status| {
        shared.record(RequestRecord {
            method: request.method.clone(),
            uri: request.target.clone(),
            user: user.to_owned(),
            status,
        });
    };
    let head = request.method == "HEAD";
    let Some(user) = api::authenticate(request, certified, &shared.token) else {
        record("", 401);
        let response = Response::status(&Status::unauthorized());
        wire.answer(&response, head, request.last)?;
        return Ok(Kept::Yes);
    };
    let fault = shared.fault(&api::view(request, &user));
    if let Some(Fault::Delay(time)) = fault {
        shared.pause(time);
    }
    match fault {
        Some(Fault::ResetBefore) => return Ok(reset(wire)),
        Some(Fault::Respond(response)) => {
            record(&user, response.code);
            wire.answer(&response, head, request.last)?;
            return Ok(Kept::Yes);
        }
        Some(Fault::HangWatch) => {
            record(&user, 200);
            wire.begin_chunks(&watch::head())?;
            while !shared.is_stopping() && is_open(wire) {
                shared.pause(LOOK_AROUND);
            }
            return Ok(Kept::No);
        }
        Some(Fault::WatchBytes(bytes)) => {
            record(&user, 200);
            wire.begin_chunks(&watch::head())?;
            wire.chunk(&bytes)?;
            return Ok(reset(wire));
        }
        Some(Fault::ResetAfter | Fault::Delay(_)) | None => {}
    }
    let reply = api::handle(shared, request);
    let code = match &reply {
        Reply::Whole(response) => response.code,
        Reply::Watch(_) => 200,
    };
    record(&user, code);
    if matches!(fault, Some(Fault::ResetAfter)) {
        return Ok(reset(wire));
    }
    match reply {
        Reply::Whole(response) => wire.answer(&response, head, request.last)?,
        Reply::Watch(watch) => return stream(wire, shared, *watch),
    }
    Ok(Kept::Yes)
}

/// Ends the connection under the client's feet.
fn reset(wire: &mut Wire<Tls>) -> Kept {
    drop(wire.stream.sock.shutdown(Shutdown::Both));
    Kept::No
}

/// Sends a watch's events as they happen, until its time is over or the client has gone.
fn stream(wire: &mut Wire<Tls>, shared: &Shared, mut watch: Watch) -> io::Result<Kept> {
    wire.begin_chunks(&watch::head())?;
    wire.chunk(&watch.begin())?;
    let mut look_around = Instant::now() + LOOK_AROUND;
    while !shared.is_stopping() && !watch.is_over() {
        let until = watch.wakes_at().min(look_around);
        let events = shared.wait_beyond(watch.seen(), until, |store| watch.gather(store));
        wire.chunk(&watch.show(&events))?;
        if Instant::now() >= look_around {
            if !is_open(wire) {
                return Ok(Kept::No);
            }
            look_around = Instant::now() + LOOK_AROUND;
        }
    }
    wire.end_chunks()?;
    Ok(Kept::Yes)
}

/// Whether the client is still there; does not wait.
fn is_open(wire: &mut Wire<Tls>) -> bool {
    if wire.stream.sock.set_nonblocking(true).is_err() {
        return false;
    }
    let mut buffer = [0; 1024];
    let open = match wire.stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            wire.keep(&buffer[..count]);
            true
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    open && wire.stream.sock.set_nonblocking(false).is_ok()
}
