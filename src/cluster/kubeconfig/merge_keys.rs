//! Merge keys of YAML 1.1 (`<<: *defaults`), which the parser leaves as they are. `[C]`
//!
//! A user who takes the token from an anchor must not become one without a token. The order is that of
//! kubectl's parser: what stands later in a mapping wins, and in a list of mappings the first one does.
//! Facts: <https://yaml.org/type/merge.html> and `decode.go` of go-yaml 2.

use yaml_serde::{Mapping, Value};

/// What a merge key looks like.
pub(super) const KEY: &str = "<<";

/// Resolves all of them. Returns whether there was one.
pub(super) fn resolve(value: &mut Value) -> bool {
    match value {
        // Not a short-circuit: all are resolved.
        Value::Sequence(list) => list.iter_mut().fold(false, |any, one| resolve(one) | any),
        Value::Tagged(tagged) => resolve(&mut tagged.value),
        Value::Mapping(map) => {
            let mut any = map.values_mut().fold(false, |any, one| resolve(one) | any);
            if map.contains_key(KEY) {
                any = true;
                let mut merged = Mapping::new();
                for (key, value) in std::mem::take(map) {
                    match key.as_str() {
                        Some(KEY) => merge(&mut merged, value),
                        _ => drop(merged.insert(key, value)),
                    }
                }
                *map = merged;
            }
            any
        }
        _ => false,
    }
}

/// What is no mapping stays under its key, which nothing asks for.
fn merge(into: &mut Mapping, value: Value) {
    match value {
        Value::Mapping(map) => into.extend(map),
        Value::Sequence(list) => list.into_iter().rev().for_each(|one| merge(into, one)),
        other => drop(into.insert(KEY.into(), other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_resolved_in_the_order_of_kubectl() {
        let check = |text: &str, expect: &str| {
            let mut value: Value = yaml_serde::from_str(text).unwrap();
            let expect: Value = yaml_serde::from_str(expect).unwrap();
            assert_eq!(resolve(&mut value), value != yaml_serde::from_str::<Value>(text).unwrap());
            assert_eq!(value, expect, "{text}");
        };
        check("a: 1", "a: 1");
        check("[{a: &x {t: 1}}, {b: {<<: *x}}]", "[{a: {t: 1}}, {b: {t: 1}}]");
        check("{<<: {t: 1, u: 1}, t: 2}", "{t: 2, u: 1}");
        check("{t: 2, <<: {t: 1}}", "{t: 1}");
        check("{<<: [{t: 1}, {t: 2, u: 2}]}", "{t: 1, u: 2}");
        check("{a: &x {<<: {t: 1}}, b: {<<: *x, u: 2}}", "{a: {t: 1}, b: {t: 1, u: 2}}");
    }
}
