//! # depd
//!
//! A deployment daemon: a folder of dep files becomes running Kubernetes workloads. The README says
//! how to use it; this page says how it is built.
//!
//! # Architecture
//!
//! ```text
//!  deps/*.dep ──► source ──► desired ──► queue ──crossbeam channel──► 100 workers
//!                                          ▲                            │ lock one service (parking_lot)
//!  Kubernetes watches ──► observed ─ keys ─┤                            ▼
//!  timer (deadlines, back-off) ───── keys ─┘                  reconcile: view → plan → one step
//!                                                                       │
//!                                          report ◄─ notices ───────────┴─ cluster (ureq): one PATCH
//! ```
//!
//! - **Level-triggered.** Every source of events only says "look at this key again". A worker takes
//!   the key, locks the service, builds a view (what the file asks, what the cluster shows, what
//!   was done, what time it is), calls the pure [`reconcile::plan`], performs at most one step and lets
//!   go. A rollout never holds a worker: it is a value, moved on by watch events and timers. So a
//!   newer file supersedes an older rollout at once.
//! - **Keys, never events.** The queue keeps the promises of client-go's workqueue: a key that waits
//!   is not added twice, a key in work is never handed to a second worker, a delayed key keeps its
//!   earliest deadline.
//! - **One change, one request.** The watch already told what the workload looks like, so a change is
//!   a single JSON Patch, guarded by `test` operations on the uid, the container's name and the image that
//!   was seen: a PATCH that arrives late, after its sender gave up, undoes nothing newer. No GET
//!   first, no blind update, no conflict with somebody who scales or annotates.
//!
//! - **Intent before action.** What a service is about to do is committed to the store before its PATCH
//!   is sent; a verdict and its message are one transaction. A crash at any point resumes there.
//! - **No mass accident.** Nothing starts before folder and cluster were seen completely and this is
//!   the cluster, folder and setting of the last run (`daemon::start_up`, [`reconcile::Gate`]).
//!
//! # Rooms
//!
//! `[C]` is pure core: no I/O, no clock, no threads, no locks. `[E]` is edge. `tests/tidy.rs` reads
//! the source and holds all of this against it.
//!
//! | module | what is in it | |
//! |---|---|---|
//! | [`guide`] | the pages of the guide, and their names | `[C]` |
//! | [`cli`] | one file per subcommand; raw arguments → validated settings | `[E]` |
//! | [`model`] | the words as types: key, image, workload, pod, rollout, notice | `[C]` |
//! | [`source`] | the dep folder: events, safe reading; `settle` says when a file is complete | `[E]`, settle `[C]` |
//! | [`desired`] | dep file → images or a problem; what every file asks now | `[C]` |
//! | [`queue`] | keyed queue, back-off; a thin blocking shell over the channel | `[C]`, shell `[E]` |
//! | [`observed`] | caches of workloads and pods; which pods concern whom | `[C]` |
//! | [`reconcile`] | the decision, the verdict, the reply to a step | `[C]` |
//! | [`worker`] | the threads, one pass over one service, steps → requests | `[E]` |
//! | [`net`] | names → addresses, proxies: for every connection out | `[E]`, formats `[C]` |
//! | [`cluster`] | kubeconfig, TLS, requests, list and watch | `[E]`, formats `[C]` |
//! | [`store`] | SQLite: states, history, undelivered messages; one writer thread | `[E]`, values `[C]` |
//! | [`registry`] | Amazon ECR: signatures, tokens, pull secrets, is the image there | `[E]`, formats `[C]` |
//! | [`report`] | notice → words → a message for each receiver; delivery | `[C]`, delivery `[E]` |
//! | [`sandbox`] | an embedded Kubernetes API, for the demo and for tests | `[E]` |
//! | [`daemon`] | `wiring.rs`, the only file that knows every edge; log, signals | `[E]` |
//! | [`clock`] | the monotonic clock | `[E]` |
//! | [`failpoint`] | where tests let a debug build die | `[E]` |
//!
//! # What is absent
//!
//! No async runtime: an operating system thread waits where waiting is to be done. No `unsafe`. No
//! apply but of depd's own pull secret: a workload that is missing is never created. No delete of
//! anything, ever. No poll of the cluster: watches tell.

pub mod cli;
pub mod clock;
pub mod cluster;
pub mod daemon;
pub mod desired;
pub mod failpoint;
pub mod guide;
pub mod model;
pub mod net;
pub mod observed;
pub mod queue;
pub mod reconcile;
pub mod registry;
pub mod report;
pub mod sandbox;
pub mod source;
pub mod store;
pub mod worker;
