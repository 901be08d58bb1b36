//! The queue with real threads. All interleavings are in `tests/interleavings`.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::WorkQueue;
use crate::clock;

#[test]
fn keys_reach_many_workers_and_no_key_is_in_two_hands() {
    let queue: Arc<WorkQueue<usize>> = Arc::default();
    let in_hand: Arc<Vec<Mutex<u32>>> = Arc::new((0..10).map(|_| Mutex::new(0)).collect());
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, in_hand) = (Arc::clone(&queue), Arc::clone(&in_hand));
            thread::spawn(move || {
                while let Some(key) = queue.take() {
                    let mut seen = in_hand[key].try_lock().expect("in one hand only");
                    *seen += 1;
                    drop(seen);
                    queue.done(&key);
                }
            })
        })
        .collect();
    for round in 0..1000 {
        queue.add(&(round % 10));
    }
    while !queue.is_empty() {
        thread::yield_now();
    }
    queue.close();
    for worker in workers {
        worker.join().expect("no worker saw a key twice");
    }
    assert!(in_hand.iter().all(|seen| *seen.lock() > 0));
}

#[test]
fn a_delayed_key_arrives_and_closing_ends_timer_and_workers() {
    let queue = Arc::new(WorkQueue::default());
    let timer = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || queue.run_timer())
    };
    queue.add_at(&"later", clock::now() + Duration::from_millis(20));
    assert_eq!(queue.take(), Some("later"));
    queue.done(&"later");
    queue.close();
    assert_eq!(queue.take(), None);
    timer.join().expect("the timer ends");
}
