//! Short ways to read and write Kubernetes objects as plain JSON. `[C]`
//!
//! The sandbox keeps objects as [`Value`] and not as structs: it must give back every field it was
//! given, known or not. Reading an absent field gives the zero value, as Go's structs do.

use serde_json::{Map, Value};

/// The text at a JSON pointer, empty when there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a JSON pointer, 0 when there is none.
pub(super) fn int(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The elements of the list at a JSON pointer, none when it is absent.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `metadata.annotations[name]`; annotation names hold slashes, so no pointer here.
pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

/// Sets `metadata.annotations[name]`; says whether that changed anything.
pub(super) fn set_annotation(object: &mut Value, name: &str, value: &str) -> bool {
    if annotation(object, name) == Some(value) {
        return false;
    }
    let metadata = fields(&mut object["metadata"]);
    fields(metadata.entry("annotations").or_insert(Value::Null)).insert(name.into(), value.into());
    true
}

/// The fields of an object. A value that is not an object becomes an empty one.
pub(super) fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Sets a field that is absent.
pub(super) fn default(map: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    map.entry(name).or_insert_with(|| value.into());
}
