//! The access that is in force, while files change underneath. `[E]`
//!
//! Every request takes a [`Ticket`] here: headers, and the TLS configuration to connect with. At most
//! once a second, and whenever the server refuses a ticket, the kubeconfigs, the certificate
//! authority and the client certificate are looked at. What is half-written, broken or gone changes
//! nothing: the last good access stays in force, and the problem is said once.
//!
//! A reload renews credentials. It never moves to another server: that takes a new start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{info, warn};
use parking_lot::Mutex;

use super::access::{Access, ClientIdentity, Impersonation, Material, Trust};
use super::credentials::{Credentials, CredentialsError, Held, Stamp};
use super::kubeconfig;
use super::secret::Secret;
use super::tls::{ConnectError, Tls};

/// A start that meets files which are just being replaced looks again for so long.
const TORN: Duration = Duration::from_secs(2);

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The access in force.
#[derive(Debug)]
pub(super) struct Live(Mutex<State>);

#[derive(Debug)]
struct State {
    access: Access,
    credentials: Arc<Credentials>,
    /// Of the impersonation.
    headers: Arc<[(String, String)]>,
    tls: Option<Tls>,
    /// For a proxy that is https itself.
    proxy_tls: Option<Tls>,
    /// The certificate in `tls` that came from a plugin.
    pair: Option<Arc<ClientIdentity>>,
    /// Rises when new connections are needed.
    generation: u64,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    looked: Instant,
    complaint: Option<String>,
}

/// What one request is sent with.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    /// The `Authorization` header.
    pub authorization: Option<Secret>,
    /// Further headers.
    pub headers: Arc<[(String, String)]>,
    /// What connections are made with; `None` for plain http.
    pub tls: Option<Tls>,
    /// What connections to an https proxy are made with.
    pub proxy_tls: Option<Tls>,
    /// Connections of another generation are not to be used.
    pub generation: u64,
    serial: u64,
    credentials: Arc<Credentials>,
}

impl Live {
    /// Reads and checks everything that is in files; runs no plugin. Whoever renews a pair replaces one
    /// file after the other, so what does not fit and is quite new is read again.
    pub(super) fn new(access: &Access) -> Result<Live, ConnectError> {
        let start = Instant::now();
        loop {
            match Live::read(access) {
                Err(_) if start.elapsed() < TORN && is_fresh(access) => {
                    thread::sleep(Duration::from_millis(20));
                }
                outcome => return outcome,
            }
        }
    }

    fn read(access: &Access) -> Result<Live, ConnectError> {
        let stamps = stamps(access);
        Ok(Live(Mutex::new(State {
            credentials: Arc::new(Credentials::new(&access.authorization)),
            headers: headers(access.impersonation.as_ref()),
            tls: Tls::load(access, None)?,
            proxy_tls: Tls::load_for_proxy(access)?,
            access: access.clone(),
            pair: None,
            generation: 0,
            stamps,
            looked: Instant::now(),
            complaint: None,
        })))
    }

    /// What to send a request with now. May run a plugin.
    pub(super) fn ticket(&self) -> Result<Ticket, CredentialsError> {
        let credentials = {
            let mut state = self.0.lock();
            if state.looked.elapsed() >= EVERY {
                state.look();
            }
            Arc::clone(&state.credentials)
        };
        let held = credentials.get()?;
        let mut state = self.0.lock();
        state.fit(&held)?;
        Ok(Ticket {
            authorization: held.header,
            headers: Arc::clone(&state.headers),
            tls: state.tls.clone(),
            proxy_tls: state.proxy_tls.clone(),
            generation: state.generation,
            serial: held.serial,
            credentials,
        })
    }

    /// The server refused a ticket. True when a new one may fare better.
    pub(super) fn refused(&self, ticket: &Ticket) -> bool {
        {
            let mut state = self.0.lock();
            state.look();
            let is_same = Arc::ptr_eq(&state.credentials, &ticket.credentials);
            if state.generation != ticket.generation || !is_same {
                return true;
            }
        }
        ticket.credentials.refused(ticket.serial)
    }

    /// When the certificate ends that the server showed last, in seconds since 1970.
    pub(super) fn peer_ends(&self) -> Option<u64> {
        self.0.lock().tls.as_ref()?.peer_ends()
    }

    /// Ends what runs for the credentials.
    pub(super) fn end(&self) {
        let credentials = Arc::clone(&self.0.lock().credentials);
        credentials.end();
    }
}

impl State {
    /// Takes the client certificate of a plugin into the TLS configuration, if it is another one.
    fn fit(&mut self, held: &Held) -> Result<(), CredentialsError> {
        let is_same = match (&held.pair, &self.pair) {
            (Some(new), Some(old)) => Arc::ptr_eq(new, old),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return Ok(());
        }
        let tls = Tls::load(&self.access, held.pair.as_deref());
        self.tls = tls.map_err(|e| CredentialsError(format!("credential plugin: {e}")))?;
        self.pair.clone_from(&held.pair);
        self.generation += 1;
        Ok(())
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        let now = stamps(&self.access);
        if now == self.stamps {
            return;
        }
        match self.renew(now) {
            Ok(()) => {
                if self.complaint.take().is_some() {
                    info!("the credentials can be read again");
                }
            }
            Err(problem) if self.complaint.as_ref() != Some(&problem) => {
                warn!("{problem}; what was read before stays in force");
                self.complaint = Some(problem);
            }
            Err(_) => {}
        }
    }

    fn renew(&mut self, now: Vec<(PathBuf, Option<Stamp>)>) -> Result<(), String> {
        let access = match self.access.files.is_empty() {
            true => self.access.clone(),
            false => kubeconfig::reload(&self.access).map_err(|e| e.to_string())?,
        };
        let is_kubeconfig = |path: &Path| self.access.files.iter().any(|file| file == path);
        let material_changed = now
            .iter()
            .filter(|(path, _)| !is_kubeconfig(path))
            .any(|entry| !self.stamps.contains(entry));
        if access == self.access && !material_changed {
            self.stamps = now;
            return Ok(());
        }
        let is_same_login = access.authorization == self.access.authorization;
        let pair = self.pair.clone().filter(|_| is_same_login);
        let tls = Tls::load(&access, pair.as_deref()).map_err(|e| e.to_string())?;
        self.proxy_tls = Tls::load_for_proxy(&access).map_err(|e| e.to_string())?;
        self.tls = tls;
        self.pair = pair;
        self.generation += 1;
        if !is_same_login {
            self.credentials.end();
            self.credentials = Arc::new(Credentials::new(&access.authorization));
        }
        self.headers = headers(access.impersonation.as_ref());
        // The files that the new access names may be others.
        self.stamps = if access == self.access { now } else { stamps(&access) };
        self.access = access;
        info!("credentials were renewed from {}", self.access.origin);
        Ok(())
    }
}

fn headers(who: Option<&Impersonation>) -> Arc<[(String, String)]> {
    who.map(Impersonation::headers).unwrap_or_default().into()
}

/// Whether a certificate, a key or the authority was written just now.
fn is_fresh(access: &Access) -> bool {
    materials(access).iter().any(|path| {
        let modified = std::fs::metadata(path).and_then(|file| file.modified());
        modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < TORN))
    })
}

/// Every file that the access depends on, but for a token file, which looks after itself.
fn stamps(access: &Access) -> Vec<(PathBuf, Option<Stamp>)> {
    let files = access.files.iter().cloned().chain(materials(access));
    files.map(|path| (path.clone(), Stamp::of(&path).ok())).collect()
}

/// The files with certificates and keys.
fn materials(access: &Access) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut add = |material: &Material| {
        if let Material::File(path) = material {
            files.push(path.clone());
        }
    };
    if let Trust::Authority(material) = &access.trust {
        add(material);
    }
    if let Some(identity) = &access.identity {
        add(&identity.certificate);
        add(&identity.key);
    }
    files
}

#[cfg(test)]
mod tests;
