//! The patch formats of the API server. `[C]`: values in, values out.

mod json;
mod merge;
mod strategic;

pub(super) use self::json::JsonPatch;
pub(super) use self::merge::merge;
pub(super) use self::strategic::strategic;
