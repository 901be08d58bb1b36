//! What a request is about, in the words of the API and of RBAC. `[C]`

use std::fmt;

use crate::model::Kind;

/// Where to look: everywhere, or in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All namespaces.
    Cluster,
    /// This one.
    Namespace(Box<str>),
}

impl Scope {
    /// The namespace, if it is only one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Scope::Cluster => None,
            Scope::Namespace(name) => Some(name),
        }
    }
}

/// A kind of object that depd asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `apps/v1` Deployments.
    Deployments,
    /// `apps/v1` StatefulSets.
    StatefulSets,
    /// `apps/v1` DaemonSets.
    DaemonSets,
    /// `apps/v1` ReplicaSets.
    ReplicaSets,
    /// `v1` Pods.
    Pods,
    /// The log of a pod.
    PodLog,
    /// `v1` Events.
    Events,
    /// `v1` Namespaces.
    Namespaces,
    /// `v1` Secrets: the pull secrets that depd makes, and no others.
    Secrets,
    /// `v1` ServiceAccounts.
    ServiceAccounts,
    /// `events.k8s.io/v1` Events, the newer form of the same, in which depd writes its own.
    OwnEvents,
    /// `authorization.k8s.io/v1` SelfSubjectAccessReviews: what one may do.
    AccessReviews,
    /// `/version`.
    Version,
}

impl From<Kind> for Resource {
    fn from(kind: Kind) -> Resource {
        match kind {
            Kind::Deployment => Resource::Deployments,
            Kind::StatefulSet => Resource::StatefulSets,
            Kind::DaemonSet => Resource::DaemonSets,
        }
    }
}

impl Resource {
    /// The name as it stands in a path.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Resource::Deployments => "deployments",
            Resource::StatefulSets => "statefulsets",
            Resource::DaemonSets => "daemonsets",
            Resource::ReplicaSets => "replicasets",
            Resource::Pods => "pods",
            Resource::PodLog => "pods/log",
            Resource::Events | Resource::OwnEvents => "events",
            Resource::Namespaces => "namespaces",
            Resource::Secrets => "secrets",
            Resource::ServiceAccounts => "serviceaccounts",
            Resource::AccessReviews => "selfsubjectaccessreviews",
            Resource::Version => "version",
        }
    }

    pub(super) fn prefix(self) -> &'static str {
        match self {
            Resource::Deployments
            | Resource::StatefulSets
            | Resource::DaemonSets
            | Resource::ReplicaSets => "/apis/apps/v1",
            Resource::Pods
            | Resource::PodLog
            | Resource::Events
            | Resource::Namespaces
            | Resource::Secrets
            | Resource::ServiceAccounts => "/api/v1",
            Resource::OwnEvents => "/apis/events.k8s.io/v1",
            Resource::AccessReviews => "/apis/authorization.k8s.io/v1",
            Resource::Version => "",
        }
    }

    /// As a role names it, for example `apps/deployments`.
    pub(super) fn with_group(self) -> String {
        match self.prefix() {
            "/apis/apps/v1" => format!("apps/{}", self.plural()),
            "/apis/events.k8s.io/v1" => format!("events.k8s.io/{}", self.plural()),
            "/apis/authorization.k8s.io/v1" => format!("authorization.k8s.io/{}", self.plural()),
            _ => self.plural().to_owned(),
        }
    }
}

/// What is done with it, in the verbs of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One object.
    Get,
    /// All objects of a scope.
    List,
    /// The changes of a scope.
    Watch,
    /// A new object.
    Create,
    /// A change of one object.
    Patch,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Patch => "patch",
        }
    }
}

/// A request in words: shows as `patch deployments web in qa`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is done.
    pub verb: Verb,
    /// With what kind of object.
    pub resource: Resource,
    /// In which namespace; `None` for all of them and for what has none.
    pub namespace: Option<Box<str>>,
    /// With which object; `None` for all.
    pub name: Option<Box<str>>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.name(), self.resource.plural())?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}
