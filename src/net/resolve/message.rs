//! DNS messages: one question out, addresses in. `[C]`
//!
//! Facts: RFC 1035, section 4, and RFC 3596 for AAAA. Every length is checked, a chain of pointers
//! ends, and an answer counts only when it repeats the question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The family that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4 = 1,
    V6 = 28,
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Addresses, perhaps none, and the seconds that they are good for.
    Addresses(Vec<IpAddr>, u32),
    /// No such name.
    NoName,
    /// Cut off: ask again over TCP.
    Truncated,
    /// The server cannot or will not say; its code.
    Refused(u8),
}

const CLASS_IN: u16 = 1;
const TYPE_CNAME: u16 = 5;

/// Aliases followed within one answer.
const ALIASES: usize = 16;

/// A recursive question; `None` when the name is none that DNS can carry.
pub(super) fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len() + 18);
    out.extend(id.to_be_bytes());
    // Recursion desired; one question.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let start = out.len();
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|n| (1..=63).contains(n))?;
        out.push(length);
        out.extend(label.bytes());
    }
    out.push(0);
    if out.len() - start > 255 {
        return None;
    }
    out.extend((family as u16).to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    Some(out)
}

/// Reads the answer to that question; `None` when it is not one.
pub(super) fn answer(message: &[u8], asked: &[u8]) -> Option<Answer> {
    let body = asked.get(12..)?;
    let is_reply = message.get(2)? & 0x80 != 0;
    if message.get(..2)? != asked.get(..2)? || !is_reply || u16_at(message, 4)? != 1 {
        return None;
    }
    if !message.get(12..12 + body.len())?.eq_ignore_ascii_case(body) {
        return None;
    }
    if message[2] & 0x02 != 0 {
        return Some(Answer::Truncated);
    }
    match message[3] & 0x0f {
        0 => {}
        3 => return Some(Answer::NoName),
        code => return Some(Answer::Refused(code)),
    }
    let wanted = u16_at(body, body.len() - 4)?;
    let (name, _) = name_at(message, 12)?;
    records(message, 12 + body.len(), u16_at(message, 6)?, name, wanted)
}

/// One resource record of the answer section.
struct Record {
    name: String,
    kind: u16,
    seconds: u32,
    data: std::ops::Range<usize>,
}

fn records(message: &[u8], at: usize, count: u16, name: String, wanted: u16) -> Option<Answer> {
    let mut at = at;
    let mut all = Vec::new();
    for _ in 0..count {
        let (owner, next) = name_at(message, at)?;
        let kind = u16_at(message, next)?;
        let seconds =
            u32::from(u16_at(message, next + 4)?) << 16 | u32::from(u16_at(message, next + 6)?);
        let length = usize::from(u16_at(message, next + 8)?);
        let data = next + 10..next + 10 + length;
        message.get(data.clone())?;
        at = data.end;
        all.push(Record { name: owner, kind, seconds, data });
    }
    let (mut name, mut seconds) = (name, u32::MAX);
    for _ in 0..ALIASES {
        let own = || all.iter().filter(|record| record.name == name);
        let found = own().filter(|record| record.kind == wanted);
        let mut addresses = Vec::new();
        for record in found {
            seconds = seconds.min(record.seconds);
            addresses.push(address(message.get(record.data.clone())?)?);
        }
        let alias = own().find(|record| record.kind == TYPE_CNAME);
        match alias {
            Some(alias) if addresses.is_empty() => {
                seconds = seconds.min(alias.seconds);
                name = name_at(message, alias.data.start)?.0;
            }
            _ => return Some(Answer::Addresses(addresses, seconds)),
        }
    }
    None
}

fn address(data: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(data).map(|b| IpAddr::V4(Ipv4Addr::from(b)));
    v4.or_else(|_| <[u8; 16]>::try_from(data).map(|b| IpAddr::V6(Ipv6Addr::from(b)))).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The name that begins there, in small letters, and where the next field begins. A pointer must lead
/// backwards, so that every chain ends.
fn name_at(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut limit, mut end) = (start, start, None);
    let mut name = String::new();
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                let letters = label.iter().map(|b| char::from(b.to_ascii_lowercase()));
                name.extend(letters);
                if name.len() > 512 {
                    return None;
                }
                at += 1 + usize::from(length);
            }
            0xc0.. => {
                let target = usize::from(u16_at(message, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                if target >= limit {
                    return None;
                }
                (at, limit) = (target, target);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reply to a question with these records: owner, type, seconds, data.
    fn reply(asked: &[u8], code: u8, records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let mut out = asked.to_vec();
        (out[2], out[3], out[7]) = (0x81, 0x80 | code, records.len() as u8);
        for (owner, kind, seconds, data) in records {
            out.extend(*owner);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1]);
            out.extend(seconds.to_be_bytes());
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(*data);
        }
        out
    }

    /// A pointer to the name of the question.
    const OWN: &[u8] = &[0xc0, 12];

    #[test]
    fn a_question_is_what_rfc_1035_asks_for() {
        let text = question(0x1234, "a.bc", Family::V4).unwrap();
        let expect =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x02bc\x00\x00\x01\x00\x01";
        assert_eq!(text, expect);
        let refused = ["", "a..b", ".", &"x".repeat(64), &"abcdefg.".repeat(40)];
        assert!(refused.iter().all(|name| question(1, name, Family::V4).is_none()));
    }

    #[test]
    fn addresses_are_found_behind_aliases_with_the_shortest_time_to_live() {
        let asked = question(7, "Api.Example", Family::V4).unwrap();
        let alias = b"\x04real\xc0\x10";
        let real = b"\x04real\x07example\x00";
        let text = reply(
            &asked,
            0,
            &[
                (OWN, TYPE_CNAME, 30, alias),
                (real, 1, 60, &[10, 0, 0, 1]),
                (real, 1, 50, &[10, 0, 0, 2]),
                (b"\x05other\x00", 1, 1, &[6, 6, 6, 6]),
            ],
        );
        let expect = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        assert_eq!(answer(&text, &asked), Some(Answer::Addresses(expect, 30)));
        let none = reply(&asked, 0, &[]);
        assert_eq!(answer(&none, &asked), Some(Answer::Addresses(vec![], u32::MAX)));
    }

    #[test]
    fn refusals_are_told_apart_and_strangers_are_not_heard() {
        let asked = question(7, "api.example", Family::V6).unwrap();
        assert_eq!(answer(&reply(&asked, 3, &[]), &asked), Some(Answer::NoName));
        assert_eq!(answer(&reply(&asked, 2, &[]), &asked), Some(Answer::Refused(2)));
        let mut cut = reply(&asked, 0, &[]);
        cut[2] |= 0x02;
        assert_eq!(answer(&cut, &asked), Some(Answer::Truncated));
        let of_another = |id, name| {
            let other = question(id, name, Family::V6).unwrap();
            answer(&reply(&other, 3, &[]), &asked)
        };
        assert_eq!(of_another(8, "api.example"), None);
        assert_eq!(of_another(7, "bad.example"), None);
        assert_eq!(answer(&asked, &asked), None, "a question is no answer");
        let turning = reply(&asked, 0, &[(&[0xc0, asked.len() as u8], 28, 1, &[0; 16])]);
        assert_eq!(answer(&turning, &asked), None, "a pointer to itself");
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_is_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            count in any::<u8>(),
        ) {
            let asked = question(7, "api.example", Family::V4).unwrap();
            let mut text = asked.clone();
            (text[2], text[3], text[7]) = (0x81, 0x80, count);
            text.extend(&bytes);
            let _ = answer(&text, &asked);
            let _ = answer(&bytes, &asked);
        }
    }
}
