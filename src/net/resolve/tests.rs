//! The resolver against files and name servers of its own.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// How a test's name server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    /// Knows `api.example` and `deep.sub.example` by both families, `four.example` and `six.example` by
    /// one each, and fails for whatever is in `broken.example`.
    Fine,
    /// Says that the answer does not fit; TCP has it.
    Cut,
    /// Fails with this code.
    Failing(u8),
    /// Reads and says nothing.
    Silent,
}

struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

fn reply(question: &[u8], mood: Mood, tcp: bool) -> Option<Vec<u8>> {
    let mut out = question.to_vec();
    (out[2], out[3]) = (0x81, 0x80);
    let v6 = question[question.len() - 3] == 28;
    let mut known = vec![&b"\x03api\x07example\0"[..], &b"\x04deep\x03sub\x07example\0"[..]];
    let (four, six) = (&b"\x04four\x07example\0"[..], &b"\x03six\x07example\0"[..]);
    known.push(if v6 { six } else { four });
    let is_known = known.iter().any(|name| question[12..].starts_with(name));
    let is_other = [four, six].iter().any(|name| question[12..].starts_with(name));
    let is_broken = question.windows(7).any(|part| part == b"\x06broken");
    match mood {
        Mood::Silent => return None,
        Mood::Failing(code) => out[3] |= code,
        Mood::Cut if !tcp => out[2] |= 2,
        _ if is_broken => out[3] |= 2,
        _ if is_other && !is_known => {}
        _ if !is_known => out[3] |= 3,
        _ => {
            out[7] = 1;
            let data: &[u8] = if v6 {
                &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
            } else {
                &[10, 0, 0, 1]
            };
            out.extend([0xc0, 12, 0, if v6 { 28 } else { 1 }, 0, 1, 0, 0, 0, 60, 0]);
            out.push(data.len() as u8);
            out.extend(data);
        }
    }
    Some(out)
}

fn server(mood: Mood) -> Server {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::SeqCst);
            if let Some(out) = reply(&buffer[..length], mood, false) {
                let _ = udp.send_to(&out, from);
            }
        }
    });
    thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            let out = reply(&question, mood, true).unwrap();
            stream.write_all(&[&(out.len() as u16).to_be_bytes(), &out[..]].concat()).unwrap();
        }
    });
    Server { address, asked }
}

fn conf(servers: &[&Server], search: &[&str]) -> Conf {
    Conf {
        servers: servers.iter().map(|s| s.address).collect(),
        search: search.iter().map(|s| (*s).to_owned()).collect(),
        timeout: Duration::from_millis(300),
        ..Conf::parse("", 53)
    }
}

fn both() -> Vec<IpAddr> {
    vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]
}

#[test]
fn both_families_are_found_over_udp_and_over_tcp() {
    for mood in [Mood::Fine, Mood::Cut] {
        let server = server(mood);
        let (found, seconds) = ask::ask("api.example", &conf(&[&server], &[]), LIMIT).unwrap();
        assert_eq!((found, seconds.as_secs()), (both(), 60));
        let tcp = Conf { use_tcp: true, ..conf(&[&server], &[]) };
        assert_eq!(ask::ask("api.example", &tcp, LIMIT).unwrap().0, both());
    }
}

#[test]
fn the_search_list_completes_short_names() {
    let server = server(Mood::Fine);
    let conf = conf(&[&server], &["nowhere.example", "sub.example"]);
    assert_eq!(ask::ask("deep", &conf, LIMIT).unwrap().0, both());
    let missing = ask::ask("gone", &conf, LIMIT).unwrap_err();
    assert_eq!(missing, "it does not exist");
    assert_eq!(ask::ask("no..name", &conf, LIMIT).unwrap_err(), "it is not a host name");
}

#[test]
fn a_name_of_one_family_is_found() {
    let server = server(Mood::Fine);
    let conf = conf(&[&server], &[]);
    assert_eq!(ask::ask("four.example", &conf, LIMIT).unwrap().0, both()[..1]);
    assert_eq!(ask::ask("six.example", &conf, LIMIT).unwrap().0, both()[1..]);
}

#[test]
fn the_dots_of_a_name_decide_what_is_asked_first() {
    let server = server(Mood::Fine);
    let many_dots = Conf { ndots: 5, ..conf(&[&server], &["sub.example"]) };
    // As pods have it: the search list first, then the name as it is.
    assert_eq!(ask::ask("api.example", &many_dots, LIMIT).unwrap().0, both());
    let asked = || server.asked.swap(0, Ordering::SeqCst);
    assert_eq!(asked(), 4);
    assert_eq!(ask::ask("api.example.", &many_dots, LIMIT).unwrap().0, both());
    assert_eq!(asked(), 2);
    let few_dots = conf(&[&server], &["sub.example"]);
    assert_eq!(ask::ask("api.example", &few_dots, LIMIT).unwrap().0, both());
    assert_eq!(asked(), 2);
}

#[test]
fn a_domain_of_the_search_list_that_fails_does_not_hide_the_others() {
    let server = server(Mood::Fine);
    let broken = ["broken.example", "sub.example"];
    assert_eq!(ask::ask("deep", &conf(&[&server], &broken), LIMIT).unwrap().0, both());
    let many_dots = Conf { ndots: 5, ..conf(&[&server], &broken[..1]) };
    assert_eq!(ask::ask("api.example", &many_dots, LIMIT).unwrap().0, both());
    let missing = ask::ask("gone", &conf(&[&server], &broken), LIMIT).unwrap_err();
    assert!(missing.starts_with("no name server answered"), "{missing}");
}

#[test]
fn the_next_server_is_asked_when_one_fails_or_is_silent() {
    let fine = server(Mood::Fine);
    for mood in [Mood::Silent, Mood::Failing(2), Mood::Failing(5)] {
        let bad = server(mood);
        let found = ask::ask("api.example", &conf(&[&bad, &fine], &[]), LIMIT).unwrap();
        assert_eq!(found.0, both());
        let alone = ask::ask("api.example", &conf(&[&bad], &[]), LIMIT).unwrap_err();
        assert!(alone.starts_with("no name server answered"), "{alone}");
    }
}

#[test]
fn an_address_and_the_hosts_file_need_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "10.9.8.7 api.internal api\n").unwrap();
    let resolver = CachingResolver::new(hosts, folder.path().join("none"), 53);
    let check = |host: &str, expect: &str| {
        let found = resolver.lookup(host, LIMIT).unwrap();
        assert_eq!(found[0].to_string(), expect, "{host}");
    };
    check("10.0.0.1", "10.0.0.1");
    check("[fd00::1]", "fd00::1");
    check("api.internal", "10.9.8.7");
    check("API", "10.9.8.7");
    assert!(resolver.lookup("localhost", LIMIT).unwrap().iter().all(IpAddr::is_loopback));
}

#[test]
fn a_name_is_looked_up_once_and_the_last_addresses_stay_while_nobody_answers() {
    let mut known = Known::default();
    known.take(Ok((vec!["10.0.0.1".parse().unwrap()], Duration::from_secs(60))));
    assert!(known.good_until.unwrap() > Instant::now() + Duration::from_secs(50));
    known.take(Err("away".into()));
    assert_eq!(known.addresses.len(), 1);
    assert!(known.good_until.unwrap() > Instant::now());
}

#[test]
fn many_threads_that_want_one_name_ask_one_question_for_each_family() {
    let folder = tempfile::tempdir().unwrap();
    let conf_file = folder.path().join("resolv.conf");
    std::fs::write(&conf_file, "nameserver 127.0.0.1\n").unwrap();
    let check = |mood: Mood, is_found: bool, questions: usize| {
        let server = server(mood);
        let port = server.address.port();
        let resolver = CachingResolver::new(folder.path().join("none"), conf_file.clone(), port);
        thread::scope(|scope| {
            for _ in 0..20 {
                let look = || resolver.lookup("Api.Example", LIMIT).is_ok();
                scope.spawn(move || assert_eq!(look(), is_found));
            }
        });
        assert_eq!(server.asked.load(Ordering::SeqCst), questions);
    };
    check(Mood::Fine, true, 2);
    // Both attempts of one lookup.
    check(Mood::Failing(2), false, 4);
}
