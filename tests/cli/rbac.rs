//! What `depd rbac` prints: people apply it, so it is read here as a whole.

use std::fs;

use super::{depd, folder, refuses};

fn printed(arguments: &[&str]) -> String {
    let folder = folder();
    fs::write(folder.path().join("deps/web_shop.dep"), "# the shop\nnginx:1.25\n")
        .expect("written");
    fs::write(folder.path().join("deps/web_shop.dep~"), "old").expect("written");
    let all = [&["rbac"], arguments].concat();
    let output = depd(folder.path(), &all).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_manifests_are_as_they_were_reviewed() {
    insta::assert_snapshot!("rbac", printed(&[]));
    insta::assert_snapshot!(
        "rbac-namespaces",
        printed(&["--namespace", "shop", "--namespace", "blog"])
    );
    insta::assert_snapshot!(
        "rbac-manifest",
        printed(&[
            "--manifest",
            "--image",
            "registry.example.com/depd:1",
            "--deps",
            "deps",
            "--token-secret"
        ])
    );
    insta::assert_snapshot!("rbac-policy", printed(&["--policy"]));
}

/// What the README adds to the printed role for whoever wants Events.
const FOR_EVENTS: &str = "  # For --events only.
  - apiGroups: [events.k8s.io]
    resources: [events]
    verbs: [create]
";

/// The tests on a real control plane run with these rights, and the one for Events.
#[test]
fn the_rights_of_the_test_cluster_are_the_printed_ones() {
    let rules = |text: &str| {
        let role = text.split("---").find(|part| part.contains("kind: ClusterRole\n"));
        let (_, rules) = role.expect("a role").split_once("rules:").expect("rules");
        rules.trim().to_owned()
    };
    let ours = fs::read_to_string("tests/cluster/rbac.yaml").expect("readable");
    assert!(ours.contains(FOR_EVENTS), "{ours}");
    assert_eq!(rules(&ours.replacen(FOR_EVENTS, "", 1)), rules(&printed(&[])));
}

#[test]
fn what_would_break_the_yaml_is_refused() {
    let folder = folder();
    for arguments in [
        ["--namespace", "a\nb"],
        ["--namespace", "UPPER"],
        ["--user", "x' || 'a' == 'a"],
        ["--image", "a b"],
    ] {
        let mut all = vec!["rbac", "--policy"];
        if arguments[0] != "--user" {
            all.pop();
        }
        all.extend(arguments);
        refuses(depd(folder.path(), &all), 2, "error: invalid value");
    }
}
