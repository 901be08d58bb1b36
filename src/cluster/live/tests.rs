//! Files that change, break and come back under a running daemon.

use std::fs;
use std::time::SystemTime;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::cluster::kubeconfig::{Choice, load};

/// A kubeconfig with every file beside it.
struct Place {
    folder: TempDir,
    live: Live,
}

fn issue(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (certificate.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn config(server: &str, user: &str) -> String {
    format!(
        "current-context: dev\n\
         clusters: [{{name: c, cluster: {{server: '{server}', certificate-authority: ca.crt}}}}]\n\
         contexts: [{{name: dev, context: {{cluster: c, user: u}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n"
    )
}

const SERVER: &str = "https://a.example";
const CERTIFICATE: &str = "client-certificate: a.crt, client-key: a.key";

fn place(user: &str) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = issue("ann");
    for (name, text) in [
        ("config", config(SERVER, user)),
        ("ca.crt", issue("authority").0),
        ("a.crt", certificate),
        ("a.key", key),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let choice = Choice { kubeconfig: Some(folder.path().join("config")), context: None };
    let access = load(&choice, |_| None).unwrap();
    Place { live: Live::new(&access).unwrap(), folder }
}

impl Place {
    fn write(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.folder.path().join(name)).unwrap();
    }

    /// The ticket after a look, which is due once a second.
    fn ticket(&self) -> Ticket {
        self.live.0.lock().look();
        self.live.ticket().unwrap()
    }

    fn generation(&self) -> u64 {
        self.ticket().generation
    }

    fn token(&self) -> String {
        self.ticket().authorization.unwrap().expose().to_string()
    }

    fn complaint(&self) -> String {
        self.live.0.lock().complaint.clone().unwrap_or_default()
    }
}

#[test]
fn nothing_is_renewed_while_nothing_changes() {
    let place = place(CERTIFICATE);
    assert_eq!(place.generation(), 0);
    // The same content again, as `kubectl config use-context` writes it.
    place.write("config", &config(SERVER, CERTIFICATE));
    assert_eq!(place.generation(), 0);
}

#[test]
fn a_half_written_pair_keeps_the_old_one_until_it_is_whole() {
    let place = place(CERTIFICATE);
    let (certificate, key) = issue("ann");
    place.write("a.crt", &certificate[..certificate.len() / 2]);
    assert_eq!(place.generation(), 0);
    assert!(place.complaint().contains("a.crt"), "{}", place.complaint());
    place.write("a.crt", &certificate);
    assert_eq!(place.generation(), 0);
    assert!(place.complaint().contains("does not belong"), "{}", place.complaint());
    place.write("a.key", &key);
    assert_eq!(place.generation(), 1);
    assert_eq!(place.complaint(), "");
    fs::remove_file(place.folder.path().join("a.key")).unwrap();
    assert_eq!(place.generation(), 1);
    assert!(place.complaint().contains("a.key"), "{}", place.complaint());
}

#[test]
fn a_start_in_the_middle_of_a_renewal_waits_for_the_whole_pair() {
    let place = place(CERTIFICATE);
    let access = place.live.0.lock().access.clone();
    for (certificate, key) in [issue("ann"), issue("ann")] {
        place.write("a.crt", &certificate);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Not to wait for anything: so long is the pair torn.
                thread::sleep(Duration::from_millis(50));
                place.write("a.key", &key);
            });
            Live::new(&access).unwrap();
        });
    }
    // What is wrong for longer is said at once.
    place.write("a.key", &issue("ann").1);
    let old = SystemTime::now() - Duration::from_secs(60);
    for name in ["a.crt", "a.key", "ca.crt"] {
        let file = fs::File::options().append(true).open(place.folder.path().join(name)).unwrap();
        file.set_modified(old).unwrap();
    }
    assert!(!is_fresh(&access));
    assert!(matches!(Live::new(&access), Err(ConnectError::PairMismatch { .. })));
}

#[test]
fn a_new_authority_is_believed_and_a_broken_one_changes_nothing() {
    let place = place(CERTIFICATE);
    place.write("ca.crt", "");
    assert_eq!(place.generation(), 0);
    place.write("ca.crt", &issue("another").0);
    assert_eq!(place.generation(), 1);
}

#[test]
fn an_https_proxy_is_believed_by_the_new_authority_too() {
    let place = place("token: first");
    let behind_a_proxy = config(SERVER, "token: first")
        .replace("certificate-authority", "proxy-url: 'https://p.example', certificate-authority");
    fs::write(place.folder.path().join("config"), behind_a_proxy).unwrap();
    let choice = Choice { kubeconfig: Some(place.folder.path().join("config")), context: None };
    let place = Place { live: Live::new(&load(&choice, |_| None).unwrap()).unwrap(), ..place };
    let config = || place.ticket().proxy_tls.unwrap().config;
    let before = config();
    assert!(Arc::ptr_eq(&before, &config()));
    place.write("ca.crt", &issue("another").0);
    assert!(!Arc::ptr_eq(&before, &config()));
}

#[test]
fn a_kubeconfig_that_breaks_or_vanishes_keeps_the_last_good_one() {
    let place = place("token: first");
    place.write("config", "users: {");
    assert_eq!(place.token(), "Bearer first");
    assert!(place.complaint().contains("is not a kubeconfig"), "{}", place.complaint());
    fs::remove_file(place.folder.path().join("config")).unwrap();
    assert_eq!(place.token(), "Bearer first");
    place.write("config", &config(SERVER, "token: second"));
    assert_eq!(place.token(), "Bearer second");
    place.write("config", &config(SERVER, "token: third, as: bob"));
    assert_eq!(place.ticket().headers.len(), 1);
}

#[test]
fn a_kubeconfig_that_names_another_server_is_not_followed() {
    let place = place("token: first");
    let elsewhere = config("https://b.example", "token: second");
    let unverified = config(SERVER, "token: second")
        .replace("certificate-authority: ca.crt", "insecure-skip-tls-verify: true");
    for text in [elsewhere, unverified] {
        place.write("config", &text);
        assert_eq!(place.token(), "Bearer first");
        assert!(place.complaint().contains("start depd again"), "{}", place.complaint());
    }
    // Another current context is no business of a daemon that runs.
    let moved =
        config(SERVER, "token: second").replace("current-context: dev", "current-context: x");
    place.write("config", &moved);
    assert_eq!(place.token(), "Bearer second");
}

#[test]
fn a_refused_ticket_is_worth_another_try_only_when_something_is_new() {
    let place = place("tokenFile: token");
    place.write("token", "one");
    let ticket = place.ticket();
    assert!(!place.live.refused(&ticket));
    place.write("token", "two");
    assert!(place.live.refused(&ticket));
    let ticket = place.ticket();
    place.write("config", &config(SERVER, "token: fixed"));
    assert!(place.live.refused(&ticket));
    assert_eq!(place.token(), "Bearer fixed");
}

#[test]
fn a_plugin_can_return_a_client_certificate_and_renew_it() {
    let place = place(CERTIFICATE);
    let reply = |(certificate, key): (String, String)| {
        let status = serde_json::json!({
            "clientCertificateData": certificate, "clientKeyData": key
        });
        serde_json::json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": status,
        })
    };
    place.write("reply", &reply(issue("ann")).to_string());
    let exec = "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
                command: ./plugin}";
    let plugin = place.folder.path().join("plugin");
    let script = format!("#!/bin/sh\ncat {}\n", place.folder.path().join("reply").display());
    fs::write(&plugin, script).unwrap();
    fs::set_permissions(&plugin, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    place.write("config", &config(SERVER, exec));
    let ticket = place.ticket();
    assert_eq!(ticket.generation, 2, "one for the plugin, one for its certificate");
    assert!(ticket.authorization.is_none());
    place.write("reply", &reply(issue("ann")).to_string());
    assert!(place.live.refused(&ticket));
    assert_eq!(place.generation(), 3);
}
