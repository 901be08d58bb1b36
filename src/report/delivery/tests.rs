//! A receiver of our own, and what becomes of messages to it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// What the receiver does with one request.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// This status line and these headers.
    Answer(&'static str),
    /// The connection is closed without an answer.
    Close,
    /// Nothing, until the test is over.
    Hang,
}

const OK: Act = Act::Answer("200 OK\r\n");

/// Plays its acts one request after the other, and then answers 200.
struct Fake {
    port: u16,
    /// The bodies that were read, taken or not.
    bodies: Receiver<String>,
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

    #[track_caller]
    fn body(&self) -> String {
        self.bodies.recv_timeout(LIMIT).expect("a request comes")
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
    told: &Sender<String>,
    over: &AtomicBool,
) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = read_body(&mut reader) {
        let _ = told.send(body);
        match acts.next().unwrap_or(OK) {
            Act::Answer(head) => {
                let answer = format!("HTTP/1.1 {head}content-length: 0\r\n\r\n");
                if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                    return;
                }
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

/// A delivery, and the channel that says what became of each message.
fn deliver_to(url: WebhookUrl) -> (Delivery, Receiver<(u64, Fate)>) {
    let (told, fates) = crossbeam_channel::unbounded();
    let settled = move |id, fate| drop(told.send((id, fate)));
    (Delivery::start(url, 1000, settled).expect("a thread"), fates)
}

fn parcel(id: u64) -> Parcel {
    Parcel { id: Some(id), payload: format!("message {id}") }
}

/// Three messages to a receiver that acts like this: the requests as they arrive, and what became of
/// the messages, in order, each once.
#[track_caller]
fn check(acts: &[Act], requests: &[u64], set_aside: &[u64]) {
    let fake = Fake::start(acts);
    let (delivery, fates) = deliver_to(fake.url());
    (1..=3).for_each(|id| delivery.send(parcel(id)));
    assert!(delivery.finish(LIMIT), "{acts:?}: everything was settled");
    let got: Vec<String> = fake.bodies.try_iter().collect();
    let expect: Vec<String> = requests.iter().map(|id| format!("message {id}")).collect();
    assert_eq!(got, expect, "{acts:?}");
    let fates: Vec<(u64, bool)> =
        fates.try_iter().map(|(id, fate)| (id, fate == Fate::Delivered)).collect();
    let expect: Vec<(u64, bool)> = (1..=3).map(|id| (id, !set_aside.contains(&id))).collect();
    assert_eq!(fates, expect, "{acts:?}: told once each, in order");
}

#[test]
fn what_may_pass_is_tried_again_in_order_and_what_will_not_is_set_aside() {
    check(&[], &[1, 2, 3], &[]);
    check(&[OK, OK, OK], &[1, 2, 3], &[]);
    check(&[Act::Answer("204 No Content\r\n")], &[1, 2, 3], &[]);
    let busy = Act::Answer("429 Too Many Requests\r\nretry-after: 0\r\n");
    check(&[busy, busy, OK], &[1, 1, 1, 2, 3], &[]);
    check(&[OK, Act::Answer("503 Service Unavailable\r\n")], &[1, 2, 2, 3], &[]);
    check(&[Act::Close, OK, Act::Close], &[1, 1, 2, 2, 3], &[]);
    check(&[Act::Answer("400 Bad Request\r\n")], &[1, 2, 3], &[1]);
    check(&[OK, Act::Answer("404 Not Found\r\n"), busy], &[1, 2, 3, 3], &[2]);
}

#[test]
fn a_redirect_is_not_followed_and_no_other_host_learns_the_message() {
    let elsewhere = Fake::start(&[]);
    // The table's texts are static; a port is only known here.
    let head: &'static str = Box::leak(
        format!("307 Temporary Redirect\r\nlocation: {}\r\n", elsewhere.url().expose())
            .into_boxed_str(),
    );
    check(&[Act::Answer(head)], &[1, 2, 3], &[1]);
    assert!(elsewhere.bodies.try_recv().is_err(), "nothing arrived there");
}

#[test]
fn the_reason_of_a_refusal_does_not_repeat_the_address() {
    let fake = Fake::start(&[Act::Answer("410 Gone\r\n")]);
    let (delivery, fates) = deliver_to(fake.url());
    delivery.send(parcel(1));
    let (id, fate) = fates.recv_timeout(LIMIT).expect("settled");
    let Fate::SetAside(why) = fate else { panic!("{fate:?}") };
    assert_eq!(id, 1);
    assert!(why.contains("410") && !why.contains("secret"), "{why}");
    assert!(delivery.finish(LIMIT));
}

#[test]
fn a_message_of_no_store_is_sent_and_nobody_is_told_of_its_fate() {
    let fake = Fake::start(&[Act::Answer("400 Bad Request\r\n")]);
    let (delivery, fates) = deliver_to(fake.url());
    delivery.send(Parcel { id: None, payload: "first".into() });
    delivery.send(Parcel { id: None, payload: "second".into() });
    assert!(delivery.finish(LIMIT));
    assert_eq!([fake.body(), fake.body()], ["first", "second"]);
    assert!(fates.try_recv().is_err());
}

#[test]
fn a_receiver_that_hangs_blocks_neither_the_sender_nor_the_end() {
    let fake = Fake::start(&[Act::Hang]);
    let (delivery, fates) = deliver_to(fake.url());
    delivery.send(parcel(1));
    assert_eq!(fake.body(), "message 1");
    // More than may wait: a send that waits for room would wait for ever.
    let most = u64::try_from(CAPACITY).expect("small") + 10;
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
