//! Which files are read, in which order, and what stands in for them.

use std::collections::HashMap;
use std::fs;

use tempfile::TempDir;

use super::*;

/// A folder with a kubeconfig per name, whose context, server and token file carry that name.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, config(name)).unwrap();
    }
    folder
}

fn config(name: &str) -> String {
    format!(
        "current-context: {name}\n\
         clusters: [{{name: {name}, cluster: {{server: 'https://{}.example'}}}}]\n\
         contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}]\n\
         users: [{{name: {name}, user: {{tokenFile: token}}}}]\n",
        name.replace(['/', '.'], "-")
    )
}

fn env(pairs: &[(&str, String)]) -> impl Fn(&str) -> Option<OsString> + use<> {
    let pairs: HashMap<String, OsString> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    move |name| pairs.get(name).cloned()
}

/// `KUBECONFIG` with these files of the folder.
fn list(folder: &TempDir, names: &[&str]) -> (&'static str, String) {
    let paths = names.iter().map(|name| match name.is_empty() {
        true => PathBuf::new(),
        false => folder.path().join(name),
    });
    ("KUBECONFIG", std::env::join_paths(paths).unwrap().into_string().unwrap())
}

fn home(folder: &TempDir) -> (&'static str, String) {
    ("HOME", folder.path().to_str().unwrap().to_owned())
}

fn chosen(kubeconfig: Option<PathBuf>, context: Option<&str>) -> Choice {
    Choice { kubeconfig, context: context.map(Into::into) }
}

#[test]
fn a_file_with_nothing_in_it_is_named() {
    let folder = folder(&[]);
    fs::write(folder.path().join("empty"), "").unwrap();
    let pairs = [list(&folder, &["gone", "empty"])];
    let error = load(&chosen(None, None), env(&pairs)).unwrap_err().to_string();
    let place = folder.path().display();
    assert!(error.starts_with(&format!("kubeconfig {place}/empty is empty: name")), "{error}");
    assert!(error.ends_with(&format!("(there is no {place}/gone)")), "{error}");
}

#[test]
fn the_option_beats_the_variable_and_the_variable_beats_the_home() {
    let folder = folder(&["option", "variable", ".kube/config"]);
    let (variable, home) = (list(&folder, &["variable"]), home(&folder));
    let context = |choice: &Choice, pairs: &[(&str, String)]| {
        load(choice, env(pairs)).unwrap().context.to_string()
    };
    let option = chosen(Some(folder.path().join("option")), None);
    let none = Choice::default();
    assert_eq!(context(&option, &[variable.clone(), home.clone()]), "option");
    assert_eq!(context(&none, &[variable, home.clone()]), "variable");
    assert_eq!(context(&none, std::slice::from_ref(&home)), ".kube/config");
    assert_eq!(context(&none, &[("KUBECONFIG", String::new()), home]), ".kube/config");
}

#[test]
fn the_files_of_the_list_are_merged_and_missing_ones_passed_over() {
    let folder = folder(&["a/config", "b/config"]);
    let pairs = [list(&folder, &["gone", "", "a/config", "b/config"])];
    let first = load(&Choice::default(), env(&pairs)).unwrap();
    assert_eq!(&*first.context, "a/config");
    let second = load(&chosen(None, Some("b/config")), env(&pairs)).unwrap();
    assert_eq!(second.server.as_str(), "https://b-config.example");
    let path = folder.path().join("b/token");
    assert_eq!(second.authorization, Authorization::TokenFile { path, fallback: None });
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_no_missing_one() {
    let folder = folder(&["good"]);
    let refused = |name: &str| {
        let pairs = [list(&folder, &[name, "good"])];
        let error = load(&Choice::default(), env(&pairs)).unwrap_err();
        assert!(matches!(&error, KubeconfigError::Unreadable { .. }), "{error:?}");
        let path = folder.path().join(name).display().to_string();
        assert!(error.to_string().contains(&path), "{error}");
    };
    fs::create_dir(folder.path().join("a-folder")).unwrap();
    refused("a-folder");
    // Not "no such file": somebody meant another path.
    refused("good/config");
    fs::write(folder.path().join("latin1"), b"current-context: caf\xe9\n").unwrap();
    refused("latin1");
}

#[test]
fn a_broken_file_of_the_list_is_said_and_not_passed_over() {
    let folder = folder(&["good"]);
    fs::write(folder.path().join("broken"), "users: {").unwrap();
    let pairs = [list(&folder, &["good", "broken"])];
    let error = load(&Choice::default(), env(&pairs)).unwrap_err().to_string();
    assert!(error.contains("broken is not a kubeconfig"), "{error}");
}

#[test]
fn the_file_of_the_option_must_exist_and_never_falls_back() {
    let folder = folder(&["good"]);
    let inside = [("KUBERNETES_SERVICE_HOST", "10.0.0.1".to_owned()), list(&folder, &["good"])];
    let gone = chosen(Some(folder.path().join("gone")), None);
    assert!(matches!(load(&gone, env(&inside)), Err(KubeconfigError::Unreadable { .. })));
    fs::write(folder.path().join("empty"), "").unwrap();
    let empty = chosen(Some(folder.path().join("empty")), None);
    assert!(matches!(load(&empty, env(&inside)), Err(KubeconfigError::Context { .. })));
}

#[test]
fn without_any_file_the_error_says_where_they_were_looked_for() {
    let folder = folder(&[]);
    let check = |pairs: &[(&str, String)], expect: &str| {
        let error = load(&Choice::default(), env(pairs)).unwrap_err().to_string();
        let advice = "no kubeconfig: set KUBECONFIG or --kubeconfig, or run inside a cluster";
        assert_eq!(error, format!("{advice}{expect}"));
    };
    let at = |name: &str| folder.path().join(name).display().to_string();
    check(&[], "");
    check(&[home(&folder)], &format!(" (there is no {})", at(".kube/config")));
    check(
        &[list(&folder, &["one", "two"])],
        &format!(" (there is no {}, {})", at("one"), at("two")),
    );
}

/// What a pod has: the variables and the folder.
fn pod(host: &str) -> (TempDir, impl Fn(&str) -> Option<OsString> + use<>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "t").unwrap();
    let pairs = [
        ("KUBERNETES_SERVICE_HOST", host.to_owned()),
        ("KUBERNETES_SERVICE_PORT", "443".to_owned()),
    ];
    (folder, env(&pairs))
}

#[test]
fn a_pod_uses_its_service_account() {
    let check = |host: &str, server: &str| {
        let (folder, env) = pod(host);
        let access = in_cluster(folder.path(), &env).unwrap().unwrap();
        assert_eq!(access.server.as_str(), server);
        let ca = folder.path().join("ca.crt");
        assert_eq!(access.trust, Trust::Authority(Material::File(ca)));
        let path = folder.path().join("token");
        assert_eq!(access.authorization, Authorization::TokenFile { path, fallback: None });
        assert_eq!(access.origin, "in-cluster");
    };
    check("10.96.0.1", "https://10.96.0.1:443");
    check("fd00::1", "https://[fd00::1]:443");
}

#[test]
fn outside_a_pod_there_is_no_service_account() {
    let (folder, inside) = pod("10.96.0.1");
    assert!(in_cluster(folder.path(), &env(&[])).is_none());
    fs::remove_file(folder.path().join("token")).unwrap();
    assert!(in_cluster(folder.path(), &inside).is_none());
    let (folder, odd) = pod("not a host");
    let error = in_cluster(folder.path(), &odd).unwrap().unwrap_err().to_string();
    assert!(error.contains("KUBERNETES_SERVICE_HOST"), "{error}");
}
