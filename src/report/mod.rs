//! What people are told.
//!
//! [`words`] finds the sentences and [`slack`] makes a message of them, both `[C]`. [`webhook`]
//! checks an address, `[C]`. [`delivery`] sends from a thread of its own, `[E]`: a slow or dead
//! receiver never slows a deployment.

pub mod alarm;
pub mod delivery;
pub mod pace;
pub mod slack;
pub mod webhook;
pub mod words;
