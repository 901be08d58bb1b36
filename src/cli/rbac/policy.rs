//! A ValidatingAdmissionPolicy that holds depd to its job. `[C]`
//!
//! RBAC can grant a PATCH of a Deployment only as a whole. The policy looks into it: every field is the
//! same as before, but for the image of a container, the imagePullSecrets, the annotations of the
//! workload, and the one of its pods by which `depd restart` replaces them. It compares whatever fields
//! there are, so that fields of later versions are guarded too. Subresources are requests of their own:
//! without `deployments/*` among the rules `kubectl scale` would pass by them all.
//! Facts: "Validating Admission Policy" and "Common Expression Language in Kubernetes".

/// What `kubectl rollout restart` sets.
const RESTART: &str = "kubectl.kubernetes.io/restartedAt";

/// The policy and its binding, for this user, which holds no quotation marks.
pub(super) fn text(user: &str) -> String {
    let mut validations = String::new();
    let mut add = |message: &str, expression: &str| {
        let message =
            format!("depd may change images, imagePullSecrets and annotations only: {message}");
        validations.push_str(&format!(
            "    - message: \"{message}\"\n      reason: Forbidden\n      expression: >-\n        {expression}\n"
        ));
    };
    // A change of scale comes as an object of another kind, which no rule on spec sees.
    add("it may not scale or write the status", "request.?subResource.orValue('') == ''");
    add("it may not create or delete", "request.operation == 'UPDATE'");
    for field in ["labels", "finalizers", "ownerReferences"] {
        let expression = format!("object.metadata.?{field} == oldObject.metadata.?{field}");
        add(&format!("metadata.{field} differs"), &expression);
    }
    add("spec differs", &same("spec", &["template"]));
    add("spec.template differs", &same("spec.template", &["metadata", "spec"]));
    add("spec.template.metadata differs", &same("spec.template.metadata", &["annotations"]));
    add("the pods' annotations differ in more than restartedAt", &annotations());
    let pod = ["containers", "initContainers", "imagePullSecrets"];
    add("spec.template.spec differs", &same("spec.template.spec", &pod));
    for list in ["containers", "initContainers"] {
        add(&format!("{list} differ in more than the image"), &containers(list));
    }
    format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: depd-images-only
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: [apps]
        apiVersions: [\"*\"]
        operations: [CREATE, UPDATE, DELETE]
        resources:
          - deployments
          - statefulsets
          - daemonsets
          - deployments/*
          - statefulsets/*
          - daemonsets/*
  matchConditions:
    - name: is-depd
      expression: \"request.userInfo.username == '{user}'\"
  validations:
{validations}---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: depd-images-only
spec:
  policyName: depd-images-only
  validationActions: [Deny]
"
    )
}

/// All fields of an object are as before, but for these.
fn same(path: &str, but: &[&str]) -> String {
    let but = format!("['{}']", but.join("', '"));
    format!(
        "object.{path}.all(k, k in {but} || (k in oldObject.{path} && object.{path}[k] == oldObject.{path}[k])) \
         && oldObject.{path}.all(k, k in {but} || k in object.{path})"
    )
}

/// The pods' annotations are as before, but for that of a restart.
fn annotations() -> String {
    let path = "spec.template.metadata.?annotations.orValue({})";
    format!(
        "object.{path}.all(k, k == '{RESTART}' || (k in oldObject.{path} && object.{path}[k] == oldObject.{path}[k])) \
         && oldObject.{path}.all(k, k == '{RESTART}' || k in object.{path})"
    )
}

/// The same containers, and each as before but for its image.
fn containers(list: &str) -> String {
    let path = format!("spec.template.spec.?{list}.orValue([])");
    format!(
        "object.{path}.size() == oldObject.{path}.size() \
         && object.{path}.all(c, oldObject.{path}.exists_one(o, o.name == c.name \
         && c.all(k, k == 'image' || (k in o && c[k] == o[k])) && o.all(k, k in c)))"
    )
}
