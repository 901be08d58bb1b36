//! Security rows 5 and 18: files with secrets that others may read, and what depd writes itself.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use crate::cluster::Cluster;
use crate::depd::Depd;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn security_18_nothing_that_depd_writes_is_for_others_whatever_the_umask() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    depd.starter = ["/bin/sh", "-c", "umask 0; exec \"$@\"", "sh"].map(str::to_owned).to_vec();
    depd.save("web", &namespace, "nginx:1.25");
    depd.launch_unready(&["--log-file", "depd.log"]);
    depd.slack.wait_for("Deployed: web");
    let state = depd.folder().join("state");
    assert_eq!(mode(&state), 0o700);
    let mut sockets = 0;
    for entry in fs::read_dir(&state).expect("readable") {
        let path = entry.expect("an entry").path();
        sockets += usize::from(fs::metadata(&path).expect("there").file_type().is_socket());
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    assert_eq!(sockets, 1, "the one that depd resume --all speaks to");
    assert_eq!(mode(&depd.folder().join("depd.log")), 0o640);
}

#[test]
fn security_5_each_file_with_a_secret_that_everybody_may_read_is_named() {
    let cluster = Cluster::start();
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let folder = depd.folder().to_owned();
    let put = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::write(&file, text).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
        file.display().to_string()
    };
    let mut expect: Vec<String> = Vec::new();
    let token = put("token", "a-token-that-is-not-known");
    let config = format!(
        "current-context: t\nclusters: [{{name: t, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n\
         users: [{{name: t, user: {{tokenFile: '{token}'}}}}]\n"
    );
    let config = put("config", &config);
    let webhook = put("webhook", "https://example.com/x");
    let signature = put("signature", "0123456789abcdef");
    put(".env", "AWS_SECRET_ACCESS_KEY=made-up");
    expect.extend([token, config.clone(), webhook.clone(), signature.clone(), ".env".into()]);
    depd.env.push(("KUBECONFIG".into(), config));
    let arguments = ["--webhook-file", &webhook, "--webhook-secret-file", &signature];
    depd.launch_unready(&arguments);
    for file in expect {
        let line = depd.wait_for_log(&format!(" {file} hold"));
        assert!(line.contains("WARN") && line.contains("chmod"), "{line}");
    }
}
