//! Proxies of our own: CONNECT, SOCKS 5, and CONNECT inside of TLS.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::event::{PollFd, PollFlags, poll};
use rustls::{ServerConfig, ServerConnection};

use crate::tls::Authority;

/// A proxy on loopback, until the process ends.
pub struct Proxy {
    pub address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    tunnels: AtomicUsize,
    /// Whom it was asked for.
    targets: Mutex<Vec<String>>,
    /// Where these lead, instead of there.
    detours: HashMap<String, String>,
    /// Nobody passes without these.
    credentials: Option<String>,
    tls: Option<Arc<ServerConfig>>,
    /// Nobody is let in.
    down: AtomicBool,
    /// Both ends of what was let in.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// For everybody, to everywhere.
    pub fn start() -> Proxy {
        Proxy::with(State::default())
    }

    /// For who knows `user:password`; the way to some names leads elsewhere. With an authority it speaks
    /// TLS, as `localhost`.
    pub fn guarded(pair: &str, detours: &[(&str, &str)], authority: Option<&Authority>) -> Proxy {
        let own = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned());
        Proxy::with(State {
            detours: detours.iter().map(own).collect(),
            credentials: Some(STANDARD.encode(pair)),
            tls: authority.map(|authority| authority.server("localhost")),
            ..State::default()
        })
    }

    fn with(state: State) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.down.load(Ordering::SeqCst) {
                    continue;
                }
                let state = Arc::clone(&shared);
                state.open.lock().expect("fine").extend(stream.try_clone());
                thread::spawn(move || drop(tunnel(stream, &state)));
            }
        });
        Proxy { address, state }
    }

    /// Ends every connection, and lets nobody in.
    pub fn go_down(&self) {
        self.state.down.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().expect("fine").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets everybody in again.
    pub fn come_back(&self) {
        self.state.down.store(false, Ordering::SeqCst);
    }

    /// How many connections were passed on.
    pub fn tunnels(&self) -> usize {
        self.state.tunnels.load(Ordering::SeqCst)
    }

    /// Whom it was asked for, passed on or not.
    pub fn targets(&self) -> Vec<String> {
        self.state.targets.lock().expect("fine").clone()
    }
}

fn tunnel(mut client: TcpStream, state: &State) -> io::Result<()> {
    if let Some(config) = &state.tls {
        let mut connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let mut stream = rustls::Stream::new(&mut connection, &mut client);
        let server = over_http(&mut stream, &[], state)?;
        state.tunnels.fetch_add(1, Ordering::SeqCst);
        return pump(connection, client, server);
    }
    let mut first = [0];
    client.read_exact(&mut first)?;
    let server = match first {
        [5] => over_socks(&mut client)?,
        _ => over_http(&mut client, &first, state)?,
    };
    state.tunnels.fetch_add(1, Ordering::SeqCst);
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (server, client);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}

fn over_http(
    client: &mut (impl Read + Write),
    begun: &[u8],
    state: &State,
) -> io::Result<TcpStream> {
    let mut head = begun.to_vec();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
    state.targets.lock().expect("fine").push(target.clone());
    let known = |pair: &String| text.contains(&format!("Basic {pair}\r\n"));
    if !state.credentials.as_ref().is_none_or(known) {
        // As some do, it shows what it was sent.
        let length = text.len();
        let status = "HTTP/1.1 407 Proxy Authentication Required";
        write!(client, "{status}\r\ncontent-length: {length}\r\n\r\n{text}")?;
        return Err(io::Error::other("refused"));
    }
    let server = TcpStream::connect(state.detours.get(&target).unwrap_or(&target))?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    client.flush()?;
    Ok(server)
}

fn over_socks(client: &mut TcpStream) -> io::Result<TcpStream> {
    let mut methods = [0];
    client.read_exact(&mut methods)?;
    client.read_exact(&mut vec![0; usize::from(methods[0])])?;
    client.write_all(&[5, 0])?;
    let mut request = [0; 10];
    client.read_exact(&mut request)?;
    assert_eq!(request[..4], [5, 1, 0, 1], "CONNECT to an IPv4 address");
    let address: [u8; 4] = request[4..8].try_into().expect("four");
    let server = TcpStream::connect((
        std::net::Ipv4Addr::from(address),
        u16::from_be_bytes([request[8], request[9]]),
    ))?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(server)
}

/// Both ways between an encrypted connection and a plain one, until one of them ends.
fn pump(
    mut connection: ServerConnection,
    mut client: TcpStream,
    mut server: TcpStream,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let state = connection.process_new_packets().map_err(io::Error::other)?;
        let waiting = state.plaintext_bytes_to_read();
        if waiting > 0 {
            let length = connection.reader().read(&mut bytes)?;
            server.write_all(&bytes[..length])?;
            continue;
        }
        while connection.wants_write() {
            connection.write_tls(&mut client)?;
        }
        let (from_client, from_server) = {
            let mut both =
                [PollFd::new(&client, PollFlags::IN), PollFd::new(&server, PollFlags::IN)];
            poll(&mut both, None)?;
            (!both[0].revents().is_empty(), !both[1].revents().is_empty())
        };
        if from_client && connection.read_tls(&mut client)? == 0 {
            return server.shutdown(Shutdown::Both);
        }
        if from_server {
            let length = server.read(&mut bytes)?;
            if length == 0 {
                return client.shutdown(Shutdown::Both);
            }
            connection.writer().write_all(&bytes[..length])?;
        }
    }
}
