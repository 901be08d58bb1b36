//! The resources that the sandbox serves: one row each. `[C]`
//!
//! A row is all that plain storage needs; discovery, paths, lists and watches read this table.
//! Rows with behaviour of their own (defaults, validation, controllers) are named by a constant.

/// What a resource is called, and what can be done with it.
#[derive(Debug)]
pub(super) struct Resource {
    /// API group, empty for the core group.
    pub(super) group: &'static str,
    /// API version.
    pub(super) version: &'static str,
    /// Plural name, as in paths.
    pub(super) plural: &'static str,
    /// Singular name, as kubectl takes it.
    pub(super) singular: &'static str,
    /// Kind of one object.
    pub(super) kind: &'static str,
    /// Whether objects live in a namespace.
    pub(super) namespaced: bool,
    /// Short names, as kubectl takes them.
    pub(super) short: &'static [&'static str],
    /// `all`, or nothing.
    pub(super) categories: &'static [&'static str],
    /// What can be done with it.
    pub(super) verbs: &'static [&'static str],
    /// Subresources: name, and the kind that it speaks.
    pub(super) subresources: &'static [Subresource],
}

/// A path below an object.
#[derive(Debug)]
pub(super) struct Subresource {
    /// Last segment of the path.
    pub(super) name: &'static str,
    /// `group`, `version`, `kind` of what it takes and gives.
    pub(super) speaks: (&'static str, &'static str, &'static str),
    /// Verbs, as discovery lists them.
    pub(super) verbs: &'static [&'static str],
}

/// A row number of [`RESOURCES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(usize);

pub(super) const NAMESPACES: Id = Id(0);
pub(super) const PODS: Id = Id(1);
pub(super) const CONFIG_MAPS: Id = Id(2);
pub(super) const SECRETS: Id = Id(3);
pub(super) const SERVICE_ACCOUNTS: Id = Id(4);
pub(super) const EVENTS: Id = Id(5);
pub(super) const SERVICES: Id = Id(6);
pub(super) const DEPLOYMENTS: Id = Id(7);
pub(super) const REPLICA_SETS: Id = Id(8);
#[cfg(test)]
const STATEFUL_SETS: Id = Id(9);
#[cfg(test)]
const DAEMON_SETS: Id = Id(10);

/// Verbs of a stored resource.
const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Verbs of a kind that no controller here brings to life: there are none, and none can be made.
const READ_VERBS: &[&str] = &["get", "list", "watch"];

const STATUS_VERBS: &[&str] = &["get", "patch", "update"];
const SCALE: Subresource =
    Subresource { name: "scale", speaks: ("autoscaling", "v1", "Scale"), verbs: STATUS_VERBS };

const fn status(group: &'static str, kind: &'static str) -> Subresource {
    Subresource { name: "status", speaks: (group, "v1", kind), verbs: STATUS_VERBS }
}

const fn core(
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
) -> Resource {
    Resource {
        group: "",
        version: "v1",
        plural,
        singular,
        kind,
        namespaced: true,
        short,
        categories: &[],
        verbs: VERBS,
        subresources: &[],
    }
}

/// The table.
pub(super) static RESOURCES: [Resource; 11] = [
    Resource {
        namespaced: false,
        subresources: &[status("", "Namespace")],
        ..core("namespaces", "namespace", "Namespace", &["ns"])
    },
    Resource {
        categories: &["all"],
        subresources: &[
            status("", "Pod"),
            Subresource { name: "log", speaks: ("", "v1", "Pod"), verbs: &["get"] },
        ],
        ..core("pods", "pod", "Pod", &["po"])
    },
    core("configmaps", "configmap", "ConfigMap", &["cm"]),
    core("secrets", "secret", "Secret", &[]),
    core("serviceaccounts", "serviceaccount", "ServiceAccount", &["sa"]),
    core("events", "event", "Event", &["ev"]),
    Resource { categories: &["all"], ..core("services", "service", "Service", &["svc"]) },
    Resource {
        group: "apps",
        categories: &["all"],
        subresources: &[status("apps", "Deployment"), SCALE],
        ..core("deployments", "deployment", "Deployment", &["deploy"])
    },
    Resource {
        group: "apps",
        categories: &["all"],
        subresources: &[status("apps", "ReplicaSet"), SCALE],
        ..core("replicasets", "replicaset", "ReplicaSet", &["rs"])
    },
    Resource {
        group: "apps",
        categories: &["all"],
        verbs: READ_VERBS,
        ..core("statefulsets", "statefulset", "StatefulSet", &["sts"])
    },
    Resource {
        group: "apps",
        categories: &["all"],
        verbs: READ_VERBS,
        ..core("daemonsets", "daemonset", "DaemonSet", &["ds"])
    },
];

impl Id {
    /// The row.
    pub(super) fn row(self) -> &'static Resource {
        &RESOURCES[self.0]
    }

    /// All rows.
    pub(super) fn all() -> impl Iterator<Item = Id> {
        (0..RESOURCES.len()).map(Id)
    }

    /// The row number, for tables that run in parallel to this one.
    pub(super) fn index(self) -> usize {
        self.0
    }

    /// The row that a path names.
    pub(super) fn find(group: &str, version: &str, plural: &str) -> Option<Id> {
        Id::all().find(|id| {
            let row = id.row();
            (row.group, row.version, row.plural) == (group, version, plural)
        })
    }

    /// The row that an object's `apiVersion` and `kind` name.
    pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<Id> {
        Id::all().find(|id| id.row().kind == kind && id.row().api_version() == api_version)
    }

    /// Whether the main path leaves `status` alone.
    pub(super) fn has_status(self) -> bool {
        self.row().subresources.iter().any(|sub| sub.name == "status")
    }
}

impl Resource {
    /// `v1` or `apps/v1`.
    pub(super) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Kind of a list.
    pub(super) fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_names_its_own_row() {
        let named = [
            (NAMESPACES, "namespaces"),
            (PODS, "pods"),
            (CONFIG_MAPS, "configmaps"),
            (SECRETS, "secrets"),
            (SERVICE_ACCOUNTS, "serviceaccounts"),
            (EVENTS, "events"),
            (SERVICES, "services"),
            (DEPLOYMENTS, "deployments"),
            (REPLICA_SETS, "replicasets"),
            (STATEFUL_SETS, "statefulsets"),
            (DAEMON_SETS, "daemonsets"),
        ];
        for (id, plural) in named {
            assert_eq!(id.row().plural, plural);
        }
        assert_eq!(named.len(), RESOURCES.len());
    }
}
