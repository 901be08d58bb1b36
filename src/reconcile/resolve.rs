//! Which containers of a workload a dep file means, and whether they run what it asks.

use crate::model::{
    Change, Container, Image, ImageSet, Kind, Problem, ServiceKey, Target, Workload,
};

/// Every container the file names, with the image it asks for there.
///
/// A single image means the only container, or among several the one named like the service.
///
/// # Errors
/// The file does not fit the workload; the problem lists the containers there are.
pub fn targets(images: &ImageSet, workload: &Workload) -> Result<Vec<Target>, Problem> {
    match images {
        ImageSet::Single(image) => single(image, workload).map(|target| vec![target]),
        ImageSet::Named(lines) => {
            lines.iter().map(|(name, image)| named(name, image, workload)).collect()
        }
    }
}

fn single(image: &Image, workload: &Workload) -> Result<Target, Problem> {
    let service = workload.key.service();
    let index = match &*workload.containers {
        [_] => Some(0),
        several => several.iter().position(|c| &*c.name == service),
    };
    let index = index.ok_or_else(|| Problem {
        place: None,
        text: format!(
            "the workload has the containers {} and none is named {service}: write one line \
             container=image for each that should change",
            list(&workload.containers)
        ),
    })?;
    Ok(target(false, index, &workload.containers, image))
}

fn named(name: &str, image: &Image, workload: &Workload) -> Result<Target, Problem> {
    let find = |list: &[Container]| list.iter().position(|c| &*c.name == name);
    if let Some(index) = find(&workload.containers) {
        return Ok(target(false, index, &workload.containers, image));
    }
    if let Some(index) = find(&workload.init_containers) {
        return Ok(target(true, index, &workload.init_containers, image));
    }
    let mut known = list(&workload.containers);
    if !workload.init_containers.is_empty() {
        known = format!("{known}; init containers: {}", list(&workload.init_containers));
    }
    let text = format!("the workload has no container {name}; its containers: {known}");
    Err(Problem { place: None, text })
}

fn target(init: bool, index: usize, containers: &[Container], image: &Image) -> Target {
    let Container { name: container, image: expected, .. } = containers[index].clone();
    Target { init, index, container, expected, image: image.clone() }
}

fn list(containers: &[Container]) -> String {
    containers.iter().map(|c| &*c.name).collect::<Vec<_>>().join(", ")
}

/// Workloads of several kinds have the name.
pub fn ambiguous(key: &ServiceKey, kinds: &[Kind]) -> Problem {
    let (service, namespace) = (key.service(), key.namespace());
    let all: Vec<String> = kinds.iter().map(|kind| format!("a {kind}")).collect();
    let text = format!(
        "{namespace} has {} named {service}, and depd does not guess which one is meant: delete \
         one of them, or give it another name",
        all.join(" and ")
    );
    Problem { place: None, text }
}

/// The container that a target means.
pub fn container<'a>(target: &Target, workload: &'a Workload) -> Option<&'a Container> {
    let list = if target.init { &workload.init_containers } else { &workload.containers };
    list.get(target.index).filter(|container| container.name == target.container)
}

/// The targets whose container runs something else, counting as equal what the API server made of
/// the same wish before (`accepted`, for images that an admission webhook pins).
pub fn differing(targets: &[Target], workload: &Workload, accepted: &[Change]) -> Vec<Target> {
    let agrees = |target: &&Target| {
        let Some(container) = container(target, workload) else { return false };
        let stored = |c: &Change| c.container == container.name && c.to == container.image;
        container.runs(&target.image) || accepted.iter().any(stored)
    };
    targets.iter().filter(|target| !agrees(target)).cloned().collect()
}

/// Whether the workload runs something else than the file asks for. A file that does not fit the
/// workload differs in nothing: it cannot change anything.
#[must_use]
pub fn differs(images: &ImageSet, workload: &Workload, accepted: &[Change]) -> bool {
    targets(images, workload).is_ok_and(|all| !differing(&all, workload, accepted).is_empty())
}

/// The workload runs what the file asks for.
pub fn runs(images: &ImageSet, workload: &Workload, accepted: &[Change]) -> bool {
    targets(images, workload).is_ok_and(|all| differing(&all, workload, accepted).is_empty())
}

/// What a PATCH with these targets changes.
pub fn changes(targets: &[Target], workload: &Workload) -> Vec<Change> {
    let change = |target: &Target| Change {
        container: target.container.clone(),
        from: container(target, workload).map(|c| c.image.clone()).unwrap_or_default(),
        to: target.image.as_str().into(),
    };
    targets.iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;

    fn image(text: &str) -> Image {
        Image::parse(text).expect("a valid image")
    }

    fn workload(containers: &[&str], init: &[&str]) -> Workload {
        let list = |names: &[&str]| {
            let container = |n: &&str| fixture::container(n, "a:1");
            names.iter().map(container).collect::<Box<[_]>>()
        };
        Workload {
            containers: list(containers),
            init_containers: list(init),
            ..fixture::workload("web")
        }
    }

    #[track_caller]
    fn check(images: &ImageSet, workload: &Workload, expect: &str) {
        let found = match targets(images, workload) {
            Ok(targets) => {
                let show = |t: &Target| {
                    let kind = if t.init { "init " } else { "" };
                    format!("{kind}{}:{}={}", t.index, t.container, t.image)
                };
                targets.iter().map(show).collect::<Vec<_>>().join(" ")
            }
            Err(problem) => problem.to_string(),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn a_file_means_the_containers_it_names() {
        let one = ImageSet::Single(image("b:2"));
        check(&one, &workload(&["app"], &[]), "0:app=b:2");
        check(&one, &workload(&["app"], &["migrate"]), "0:app=b:2");
        check(&one, &workload(&["sidecar", "web"], &[]), "1:web=b:2");
        check(
            &one,
            &workload(&["app", "sidecar"], &[]),
            "the workload has the containers app, sidecar and none is named web: write one line \
             container=image for each that should change",
        );
        let named = |name: &str| ImageSet::Named(vec![(name.into(), image("b:2"))]);
        check(&named("sidecar"), &workload(&["web", "sidecar"], &[]), "1:sidecar=b:2");
        check(&named("migrate"), &workload(&["web"], &["migrate"]), "init 0:migrate=b:2");
        check(
            &named("nope"),
            &workload(&["web"], &["migrate"]),
            "the workload has no container nope; its containers: web; init containers: migrate",
        );
    }

    #[test]
    fn what_the_api_server_made_of_the_same_wish_counts_as_equal() {
        let workload = workload(&["web"], &[]);
        let wish = targets(&ImageSet::Single(image("b:2")), &workload).expect("fits");
        assert_eq!(differing(&wish, &workload, &[]).len(), 1);
        let pinned = Change { container: "web".into(), from: "".into(), to: "a:1".into() };
        assert!(differing(&wish, &workload, &[pinned]).is_empty());
    }
}
