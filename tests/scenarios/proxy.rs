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

    /// For who knows `user:password`; the way to some names leads elsewhere. It speaks TLS where it is told
    /// how.
    pub fn guarded(pair: &str, detours: &[(&str, &str)], tls: Option<Arc<ServerConfig>>) -> Proxy {
        let own = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned());
        Proxy::with(State {
            detours: detours.iter().map(own).collect(),
            credentials: Some(STANDARD.encode(pair)),
            tls,
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

/// The kubeconfig with this proxy in front of its server.
pub fn through(url: &str, kubeconfig: &str) -> String {
    let server = kubeconfig.lines().find(|line| line.trim_start().starts_with("server: "));
    let server = server.expect("a server on a line of its own");
    let margin = &server[..server.len() - server.trim_start().len()];
    kubeconfig.replacen(server, &format!("{margin}proxy-url: {url}\n{server}"), 1)
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
        [5] => over_socks(&mut client, state)?,
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

/// Facts: RFC 1928, and RFC 1929 for the password.
fn over_socks(client: &mut TcpStream, state: &State) -> io::Result<TcpStream> {
    let methods = counted(client)?;
    let method = if state.credentials.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        client.write_all(&[5, 0xff])?;
        return Err(io::Error::other("no way to log in is offered"));
    }
    client.write_all(&[5, method])?;
    if let Some(pair) = &state.credentials {
        client.read_exact(&mut [0])?;
        let login = [counted(client)?, counted(client)?].join(&b':');
        let is_known = STANDARD.encode(login) == *pair;
        client.write_all(&[1, u8::from(!is_known)])?;
        if !is_known {
            return Err(io::Error::other("refused"));
        }
    }
    let mut request = [0; 4];
    client.read_exact(&mut request)?;
    let host = match request {
        [5, 1, 0, 1] => {
            let mut address = [0; 4];
            client.read_exact(&mut address)?;
            std::net::Ipv4Addr::from(address).to_string()
        }
        [5, 1, 0, 3] => String::from_utf8_lossy(&counted(client)?).into_owned(),
        request => panic!("CONNECT to an IPv4 address or a name, not {request:?}"),
    };
    let mut port = [0; 2];
    client.read_exact(&mut port)?;
    let target = format!("{host}:{}", u16::from_be_bytes(port));
    state.targets.lock().expect("fine").push(target.clone());
    let server = TcpStream::connect(state.detours.get(&target).unwrap_or(&target))?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(server)
}

/// Bytes after their number.
fn counted(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut count = [0];
    client.read_exact(&mut count)?;
    let mut bytes = vec![0; usize::from(count[0])];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
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
