//! The same by `kubectl set image`, eight at a time.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::api::Cluster;
use crate::figures::ms;
use crate::options::Sizes;
use crate::process;
use crate::report::{Report, Row};
use crate::services::{FIRST_IMAGE, Service, Services, other};

const AT_A_TIME: usize = 8;

pub fn measure(cluster: &Cluster, sizes: &Sizes, report: &mut Report) {
    let services = Services::create(&cluster.admin, sizes.kubectl, 0);
    // The first call fills kubectl's cache of what the server offers.
    set_image(cluster, &services.all[0], FIRST_IMAGE);
    let cpu_before = process::cpu_of_ended_children();
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(service) = services.all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    set_image(cluster, service, other(FIRST_IMAGE));
                }
            });
        }
    });
    let taken = ms(began.elapsed());
    let cpu = ms(process::cpu_of_ended_children() - cpu_before) / sizes.kubectl as f64;
    let files = sizes.burst.files;
    let extrapolated = taken / sizes.kubectl as f64 * files as f64;
    let what = format!("kubectl set image, {AT_A_TIME} at a time, for {files}");
    let note = format!("extrapolated from {}; {cpu:.0} ms of CPU each", sizes.kubectl);
    report.add(Row::new("kubectl", what, extrapolated, "ms").note(note));
    services.remove();
}

fn set_image(cluster: &Cluster, service: &Service, image: &str) {
    let Service { namespace, name, .. } = service;
    let status = Command::new(&cluster.kubectl)
        .arg("--kubeconfig")
        .arg(&cluster.plain_kubeconfig)
        .args(["-n", namespace, "set", "image", &format!("deployment/{name}")])
        .arg(format!("{name}={image}"))
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("kubectl runs").success(), "kubectl set image failed");
}
