//! The thread that speaks to the receiver, in the simulated world. What is sent next, when, and what an
//! answer means is decided by `report::dispatch`, what waits is in `report::inbox`, and a page of what was
//! left in the store is made by `store::outbox`: all of production. Only a read that fails brings nothing
//! here, where production brings what the disk has not taken before the rest, out of order.

use std::sync::Weak;
use std::time::Duration;

use depd::model::{Moment, Notice, ServiceKey, What};
use depd::report::dispatch::{Dispatch, Fate, Next, Outcome, settle};
use depd::report::inbox::{Fetch, Inbox, Page, Parcel, STORE_RETRY};
use depd::report::record::{Circumstances, Record};
use depd::report::transport;
use depd::report::words::words;
use depd::store::outbox::{self, OutboxPage, Wanted};
use depd::store::{Answer, Outgoing};

use crate::depd::Depd;
use crate::sabotage::Sabotage;
use crate::world::World;

/// The only receiver.
pub const PEOPLE: &str = "people";

pub struct Post {
    inbox: Inbox,
    dispatch: Dispatch,
    fetch: Fetch,
    /// When it goes on by itself.
    until: Option<Moment>,
}

impl Post {
    /// With everything on the disk still to be read.
    pub fn new(world: &World, left: u64) -> Post {
        let kind = world.setup.receiver;
        Post {
            inbox: Inbox::new(left),
            dispatch: Dispatch::new(kind, kind.pace()),
            fetch: fetch(world.me.clone()),
            until: None,
        }
    }

    /// A message was committed.
    pub fn put(&self, message: Outgoing) {
        self.inbox.put(Parcel { id: Some(message.id), payload: message.payload });
    }

    pub fn next_due(&self) -> Option<u64> {
        self.until.map(|at| at.0)
    }
}

/// The message about the record of this number, as production words it.
pub fn payload(key: &ServiceKey, what: &What, number: usize) -> String {
    let notice = Notice { key: key.clone(), what: what.clone() };
    let record = Record::of(&notice, &words(&notice), &Circumstances::default());
    let record = record.map(|record| Record { id: number.to_string(), ..record });
    serde_json::to_string(&record.expect("it is a message")).expect("it is plain data")
}

fn number(record: &Record) -> usize {
    record.id.parse().expect("the number of a record")
}

fn fetch(world: Weak<World>) -> Fetch {
    Box::new(move |after, limit| {
        let world = world.upgrade().expect("the world is there");
        if world.fault_of_receiver() {
            return Err("the disk is busy".into());
        }
        let mut page = page(&world, after, limit);
        if world.setup.sabotage == Some(Sabotage::Disorder) {
            page.parcels.reverse();
        }
        world.note(|| format!("outbox: {} messages after {after}", page.parcels.len()));
        Ok(page)
    })
}

/// The page of production, of what is on the disk and what it has not taken.
fn page(world: &World, after: u64, limit: usize) -> Page {
    let Some(depd) = world.depd() else { return Page::default() };
    let writer = depd.writer.lock();
    // What came since the store's thread last looked is not announced yet, and comes by itself.
    let fresh = writer.batch.waiting(PEOPLE, 0).next().map(|message| message.id);
    let newest = fresh.unwrap_or(writer.next_id) - 1;
    let waiting = |(id, payload): (&u64, &String)| Outgoing {
        id: *id,
        key: None,
        receiver: PEOPLE.into(),
        payload: payload.clone(),
    };
    let disk = world.disk.lock();
    let on_disk = disk.outbox.range(after + 1..).take(limit).map(waiting).collect();
    let wanted = Wanted { receiver: PEOPLE.into(), after, limit };
    let OutboxPage { messages, up_to, unread } =
        outbox::page(&wanted, Ok(on_disk), &writer.backlog, newest);
    let parcel = |Outgoing { id, payload, .. }: Outgoing| Parcel { id: Some(id), payload };
    Page { parcels: messages.into_iter().map(parcel).collect(), up_to, unread }
}

impl Depd {
    /// One turn of the thread that delivers. False: it waits.
    pub fn deliver(&self, world: &World) -> bool {
        let now = world.now();
        let mut post = self.post.lock();
        let post = &mut *post;
        if post.dispatch.is_free() {
            // What cannot be read now is left there.
            let _ = post.inbox.refill(&mut post.fetch, || world.now());
        }
        post.until = None;
        match post.dispatch.next(&post.inbox, now) {
            Next::Send(load) => {
                let answer = attempt(world, &load.records);
                world.maybe_crash();
                match post.dispatch.answered(&answer, now, world.roll()) {
                    Outcome::Settled(fate) => self.settle(&post.inbox, &load.ids, &fate),
                    Outcome::Kept(_) => {}
                }
                return true;
            }
            Next::SetAside(id) => unreachable!("no other version of depd wrote message {id:?}"),
            Next::Rest(until) | Next::Gather(until) => post.until = Some(until),
            Next::Listen => post.until = post.inbox.has_more().then_some(now + STORE_RETRY),
            Next::End => {}
        }
        false
    }

    fn settle(&self, inbox: &Inbox, ids: &[Option<u64>], fate: &Fate) {
        assert_eq!(*fate, Fate::Delivered, "nothing is refused for good in this world");
        settle(inbox, ids, fate, |id, _, _| self.writer.lock().batch.answer(id, Answer::Delivered));
    }
}

/// The message travels, and so does what the receiver says to it.
fn attempt(world: &World, records: &[Record]) -> transport::Answer {
    let reached = !world.fault_of_receiver();
    let acknowledged = reached && !world.fault_of_receiver();
    let numbers: Vec<usize> = records.iter().map(number).collect();
    world.note(|| format!("messages {numbers:?}: reached {reached}, heard of them {acknowledged}"));
    if reached {
        let mut checks = world.checks.lock();
        checks.repeats_allowed |= !acknowledged;
        numbers.iter().for_each(|number| checks.received(*number));
        if world.setup.sabotage == Some(Sabotage::RepeatedMessage) {
            numbers.iter().for_each(|number| checks.received(*number));
        }
    }
    match acknowledged {
        true => transport::Answer::Taken,
        false => {
            let asked = world.percent(50).then(|| Duration::from_secs(world.roll() % 200));
            transport::Answer::Later { why: "nobody answered".into(), wait: asked }
        }
    }
}
