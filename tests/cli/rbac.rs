//! What `depd rbac` prints: people apply it, so it is read here as a whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

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
    insta::assert_snapshot!(
        "rbac-more",
        printed(&["--namespace", "shop", "--events", "--ecr-pull-secret"])
    );
    let all = ["--manifest", "--image", "depd:1", "--events", "--ecr-pull-secret"];
    let starts = printed(&all).lines().find(|line| line.contains("args: ")).map(str::to_owned);
    let starts = starts.unwrap_or_default();
    assert!(starts.ends_with(", --events, --ecr-pull-secret]"), "{starts}");
}

/// The rules of the role of that name, without comments.
fn rules_of(text: &str, role: &str) -> String {
    let head = format!("kind: ClusterRole\nmetadata:\n  name: {role}\n");
    let (_, rest) = text.split_once(&head).expect("the role");
    let rules = rest.split("---").next().unwrap_or_default();
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.skip_while(|line| *line != "rules:").skip(1).map(|line| format!("{line}\n")).collect()
}

/// The tests on a real control plane run with these rights. Those of pull secrets are in a role of
/// their own there, which only some tests bind.
#[test]
fn the_rights_of_the_test_cluster_are_the_printed_ones() {
    let ours = fs::read_to_string("tests/cluster/rbac.yaml").expect("readable");
    assert_eq!(rules_of(&ours, "depd"), rules_of(&printed(&["--events"]), "depd"));
    let all = rules_of(&printed(&["--events", "--ecr-pull-secret"]), "depd");
    let more = rules_of(&ours, "depd-pull-secrets");
    assert!(more.contains("depd-ecr"), "{more}");
    assert_eq!(all.replacen(&more, "", 1), rules_of(&ours, "depd"));
    assert_eq!(rules_of(&printed(&[]), "depd").len() + all.len(), {
        let one = |arguments: &[&str]| rules_of(&printed(arguments), "depd").len();
        one(&["--events"]) + one(&["--ecr-pull-secret"])
    });
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

#[test]
fn security_10_11_no_file_outside_of_the_folder_and_none_too_large_gets_into_the_manifest() {
    let check = |make: &dyn Fn(&Path), expect: &str| {
        let folder = folder();
        fs::write(folder.path().join("secret"), "canary").expect("written");
        make(&folder.path().join("deps"));
        let arguments = ["rbac", "--manifest", "--image", "depd:1", "--deps", "deps"];
        let output = depd(folder.path(), &arguments).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (printed, said) = (text(&output.stdout), text(&output.stderr));
        assert!(!printed.contains("canary") && !said.contains("canary"), "{printed} {said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expect) && printed.is_empty(), "{said} {printed}");
    };
    let link = |to: &'static str| {
        move |deps: &Path| symlink(to, deps.join("web_shop.dep")).expect("a link")
    };
    check(&link("../secret"), "web_shop.dep: a link that is absolute or leads out of the folder");
    check(&link("/etc/hostname"), "web_shop.dep: a link that is absolute or leads out");
    let put = |text: String| {
        move |deps: &Path| fs::write(deps.join("web_shop.dep"), &text).expect("written")
    };
    check(&put("x".repeat(5000)), "web_shop.dep: larger than 4096 bytes");
    let many = |deps: &Path| {
        for n in 0..300 {
            fs::write(deps.join(format!("web-{n}_shop.dep")), "#".repeat(4000)).expect("written");
        }
    };
    check(&many, "a ConfigMap holds 1048576");
}
