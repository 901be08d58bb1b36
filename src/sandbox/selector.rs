//! Label and field selectors. `[C]`
//!
//! The query forms are those of `labelSelector=` (`a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`) and
//! `fieldSelector=`; the object form is `metav1.LabelSelector`. Facts: apimachinery's `labels`
//! and `fields` packages.

use serde_json::Value;

use super::json::text;
use super::resources::{EVENTS, Id, NAMESPACES, PODS, REPLICA_SETS, SECRETS};

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Labels(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Above(i64),
    Below(i64),
}

impl Labels {
    /// Reads the query form; the error is for a 400.
    pub(super) fn parse(query: &str) -> Result<Labels, String> {
        let parts = split_outside_parentheses(query);
        let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
        parts.map(requirement).collect::<Result<_, _>>().map(Labels)
    }

    /// Reads `matchLabels` and `matchExpressions`; none when an expression makes no sense.
    pub(super) fn of(selector: &Value) -> Option<Labels> {
        let mut all = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let test = Test::In(vec![value.as_str()?.into()]);
            all.push(Requirement { key: key.clone(), test });
        }
        for rule in selector["matchExpressions"].as_array().into_iter().flatten() {
            let values = || -> Vec<String> {
                let values = rule["values"].as_array().into_iter().flatten();
                values.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let test = match text(rule, "/operator") {
                "In" => Test::In(values()),
                "NotIn" => Test::NotIn(values()),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                _ => return None,
            };
            all.push(Requirement { key: text(rule, "/key").into(), test });
        }
        Some(Labels(all))
    }

    /// Whether there is nothing to hold.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the labels (a JSON object, or nothing) satisfy every requirement.
    pub(super) fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels[requirement.key.as_str()].as_str();
            let number = value.and_then(|v| v.parse::<i64>().ok());
            match &requirement.test {
                Test::In(values) => value.is_some_and(|v| values.iter().any(|own| own == v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|own| own != v)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::Above(limit) => number.is_some_and(|n| n > *limit),
                Test::Below(limit) => number.is_some_and(|n| n < *limit),
            }
        })
    }

    /// As `kubectl get -o wide` shows it.
    pub(super) fn show(&self) -> String {
        let one = |requirement: &Requirement| {
            let key = &requirement.key;
            match &requirement.test {
                Test::In(values) if values.len() == 1 => format!("{key}={}", values[0]),
                Test::In(values) => format!("{key} in ({})", values.join(",")),
                Test::NotIn(values) => format!("{key} notin ({})", values.join(",")),
                Test::Exists => key.clone(),
                Test::Absent => format!("!{key}"),
                Test::Above(limit) => format!("{key}>{limit}"),
                Test::Below(limit) => format!("{key}<{limit}"),
            }
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(",")
    }
}

fn split_outside_parentheses(query: &str) -> Vec<&str> {
    let mut depth = 0i32;
    query
        .split(move |letter: char| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            letter == ',' && depth == 0
        })
        .collect()
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let make = |key: &str, test| {
        let key = key.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if key.is_empty() || !key.chars().all(fits) {
            return Err(format!("unable to parse requirement: invalid label key \"{key}\""));
        }
        Ok(Requirement { key: key.into(), test })
    };
    if let Some(key) = part.strip_prefix('!') {
        return make(key, Test::Absent);
    }
    for (word, negate) in [(" notin", true), (" in", false)] {
        if let Some((key, rest)) = part.split_once(word)
            && let Some(set) = rest.trim().strip_prefix('(').and_then(|r| r.strip_suffix(')'))
        {
            let values = set.split(',').map(|value| value.trim().to_owned()).collect();
            return make(key, if negate { Test::NotIn(values) } else { Test::In(values) });
        }
    }
    if let Some((key, value)) = part.split_once("!=") {
        return make(key, Test::NotIn(vec![value.trim().into()]));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return make(key, Test::In(vec![value.trim().into()]));
    }
    for (sign, above) in [('>', true), ('<', false)] {
        if let Some((key, value)) = part.split_once(sign) {
            let limit = value.trim().parse().map_err(|_| {
                format!("unable to parse requirement: for 'Gt', 'Lt' operators, the value must be an integer: {part}")
            })?;
            return make(key, if above { Test::Above(limit) } else { Test::Below(limit) });
        }
    }
    make(part, Test::Exists)
}

/// `a=b,c!=d` over a fixed set of fields per resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(Vec<(String, bool, String)>);

impl Fields {
    /// Reads the query form; the error is for a 400.
    pub(super) fn parse(query: &str, resource: Id) -> Result<Fields, String> {
        let mut all = Vec::new();
        for part in query.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once('=') {
                (field, true, value.strip_prefix('=').unwrap_or(value))
            } else {
                return Err(format!("invalid selector: '{query}'; can't understand '{part}'"));
            };
            if !known_field(resource, field) {
                return Err(match own_fields(resource) {
                    [] => format!(
                        "\"{field}\" is not a known field selector: only \"metadata.name\", \
                         \"metadata.namespace\""
                    ),
                    _ => format!("field label not supported: {field}"),
                });
            }
            all.push((format!("/{}", field.replace('.', "/")), equal, value.to_owned()));
        }
        Ok(Fields(all))
    }

    /// Whether there is nothing to hold.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the object satisfies all of them.
    pub(super) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(pointer, equal, value)| {
            let own = object.pointer(pointer).map(|own| match own {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            (own.unwrap_or_default() == *value) == *equal
        })
    }
}

fn known_field(resource: Id, field: &str) -> bool {
    own_fields(resource).contains(&field)
        || field == "metadata.name"
        || field == "metadata.namespace" && (resource.row().namespaced || resource == NAMESPACES)
}

/// Fields that a resource can be selected by, besides its name and namespace.
fn own_fields(resource: Id) -> &'static [&'static str] {
    match resource {
        PODS => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        NAMESPACES => &["status.phase"],
        REPLICA_SETS => &["status.replicas"],
        SECRETS => &["type"],
        EVENTS => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
        ],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resources::DEPLOYMENTS;
    use super::*;

    #[test]
    fn label_selectors_hold_as_the_api_server_says() {
        fn check(query: &str, expect: bool) {
            let labels = json!({"app": "web", "tier": "front", "size": "3"});
            assert_eq!(Labels::parse(query).unwrap().matches(&labels), expect, "{query}");
        }
        check("", true);
        check("app=web", true);
        check("app==web", true);
        check("app = web , tier=front", true);
        check("app=api", false);
        check("app!=api", true);
        check("missing!=x", true);
        check("app in (api, web)", true);
        check("app in (api)", false);
        check("app notin (api)", true);
        check("app notin (web,api)", false);
        check("missing notin (x)", true);
        check("tier", true);
        check("missing", false);
        check("!missing", true);
        check("!tier", false);
        check("size>2,size<4", true);
        check("size>3", false);
        check("app in (web),tier in (front,back)", true);
    }

    #[test]
    fn nonsense_is_refused() {
        for query in ["a b=c", "=x", "app>many", "app in web)"] {
            assert!(Labels::parse(query).is_err(), "{query}");
        }
        assert!(Fields::parse("metadata.labels=x", DEPLOYMENTS).is_err());
        assert!(Fields::parse("metadata.name", DEPLOYMENTS).is_err());
    }

    #[test]
    fn an_object_selector_reads_labels_and_expressions() {
        let selector = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}],
        });
        let selector = Labels::of(&selector).unwrap();
        assert!(selector.matches(&json!({"app": "web"})));
        assert!(!selector.matches(&json!({"app": "web", "tier": "back"})));
        assert_eq!(selector.show(), "app=web,tier notin (back)");
        assert_eq!(Labels::of(&json!({"matchExpressions": [{"operator": "Near"}]})), None);
    }

    #[test]
    fn field_selectors_compare_texts() {
        let pod = json!({"metadata": {"name": "a"}, "status": {"phase": "Running"}});
        let matches = |query| Fields::parse(query, PODS).unwrap().matches(&pod);
        assert!(matches("metadata.name=a,status.phase!=Failed"));
        assert!(!matches("status.phase=Pending"));
        assert!(matches("spec.nodeName="));
    }
}
