//! What stands between depd and its API server: a plain relay or a proxy, whose connections are counted
//! and can be cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How the client is spoken to before its bytes are passed on.
#[derive(Clone)]
pub enum Kind {
    /// Not at all.
    Plain,
    /// A proxy for CONNECT, which wants [`USER`] and [`PASSWORD`].
    Http,
    /// A proxy for CONNECT that is itself reached by TLS.
    Https(Arc<ServerConfig>),
    /// A proxy for SOCKS 5, which wants [`USER`] and [`PASSWORD`].
    Socks,
}

pub const USER: &str = "ann";
pub const PASSWORD: &str = "proxy-secret";

/// Listens until the process ends; whatever a client asks a proxy for, it gets the one target.
#[derive(Clone)]
pub struct Relay {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    kind: Kind,
    target: SocketAddr,
    down: AtomicBool,
    tunnels: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    /// What clients asked a proxy for.
    asked: Mutex<Vec<String>>,
}

impl Relay {
    pub fn start(kind: Kind, target: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            kind,
            target,
            down: AtomicBool::default(),
            tunnels: AtomicUsize::default(),
            open: Mutex::default(),
            asked: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !shared.down.load(Ordering::SeqCst) {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || drop(shared.serve(client)));
                }
            }
        });
        Relay { address, state }
    }

    /// Connections that were passed on.
    pub fn tunnels(&self) -> usize {
        self.state.tunnels.load(Ordering::SeqCst)
    }

    /// The different hosts and ports that a proxy was asked for.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.state.asked.lock().expect("fine").clone();
        asked.sort();
        asked.dedup();
        asked
    }

    /// Cuts every connection, and takes no new one.
    pub fn go_down(&self) {
        self.state.down.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().expect("fine").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn come_back(&self) {
        self.state.down.store(false, Ordering::SeqCst);
    }
}

impl State {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        match &self.kind {
            Kind::Plain => {}
            Kind::Http => self.connect(&mut client, true)?,
            Kind::Socks => self.socks(&mut client)?,
            Kind::Https(config) => return self.serve_tls(client, Arc::clone(config)),
        }
        let server = self.open(&client)?;
        let (from, to) = (client.try_clone()?, server.try_clone()?);
        let up = thread::spawn(move || pass(from, to));
        pass(server, client);
        let _ = up.join();
        Ok(())
    }

    fn open(&self, client: &TcpStream) -> io::Result<TcpStream> {
        let server = TcpStream::connect(self.target)?;
        server.set_nodelay(true)?;
        self.open.lock().expect("fine").push(client.try_clone()?);
        if self.down.load(Ordering::SeqCst) {
            let _ = client.shutdown(Shutdown::Both);
        }
        self.tunnels.fetch_add(1, Ordering::SeqCst);
        Ok(server)
    }

    fn connect(&self, client: &mut (impl Read + Write), wants_password: bool) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut words = head.split(' ');
        if words.next() != Some("CONNECT") {
            return client
                .write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
        }
        let login = format!("basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let header = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
        });
        let kind = header.as_ref().map(|value| value.replacen("Basic", "basic", 1));
        if wants_password && kind.as_ref() != Some(&login) {
            client.write_all(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            )?;
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.asked.lock().expect("fine").push(words.next().unwrap_or_default().to_owned());
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")
    }

    /// Facts: RFC 1928 and RFC 1929.
    fn socks(&self, client: &mut TcpStream) -> io::Result<()> {
        fn text(client: &mut TcpStream) -> io::Result<String> {
            let mut length = [0];
            client.read_exact(&mut length)?;
            let mut text = vec![0; usize::from(length[0])];
            client.read_exact(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        let mut version = [0];
        client.read_exact(&mut version)?;
        let methods = text(client)?;
        if !methods.contains('\u{2}') {
            return client.write_all(&[5, 0xff]);
        }
        client.write_all(&[5, 2])?;
        client.read_exact(&mut version)?;
        let (user, password) = (text(client)?, text(client)?);
        let is_known = user == USER && password == PASSWORD;
        client.write_all(&[1, u8::from(!is_known)])?;
        let mut request = [0; 4];
        client.read_exact(&mut request)?;
        let host = match request[3] {
            1 => {
                let mut address = [0; 4];
                client.read_exact(&mut address)?;
                std::net::Ipv4Addr::from(address).to_string()
            }
            3 => text(client)?,
            _ => return client.write_all(&[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
        };
        let mut port = [0; 2];
        client.read_exact(&mut port)?;
        let asked = format!("{host}:{}", u16::from_be_bytes(port));
        self.asked.lock().expect("fine").push(asked);
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    }

    fn serve_tls(&self, client: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
        let conn = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(conn, client);
        self.connect(&mut stream, false)?;
        stream.flush()?;
        let StreamOwned { conn, sock: mut client } = stream;
        let mut server = self.open(&client)?;
        let conn = Arc::new(Mutex::new(conn));
        let (down, mut from, mut to) =
            (Arc::clone(&conn), server.try_clone()?, client.try_clone()?);
        let down = thread::spawn(move || {
            let mut bytes = [0; 16384];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                let mut conn = down.lock().expect("fine");
                let written = conn.writer().write_all(&bytes[..count]);
                if written.and_then(|()| send(&mut conn, &mut to)).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        let mut bytes = [0; 16384];
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            let clear = open(&mut conn.lock().expect("fine"), &bytes[..count]);
            if clear.and_then(|clear| server.write_all(&clear)).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
        let _ = down.join();
        Ok(())
    }
}

fn send(conn: &mut ServerConnection, to: &mut TcpStream) -> io::Result<()> {
    while conn.wants_write() {
        conn.write_tls(to)?;
    }
    Ok(())
}

/// What is inside these bytes of TLS.
fn open(conn: &mut ServerConnection, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut clear = Vec::new();
    while !bytes.is_empty() {
        conn.read_tls(&mut bytes)?;
        let state = conn.process_new_packets().map_err(io::Error::other)?;
        let start = clear.len();
        clear.resize(start + state.plaintext_bytes_to_read(), 0);
        conn.reader().read_exact(&mut clear[start..])?;
    }
    Ok(clear)
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
