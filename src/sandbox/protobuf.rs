//! The protobuf bodies that kubectl sends when it makes something: `create namespace`, `create
//! deployment`, `auth can-i` and their like. `[C]`
//!
//! Only reading, and only the messages in the tables below; a field that is not there is refused
//! rather than lost. Answers are always JSON, which kubectl accepts too. Facts: "Kubernetes Protobuf
//! encoding" in the API concepts, and the `generated.proto` files of `k8s.io/api`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::status::Status;

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How a field is encoded.
enum Form {
    /// Left out when empty, as Go prints it.
    Text,
    /// Left out when 0.
    Number,
    /// A pointer in Go: 0 is a value.
    Maybe,
    /// Left out when false.
    Truth,
    /// Text to text.
    Texts,
    /// Text to bytes.
    Blobs,
    /// A message, by its table.
    Part(&'static [Field]),
    /// A message that may only be empty: what the server sets, or what is not read here.
    Empty,
    /// `IntOrString`.
    Either,
}

/// Number, JSON name, form, and whether it repeats.
type Field = (u64, &'static str, Form, bool);

const METADATA: &[Field] = &[
    (1, "name", Form::Text, false),
    (2, "generateName", Form::Text, false),
    (3, "namespace", Form::Text, false),
    (4, "selfLink", Form::Text, false),
    (5, "uid", Form::Text, false),
    (6, "resourceVersion", Form::Text, false),
    (7, "generation", Form::Number, false),
    (8, "creationTimestamp", Form::Empty, false),
    (11, "labels", Form::Texts, false),
    (12, "annotations", Form::Texts, false),
    (14, "finalizers", Form::Text, true),
];
const PHASE: &[Field] = &[(1, "phase", Form::Text, false)];
const NAMESPACE: &[Field] = &[
    (1, "metadata", Form::Part(METADATA), false),
    (2, "spec", Form::Empty, false),
    (3, "status", Form::Part(PHASE), false),
];
const CONFIG_MAP: &[Field] = &[
    (1, "metadata", Form::Part(METADATA), false),
    (2, "data", Form::Texts, false),
    (3, "binaryData", Form::Blobs, false),
];
const SECRET: &[Field] = &[
    (1, "metadata", Form::Part(METADATA), false),
    (2, "data", Form::Blobs, false),
    (3, "type", Form::Text, false),
    (4, "stringData", Form::Texts, false),
];
const SERVICE_ACCOUNT: &[Field] = &[(1, "metadata", Form::Part(METADATA), false)];
const SELECTOR: &[Field] = &[(1, "matchLabels", Form::Texts, false)];
const PORT: &[Field] = &[
    (1, "name", Form::Text, false),
    (2, "hostPort", Form::Number, false),
    (3, "containerPort", Form::Number, false),
    (4, "protocol", Form::Text, false),
    (5, "hostIP", Form::Text, false),
];
const VARIABLE: &[Field] = &[(1, "name", Form::Text, false), (2, "value", Form::Text, false)];
const CONTAINER: &[Field] = &[
    (1, "name", Form::Text, false),
    (2, "image", Form::Text, false),
    (3, "command", Form::Text, true),
    (4, "args", Form::Text, true),
    (5, "workingDir", Form::Text, false),
    (6, "ports", Form::Part(PORT), true),
    (7, "env", Form::Part(VARIABLE), true),
    (8, "resources", Form::Empty, false),
    (13, "terminationMessagePath", Form::Text, false),
    (14, "imagePullPolicy", Form::Text, false),
    (16, "stdin", Form::Truth, false),
    (17, "stdinOnce", Form::Truth, false),
    (18, "tty", Form::Truth, false),
    (20, "terminationMessagePolicy", Form::Text, false),
];
const POD: &[Field] = &[
    (2, "containers", Form::Part(CONTAINER), true),
    (3, "restartPolicy", Form::Text, false),
    (4, "terminationGracePeriodSeconds", Form::Maybe, false),
    (6, "dnsPolicy", Form::Text, false),
    (7, "nodeSelector", Form::Texts, false),
    (8, "serviceAccountName", Form::Text, false),
    (9, "serviceAccount", Form::Text, false),
    (10, "nodeName", Form::Text, false),
    (11, "hostNetwork", Form::Truth, false),
    (12, "hostPID", Form::Truth, false),
    (13, "hostIPC", Form::Truth, false),
    (14, "securityContext", Form::Empty, false),
    (16, "hostname", Form::Text, false),
    (17, "subdomain", Form::Text, false),
    (19, "schedulerName", Form::Text, false),
    (20, "initContainers", Form::Part(CONTAINER), true),
    (24, "priorityClassName", Form::Text, false),
];
const TEMPLATE: &[Field] =
    &[(1, "metadata", Form::Part(METADATA), false), (2, "spec", Form::Part(POD), false)];
const STRATEGY: &[Field] = &[(1, "type", Form::Text, false)];
const DEPLOYMENT_SPEC: &[Field] = &[
    (1, "replicas", Form::Maybe, false),
    (2, "selector", Form::Part(SELECTOR), false),
    (3, "template", Form::Part(TEMPLATE), false),
    (4, "strategy", Form::Part(STRATEGY), false),
    (5, "minReadySeconds", Form::Number, false),
    (6, "revisionHistoryLimit", Form::Maybe, false),
    (7, "paused", Form::Truth, false),
    (9, "progressDeadlineSeconds", Form::Maybe, false),
];
/// The status carries only zeros, which are left out.
const NO_STATUS: &[Field] = &[
    (1, "observedGeneration", Form::Number, false),
    (2, "replicas", Form::Number, false),
    (3, "updatedReplicas", Form::Number, false),
    (4, "availableReplicas", Form::Number, false),
    (5, "unavailableReplicas", Form::Number, false),
    (7, "readyReplicas", Form::Number, false),
];
const DEPLOYMENT: &[Field] = &[
    (1, "metadata", Form::Part(METADATA), false),
    (2, "spec", Form::Part(DEPLOYMENT_SPEC), false),
    (3, "status", Form::Part(NO_STATUS), false),
];
const SERVICE_PORT: &[Field] = &[
    (1, "name", Form::Text, false),
    (2, "protocol", Form::Text, false),
    (3, "port", Form::Number, false),
    (4, "targetPort", Form::Either, false),
    (5, "nodePort", Form::Number, false),
];
const SERVICE_SPEC: &[Field] = &[
    (1, "ports", Form::Part(SERVICE_PORT), true),
    (2, "selector", Form::Texts, false),
    (3, "clusterIP", Form::Text, false),
    (4, "type", Form::Text, false),
    (7, "sessionAffinity", Form::Text, false),
    (8, "loadBalancerIP", Form::Text, false),
    (10, "externalName", Form::Text, false),
    (11, "externalTrafficPolicy", Form::Text, false),
    (12, "healthCheckNodePort", Form::Number, false),
    (13, "publishNotReadyAddresses", Form::Truth, false),
];
const NO_SERVICE_STATUS: &[Field] = &[(1, "loadBalancer", Form::Empty, false)];
const SERVICE: &[Field] = &[
    (1, "metadata", Form::Part(METADATA), false),
    (2, "spec", Form::Part(SERVICE_SPEC), false),
    (3, "status", Form::Part(NO_SERVICE_STATUS), false),
];
const ATTRIBUTES: &[Field] = &[
    (1, "namespace", Form::Text, false),
    (2, "verb", Form::Text, false),
    (3, "group", Form::Text, false),
    (4, "version", Form::Text, false),
    (5, "resource", Form::Text, false),
    (6, "subresource", Form::Text, false),
    (7, "name", Form::Text, false),
];
const PATH_ATTRIBUTES: &[Field] = &[(1, "path", Form::Text, false), (2, "verb", Form::Text, false)];
const REVIEW_SPEC: &[Field] = &[
    (1, "resourceAttributes", Form::Part(ATTRIBUTES), false),
    (2, "nonResourceAttributes", Form::Part(PATH_ATTRIBUTES), false),
];
const REVIEW_STATUS: &[Field] = &[
    (1, "allowed", Form::Truth, false),
    (2, "reason", Form::Text, false),
    (3, "evaluationError", Form::Text, false),
    (4, "denied", Form::Truth, false),
];
const REVIEW: &[Field] = &[
    (1, "metadata", Form::Part(METADATA), false),
    (2, "spec", Form::Part(REVIEW_SPEC), false),
    (3, "status", Form::Part(REVIEW_STATUS), false),
];
const PRECONDITIONS: &[Field] =
    &[(1, "uid", Form::Text, false), (2, "resourceVersion", Form::Text, false)];
const DELETE_OPTIONS: &[Field] = &[
    (1, "gracePeriodSeconds", Form::Maybe, false),
    (2, "preconditions", Form::Part(PRECONDITIONS), false),
    (4, "propagationPolicy", Form::Text, false),
    (5, "dryRun", Form::Text, true),
];
const TYPE: &[Field] = &[(1, "apiVersion", Form::Text, false), (2, "kind", Form::Text, false)];

/// A message that cannot be read, and why.
struct Unreadable(String);

/// Reads a body that holds one object.
pub(super) fn decode(body: &[u8]) -> Result<Value, Status> {
    envelope(body).map_err(|Unreadable(why)| {
        Status::bad_request(format!(
            "the sandbox cannot read this protobuf body: {why}; send JSON (kubectl apply does)"
        ))
    })
}

/// `runtime.Unknown`: the type, and the encoded object.
fn envelope(body: &[u8]) -> Result<Value, Unreadable> {
    let Some(mut rest) = body.strip_prefix(MAGIC) else {
        return Err(Unreadable("it does not begin with the magic bytes of Kubernetes".into()));
    };
    let (mut kind, mut raw) = (Value::Null, &[][..]);
    while let Some((number, wire)) = field(&mut rest)? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => kind = message(bytes, TYPE)?,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = kind["kind"].as_str().unwrap_or_default().to_owned();
    let table = match name.as_str() {
        "Namespace" => NAMESPACE,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "ServiceAccount" => SERVICE_ACCOUNT,
        "Deployment" => DEPLOYMENT,
        "Service" => SERVICE,
        "SelfSubjectAccessReview" => REVIEW,
        "DeleteOptions" => DELETE_OPTIONS,
        other => return Err(Unreadable(format!("there is no table for {other}"))),
    };
    let mut object = message(raw, table)?;
    object["apiVersion"] = kind["apiVersion"].clone();
    object["kind"] = name.into();
    Ok(object)
}

/// One encoded value.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn cut_short() -> Unreadable {
    Unreadable("it is cut short".into())
}

fn varint(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or_else(cut_short)?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Unreadable("a number is too long".into()))
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<Option<(u64, Wire<'a>)>, Unreadable> {
    if rest.is_empty() {
        return Ok(None);
    }
    let tag = varint(rest)?;
    let wire = match tag & 7 {
        0 => Wire::Number(varint(rest)?),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| cut_short())?;
            let (bytes, tail) = rest.split_at_checked(length).ok_or_else(cut_short)?;
            *rest = tail;
            Wire::Bytes(bytes)
        }
        other => return Err(Unreadable(format!("wire type {other} is not in use"))),
    };
    Ok(Some((tag >> 3, wire)))
}

fn message(bytes: &[u8], table: &'static [Field]) -> Result<Value, Unreadable> {
    let mut members = Map::new();
    let mut rest = bytes;
    while let Some((number, wire)) = field(&mut rest)? {
        let Some((_, name, form, repeats)) = table.iter().find(|(own, ..)| *own == number) else {
            return Err(Unreadable(format!("field {number} is not in the sandbox's table")));
        };
        let Some(value) = value(form, wire, name)? else { continue };
        if *repeats {
            let list = members.entry(*name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = list {
                items.push(value);
            }
        } else if let (Some(Value::Object(own)), Value::Object(more)) =
            (members.get_mut(*name), &value)
        {
            own.extend(more.clone());
        } else {
            members.insert((*name).into(), value);
        }
    }
    Ok(Value::Object(members))
}

fn value(form: &Form, wire: Wire<'_>, name: &str) -> Result<Option<Value>, Unreadable> {
    Ok(match (form, wire) {
        (Form::Text, Wire::Bytes(bytes)) => {
            let text = utf8(bytes)?;
            (!text.is_empty()).then(|| text.into())
        }
        // Negative numbers are encoded as their two's complement in 64 bits.
        (Form::Maybe, Wire::Number(number)) => Some(number.cast_signed().into()),
        (Form::Number, Wire::Number(number)) => (number != 0).then(|| number.cast_signed().into()),
        (Form::Truth, Wire::Number(number)) => (number != 0).then_some(Value::Bool(true)),
        (Form::Part(table), Wire::Bytes(bytes)) => Some(message(bytes, table)?),
        (Form::Empty, Wire::Bytes([])) => None,
        (Form::Texts, Wire::Bytes(bytes)) => Some(entry(bytes, |value| Ok(utf8(value)?.into()))?),
        (Form::Blobs, Wire::Bytes(bytes)) => {
            Some(entry(bytes, |value| Ok(BASE64.encode(value).into()))?)
        }
        (Form::Either, Wire::Bytes(bytes)) => either(bytes)?,
        _ => return Err(Unreadable(format!("the sandbox does not read this form of {name}"))),
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable("a text is not UTF-8".into()))
}

/// One entry of a map: a message of key and value.
fn entry(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<Value, Unreadable>,
) -> Result<Value, Unreadable> {
    let (mut key, mut value) = ("", &[][..]);
    let mut rest = bytes;
    while let Some((number, wire)) = field(&mut rest)? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => key = utf8(bytes)?,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok(Value::Object(Map::from_iter([(key.to_owned(), read(value)?)])))
}

fn either(bytes: &[u8]) -> Result<Option<Value>, Unreadable> {
    let (mut is_text, mut number, mut text) = (false, 0, "");
    let mut rest = bytes;
    while let Some((field, wire)) = field(&mut rest)? {
        match (field, wire) {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => text = utf8(bytes)?,
            _ => {}
        }
    }
    let value = if is_text { text.into() } else { number.into() };
    Ok((value != 0 && value != "").then_some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn body(kind: &str, object: &[u8]) -> Vec<u8> {
        let kind = [part(1, b"v1"), part(2, kind.as_bytes())].concat();
        [MAGIC, &part(1, &kind), &part(2, object)].concat()
    }

    #[test]
    fn a_namespace_is_read_with_its_labels_and_without_empty_fields() {
        let label = [part(1, b"a"), part(2, b"b")].concat();
        let metadata = [part(1, b"qa"), part(2, b""), part(8, b""), part(11, &label)].concat();
        let object = [part(1, &metadata), part(2, b""), part(3, b"")].concat();
        let expect = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "qa", "labels": {"a": "b"}},
            "status": {},
        });
        assert_eq!(decode(&body("Namespace", &object)), Ok(expect));
    }

    #[test]
    fn what_is_not_in_the_tables_is_refused_and_never_lost() {
        let unknown_field = body("Namespace", &part(9, b"x"));
        let spec = body("Namespace", &part(2, b"x"));
        for bytes in [unknown_field, spec, body("Poem", b""), b"nonsense".to_vec()] {
            assert_eq!(decode(&bytes).unwrap_err().code, 400, "{bytes:?}");
        }
        let whole = body("ConfigMap", &part(1, &part(1, b"name")));
        for length in 0..whole.len() {
            // Whatever is cut off, it must not panic.
            drop(decode(&whole[..length]));
        }
    }
}
