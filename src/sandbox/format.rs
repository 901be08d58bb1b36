//! The form in which a client wants objects: whole, as a table, or only their metadata. `[C]`
//!
//! Facts: "Receiving resources as Tables" and "PartialObjectMetadata" in the Kubernetes API concepts.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::resources::Id;
use super::status::Status;
use super::table;
use super::wall::Wall;

/// What `Accept` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Whole,
    Metadata,
    /// `meta.k8s.io/v1` Table, and how much of each object comes with its row.
    Table(Include),
}

/// `includeObject` of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    Metadata,
    Object,
    None,
}

/// What a list says about itself.
#[derive(Debug)]
pub(super) struct ListMeta {
    pub(super) revision: u64,
    pub(super) next: Option<String>,
    pub(super) remaining: Option<usize>,
}

impl Format {
    /// The first media type in `Accept` that the server speaks.
    pub(super) fn of(accept: &str, include: &str) -> Result<Format, Status> {
        if accept.trim().is_empty() {
            return Ok(Format::Whole);
        }
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if !matches!(media, "application/json" | "application/*" | "*/*") {
                continue;
            }
            let form = parts.find_map(|part| part.strip_prefix("as=")).unwrap_or_default();
            match form {
                "" => return Ok(Format::Whole),
                "Table" => return include_of(include).map(Format::Table),
                "PartialObjectMetadata" | "PartialObjectMetadataList" => {
                    return Ok(Format::Metadata);
                }
                _ => {}
            }
        }
        Err(Status::not_acceptable())
    }

    /// One object.
    pub(super) fn one(self, resource: Id, object: &Value, now: Wall) -> Value {
        match self {
            Format::Whole => object.clone(),
            Format::Metadata => metadata_only(object),
            Format::Table(include) => {
                let revision = &object["metadata"]["resourceVersion"];
                let meta = json!({"resourceVersion": revision});
                table::table(resource, &[object], meta, include, now)
            }
        }
    }

    /// A list, as bytes: it may be large.
    pub(super) fn many<O: AsRef<Value>>(
        self,
        resource: Id,
        objects: &[O],
        meta: &ListMeta,
        now: Wall,
    ) -> Vec<u8> {
        let row = resource.row();
        let meta = meta.body();
        let (kind, version, items) = match self {
            Format::Table(include) => {
                let objects: Vec<&Value> = objects.iter().map(AsRef::as_ref).collect();
                return bytes(&table::table(resource, &objects, meta, include, now));
            }
            Format::Metadata => {
                let items = objects.iter().map(|o| metadata_only(o.as_ref())).collect();
                return bytes(&json!({
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": meta,
                    "items": Value::Array(items),
                }));
            }
            Format::Whole => (row.list_kind(), row.api_version(), objects),
        };
        let items: Vec<Item<'_>> =
            items.iter().filter_map(|o| o.as_ref().as_object()).map(Item).collect();
        bytes(&List { kind: &kind, api_version: &version, metadata: meta, items })
    }
}

fn include_of(include: &str) -> Result<Include, Status> {
    match include {
        "" | "Metadata" => Ok(Include::Metadata),
        "Object" => Ok(Include::Object),
        "None" => Ok(Include::None),
        other => Err(Status::bad_request(format!(
            "Invalid value: \"{other}\": must be one of 'Object', 'Metadata' or 'None'"
        ))),
    }
}

/// `PartialObjectMetadata` of an object.
pub(super) fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

impl ListMeta {
    fn body(&self) -> Value {
        let mut body = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            body["continue"] = next.clone().into();
        }
        if let Some(remaining) = self.remaining {
            body["remainingItemCount"] = remaining.into();
        }
        body
    }
}

/// Plain JSON values and this module's own shapes cannot fail to serialize.
fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[derive(Serialize)]
struct List<'a> {
    kind: &'a str,
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    metadata: Value,
    items: Vec<Item<'a>>,
}

/// An object in a list: the list says kind and version once, for all of them.
struct Item<'a>(&'a Map<String, Value>);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0 {
            if name != "kind" && name != "apiVersion" {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::DEPLOYMENTS;
    use super::*;

    #[test]
    fn the_first_form_that_is_spoken_wins() {
        fn check(accept: &str, expect: Option<Format>) {
            assert_eq!(Format::of(accept, "").ok(), expect, "{accept}");
        }
        let table = Format::Table(Include::Metadata);
        check("", Some(Format::Whole));
        check("*/*", Some(Format::Whole));
        check("application/json", Some(Format::Whole));
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(table));
        check("application/vnd.kubernetes.protobuf,application/json", Some(Format::Whole));
        check(
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            Some(Format::Metadata),
        );
        check("application/vnd.kubernetes.protobuf", None);
        check("application/json;as=Poem", None);
    }

    #[test]
    fn items_of_a_list_do_not_repeat_kind_and_version() {
        let object =
            json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "a"}});
        let meta = ListMeta { revision: 7, next: Some("n".into()), remaining: Some(2) };
        let objects = [std::sync::Arc::new(object)];
        let list = Format::Whole.many(DEPLOYMENTS, &objects, &meta, Wall(0));
        let list: Value = serde_json::from_slice(&list).unwrap();
        let expect = json!({
            "kind": "DeploymentList",
            "apiVersion": "apps/v1",
            "metadata": {"resourceVersion": "7", "continue": "n", "remainingItemCount": 2},
            "items": [{"metadata": {"name": "a"}}],
        });
        assert_eq!(list, expect);
    }
}
