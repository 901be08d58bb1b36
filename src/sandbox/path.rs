//! What a request path and its query name. `[C]`

use super::resources::{Id, NAMESPACES};

/// A path below `/api/v1` or `/apis/GROUP/VERSION` that names a resource of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: Id,
    /// None: all namespaces, or a cluster-scoped resource.
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

/// The query, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

/// Splits a request target into its segments (decoded) and its query.
pub(super) fn split(target: &str) -> (Vec<String>, Query) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let segments = path.split('/').filter(|s| !s.is_empty()).map(|s| decode(s, false)).collect();
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name, true), decode(value, true))
    });
    (segments, Query(pairs.collect()))
}

impl Target {
    /// Reads the segments of a path; none when they name nothing that is served.
    pub(super) fn of(segments: &[String]) -> Option<Target> {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match segments[..] {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return None,
        };
        let find = |plural| Id::find(group, version, plural);
        let (namespace, resource, name, subresource) = match *rest {
            ["namespaces", namespace, plural, ref rest @ ..]
                if find(plural).is_some_and(|id| id.row().namespaced) =>
            {
                let (name, subresource) = tail(rest)?;
                (Some(namespace), find(plural)?, name, subresource)
            }
            [plural, ref rest @ ..] => {
                let (name, subresource) = tail(rest)?;
                (None, find(plural)?, name, subresource)
            }
            [] => return None,
        };
        // A namespaced object has no address outside a namespace.
        if resource.row().namespaced && namespace.is_none() && name.is_some() {
            return None;
        }
        Some(Target {
            resource,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        })
    }

    /// The namespace in which the objects are stored: empty for cluster-scoped ones.
    pub(super) fn stored_in(&self) -> &str {
        if self.resource == NAMESPACES { "" } else { self.namespace.as_deref().unwrap_or_default() }
    }
}

fn tail<'a>(rest: &[&'a str]) -> Option<(Option<&'a str>, Option<&'a str>)> {
    match *rest {
        [] => Some((None, None)),
        [name] => Some((Some(name), None)),
        [name, subresource] => Some((Some(name), Some(subresource))),
        _ => None,
    }
}

impl Query {
    /// The first value of a parameter, empty when it is absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| &**value).unwrap_or_default()
    }

    /// Whether a parameter says yes, as Go reads booleans: present and empty is yes.
    pub(super) fn is_true(&self, name: &str) -> bool {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.is_some_and(|(_, value)| !matches!(&**value, "false" | "0"))
    }

    /// A number, where there is one.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok()
    }
}

/// Undoes percent-encoding; what is not valid UTF-8 afterwards becomes the replacement character.
fn decode(text: &str, plus_is_blank: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: &u8| char::from(*digit).to_digit(16).map(|value| value as u8);
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.push(hex(high).unwrap_or(0) << 4 | hex(low).unwrap_or(0));
                rest = tail;
                continue;
            }
            (b'+', _) if plus_is_blank => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::resources::{DEPLOYMENTS, PODS};
    use super::*;

    #[test]
    fn paths_name_resources_objects_and_subresources() {
        fn check(path: &str, expect: Option<(Id, &str, &str, &str)>) {
            let found = Target::of(&split(path).0).map(|t| {
                let text = |part: Option<String>| part.unwrap_or_default();
                (t.resource, text(t.namespace), text(t.name), text(t.subresource))
            });
            let expect = expect.map(|(r, a, b, c)| (r, a.into(), b.into(), c.into()));
            assert_eq!(found, expect, "{path}");
        }
        check("/api/v1/pods", Some((PODS, "", "", "")));
        check("/api/v1/namespaces", Some((NAMESPACES, "", "", "")));
        check("/api/v1/namespaces/qa", Some((NAMESPACES, "", "qa", "")));
        check("/api/v1/namespaces/qa/status", Some((NAMESPACES, "", "qa", "status")));
        check("/api/v1/namespaces/qa/pods", Some((PODS, "qa", "", "")));
        check("/api/v1/namespaces/qa/pods/p/log?x=y", Some((PODS, "qa", "p", "log")));
        check("/apis/apps/v1/namespaces/qa/deployments/web", Some((DEPLOYMENTS, "qa", "web", "")));
        check("/apis/apps/v1/deployments", Some((DEPLOYMENTS, "", "", "")));
        check("/apis/apps/v1/deployments/web", None);
        check("/apis/apps/v1beta1/deployments", None);
        check("/api/v1/deployments", None);
        check("/api/v1/namespaces/qa/pods/p/log/more", None);
        check("/", None);
    }

    #[test]
    fn queries_are_decoded() {
        let (_, query) = split("/x?labelSelector=a%3Db%2Cc&watch=1&limit=5&follow&x=a+b&y=%zz");
        assert_eq!(query.get("labelSelector"), "a=b,c");
        assert_eq!(query.get("x"), "a b");
        assert_eq!(query.get("y"), "%zz");
        assert_eq!(query.number("limit"), Some(5));
        assert!(query.is_true("watch") && query.is_true("follow") && !query.is_true("absent"));
    }
}
