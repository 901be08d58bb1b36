//! What waits for one receiver, in pages: first what is on disk, then what a disk that refuses has not
//! taken yet.
//!
//! Nothing that waits is ever only in the hands of a delivery, so a delivery needs to hold no more than
//! it can send soon, whatever the disk does.

use super::batch::Batch;
use super::step::Outgoing;

/// A page of what waits for one receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxPage {
    /// Oldest first.
    pub messages: Vec<Outgoing>,
    /// Nothing with this id or a smaller one waits besides these and what is before the page.
    pub up_to: u64,
    /// Why what is on disk is not among them: then the page has only what never got there.
    pub unread: Option<String>,
}

/// Which page somebody waits for.
#[derive(Debug)]
pub struct Wanted {
    /// The receiver.
    pub receiver: String,
    /// Everything up to this id is known.
    pub after: u64,
    /// At most so many messages.
    pub limit: usize,
}

/// The page that is wanted, of what was read from the disk and what is not on it yet; `newest` is the
/// greatest id that was ever given.
pub fn page(
    wanted: &Wanted,
    on_disk: Result<Vec<Outgoing>, String>,
    backlog: &Batch,
    newest: u64,
) -> OutboxPage {
    let (mut messages, unread) = match on_disk {
        Ok(messages) => (messages, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let last = messages.last().map_or(wanted.after, |message| message.id);
    let room = wanted.limit.saturating_sub(messages.len());
    // The disk may have refused to forget one that was delivered.
    messages.retain(|message| !backlog.answers.contains_key(&message.id));
    // Those that are not on disk are newer than those that are.
    messages.extend(backlog.waiting(&wanted.receiver, last).take(room).cloned());
    let is_full = room == 0 || messages.len() >= wanted.limit;
    let up_to = match &unread {
        Some(_) => wanted.after,
        None if is_full => messages.last().map_or(last, |message| message.id.max(last)),
        None => newest,
    };
    OutboxPage { messages, up_to, unread }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::batch::Answer;
    use crate::store::step::Message;

    fn message(id: u64) -> Outgoing {
        Outgoing { id, key: None, receiver: "slack".into(), payload: id.to_string() }
    }

    /// Messages 4 to 6 are not on disk, and one of somebody else.
    fn backlog() -> Batch {
        let mut batch = Batch::default();
        let to = |receiver: &str| Message { receiver: receiver.into(), payload: String::new() };
        batch.tell(["slack", "slack", "teams", "slack"].map(to).into(), &mut 4, 0);
        batch
    }

    #[track_caller]
    fn check(
        (after, limit): (u64, usize),
        on_disk: Result<&[u64], &str>,
        expect: (&[u64], u64, bool),
    ) {
        let wanted = Wanted { receiver: "slack".into(), after, limit };
        let on_disk = on_disk.map(|ids| ids.iter().copied().map(message).collect());
        let page = page(&wanted, on_disk.map_err(str::to_owned), &backlog(), 9);
        let ids: Vec<u64> = page.messages.iter().map(|message| message.id).collect();
        assert_eq!((&*ids, page.up_to, page.unread.is_some()), expect);
    }

    #[test]
    fn what_is_on_disk_comes_first_and_the_rest_after_it() {
        check((0, 9), Ok(&[1, 3]), (&[1, 3, 4, 5, 7], 9, false));
        check((0, 2), Ok(&[1, 3]), (&[1, 3], 3, false));
        check((0, 3), Ok(&[1, 3]), (&[1, 3, 4], 4, false));
        check((4, 9), Ok(&[]), (&[5, 7], 9, false));
    }

    #[test]
    fn without_a_disk_there_is_what_never_got_there_and_the_rest_is_still_to_come() {
        check((0, 9), Err("no disk"), (&[4, 5, 7], 0, true));
        check((4, 1), Err("no disk"), (&[5], 4, true));
    }

    #[test]
    fn what_was_delivered_does_not_come_again_because_the_disk_has_it_still() {
        let wanted = Wanted { receiver: "slack".into(), after: 0, limit: 2 };
        let mut backlog = backlog();
        backlog.answer(2, Answer::Delivered);
        backlog.answer(4, Answer::SetAside { why: String::new(), at: 0 });
        let page_of = |ids: &[u64]| {
            let on_disk = ids.iter().copied().map(message).collect();
            let page = page(&wanted, Ok(on_disk), &backlog, 9);
            (page.messages.iter().map(|message| message.id).collect::<Vec<_>>(), page.up_to)
        };
        assert_eq!(page_of(&[1, 2]), (vec![1], 2));
        assert_eq!(page_of(&[1]), (vec![1, 5], 5));
    }
}
