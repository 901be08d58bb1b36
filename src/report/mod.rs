//! What people are told.
//!
//! [`words`] finds the sentences and [`record`] makes a document of them, which lies in the outbox
//! and from which each receiver's message is rendered: one file per receiver, all `[C]`. [`delivery`]
//! is one thread per receiver, `[E]`: it sends by a [`transport`], slowly where the receiver wants
//! it, again where it must, and many as one [`digest`] in a storm. A slow or dead receiver never slows
//! a deployment, nor another receiver.
//!
//! | file | concept | |
//! |---|---|---|
//! | `words.rs`, `alarm.rs` | notice, alert → sentences | `[C]` |
//! | `record.rs` | sentences → the document that is kept and sent | `[C]` |
//! | `filter.rs`, `digest.rs`, `pace.rs` | what, how many at once, how fast | `[C]` |
//! | `dispatch.rs` | what a delivery does next | `[C]` |
//! | `kind.rs` | the kinds of receivers | `[C]` |
//! | `slack.rs`, `teams.rs`, `discord.rs` | records → a message | `[C]` |
//! | `page.rs`, `samples.rs` | the preview | `[C]` |
//! | `webhook.rs`, `signature.rs` | an address, a key | `[C]` |
//! | `inbox.rs`, `delivery.rs` | the thread of a receiver | `[E]` |
//! | `http.rs`, `command.rs` | ways to it | `[E]` |

pub mod alarm;
pub mod command;
pub mod delivery;
pub mod digest;
pub mod discord;
pub mod dispatch;
pub mod events;
pub mod filter;
pub mod http;
pub mod inbox;
pub mod kind;
pub mod pace;
pub mod page;
pub mod record;
pub mod samples;
pub mod signature;
pub mod slack;
pub mod teams;
pub mod text;
pub mod transport;
pub mod webhook;
pub mod words;

#[cfg(test)]
mod renderer_tests;
