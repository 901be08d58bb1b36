//! Raw arguments and environment → validated settings, or a sentence that says what to set. `[E]`

use std::path::{Path, PathBuf};

use super::Failure;
use super::env_file::Environment;
use super::images::ImageArguments;
use super::receivers::ReceiverArguments;
use super::run::{DriftChoice, RollbackChoice, RunArguments};
use crate::cluster::Access;
use crate::cluster::kubeconfig::{self, Choice};
use crate::daemon::{SIGHT_PATIENCE, Settings};
use crate::desired::{EcrRepo, ImageLimits, ImageRules};
use crate::model::shown;
use crate::reconcile::{Drift, EcrPolicy, Patience, Policy};
use crate::registry::{AwsEnvironment, RegistrySettings};
use crate::store;

/// Flags win over the environment, which wins over `.env`.
///
/// # Errors
/// The first setting that is missing or wrong, and what to set.
pub fn validate(arguments: &RunArguments, env: &Environment) -> Result<Settings, Failure> {
    let settings = without_receivers(arguments, env)?;
    Ok(Settings { receivers: arguments.receivers.validate(env)?, ..settings })
}

/// The same for who tells nobody anything.
///
/// # Errors
/// See [`validate`].
pub fn without_receivers(arguments: &RunArguments, env: &Environment) -> Result<Settings, Failure> {
    let deps = deps(arguments.deps.as_deref(), "--deps", env)?;
    let access = access(arguments.kubeconfig.as_deref(), arguments.context.as_deref(), env)?;
    let mut secret_files = access.secret_files();
    secret_files.extend(secret_environment(env));
    Ok(Settings {
        deps,
        poll: arguments.poll,
        recursive: arguments.recursive,
        strict: arguments.strict,
        image_rules: image_rules(&arguments.images, env)?,
        access,
        secret_files,
        http: arguments.http,
        sight_patience: SIGHT_PATIENCE * arguments.grace_percent / 100,
        receivers: Vec::new(),
        cluster_name: match &arguments.cluster_name {
            Some(name) => Some(name.clone()),
            None => env.text("CLUSTER_NAME")?,
        },
        workers: usize::from(arguments.workers),
        watch_idle: arguments.watch_idle,
        policy: policy(arguments),
        registry: registry(arguments, env),
        state: Some(state(arguments.state.as_deref(), env)),
        max_rollouts: arguments.max_rollouts.and_then(|most| usize::try_from(most).ok()),
        halt_after: arguments.halt_after,
        accept_change: arguments.accept_change,
        apply_all: arguments.apply_all,
    })
}

/// The cluster, as kubectl finds it with these flags and this environment.
///
/// # Errors
/// There is no usable kubeconfig.
pub fn access(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
    env: &Environment,
) -> Result<Access, Failure> {
    let choice =
        Choice { kubeconfig: kubeconfig.map(Path::to_owned), context: context.map(str::to_owned) };
    kubeconfig::load(&choice, |name| env.get(name)).map_err(Failure::usage)
}

/// The `.env` in use, where it holds a secret.
pub fn secret_environment(env: &Environment) -> Option<PathBuf> {
    let names = ReceiverArguments::SECRETS.iter().chain(AwsEnvironment::SECRETS);
    let filed = names.into_iter().any(|name| env.is_from_file(name));
    env.file.clone().filter(|_| filed || env.has_proxy_password())
}

/// The folder of dep files: as given by the argument that is called `name`, else `DEPS`, else `deps`.
///
/// # Errors
/// There is no such folder.
pub fn deps(given: Option<&Path>, name: &str, env: &Environment) -> Result<PathBuf, Failure> {
    let set = given.map(Path::to_owned).or_else(|| env.get("DEPS").map(PathBuf::from));
    let deps = set.unwrap_or_else(|| PathBuf::from("deps"));
    if deps.is_dir() {
        return Ok(deps);
    }
    if deps.is_file() {
        let parent = deps.parent().filter(|parent| !parent.as_os_str().is_empty());
        return Err(Failure::usage(format!(
            "{} is a file: name the folder of your dep files, which may be {}",
            shown(&deps),
            shown(parent.unwrap_or(Path::new(".")))
        )));
    }
    let what = if deps.exists() { "is not a folder" } else { "does not exist" };
    Err(Failure::usage(format!(
        "the folder {} {what}: create it, or set DEPS (or {name}) to the folder of your dep files",
        shown(&deps)
    )))
}

fn policy(arguments: &RunArguments) -> Policy {
    Policy {
        timeout: arguments.timeout,
        patience: Patience::default().percent(arguments.grace_percent),
        rollback: arguments.rollback == RollbackChoice::OnFailure,
        drift: match arguments.drift {
            DriftChoice::Report => Drift::Report,
            DriftChoice::Correct => Drift::Correct,
            DriftChoice::Ignore => Drift::Ignore,
        },
        allow_namespaces: arguments.allow_namespace.clone(),
        ecr: EcrPolicy { pull_secret: arguments.ecr_pull_secret, check: arguments.ecr_check },
        images: limits(&arguments.images),
        create_namespaces: !arguments.no_create_namespaces,
    }
}

/// What is done for images of Amazon ECR, and as whom.
pub fn registry(arguments: &RunArguments, env: &Environment) -> RegistrySettings {
    RegistrySettings {
        pull_secret: arguments.ecr_pull_secret,
        check: arguments.ecr_check,
        renew_after: arguments.ecr_renew,
        environment: AwsEnvironment::read(|name| env.get(name)?.into_string().ok()),
        surroundings: env.surroundings(),
    }
}

/// The state folder, whether it is there or not: as given, else what [`store::folder`] chooses.
pub fn state(given: Option<&Path>, env: &Environment) -> PathBuf {
    let is_root = rustix::process::geteuid().is_root();
    store::folder(given.map(Path::to_owned), |name| env.get(name), is_root)
}

fn limits(arguments: &ImageArguments) -> ImageLimits {
    ImageLimits { allowed: arguments.allow_image.clone(), digest_only: arguments.digest_only }
}

/// How images are completed: by the argument, else by `ECR_REPO`, else not at all.
///
/// # Errors
/// It is set to something else than a registry or repository.
pub fn image_rules(arguments: &ImageArguments, env: &Environment) -> Result<ImageRules, Failure> {
    let repo = match &arguments.ecr_repo {
        Some(repo) => Some(repo.clone()).filter(|repo| !repo.is_empty()),
        None => env.text("ECR_REPO")?,
    };
    let repo = repo.map(|repo| EcrRepo::parse(&repo)).transpose().map_err(Failure::usage)?;
    Ok(ImageRules { ecr_repo: repo, limits: limits(arguments) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What a panic or a careless log line could print.
    #[test]
    fn security_3_no_secret_is_in_the_debug_output_of_settings() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(path("deps")).expect("made");
        let secret = "canary-0123456789abcdef";
        let users = [
            format!("token: {secret}"),
            format!("username: ann, password: {secret}"),
            "client-certificate: a, client-key-data: Y2FuYXJ5LTAxMjM0NTY3ODlhYmNkZWY=".to_owned(),
            format!(
                "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
                 command: a, args: [{secret}], env: [{{name: A, value: {secret}}}]}}"
            ),
        ];
        for user in users {
            let config = format!(
                "current-context: t\nclusters: [{{name: t, cluster: {{server: 'https://a.example', \
                 proxy-url: 'http://ann:{secret}@p:1'}}}}]\ncontexts: [{{name: t, context: {{cluster: \
                 t, user: t}}}}]\nusers: [{{name: t, user: {{{user}}}}}]\n"
            );
            fs::write(path("config"), config).expect("written");
            let address = format!("https://example.com/{secret}");
            let lines = [
                format!("WEBHOOK_FOR_SLACK={address}\nWEBHOOK_FOR_TEAMS={address}"),
                format!("WEBHOOK_FOR_DISCORD={address}\nWEBHOOK_URL={address}"),
                format!("WEBHOOK_SECRET={secret}\nHTTPS_PROXY=http://ann:{secret}@p:1"),
                format!("AWS_ACCESS_KEY_ID={secret}\nAWS_SECRET_ACCESS_KEY={secret}"),
                format!("AWS_SESSION_TOKEN={secret}\nAWS_CONTAINER_AUTHORIZATION_TOKEN={secret}"),
            ];
            fs::write(path(".env"), lines.join("\n")).expect("written");
            let env = Environment::load(Some(Path::new(&path(".env")))).ok().expect("valid");
            let arguments = RunArguments {
                deps: Some(path("deps").into()),
                kubeconfig: Some(path("config").into()),
                ..RunArguments::default()
            };
            let settings = match validate(&arguments, &env) {
                Ok(settings) => settings,
                Err(Failure::Usage(text) | Failure::Work(text)) => panic!("{user}: {text}"),
            };
            assert_eq!(settings.receivers.len(), 4);
            let text = format!("{env:?} {arguments:?} {settings:?}");
            assert!(text.contains("AWS_SESSION_TOKEN") && text.contains("a.example"), "{text}");
            assert!(!text.contains("canary") && !text.contains("Y2FuYXJ5"), "{text}");
            // As numbers, which is how bytes are printed.
            assert!(!text.contains("99, 97, 110, 97, 114, 121"), "{text}");
        }
    }
}
