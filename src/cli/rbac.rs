//! `depd rbac`: the rights that depd needs, as manifests for kubectl.
//!
//! What is printed here is what the tests run with: no right more, none less. The binary is the only
//! place that knows it, so that documentation and practice cannot drift apart.

mod manifest;
mod policy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::print::print;
use crate::desired::{FileName, parse_name};
use crate::model::{Image, shown};
use crate::source::{SourceOptions, read_texts};
use manifest::Extras;

/// Print the rights that depd needs, for kubectl apply -f -.
///
/// A ServiceAccount, a ClusterRole and their binding; with --namespace a Role in each of these
/// namespaces instead, where depd then creates no namespaces. Nothing is applied here.
///
/// Examples:
///   depd rbac | kubectl apply -f -
///   depd rbac --manifest --image registry.example.com/depd:1 --deps deps | kubectl apply -f -
///   depd rbac --policy | kubectl apply -f -
///
/// Exit code 0: printed. 1: it cannot be printed. 2: wrong usage.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct RbacArguments {
    /// Rights in this namespace only; can be given several times
    #[arg(long, value_name = "NS", value_parser = namespace)]
    pub namespace: Vec<String>,

    /// Rights for depd run --events too
    #[arg(long)]
    pub events: bool,

    /// Rights for depd run --ecr-pull-secret too
    #[arg(long)]
    pub ecr_pull_secret: bool,

    /// A Secret with a token that does not expire too, for a depd outside of the cluster
    #[arg(long)]
    pub token_secret: bool,

    /// A Deployment of depd itself too, with a ConfigMap of dep files and a volume for its state
    #[arg(long, requires = "image")]
    pub manifest: bool,

    /// The image of depd, for --manifest
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub image: Option<String>,

    /// The folder whose dep files fill the ConfigMap, for --manifest
    #[arg(long, value_name = "DIR", requires = "manifest")]
    pub deps: Option<PathBuf>,

    /// Instead, a ValidatingAdmissionPolicy that lets depd change images, imagePullSecrets and
    /// annotations of workloads, and restart them, and nothing else
    #[arg(long, conflicts_with_all = ["manifest", "token_secret", "namespace", "events", "ecr_pull_secret"])]
    pub policy: bool,

    /// The user that the policy is about
    #[arg(long, value_name = "USER", requires = "policy", default_value = USER, value_parser = user)]
    pub user: String,
}

/// depd as the API server knows it.
const USER: &str = "system:serviceaccount:depd-system:depd";

fn namespace(text: &str) -> Result<String, String> {
    match parse_name(&format!("x_{text}.dep")) {
        FileName::Dep(key) if key.namespace() == text => Ok(text.to_owned()),
        _ => Err("it is not the name of a namespace".into()),
    }
}

fn image(text: &str) -> Result<String, String> {
    Image::parse(text).map(|image| image.to_string()).map_err(|problem| problem.to_string())
}

/// Goes into the text of the policy, between quotation marks.
fn user(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:@/".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("a user name here is made of letters, digits and -._:@/".into()),
    }
}

/// Prints.
pub fn run(arguments: &RbacArguments) -> Result<ExitCode, Failure> {
    if arguments.policy {
        print(&policy::text(&arguments.user))?;
        return Ok(ExitCode::SUCCESS);
    }
    let extras = Extras { events: arguments.events, pull_secret: arguments.ecr_pull_secret };
    let mut text = manifest::rights(&arguments.namespace, extras);
    if arguments.token_secret {
        text.push_str(manifest::TOKEN_SECRET);
    }
    if let (true, Some(image)) = (arguments.manifest, &arguments.image) {
        let files = dep_files(arguments)?;
        text.push_str(&manifest::deployment(image, &arguments.namespace, extras, &files));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What the API server takes as a ConfigMap.
const MAP_BYTES: usize = 1 << 20;

/// Names and contents of the dep files, sorted. Read as the daemon reads them: a link out of the folder
/// would carry somebody's secret into a ConfigMap.
fn dep_files(arguments: &RbacArguments) -> Result<Vec<(String, String)>, Failure> {
    let Some(folder) = &arguments.deps else { return Ok(Vec::new()) };
    let read = read_texts(&SourceOptions::new(folder.clone())).map_err(Failure::usage)?;
    let mut files = Vec::new();
    for (name, text) in read {
        let place = shown(folder.join(&name));
        files.push((name, text.map_err(|problem| Failure::work(format!("{place}: {problem}")))?));
    }
    let bytes: usize = files.iter().map(|(name, text)| name.len() + text.len()).sum();
    match bytes > MAP_BYTES {
        true => Err(Failure::work(format!(
            "the dep files are {bytes} bytes together, and a ConfigMap holds {MAP_BYTES}: \
             leave --deps out, and give depd its folder on a volume"
        ))),
        false => Ok(files),
    }
}
