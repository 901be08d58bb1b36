//! JSON Patch (RFC 6902), with the leniencies of the library inside the API server.
//!
//! Those are: an absent member and `null` are the same to `test`; `replace` of an absent member of
//! an object adds it; a negative index counts from the end. depd's guarded patches rely on the first.

use serde_json::Value;

use super::super::status::Status;

/// The most operations that the API server takes.
const MAX_OPERATIONS: usize = 10_000;

/// A decoded patch.
#[derive(Debug)]
pub(in super::super) struct JsonPatch(Vec<Operation>);

#[derive(Debug)]
struct Operation {
    op: Op,
    path: String,
    from: String,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
    Unknown,
}

/// An operation does not apply; the server does not tell the client which.
#[derive(Debug, PartialEq)]
struct DoesNotApply;

impl JsonPatch {
    /// Decodes the body of a PATCH.
    pub(in super::super) fn decode(body: &[u8]) -> Result<JsonPatch, Status> {
        let body: Value =
            serde_json::from_slice(body).map_err(|_| Status::bad_request("invalid JSON patch"))?;
        let operations: Vec<serde_json::Map<String, Value>> = serde_json::from_value(body)
            .map_err(|_| {
                Status::bad_request(
                    "error decoding patch: json: cannot unmarshal object into Go value of type \
                     []handlers.jsonPatchOp",
                )
            })?;
        if operations.len() > MAX_OPERATIONS {
            return Err(Status::too_large(format!(
                "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            )));
        }
        Ok(JsonPatch(operations.into_iter().map(Operation::of).collect()))
    }

    /// Applies all operations, or none.
    pub(in super::super) fn apply(&self, document: &Value) -> Result<Value, Status> {
        let mut patched = document.clone();
        for operation in &self.0 {
            operation.apply(&mut patched).map_err(|DoesNotApply| Status::patch_failed())?;
        }
        Ok(patched)
    }
}

impl Operation {
    fn of(mut members: serde_json::Map<String, Value>) -> Operation {
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => text,
            // A pointer that is not there points nowhere: no document has it.
            _ => "?".into(),
        };
        let op = match text("op").as_str() {
            "add" => Op::Add,
            "remove" => Op::Remove,
            "replace" => Op::Replace,
            "move" => Op::Move,
            "copy" => Op::Copy,
            "test" => Op::Test,
            _ => Op::Unknown,
        };
        let (path, from) = (text("path"), text("from"));
        Operation { op, path, from, value: members.remove("value").unwrap_or_default() }
    }

    fn apply(&self, document: &mut Value) -> Result<(), DoesNotApply> {
        match self.op {
            Op::Test if self.path.is_empty() => holds(*document == self.value),
            Op::Test => holds(get(document, &self.path)? == self.value),
            Op::Replace if self.path.is_empty() => {
                *document = self.value.clone();
                Ok(())
            }
            Op::Replace => set(document, &self.path, self.value.clone()),
            Op::Add => add(document, &self.path, self.value.clone()),
            Op::Remove => remove(document, &self.path).map(drop),
            Op::Move => {
                let value = remove(document, &self.from)?;
                add(document, &self.path, value)
            }
            Op::Copy => {
                let value = get(document, &self.from)?;
                add(document, &self.path, value)
            }
            Op::Unknown => Err(DoesNotApply),
        }
    }
}

fn holds(truth: bool) -> Result<(), DoesNotApply> {
    if truth { Ok(()) } else { Err(DoesNotApply) }
}

/// The container that the last segment of the pointer looks into, and that segment.
fn parent<'a>(
    document: &'a mut Value,
    path: &str,
) -> Result<(&'a mut Value, String), DoesNotApply> {
    let mut segments = path.strip_prefix('/').ok_or(DoesNotApply)?.split('/').map(unescape);
    let last = segments.next_back().ok_or(DoesNotApply)?;
    let mut place = document;
    for segment in segments {
        place = match place {
            Value::Object(map) => map.get_mut(&segment).ok_or(DoesNotApply)?,
            Value::Array(items) => {
                let at = index(&segment, items.len())?;
                &mut items[at]
            }
            _ => return Err(DoesNotApply),
        };
    }
    Ok((place, last))
}

/// RFC 6901: `~1` is a slash, `~0` a tilde, in this order.
fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// A place below `len`, counted from the end when negative.
fn index(segment: &str, len: usize) -> Result<usize, DoesNotApply> {
    let number: i64 = segment.parse().map_err(|_| DoesNotApply)?;
    let from_start = if number < 0 { number + len as i64 } else { number };
    let at = usize::try_from(from_start).map_err(|_| DoesNotApply)?;
    if at < len { Ok(at) } else { Err(DoesNotApply) }
}

fn get(document: &mut Value, path: &str) -> Result<Value, DoesNotApply> {
    match parent(document, path)? {
        (Value::Object(map), key) => Ok(map.get(&key).cloned().unwrap_or_default()),
        (Value::Array(items), key) => Ok(items[index(&key, items.len())?].clone()),
        _ => Err(DoesNotApply),
    }
}

fn set(document: &mut Value, path: &str, value: Value) -> Result<(), DoesNotApply> {
    match parent(document, path)? {
        (Value::Object(map), key) => drop(map.insert(key, value)),
        (Value::Array(items), key) => {
            let at = index(&key, items.len())?;
            items[at] = value;
        }
        _ => return Err(DoesNotApply),
    }
    Ok(())
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), DoesNotApply> {
    match parent(document, path)? {
        (Value::Object(map), key) => drop(map.insert(key, value)),
        (Value::Array(items), key) if key == "-" => items.push(value),
        (Value::Array(items), key) => {
            let at = index(&key, items.len() + 1)?;
            items.insert(at, value);
        }
        _ => return Err(DoesNotApply),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Result<Value, DoesNotApply> {
    match parent(document, path)? {
        (Value::Object(map), key) => map.remove(&key).ok_or(DoesNotApply),
        (Value::Array(items), key) => {
            let at = index(&key, items.len())?;
            Ok(items.remove(at))
        }
        _ => Err(DoesNotApply),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(patch: Value, document: Value, expect: Option<Value>) {
        let decoded = JsonPatch::decode(patch.to_string().as_bytes()).unwrap();
        assert_eq!(decoded.apply(&document).ok(), expect, "{patch} on {document}");
    }

    #[test]
    fn operations_do_what_the_rfc_says() {
        check(json!([{"op": "add", "path": "/a", "value": 1}]), json!({}), Some(json!({"a": 1})));
        check(
            json!([{"op": "add", "path": "/a/-", "value": 2}]),
            json!({"a": [1]}),
            Some(json!({"a": [1, 2]})),
        );
        check(
            json!([{"op": "add", "path": "/a/0", "value": 2}]),
            json!({"a": [1]}),
            Some(json!({"a": [2, 1]})),
        );
        check(json!([{"op": "remove", "path": "/a"}]), json!({"a": 1}), Some(json!({})));
        check(
            json!([{"op": "replace", "path": "/a/0", "value": 9}]),
            json!({"a": [1]}),
            Some(json!({"a": [9]})),
        );
        check(
            json!([{"op": "move", "from": "/a", "path": "/b"}]),
            json!({"a": 1}),
            Some(json!({"b": 1})),
        );
        check(
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            json!({"a": 1}),
            Some(json!({"a": 1, "b": 1})),
        );
        check(
            json!([{"op": "test", "path": "/a", "value": 1}]),
            json!({"a": 1}),
            Some(json!({"a": 1})),
        );
        check(
            json!([{"op": "add", "path": "/x~1y/~01", "value": 1}]),
            json!({"x/y": {}}),
            Some(json!({"x/y": {"~1": 1}})),
        );
    }

    #[test]
    fn what_does_not_apply_is_refused_as_a_whole() {
        check(json!([{"op": "test", "path": "/a", "value": 2}]), json!({"a": 1}), None);
        check(json!([{"op": "add", "path": "/a/b", "value": 1}]), json!({}), None);
        check(json!([{"op": "remove", "path": "/a"}]), json!({}), None);
        check(json!([{"op": "add", "path": "/a/2", "value": 1}]), json!({"a": [1]}), None);
        check(json!([{"op": "replace", "path": "/a/1", "value": 1}]), json!({"a": [1]}), None);
        check(json!([{"op": "leap", "path": "/a"}]), json!({"a": 1}), None);
        check(json!([{"op": "remove"}]), json!({"a": 1}), None);
    }

    #[test]
    fn the_leniencies_of_the_real_server_hold_here_too() {
        check(json!([{"op": "test", "path": "/a", "value": null}]), json!({}), Some(json!({})));
        check(json!([{"op": "test", "path": "/a", "value": null}]), json!({"a": {}}), None);
        check(
            json!([{"op": "replace", "path": "/a", "value": 1}]),
            json!({}),
            Some(json!({"a": 1})),
        );
        check(
            json!([{"op": "remove", "path": "/a/-1"}]),
            json!({"a": [1, 2]}),
            Some(json!({"a": [1]})),
        );
    }

    #[test]
    fn a_failed_test_is_a_422_with_empty_details() {
        let patch = JsonPatch::decode(br#"[{"op":"test","path":"/a","value":1}]"#).unwrap();
        let status = patch.apply(&json!({})).unwrap_err();
        assert_eq!((status.code, status.reason), (422, "Invalid"));
        assert_eq!(status.body()["details"], json!({}));
    }

    #[test]
    fn a_body_that_is_no_patch_is_a_400() {
        assert_eq!(JsonPatch::decode(b"{}").unwrap_err().code, 400);
        assert_eq!(JsonPatch::decode(b"[1]").unwrap_err().code, 400);
    }
}
