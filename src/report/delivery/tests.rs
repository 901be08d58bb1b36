//! A receiver of our own, and what becomes of messages to it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::*;
use crate::model::Moment;
use crate::net::Surroundings;
use crate::report::http::Http;
use crate::report::inbox::Page;
use crate::report::record::Record;
use crate::report::samples;
use crate::report::webhook::WebhookUrl;

/// What the receiver does with one request.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// This status line and these headers.
    Answer(&'static str),
    /// The connection is closed without an answer.
    Close,
    /// Nothing, until the test is over.
    Hang,
    /// The message is taken, and what would say so is cut off in the middle.
    LoseAnswer,
}

const OK: Act = Act::Answer("200 OK\r\n");

/// Plays its acts one request after the other, and then answers 200.
struct Fake {
    port: u16,
    /// The bodies that were read, taken or not, and when.
    bodies: Receiver<(Moment, Value)>,
    over: Arc<AtomicBool>,
}

impl Fake {
    fn start(acts: &[Act]) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (told, bodies) = crossbeam_channel::unbounded();
        let over: Arc<AtomicBool> = Arc::default();
        let mut acts = Vec::from(acts).into_iter();
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream, &mut acts, &told, &ended);
            }
        });
        Fake { port, bodies, over }
    }

    fn url(&self) -> WebhookUrl {
        WebhookUrl::parse(&format!("http://127.0.0.1:{}/secret", self.port)).expect("valid")
    }

    /// The next body: its service, or the title of a digest.
    #[track_caller]
    fn told(&self) -> String {
        self.told_at().0
    }

    /// The same, and when it was read.
    #[track_caller]
    fn told_at(&self) -> (String, Moment) {
        let (at, body) = self.bodies.recv_timeout(LIMIT).expect("a request comes");
        let title = body["attachments"][0]["title"].as_str().expect("a title").to_owned();
        (title.strip_prefix("Deployed: ").unwrap_or(&title).to_owned(), at)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Far beyond what anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// One connection; the delivery has one at a time.
fn serve(
    stream: TcpStream,
    acts: &mut impl Iterator<Item = Act>,
    told: &Sender<(Moment, Value)>,
    over: &AtomicBool,
) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = read_body(&mut reader) {
        let _ = told.send((clock::now(), serde_json::from_str(&body).expect("JSON")));
        match acts.next().unwrap_or(OK) {
            Act::Answer(head) => {
                let answer = format!("HTTP/1.1 {head}content-length: 0\r\n\r\n");
                if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Act::LoseAnswer => {
                let _ = reader.get_mut().write_all(b"HTTP/1.1 20");
                return;
            }
            Act::Close => return,
            Act::Hang => {
                while !over.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                return;
            }
        }
    }
}

fn read_body(reader: &mut impl BufRead) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

fn route(url: WebhookUrl, per_second: u32) -> Route {
    Route {
        kind: Kind::Slack,
        pace: Kind::Slack.pace().at_rate(per_second),
        transport: Box::new(Http::within(
            Kind::Slack,
            url,
            None,
            (&Surroundings::default(), Duration::from_secs(20)),
        )),
        fetch: None,
        left: 0,
    }
}

/// A delivery, and the channel that says what became of each message.
fn deliver_by(route: Route) -> (Delivery, Receiver<(u64, Fate)>) {
    let (told, fates) = crossbeam_channel::unbounded();
    let settled = move |id, fate, _| drop(told.send((id, fate)));
    (Delivery::start(route, settled).expect("a thread"), fates)
}

fn deliver_to(url: WebhookUrl) -> (Delivery, Receiver<(u64, Fate)>) {
    deliver_by(route(url, 1000))
}

fn record(event: &str, n: u64) -> Record {
    let record = samples::all().into_iter().find(|record| record.event == event);
    Record { service: Some(format!("svc-{n}")), ..record.expect("a sample") }
}

fn parcel_of(record: &Record, id: Option<u64>) -> Parcel {
    Parcel { id, payload: serde_json::to_string(record).expect("JSON") }
}

fn parcel(id: u64) -> Parcel {
    parcel_of(&record("deployed", id), Some(id))
}

fn name(id: u64) -> String {
    format!("svc-{id} (prod)")
}

#[track_caller]
fn fate(fates: &Receiver<(u64, Fate)>) -> (u64, Fate) {
    fates.recv_timeout(LIMIT).expect("settled")
}

#[test]
fn fault_33_what_may_pass_is_tried_again_and_later_messages_wait_behind_it() {
    let fake = Fake::start(&[
        Act::Answer("500 Internal Server Error\r\n"),
        Act::Answer("429 Too Many Requests\r\nretry-after: 0\r\n"),
        Act::Answer("503 Service Unavailable\r\nretry-after: 0\r\n"),
        Act::Close,
    ]);
    let (delivery, fates) = deliver_to(fake.url());
    (1..=3).for_each(|id| delivery.send(parcel(id)));
    for id in [1, 1, 1, 1, 1, 2, 3] {
        assert_eq!(fake.told(), name(id));
    }
    for id in 1..=3 {
        assert_eq!(fate(&fates), (id, Fate::Delivered));
    }
    assert!(delivery.finish(LIMIT));
}

#[test]
fn retry_after_is_waited_for_and_in_all_that_time_nothing_is_sent() {
    let fake = Fake::start(&[Act::Answer("429 Too Many Requests\r\nretry-after: 2\r\n")]);
    let (delivery, fates) = deliver_to(fake.url());
    delivery.send(parcel(1));
    delivery.send(parcel(2));
    let ((first, before), (again, after)) = (fake.told_at(), fake.told_at());
    assert_eq!([first, again], [name(1), name(1)]);
    // Both were read before they were answered, so however slow the machine is, it is not less.
    assert!(after.since(before) >= Duration::from_secs(2));
    assert_eq!(fate(&fates), (1, Fate::Delivered));
    assert!(delivery.finish(LIMIT));
}

#[test]
fn fault_34_what_is_refused_for_good_is_set_aside_and_the_next_one_goes_on() {
    let fake = Fake::start(&[
        Act::Answer("404 Not Found\r\n"),
        Act::Answer("302 Found\r\nlocation: http://127.0.0.1:9/elsewhere\r\n"),
    ]);
    let (delivery, fates) = deliver_to(fake.url());
    (1..=3).for_each(|id| delivery.send(parcel(id)));
    for (id, part) in [(1, "404"), (2, "redirect, which is not followed")] {
        let (at, Fate::SetAside(why)) = fate(&fates) else { panic!("it is set aside") };
        assert_eq!(at, id);
        assert!(why.contains(part) && !why.contains("secret"), "{why}");
    }
    assert_eq!(fate(&fates), (3, Fate::Delivered));
    assert!(delivery.finish(LIMIT));
}

#[test]
fn fault_35_an_acknowledgement_that_is_lost_means_a_duplicate_and_no_loss() {
    let fake = Fake::start(&[Act::LoseAnswer]);
    let (delivery, fates) = deliver_to(fake.url());
    (1..=2).for_each(|id| delivery.send(parcel(id)));
    assert_eq!([fake.told(), fake.told(), fake.told()], [name(1), name(1), name(2)]);
    assert_eq!([fate(&fates), fate(&fates)], [(1, Fate::Delivered), (2, Fate::Delivered)]);
    assert!(delivery.finish(LIMIT));
}

#[test]
fn a_message_of_no_store_is_sent_and_nobody_is_told_of_its_fate() {
    let fake = Fake::start(&[Act::Answer("400 Bad Request\r\n")]);
    let (delivery, fates) = deliver_to(fake.url());
    (1..=2).for_each(|n| delivery.send(parcel_of(&record("deployed", n), None)));
    assert!(delivery.finish(LIMIT));
    assert_eq!([fake.told(), fake.told()], [name(1), name(2)]);
    assert!(fates.try_recv().is_err());
}

#[test]
fn what_another_version_wrote_is_set_aside_and_the_rest_goes_on() {
    let fake = Fake::start(&[]);
    let (delivery, fates) = deliver_to(fake.url());
    delivery.send(Parcel { id: Some(1), payload: "{\"attachments\":[]}".into() });
    delivery.send(parcel(2));
    let (id, Fate::SetAside(why)) = fate(&fates) else { panic!("it is set aside") };
    assert!(id == 1 && why.contains("another version"), "{why}");
    assert_eq!(fate(&fates), (2, Fate::Delivered));
    assert!(delivery.finish(LIMIT));
}

#[test]
fn a_receiver_that_hangs_blocks_neither_the_sender_nor_the_end() {
    let fake = Fake::start(&[Act::Hang]);
    let (delivery, fates) = deliver_to(fake.url());
    delivery.send(parcel(1));
    assert_eq!(fake.told(), name(1));
    // More than may wait in memory: a send that waits for room would wait for ever.
    let most = u64::try_from(ROOM).expect("small") + 10;
    (2..=most).for_each(|id| delivery.send(parcel(id)));
    assert!(fates.try_recv().is_err(), "nothing is settled");
    assert!(!delivery.finish(Duration::from_millis(50)), "not everything was sent");
    assert!(fake.bodies.try_recv().is_err(), "the others wait behind the first");
}

#[test]
fn a_receiver_that_is_away_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let url = WebhookUrl::parse(&format!("http://127.0.0.1:{port}/")).expect("valid");
    let (delivery, fates) = deliver_to(url);
    delivery.send(parcel(1));
    assert!(!delivery.finish(Duration::from_millis(50)));
    // Told to stop, the thread gives up and does not settle what it could not deliver.
    assert_eq!(fates.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
}

/// A store in which these wait.
fn stored(records: Vec<Record>) -> Fetch {
    Box::new(move |after, limit| {
        let rows = records.iter().zip(1..).skip(usize::try_from(after).expect("small"));
        let parcels = rows.take(limit).map(|(record, id)| parcel_of(record, Some(id))).collect();
        let up_to = (records.len() as u64).min(after + limit as u64);
        Ok(Page { parcels, up_to, unread: None })
    })
}

#[test]
fn more_than_twenty_thousand_that_wait_in_the_store_are_delivered_in_order_without_a_restart() {
    const WAIT: u64 = 20_500;
    let fake = Fake::start(&[]);
    let records = (1..=WAIT).map(|id| record("deployed", id)).collect();
    let mut route = route(fake.url(), 1000);
    // As fast as it goes, so that there is no storm.
    route.pace = Pace::new(Duration::from_millis(1), 100_000);
    (route.fetch, route.left) = (Some(stored(records)), WAIT);
    let (delivery, fates) = deliver_by(route);
    for id in 1..=WAIT {
        assert_eq!(fate(&fates), (id, Fate::Delivered));
    }
    assert!(delivery.finish(LIMIT));
}

#[test]
fn a_thousand_outcomes_at_once_are_at_most_twenty_messages_and_no_failure_is_unnamed() {
    let fake = Fake::start(&[]);
    let outcome = |n: u64| record(if n.is_multiple_of(2) { "failed" } else { "deployed" }, n);
    let records: Vec<Record> = (1..=1000).map(outcome).collect();
    let mut route = route(fake.url(), 1000);
    // They wait already, as behind a receiver that came back; Slack's pace, with a longer burst for
    // the sake of the test's time.
    route.pace = Pace::new(Duration::from_secs(1), 20);
    (route.fetch, route.left) = (Some(stored(records)), 1000);
    let (delivery, fates) = deliver_by(route);
    for id in 1..=1000 {
        assert_eq!(fate(&fates), (id, Fate::Delivered));
    }
    assert!(delivery.finish(LIMIT));
    let bodies: Vec<String> = fake.bodies.try_iter().map(|(_, body)| body.to_string()).collect();
    assert!(bodies.len() <= 20, "{}", bodies.len());
    let all = bodies.concat();
    for n in (2..=1000).step_by(2) {
        assert!(all.contains(&format!("*svc-{n} (prod)* Failed: CrashLoopBackOff, exit code 1")));
    }
}

#[test]
fn ten_that_wait_are_told_singly() {
    let fake = Fake::start(&[Act::Answer("503 Service Unavailable\r\nretry-after: 1\r\n")]);
    let mut route = route(fake.url(), 1000);
    route.pace = Pace::new(Duration::from_millis(1000), 100);
    let (delivery, fates) = deliver_by(route);
    (1..=10).for_each(|id| delivery.send(parcel(id)));
    let told: Vec<String> = (0..11).map(|_| fake.told()).collect();
    assert_eq!(told[0], told[1]);
    assert_eq!(told[1..], (1..=10).map(name).collect::<Vec<_>>());
    assert_eq!(fates.iter().take(10).count(), 10);
    assert!(delivery.finish(LIMIT));
}
