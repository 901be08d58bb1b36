//! The rights that the requests of this room need. `[C]`
//!
//! `depd rbac` prints them and `depd doctor` asks for them one by one, so that what is granted, what is
//! checked and what is done cannot drift apart. Facts: "Using RBAC Authorization".

/// Verbs on resources of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The API group; empty is the core.
    pub group: &'static str,
    /// As RBAC names them, `pods/log` for example.
    pub resources: &'static [&'static str],
    /// The only object that is meant, where it is one.
    pub name: Option<&'static str>,
    /// The verbs.
    pub verbs: &'static [&'static str],
}

/// What every depd needs in each namespace that a file names.
pub const RULES: &[Rule] = &[
    Rule {
        group: "apps",
        resources: &["deployments", "statefulsets", "daemonsets"],
        name: None,
        verbs: &["get", "list", "watch", "patch"],
    },
    Rule { group: "apps", resources: &["replicasets"], name: None, verbs: &["list"] },
    Rule { group: "", resources: &["pods"], name: None, verbs: &["list", "watch"] },
    Rule { group: "", resources: &["pods/log"], name: None, verbs: &["get"] },
    Rule { group: "", resources: &["events"], name: None, verbs: &["list"] },
];

/// The one that no Role can hold, as namespaces belong to no namespace.
pub const NAMESPACES: Rule =
    Rule { group: "", resources: &["namespaces"], name: None, verbs: &["get", "create"] };

/// With `--ecr-pull-secret`.
pub const PULL_SECRETS: &[Rule] = &[
    Rule {
        group: "",
        resources: &["secrets"],
        name: Some(crate::model::PULL_SECRET),
        verbs: &["get", "create", "patch"],
    },
    Rule { group: "", resources: &["serviceaccounts"], name: None, verbs: &["get"] },
];

/// With `--events`.
pub const OWN_EVENTS: Rule =
    Rule { group: "events.k8s.io", resources: &["events"], name: None, verbs: &["create"] };
