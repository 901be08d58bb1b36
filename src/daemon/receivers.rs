//! Everybody who is told: one delivery for each, behind one outbox. `[E]`

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::{info, warn};

use super::events::EventSink;
use super::settings::{ReceiverSettings, Way};
use crate::clock;
use crate::cluster::Client;
use crate::failpoint::Failpoint;
use crate::report::delivery::{Behind, Delivery, Fate, Route};
use crate::report::filter::Filter;
use crate::report::http::Http;
use crate::report::inbox::{Fetch, Page, Parcel};
use crate::report::kind::Kind;
use crate::report::record::Record;
use crate::report::transport::Transport;
use crate::store::{Message, OutboxPage, Outgoing, Reader, Store};

/// The receivers of a running daemon.
#[derive(Debug, Default)]
pub struct Receivers {
    all: Vec<Receiver>,
    /// A store keeps what waits for them.
    are_kept: bool,
}

#[derive(Debug)]
struct Receiver {
    kind: Kind,
    filter: Filter,
    delivery: Delivery,
}

/// The outbox: where it is, and what waits in it.
pub struct Outbox<'a> {
    /// What keeps messages.
    pub store: Arc<Store>,
    /// Its folder.
    pub folder: &'a Path,
    /// The greatest id that may wait in it.
    pub last_message: u64,
}

impl<'a> Outbox<'a> {
    /// The outbox of a store in `folder`; `None` where it keeps nothing, so that nobody leaves a message
    /// to it.
    #[must_use]
    pub fn of(store: &Arc<Store>, folder: &'a Path, last_message: u64) -> Option<Outbox<'a>> {
        store.keeps().then(|| Outbox { store: Arc::clone(store), folder, last_message })
    }
}

impl Receivers {
    /// Starts a delivery for each. `client` is for the receivers that are the cluster.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        settings: &[ReceiverSettings],
        outbox: Option<&Outbox<'_>>,
        client: &Arc<OnceLock<Client>>,
        host: &str,
    ) -> io::Result<Receivers> {
        let start = |one: &ReceiverSettings| deliver(one, transport(one, client, host), outbox);
        let all = settings.iter().map(start).collect::<io::Result<_>>()?;
        let receivers = Receivers { all, are_kept: outbox.is_some() };
        if let Some(outbox) = outbox {
            receivers.name_those_without_a_way(outbox.folder);
        }
        Ok(receivers)
    }

    /// Somebody whom messages wait for is not set up any more.
    fn name_those_without_a_way(&self, folder: &Path) {
        let counts = Reader::open(folder).and_then(|reader| reader.waiting_by_receiver());
        for (name, count) in counts.unwrap_or_default() {
            if !self.all.iter().any(|receiver| receiver.kind.name() == name) {
                warn!(
                    "{count} messages wait for {name}, which is not set up now; they are kept and \
                     sent when it is"
                );
            }
        }
    }

    /// The messages of a record: one for each receiver that wants it.
    #[must_use]
    pub fn messages(&self, record: &Record) -> Vec<Message> {
        let Ok(payload) = serde_json::to_string(record) else { return Vec::new() };
        let wanting = self.all.iter().filter(|receiver| receiver.filter.admits(record));
        wanting
            .map(|receiver| Message {
                receiver: receiver.kind.name().to_owned(),
                payload: payload.clone(),
            })
            .collect()
    }

    /// Hands over a message that the store has. Never blocks.
    pub fn committed(&self, message: Outgoing) {
        Failpoint::BeforeMessage.pass();
        // A number is a promise that it can be read there again.
        let id = self.are_kept.then_some(message.id);
        self.send(&message.receiver, Parcel { id, payload: message.payload });
    }

    /// Hands over a message that no store keeps. Never blocks.
    pub fn send_unkept(&self, message: Message) {
        self.send(&message.receiver, Parcel { id: None, payload: message.payload });
    }

    fn send(&self, name: &str, parcel: Parcel) {
        if let Some(receiver) = self.all.iter().find(|receiver| receiver.kind.name() == name) {
            receiver.delivery.send(parcel);
        }
    }

    /// Ends when what waits was sent or `limit` has passed; true when everything was sent.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> bool {
        let until = clock::now() + limit;
        self.all.iter().for_each(|receiver| receiver.delivery.close());
        let mut all_sent = true;
        for receiver in &self.all {
            all_sent &= receiver.delivery.finish(until.since(clock::now()));
        }
        all_sent
    }
}

fn transport(
    one: &ReceiverSettings,
    client: &Arc<OnceLock<Client>>,
    host: &str,
) -> Box<dyn Transport> {
    way_to(one)
        .unwrap_or_else(|| Box::new(EventSink::new(Arc::clone(client), format!("depd-{host}"))))
}

/// The way to a receiver; `None` when it is the cluster, which needs a client.
#[must_use]
pub fn way_to(one: &ReceiverSettings) -> Option<Box<dyn Transport>> {
    match &one.way {
        Way::Webhook { url, key, around } => {
            Some(Box::new(Http::new(one.kind, url.clone(), key.clone(), around)))
        }
        Way::Command(command) => Some(Box::new(command.clone())),
        Way::Events => None,
    }
}

/// A delivery by `transport`, which tells the outbox what became of each message.
fn deliver(
    one: &ReceiverSettings,
    transport: Box<dyn Transport>,
    outbox: Option<&Outbox<'_>>,
) -> io::Result<Receiver> {
    let route = Route {
        kind: one.kind,
        pace: one.pace.clone(),
        transport,
        fetch: outbox.map(|outbox| fetch(one.kind, &outbox.store)),
        left: outbox.map_or(0, |outbox| outbox.last_message),
    };
    let store = outbox.map(|outbox| Arc::clone(&outbox.store));
    let settled = move |message: u64, fate, behind| match (&store, fate) {
        (Some(store), Fate::Delivered) => {
            Failpoint::AfterMessage.pass();
            match behind {
                Behind::Nothing => store.delivered(message),
                Behind::Others => store.delivered_among_others(message),
            }
        }
        (Some(store), Fate::SetAside(why)) => store.set_aside(message, &why),
        (None, _) => {}
    };
    let delivery = Delivery::start(route, settled)?;
    Ok(Receiver { kind: one.kind, filter: one.filter.clone(), delivery })
}

/// Reads pages of the outbox.
fn fetch(kind: Kind, store: &Arc<Store>) -> Fetch {
    let store = Arc::clone(store);
    Box::new(move |after, limit| {
        let OutboxPage { messages, up_to, unread } = store.waiting(kind.name(), after, limit)?;
        let parcel = |message: Outgoing| Parcel { id: Some(message.id), payload: message.payload };
        Ok(Page { parcels: messages.into_iter().map(parcel).collect(), up_to, unread })
    })
}

/// Says at the start who is told.
pub fn introduce(settings: &[ReceiverSettings]) {
    for one in settings {
        let name = one.kind.name();
        match &one.way {
            Way::Webhook { url, around, .. } => match around.proxy_for(url.expose()) {
                Ok(Some(proxy)) => info!(
                    "{name}: messages go to {} through {} ({})",
                    url.host(),
                    proxy.url,
                    proxy.source
                ),
                _ => info!("{name}: messages go to {}", url.host()),
            },
            Way::Command(command) => info!("{name}: messages go to {}", command.place()),
            Way::Events => info!("{name}: Events are written on the workloads"),
        }
    }
    if settings.is_empty() {
        info!("no messages: WEBHOOK_FOR_SLACK is not set; this log has everything");
    }
}

/// The name of this host.
#[must_use]
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
