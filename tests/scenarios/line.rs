//! A line between depd and its API server, whose connections are counted and can be cut. It knows nothing
//! of what is said on it, so that every kind of access works through it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Listens until the process ends.
#[derive(Clone)]
pub struct Line {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    target: SocketAddr,
    connections: AtomicUsize,
    /// `None` while all are cut and none is taken.
    open: Mutex<Option<Vec<TcpStream>>>,
}

impl Line {
    pub fn start(target: SocketAddr) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let open = Mutex::new(Some(Vec::new()));
        let state = Arc::new(State { target, connections: AtomicUsize::default(), open });
        let own = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Some(open) = &mut *own.open.lock().expect("fine") {
                    open.push(client.try_clone().expect("a handle"));
                    let own = Arc::clone(&own);
                    thread::spawn(move || drop(own.serve(client)));
                }
            }
        });
        Line { address, state }
    }

    /// How many were passed on.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Ends every connection, and takes none until [`Line::mend`].
    pub fn cut(&self) {
        for stream in self.state.open.lock().expect("fine").take().unwrap_or_default() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        *self.state.open.lock().expect("fine") = Some(Vec::new());
    }
}

impl State {
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.target)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        self.connections.fetch_add(1, Ordering::SeqCst);
        let (from, to) = (client.try_clone()?, server.try_clone()?);
        let up = thread::spawn(move || pass(from, to));
        pass(server, client);
        let _ = up.join();
        Ok(())
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
