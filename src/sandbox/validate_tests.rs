use serde_json::json;

use super::super::defaults::complete;
use super::*;

fn deployment_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1.24"}]},
            },
        },
    });
    change(&mut object);
    complete(DEPLOYMENTS, &mut object);
    object
}

#[test]
fn a_plain_deployment_is_valid() {
    assert_eq!(validate(DEPLOYMENTS, &deployment_with(|_| {}), None), Ok(()));
}

#[test]
fn common_mistakes_name_the_field_and_the_reason() {
    fn check(change: impl FnOnce(&mut Value), field: &str, reason: &str, message: &str) {
        let refused = validate(DEPLOYMENTS, &deployment_with(change), None).unwrap_err();
        assert_eq!((refused.code, refused.reason), (422, "Invalid"));
        let causes = refused.details["causes"].as_array().unwrap();
        let expect = json!({"field": field, "reason": reason, "message": message});
        assert!(causes.contains(&expect), "{expect} is not in {causes:?}");
    }
    let image = "spec.template.spec.containers[0].image";
    check(
        |d| drop(d["spec"].as_object_mut().unwrap().remove("selector")),
        "spec.selector",
        "FieldValueRequired",
        "Required value",
    );
    check(
        |d| d["spec"]["template"]["metadata"]["labels"] = json!({"app": "x"}),
        "spec.template.metadata.labels",
        "FieldValueInvalid",
        "Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
    );
    check(
        |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "".into(),
        image,
        "FieldValueRequired",
        "Required value",
    );
    check(
        |d| d["spec"]["template"]["spec"]["containers"] = json!([]),
        "spec.template.spec.containers",
        "FieldValueRequired",
        "Required value",
    );
    check(
        |d| {
            let one = json!({"name": "a", "image": "a"});
            d["spec"]["template"]["spec"]["containers"] = json!([one, one]);
        },
        "spec.template.spec.containers[1].name",
        "FieldValueDuplicate",
        "Duplicate value: \"a\"",
    );
    check(
        |d| d["spec"]["replicas"] = json!(-1),
        "spec.replicas",
        "FieldValueInvalid",
        "Invalid value: -1: must be greater than or equal to 0",
    );
    check(
        |d| d["spec"]["template"]["spec"]["restartPolicy"] = "Never".into(),
        "spec.template.spec.restartPolicy",
        "FieldValueNotSupported",
        "Unsupported value: \"Never\": supported values: \"Always\"",
    );
}

#[test]
fn names_follow_the_rule_of_their_kind() {
    fn check(resource: Id, name: &str, valid: bool) {
        let object = json!({"metadata": {"name": name}});
        assert_eq!(validate(resource, &object, None).is_ok(), valid, "{name}");
    }
    use super::super::resources::CONFIG_MAPS;
    check(CONFIG_MAPS, "a.b-c.1", true);
    check(NAMESPACES, "a.b", false);
    check(NAMESPACES, "a-b", true);
    check(NAMESPACES, &"a".repeat(64), false);
    check(CONFIG_MAPS, &"a".repeat(64), true);
    check(CONFIG_MAPS, &"a".repeat(254), false);
    for name in ["", "A", "-a", "a-", "a..b", "a_b", "ä"] {
        check(CONFIG_MAPS, name, false);
    }
}

#[test]
fn blanks_around_an_image_are_refused_in_pods_and_not_in_templates() {
    let blanks =
        |d: &mut Value| d["spec"]["template"]["spec"]["containers"][0]["image"] = " a".into();
    let object = deployment_with(blanks);
    assert_eq!(validate(DEPLOYMENTS, &object, None), Ok(()));
    let mut pod = json!({"metadata": {"name": "p"}, "spec": object["spec"]["template"]["spec"]});
    complete(PODS, &mut pod);
    let refused = validate(PODS, &pod, None).unwrap_err();
    assert_eq!(
        refused.message,
        "Pod \"p\" is invalid: spec.containers[0].image: Invalid value: \" a\": must not have \
         leading or trailing whitespace"
    );
}

#[test]
fn a_selector_stays_as_it_was_made() {
    let old = deployment_with(|_| {});
    let new = deployment_with(|d| {
        d["spec"]["selector"]["matchLabels"] = json!({"app": "web2"});
        d["spec"]["template"]["metadata"]["labels"] = json!({"app": "web2"});
    });
    let refused = validate(DEPLOYMENTS, &new, Some(&old)).unwrap_err();
    assert!(refused.message.ends_with("field is immutable"), "{}", refused.message);
}

#[test]
fn wrong_types_fail_to_decode() {
    let bad =
        deployment_with(|d| d["spec"]["template"]["spec"]["containers"][0]["image"] = 5.into());
    let error = decodes(DEPLOYMENTS, &bad).unwrap_err();
    assert_eq!(
        error,
        "json: cannot unmarshal number into Go struct field \
         Container.spec.template.spec.containers.image of type string"
    );
    assert_eq!(decodes(DEPLOYMENTS, &deployment_with(|_| {})), Ok(()));
}
