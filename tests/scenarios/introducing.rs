//! What is out of the ordinary about the way to the cluster is said at the start.

use std::fs;

use crate::depd::Depd;

#[test]
fn security_7_8_a_server_that_nobody_verifies_is_warned_of_and_its_proxy_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("config");
    let check = |of_cluster: &str, warned: bool, proxied: bool| {
        let text = format!(
            "current-context: t\n\
             clusters: [{{name: t, cluster: {{server: 'https://192.0.2.1:1'{of_cluster}}}}}]\n\
             contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n\
             users: [{{name: t, user: {{token: canary-token}}}}]\n"
        );
        fs::write(&kubeconfig, text).expect("written");
        let mut depd = Depd::prepare(&kubeconfig);
        depd.launch_unready(&[]);
        let expect = ["no proxy stands before", "is reached through http://"][usize::from(proxied)];
        let line = depd.wait_for_log(expect);
        assert!(line.contains("https://192.0.2.1:1"), "{line}");
        assert!(!proxied || line.contains("INFO") && line.contains("127.0.0.1:9"), "{line}");
        // The line about receivers is after it.
        depd.wait_for_log("messages go to");
        let log = depd.log();
        assert!(log.iter().all(|line| !line.contains("canary")), "{log:?}");
        let warning = log.iter().find(|line| line.contains("insecure-skip-tls-verify"));
        assert_eq!(warning.is_some(), warned, "{log:?}");
        if let Some(line) = warning {
            assert!(line.contains("WARN") && line.contains("anybody can pretend"), "{line}");
        }
    };
    check("", false, false);
    check(", insecure-skip-tls-verify: true", true, false);
    check(", proxy-url: 'http://ann:canary-password@127.0.0.1:9'", false, true);
}
