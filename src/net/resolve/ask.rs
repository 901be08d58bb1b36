//! The talk with name servers: UDP, and TCP where an answer does not fit. `[E]`
//!
//! One socket for each try, so that the kernel chooses a fresh port; both families are asked at once.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::conf::Conf;
use super::message::{Answer, Family, answer, question};

/// What is waited for an answer of the second family when the first has come.
const STRAGGLER: Duration = Duration::from_millis(500);

/// Both families of one name at one server.
struct Found {
    addresses: Vec<IpAddr>,
    seconds: u32,
    /// The server knows the name not, or without an address.
    is_final: bool,
    problem: String,
}

/// Asks for every candidate in turn, each at every server; the first that has addresses wins. A domain of
/// the search list whose servers fail does not hide the others, as for kubectl; but then nobody knows
/// that the name does not exist.
pub(super) fn ask(
    name: &str,
    conf: &Conf,
    budget: Duration,
) -> Result<(Vec<IpAddr>, Duration), String> {
    let deadline = Instant::now() + budget;
    let mut problem = "it does not exist".to_owned();
    let mut unanswered = None;
    for candidate in conf.candidates(name) {
        match ask_all(&candidate, conf, deadline) {
            Ok(found) if !found.addresses.is_empty() => {
                return Ok((found.addresses, Duration::from_secs(found.seconds.into())));
            }
            Ok(found) => problem = found.problem,
            Err(e) => unanswered = unanswered.or(Some(e)),
        }
    }
    Err(unanswered.unwrap_or(problem))
}

fn ask_all(name: &str, conf: &Conf, deadline: Instant) -> Result<Found, String> {
    let mut problem = String::new();
    for _ in 0..conf.attempts {
        for server in &conf.servers {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("no name server answered in time{problem}"));
            }
            match ask_one(name, *server, conf, left.min(conf.timeout)) {
                Ok(found) if found.is_final || !found.addresses.is_empty() => return Ok(found),
                Ok(found) => problem = format!(" ({server}: {})", found.problem),
                Err(e) => problem = format!(" ({server}: {e})"),
            }
        }
    }
    Err(format!("no name server answered{problem}"))
}

fn ask_one(name: &str, server: SocketAddr, conf: &Conf, limit: Duration) -> io::Result<Found> {
    let id = (RandomState::new().hash_one(name) & 0xffff) as u16;
    let families = [(id, Family::V4), (id ^ 1, Family::V6)];
    let questions = families.map(|(id, family)| question(id, name, family));
    let [Some(v4), Some(v6)] = questions else {
        let problem = "it is not a host name".to_owned();
        return Ok(Found { addresses: vec![], seconds: 0, is_final: true, problem });
    };
    let questions = [v4, v6];
    let mut answers = match conf.use_tcp {
        true => [const { Some(Answer::Truncated) }; 2],
        false => over_udp(&questions, server, limit)?,
    };
    for (asked, answer) in questions.iter().zip(&mut answers) {
        if *answer == Some(Answer::Truncated) {
            *answer = Some(over_tcp(asked, server, limit)?);
        }
    }
    Ok(together(answers))
}

fn together(answers: [Option<Answer>; 2]) -> Found {
    let problem = "it does not exist".to_owned();
    let mut found = Found { addresses: vec![], seconds: u32::MAX, is_final: false, problem };
    let mut refused = None;
    for answer in answers.into_iter().flatten() {
        match answer {
            Answer::Addresses(addresses, seconds) => {
                found.is_final = true;
                found.problem = "it has no address".into();
                if !addresses.is_empty() {
                    found.seconds = found.seconds.min(seconds);
                }
                found.addresses.extend(addresses);
            }
            Answer::NoName => found.is_final = true,
            Answer::Refused(code) => refused = Some(code),
            Answer::Truncated => {}
        }
    }
    if let (Some(code), true) = (refused, found.addresses.is_empty()) {
        found.is_final = false;
        found.problem = match code {
            2 => "it reports a failure of its own".to_owned(),
            5 => "it refuses to answer".to_owned(),
            code => format!("it answers with code {code}"),
        };
    }
    found
}

fn over_udp(
    questions: &[Vec<u8>; 2],
    server: SocketAddr,
    limit: Duration,
) -> io::Result<[Option<Answer>; 2]> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    for asked in questions {
        socket.send(asked)?;
    }
    let mut deadline = Instant::now() + limit;
    let mut answers = [None, None];
    let mut buffer = [0; 4096];
    while answers.contains(&None) {
        let left = deadline.saturating_duration_since(Instant::now());
        let received = match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut buffer)),
        };
        match received {
            Ok(length) => {
                for (asked, slot) in questions.iter().zip(&mut answers) {
                    if let Some(said) = answer(&buffer[..length], asked) {
                        *slot = Some(said);
                        deadline = deadline.min(Instant::now() + STRAGGLER);
                    }
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // A server that is silent about one family is believed about the other.
            Err(_) if answers.iter().any(Option::is_some) => break,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(e) => return Err(e),
        }
    }
    Ok(answers)
}

fn over_tcp(asked: &[u8], server: SocketAddr, limit: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let length = u16::try_from(asked.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), asked].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    let read = answer(&message, asked).filter(|read| *read != Answer::Truncated);
    read.ok_or_else(|| io::Error::other("the answer cannot be understood"))
}
