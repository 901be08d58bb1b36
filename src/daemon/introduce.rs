//! What the log says first: which folder, which cluster, and by which way. `[E]`

use log::{debug, info, warn};

use super::permissions;
use super::receivers;
use super::settings::Settings;
use crate::cluster::{Access, Authorization, Trust};
use crate::model::shown;

/// Says with what depd begins, and what is insecure about it.
pub fn introduce(settings: &Settings) {
    let Access { origin, context, server, .. } = &settings.access;
    let folder = shown(&settings.deps);
    info!("depd {}: folder {folder}, API server {server}", env!("CARGO_PKG_VERSION"));
    info!("credentials from {origin}, context {context:?}");
    introduce_access(settings);
    if settings.access.trust == Trust::Unverified {
        warn!("the kubeconfig says insecure-skip-tls-verify: anybody can pretend to be {server}");
    }
    receivers::introduce(&settings.receivers);
}

/// What is out of the ordinary about the way to the cluster, so that nobody has to guess.
fn introduce_access(settings: &Settings) {
    let Access { server, proxy, impersonation, authorization, .. } = &settings.access;
    match proxy {
        Some(proxy) => info!("{server} is reached through {} ({})", proxy.url, proxy.source),
        None => debug!("no proxy stands before {server}"),
    }
    if let Some(who) = impersonation {
        info!("acting as {:?}, as the kubeconfig says", who.user);
    }
    if let Authorization::Exec(plugin) = authorization {
        info!("tokens come from the credential plugin {:?}", plugin.command);
    }
    permissions::warn_of_exposed(&settings.secret_files);
}
