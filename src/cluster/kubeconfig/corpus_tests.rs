//! depd and the real kubectl read the same kubeconfigs: the same content (`config view --flatten`), the
//! same choice (`--minify`), and the same judgement of what can be used at all.
//!
//! Without kubectl (`DEPD_TEST_KUBECTL`, set by `scripts/test-access`) only our own judgement is
//! checked against the table.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::format::{Cluster, User};
use super::load::{candidates, read_all};
use super::*;
use crate::cluster::tls::Tls;

/// What comes of a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// A connection would be made.
    Good,
    /// It is refused before.
    Bad,
    /// depd is stricter or more lenient than kubectl, for this reason: `(depd, why)`.
    Other(bool, &'static str),
    /// As `Other`, and the file itself is read in another way, so that its content is not compared.
    Unlike(bool, &'static str),
}
use Use::{Bad, Good, Other, Unlike};

/// Nobody listens there.
const SERVER: &str = "https://127.0.0.1:1";

fn one(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
         clusters:\n- name: c\n  cluster: {{{cluster}}}\n\
         contexts:\n- name: dev\n  context: {{cluster: c, user: u, namespace: prod}}\n\
         users:\n- name: u\n  user: {{{user}}}\n"
    )
}

fn with_user(user: &str) -> String {
    one(&format!("server: '{SERVER}'"), user)
}

fn with_cluster(cluster: &str) -> String {
    one(&format!("server: '{SERVER}', {cluster}"), "token: t")
}

fn exec(more: &str) -> String {
    with_user(&format!("exec: {{command: 'false', {more}}}"))
}

/// Name, the files of the list in KUBECONFIG, and what comes of it. The folder also has ca.crt, a.crt,
/// a.key and token.
fn corpus() -> Vec<(&'static str, Vec<String>, Use)> {
    let v1 = "apiVersion: client.authentication.k8s.io/v1";
    let (ca, crt, key) = pki();
    let [ca64, crt64, key64] = [&ca, &crt, &key].map(|pem| STANDARD.encode(pem));
    let two = |first: &str, second: &str| vec![first.to_owned(), second.to_owned()];
    let mut all: Vec<(&'static str, Vec<String>, Use)> = Vec::new();
    let mut add = |name, text: String, expect| all.push((name, vec![text], expect));
    add("token", with_user("token: t"), Good);
    add("token of digits in quotes", with_user("token: '0123'"), Good);
    add("token file", with_user("tokenFile: token"), Good);
    add("token file and token", with_user("tokenFile: token, token: t"), Good);
    add("missing token file", with_user("tokenFile: gone"), Other(true, "it may come later"));
    add("basic", with_user("username: ann, password: pw"), Good);
    add("user name alone", with_user("username: ann"), Good);
    add("basic and token", with_user("username: ann, token: t"), Bad);
    add("certificate files", with_user("client-certificate: a.crt, client-key: a.key"), Good);
    add(
        "certificate data",
        with_user(&format!("client-certificate-data: {crt64}, client-key-data: {key64}")),
        Good,
    );
    add(
        "certificate data and the key file of another",
        with_user(&format!("client-certificate-data: {crt64}, client-key: ./a.key")),
        Bad,
    );
    add(
        "certificate twice",
        with_user(&format!(
            "client-certificate: a.crt, client-certificate-data: {crt64}, client-key: a.key"
        )),
        Bad,
    );
    add(
        "key twice",
        with_user(&format!(
            "client-certificate: a.crt, client-key-data: {key64}, client-key: a.key"
        )),
        Bad,
    );
    add("certificate without key", with_user("client-certificate: a.crt"), Bad);
    add(
        "key without certificate",
        with_user("client-key: a.key"),
        Other(true, "kubectl asks for a name at the terminal"),
    );
    add("missing key", with_user("client-certificate: a.crt, client-key: gone"), Bad);
    add("another key", with_user("client-certificate: a.crt, client-key: ca.key"), Bad);
    add("certificate that is none", with_user("client-certificate: token, client-key: a.key"), Bad);
    add(
        "certificate and token",
        with_user("client-certificate: a.crt, client-key: a.key, token: t"),
        Good,
    );
    add(
        "data that is not base64",
        with_user("client-certificate-data: '*', client-key: a.key"),
        Bad,
    );
    add("nobody", with_user(""), Other(true, "kubectl asks for a name at the terminal"));
    add("plugin v1", exec(&format!("{v1}, interactiveMode: Never")), Good);
    add("plugin v1beta1", exec("apiVersion: client.authentication.k8s.io/v1beta1"), Good);
    add(
        "plugin with everything",
        exec(&format!(
            "{v1}, interactiveMode: IfAvailable, args: [a, --b, 'c d'], provideClusterInfo: true, \
             installHint: get it, env: [{{name: A, value: b}}, {{name: C, value: ''}}]"
        )),
        Good,
    );
    add(
        "plugin beside the file",
        with_user(&format!("exec: {{command: ./gone, {v1}, interactiveMode: Never}}")),
        Good,
    );
    add("plugin without mode", exec(v1), Bad);
    add(
        "plugin that asks",
        exec(&format!("{v1}, interactiveMode: Always")),
        Other(false, "there is no terminal, which kubectl finds out later"),
    );
    add(
        "plugin that would ask beside a token",
        with_user(&format!("token: t, exec: {{command: 'false', {v1}, interactiveMode: Always}}")),
        Good,
    );
    add(
        "plugin with a PATH",
        exec(&format!("{v1}, interactiveMode: Never, env: [{{name: PATH, value: /nowhere}}]")),
        Good,
    );
    add("plugin of an unknown mode", exec(&format!("{v1}, interactiveMode: Perhaps")), Bad);
    add(
        "plugin v1alpha1",
        exec("apiVersion: client.authentication.k8s.io/v1alpha1, interactiveMode: Never"),
        Bad,
    );
    add("plugin without version", exec("interactiveMode: Never"), Bad);
    add(
        "plugin without command",
        with_user(&format!("exec: {{{v1}, interactiveMode: Never}}")),
        Bad,
    );
    add(
        "plugin with a nameless variable",
        exec(&format!("{v1}, interactiveMode: Never, env: [{{value: b}}]")),
        Bad,
    );
    add(
        "plugin and auth provider",
        exec(&format!("{v1}, interactiveMode: Never}}, auth-provider: {{name: x")),
        Bad,
    );
    add("auth provider", with_user("auth-provider: {name: gcp}"), Bad);
    add(
        "acting as somebody",
        with_user("token: t, as: bob, as-uid: u1, as-groups: [a, b], as-user-extra: {k: [v, w]}"),
        Good,
    );
    add("acting as a group of nobody", with_user("token: t, as-groups: [a]"), Bad);
    add("authority file", with_cluster("certificate-authority: ca.crt"), Good);
    add("authority data", with_cluster(&format!("certificate-authority-data: {ca64}")), Good);
    add(
        "authority twice",
        with_cluster(&format!("certificate-authority: ca.crt, certificate-authority-data: {ca64}")),
        Bad,
    );
    add("missing authority", with_cluster("certificate-authority: gone"), Bad);
    add("authority without a certificate", with_cluster("certificate-authority: token"), Bad);
    add("not verified", with_cluster("insecure-skip-tls-verify: true"), Good);
    add(
        "not verified with authority",
        with_cluster("insecure-skip-tls-verify: true, certificate-authority: ca.crt"),
        Bad,
    );
    add("verified", with_cluster("insecure-skip-tls-verify: false"), Good);
    add("another name", with_cluster("tls-server-name: kubernetes"), Good);
    add("http proxy", with_cluster("proxy-url: 'http://127.0.0.1:1'"), Good);
    add("https proxy", with_cluster("proxy-url: 'https://u:p@127.0.0.1:1'"), Good);
    add("socks proxy", with_cluster("proxy-url: 'socks5://127.0.0.1:1'"), Good);
    add("proxy in capitals", with_cluster("proxy-url: 'HTTP://127.0.0.1:1'"), Good);
    add("socks5h proxy", with_cluster("proxy-url: 'socks5h://127.0.0.1:1'"), Bad);
    add("ftp proxy", with_cluster("proxy-url: 'ftp://127.0.0.1:1'"), Bad);
    add(
        "extensions",
        with_cluster("extensions: [{name: a, extension: {b: 1}}], disable-compression: true"),
        Good,
    );
    add(
        "server with a path",
        one("server: 'https://127.0.0.1:1/k8s/clusters/c-1/'", "token: t"),
        Good,
    );
    add("server without a scheme", one("server: '127.0.0.1:1'", "token: t"), Good);
    add("plain server", one("server: 'http://127.0.0.1:1'", "token: t"), Good);
    add("no server", one("tls-server-name: a", "token: t"), Bad);
    add("empty cluster", one("", "token: t"), Bad);
    add("unknown fields", with_user("token: t, colour: blue"), Good);
    add(
        "unknown context",
        with_user("token: t").replace("current-context: dev", "current-context: x"),
        Bad,
    );
    add("no current context", with_user("token: t").replace("current-context: dev", ""), Bad);
    add("unknown cluster", with_user("token: t").replace("cluster: c,", "cluster: x,"), Bad);
    add("unknown user", with_user("token: t").replace("user: u,", "user: x,"), Bad);
    add(
        "context without user",
        with_user("token: t").replace("user: u,", ""),
        Other(true, "nobody can be meant, as for a proxy that logs in"),
    );
    add("empty", String::new(), Bad);
    add("only a comment", "# later\n".into(), Bad);
    add("broken", "users: {".into(), Bad);
    add("tabs", "users:\n\t- name: u\n".into(), Bad);
    add("a list", "- a\n".into(), Bad);
    add("a word", "word".into(), Bad);
    add("another kind", "apiVersion: v1\nkind: Secret\n".into(), Bad);
    add("another version", with_user("token: t").replace("apiVersion: v1", "apiVersion: v2"), Bad);
    add("without kind", with_user("token: t").replace("apiVersion: v1\nkind: Config\n", ""), Good);
    add(
        "token that is a number",
        with_user("token: 12"),
        Unlike(true, "a token of digits is meant as it is written"),
    );
    add("token that is a map", with_user("token: {a: b}"), Bad);
    add("nulls", with_user("token: t, tokenFile: null, exec: null, as-groups: null"), Good);
    add(
        "JSON",
        json!({
            "current-context": "dev",
            "clusters": [{"name": "c", "cluster": {"server": SERVER}}],
            "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        })
        .to_string(),
        Good,
    );
    add(
        "anchors",
        with_user("token: t").replace(
            "- name: u\n  user: {token: t}",
            "- name: u\n  user: &t {token: t}\n- name: w\n  user: *t",
        ),
        Good,
    );
    add(
        "odd names",
        with_user("token: t")
            .replace("dev", "'on'")
            .replace("name: c\n", "name: '0123'\n")
            .replace("cluster: c,", "cluster: '0123',"),
        Good,
    );
    let whole = with_user("token: t");
    let users = |text: &str| with_user("token: t").replace("- name: u\n  user: {token: t}", text);
    add("a byte order mark", format!("\u{feff}{whole}"), Good);
    add("line ends of Windows", whole.replace('\n', "\r\n"), Good);
    add("a second document", format!("{whole}---\nkind: Other\n"), Good);
    add("a second document that is broken", format!("---\n{whole}---\n: [\n"), Good);
    add("an end of the document", format!("{whole}...\n"), Good);
    add(
        "a user from an anchor",
        users("- name: w\n  user: &w {token: t}\n- name: u\n  user: {<<: *w, as: bob}"),
        Good,
    );
    add(
        "users from several anchors",
        users(
            "- name: v\n  user: &v {token: v}\n- name: w\n  user: &w {token: w, as: bob}\n\
             - name: u\n  user: {<<: [*v, *w], as-groups: [a]}",
        ),
        Good,
    );
    add(
        "an anchor before and behind its like",
        users(
            "- name: w\n  user: &w {token: w}\n- name: v\n  user: {token: v, <<: *w}\n\
             - name: u\n  user: {<<: *w, token: u}",
        ),
        Good,
    );
    add(
        "a cluster from an anchor of an anchor",
        whole.replace(
            &format!("- name: c\n  cluster: {{server: '{SERVER}'}}"),
            &format!(
                "- name: a\n  cluster: &a {{server: '{SERVER}'}}\n- name: b\n  cluster: &b {{<<: *a, \
                 tls-server-name: b}}\n- name: c\n  cluster: {{<<: *b, disable-compression: true}}"
            ),
        ),
        Good,
    );
    add("a merge key that is none", users("- name: u\n  user: {token: '<<'}"), Good);
    add(
        "a field twice",
        with_user("token: t, token: u"),
        Unlike(false, "it is a mistake, of which kubectl takes the last"),
    );
    add(
        "a list twice",
        format!("{whole}users: [{{name: u, user: {{token: w}}}}]\n"),
        Unlike(false, "it is a mistake, of which kubectl takes the last"),
    );
    add(
        "yes for true",
        with_cluster("insecure-skip-tls-verify: yes"),
        Unlike(false, "yes and on are words in YAML 1.2; it asks for true"),
    );
    add(
        "yes for a name",
        with_user("username: yes, password: pw"),
        Unlike(true, "yes and on are words in YAML 1.2, and meant as they are written"),
    );
    add(
        "a name that is a number",
        whole.replace("name: c\n", "name: 5\n").replace("cluster: c,", "cluster: 5,"),
        Unlike(true, "a name of digits is meant as it is written"),
    );
    add("a token of two lines", with_user("token: \"t\\nu\""), Bad);
    add("a token with a tab", with_user("token: \"t\\tu\""), Good);
    add("acting as two lines", with_user("token: t, as: \"a\\nb\""), Bad);
    add(
        "acting as a group of two lines",
        with_user("token: t, as: a, as-groups: [\"a\\nb\"]"),
        Bad,
    );
    let list = |first: &str, second: &str, expect, name| (name, two(first, second), expect);
    all.extend([
        list(
            "users: [{name: u, user: {tokenFile: token}}]",
            &with_user("username: ann, password: pw"),
            Good,
            "the user of the first file",
        ),
        list(
            "current-context: other",
            &with_user("token: t"),
            Bad,
            "the current context of the first file",
        ),
        list("", &with_user("token: t"), Good, "an empty file before"),
        list(&with_user("token: t"), "users: {", Bad, "a broken file behind"),
        list(
            &with_cluster("certificate-authority: ca.crt"),
            &one("server: 'https://b.example', tls-server-name: b", "token: b"),
            Good,
            "two whole files",
        ),
    ]);
    all
}

fn pki() -> (String, String, String) {
    use rcgen::{CertificateParams, KeyPair};
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let (crt, key) = issue("ann");
    (issue("authority").0, crt, key)
}

struct Written {
    folder: TempDir,
    variable: OsString,
}

fn write(files: &[String]) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let (ca, crt, key) = pki();
    let stranger = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let beside = [("ca.crt", ca), ("a.crt", crt), ("a.key", key), ("ca.key", stranger)];
    for (name, text) in beside {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join("token"), "from-file\n").unwrap();
    let mut paths = vec![folder.path().join("missing")];
    for (number, text) in files.iter().enumerate() {
        let path = folder.path().join(format!("config-{number}"));
        fs::write(&path, text).unwrap();
        paths.push(path);
    }
    let variable = std::env::join_paths(paths).unwrap();
    Written { folder, variable }
}

impl Written {
    fn env(&self) -> impl Fn(&str) -> Option<OsString> + '_ {
        |name| (name == "KUBECONFIG").then(|| self.variable.clone())
    }

    fn merged(&self) -> Result<Merged, KubeconfigError> {
        let files = candidates(&Choice::default(), &self.env());
        merge(read_all(&files, false, &mut Vec::new())?)
    }

    fn is_usable(&self) -> bool {
        load(&Choice::default(), self.env()).is_ok_and(|access| Tls::load(&access, None).is_ok())
    }

    fn kubectl(&self, kubectl: &OsString, arguments: &[&str]) -> std::process::Output {
        Command::new(kubectl)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("KUBECONFIG", &self.variable)
            .current_dir("/")
            .output()
            .unwrap()
    }
}

/// Text where there is some.
fn put(map: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        map.insert(name.into(), json!(value));
    }
}

/// Inline data, or the file's, as `--flatten` has it; an error where kubectl has one.
fn flat(data: Option<&str>, file: Option<&PathBuf>) -> Result<Option<String>, String> {
    match (data.filter(|data| !data.is_empty()), file) {
        (Some(_), Some(_)) => Err("both".into()),
        (Some(data), None) => match STANDARD.decode(data) {
            Ok(_) => Ok(Some(data.to_owned())),
            Err(e) => Err(e.to_string()),
        },
        (None, Some(path)) => {
            fs::read(path).map(|b| Some(STANDARD.encode(b))).map_err(|e| e.to_string())
        }
        (None, None) => Ok(None),
    }
}

fn cluster_json(cluster: &Cluster) -> Result<Value, String> {
    let mut out = Map::new();
    put(&mut out, "server", cluster.server.as_deref());
    put(&mut out, "tls-server-name", cluster.tls_server_name.as_deref());
    put(&mut out, "proxy-url", cluster.proxy_url.as_ref().map(|s| &**s.expose()));
    for (name, set) in [
        ("insecure-skip-tls-verify", cluster.insecure_skip_tls_verify),
        ("disable-compression", cluster.disable_compression),
    ] {
        if set == Some(true) {
            out.insert(name.into(), json!(true));
        }
    }
    let data = flat(
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority.as_ref(),
    )?;
    put(&mut out, "certificate-authority-data", data.as_deref());
    let extensions = cluster.extensions.iter().flatten();
    let extensions: Vec<Value> =
        extensions.map(|e| json!({ "name": e.name, "extension": e.extension })).collect();
    if !extensions.is_empty() {
        out.insert("extensions".into(), json!(extensions));
    }
    Ok(out.into())
}

fn user_json(user: &User) -> Result<Value, String> {
    let mut out = Map::new();
    let secret =
        |s: &Option<crate::cluster::secret::Secret>| s.as_ref().map(|s| s.expose().to_string());
    put(&mut out, "token", secret(&user.token).as_deref());
    put(&mut out, "tokenFile", user.token_file.as_ref().and_then(|p| p.to_str()));
    put(&mut out, "username", user.username.as_deref());
    put(&mut out, "password", secret(&user.password).as_deref());
    let certificate =
        flat(secret(&user.client_certificate_data).as_deref(), user.client_certificate.as_ref())?;
    put(&mut out, "client-certificate-data", certificate.as_deref());
    let key = flat(secret(&user.client_key_data).as_deref(), user.client_key.as_ref())?;
    put(&mut out, "client-key-data", key.as_deref());
    put(&mut out, "as", user.impersonate.as_deref());
    put(&mut out, "as-uid", user.impersonate_uid.as_deref());
    if let Some(groups) = user.impersonate_groups.as_ref().filter(|g| !g.is_empty()) {
        out.insert("as-groups".into(), json!(groups));
    }
    if let Some(extra) = user.impersonate_extra.as_ref().filter(|e| !e.is_empty()) {
        out.insert("as-user-extra".into(), json!(extra));
    }
    if let Some(exec) = &user.exec {
        let mut plugin = Map::new();
        put(&mut plugin, "command", exec.command.as_deref());
        put(&mut plugin, "apiVersion", exec.api_version.as_deref());
        put(&mut plugin, "installHint", exec.install_hint.as_deref());
        let mode = exec.interactive_mode.as_deref().unwrap_or_default();
        // What an absent one means in v1beta1.
        let default = exec.api_version.as_deref().unwrap_or_default().ends_with("v1beta1");
        put(
            &mut plugin,
            "interactiveMode",
            Some(if mode.is_empty() && default { "IfAvailable" } else { mode }),
        );
        plugin
            .insert("provideClusterInfo".into(), json!(exec.provide_cluster_info.unwrap_or(false)));
        if !exec.args.is_empty() {
            let args: Vec<&str> = exec.args.iter().map(|arg| &**arg.expose()).collect();
            plugin.insert("args".into(), json!(args));
        }
        let env: Vec<Value> = exec.env.iter().flatten().map(|pair| {
            json!({ "name": pair.name.clone().unwrap_or_default(), "value": secret(&pair.value).unwrap_or_default() })
        }).collect();
        if !env.is_empty() {
            plugin.insert("env".into(), json!(env));
        }
        out.insert("exec".into(), plugin.into());
    }
    if let Some(provider) = &user.auth_provider {
        out.insert("auth-provider".into(), json!({ "name": provider.name }));
    }
    Ok(out.into())
}

/// Ours, in kubectl's form. `only` leaves what a context needs.
fn view(merged: &Merged, only: Option<&str>) -> Result<Value, String> {
    let context = match only {
        Some(name) => Some(merged.contexts.get(name).ok_or("no such context")?),
        None => None,
    };
    let keep = |name: &str, wanted: Option<Option<&str>>| match wanted {
        Some(wanted) => wanted == Some(name),
        None => true,
    };
    let mut clusters = Map::new();
    for (name, cluster) in &merged.clusters {
        if keep(name, context.map(|c| c.cluster.as_deref())) {
            clusters.insert(name.clone(), cluster_json(cluster)?);
        }
    }
    let mut users = Map::new();
    for (name, user) in &merged.users {
        if keep(name, context.map(|c| c.user.as_deref())) {
            users.insert(name.clone(), user_json(user)?);
        }
    }
    let mut contexts = Map::new();
    for (name, context) in &merged.contexts {
        if keep(name, only.map(Some)) {
            let mut out = Map::new();
            put(&mut out, "cluster", context.cluster.as_deref());
            put(&mut out, "user", context.user.as_deref());
            contexts.insert(name.clone(), out.into());
        }
    }
    let is_there = |wanted: Option<&str>, all: &Map<String, Value>| {
        wanted.is_none_or(|name| name.is_empty() || all.contains_key(name))
    };
    if let Some(context) = context
        && !(is_there(context.cluster.as_deref(), &clusters)
            && is_there(context.user.as_deref(), &users))
    {
        return Err("the context names what is not there".into());
    }
    let current = only.unwrap_or(&merged.current_context);
    Ok(
        json!({ "current-context": current, "clusters": clusters, "contexts": contexts, "users": users }),
    )
}

/// kubectl's, with its lists as maps and without what depd has no use for.
fn theirs(text: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(text).expect("JSON of kubectl");
    let named = |list: &str, entry: &str| {
        let items = value[list].as_array().cloned().unwrap_or_default();
        let named = items.into_iter().map(|mut item| {
            let name = item["name"].as_str().expect("a name").to_owned();
            let mut entry = item[entry].take();
            if let Some(map) = entry.as_object_mut() {
                map.remove("namespace");
            }
            if let Some(map) = entry.as_object_mut() {
                map.retain(|_, value| *value != "");
            }
            if let Some(env) = entry["exec"].as_object_mut() {
                env.retain(|_, value| !value.is_null() && *value != "");
            }
            if entry["auth-provider"].is_object() {
                entry["auth-provider"] = json!({ "name": entry["auth-provider"]["name"] });
            }
            let map = entry.as_object().cloned().unwrap_or_default();
            let map: Map<String, Value> = map.into_iter().filter(|(_, v)| !v.is_null()).collect();
            (name, Value::from(map))
        });
        Value::from(named.collect::<Map<String, Value>>())
    };
    json!({
        "current-context": value["current-context"],
        "clusters": named("clusters", "cluster"),
        "contexts": named("contexts", "context"),
        "users": named("users", "user"),
    })
}

#[test]
fn kubeconfigs_good_and_bad_are_judged_as_the_table_says() {
    let corpus = corpus();
    assert!(corpus.len() >= 40);
    for (name, files, expect) in corpus {
        let expected = matches!(expect, Good | Other(true, _) | Unlike(true, _));
        assert_eq!(write(&files).is_usable(), expected, "{name}");
    }
}

#[test]
fn kubectl_reads_them_in_the_same_way() {
    let Some(kubectl) = std::env::var_os("DEPD_TEST_KUBECTL") else {
        println!("skipped: DEPD_TEST_KUBECTL names no kubectl; scripts/test-access sets it");
        return;
    };
    let (mut views, mut choices) = (0, 0);
    let mut wrong = Vec::new();
    for (name, files, expect) in corpus() {
        let written = write(&files);
        let merged = written.merged();
        let compare = |wrong: &mut Vec<String>, arguments: &[&str], ours: Result<Value, String>| {
            let output = written.kubectl(&kubectl, arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            match (&ours, output.status.success()) {
                (Ok(ours), true) if *ours == theirs(&output.stdout) => {}
                (Err(_), false) => {}
                (ours, true) => wrong.push(format!(
                    "{name} {arguments:?}:\n  {ours:?}\n  {}",
                    theirs(&output.stdout)
                )),
                (ours, false) => wrong.push(format!("{name} {arguments:?}:\n  {ours:?}\n  {said}")),
            }
        };
        if !matches!(expect, Unlike(..)) {
            let ours = merged.as_ref().map_err(ToString::to_string);
            // What kubectl does not put into the output, it shows as it is written.
            let folder = format!("{}/", written.folder.path().display());
            let view = |merged: &Merged, only: Option<&str>| {
                let text = view(merged, only)?.to_string().replace(&folder, "");
                Ok(serde_json::from_str::<Value>(&text).unwrap())
            };
            let all = ours.clone().and_then(|merged| view(merged, None));
            compare(&mut wrong, &["config", "view", "--flatten", "-o", "json"], all);
            let chosen = ours.and_then(|merged| view(merged, Some(&merged.current_context)));
            compare(&mut wrong, &["config", "view", "--flatten", "--minify", "-o", "json"], chosen);
            views += 2;
        }
        let output =
            written.kubectl(&kubectl, &["get", "--raw", "/version", "--request-timeout", "5s"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let tried = ["refused", "getting credentials", "no such host"];
        let is_usable = tried.iter().any(|words| said.contains(words))
            && !["localhost:8080", "Loading client cert failed"].iter().any(|w| said.contains(w));
        let (agrees, ours) = match expect {
            Good => (is_usable, true),
            Bad => (!is_usable, false),
            Other(ours, _) | Unlike(ours, _) => (is_usable != ours, ours),
        };
        choices += 1;
        if !agrees {
            wrong.push(format!("{name}: depd finds it usable: {ours}; kubectl: {said}"));
        }
    }
    println!("{views} views and {choices} judgements compared with kubectl");
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
