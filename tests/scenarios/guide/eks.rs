//! The API of EKS as far as `aws eks update-kubeconfig` asks it: what is the address of the cluster,
//! and who has signed its certificate. The programs are the real ones.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use depd::cluster::kubeconfig::{Choice, load};
use depd::cluster::{Material, Trust};
use serde_json::json;

use super::place::Place;
use crate::ways::accept_tokens_of_eks;

/// The cluster CLUSTER of EKS is the one of this test, and takes the tokens of `aws eks get-token`.
pub fn arrange(place: &mut Place) {
    let aws = std::env::var_os("DEPD_TEST_AWS").expect("DEPD_TEST_AWS names aws");
    place.session.link("aws", &PathBuf::from(aws));
    let choice = Choice { kubeconfig: Some(place.cluster.kubeconfig.clone()), context: None };
    let access = load(&choice, |_| None).expect("a kubeconfig");
    let Trust::Authority(Material::Inline(ca)) = &access.trust else { panic!("no authority") };
    let cluster = json!({ "cluster": {
        "name": "CLUSTER",
        "arn": "arn:aws:eks:eu-central-1:123456789012:cluster/CLUSTER",
        "status": "ACTIVE",
        "endpoint": access.server.as_str(),
        "certificateAuthority": { "data": STANDARD.encode(ca.expose()) },
    }});
    let endpoint = answer_always(cluster.to_string());
    let kubeconfig = place.session.path("home/.kube/config").display().to_string();
    for (name, value) in [
        ("AWS_ENDPOINT_URL_EKS", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "made-up"),
        ("KUBECONFIG", &kubeconfig),
    ] {
        place.session.env.push((name.into(), value.to_owned()));
    }
    accept_tokens_of_eks();
    println!("stand-in: the API of EKS: it says where the cluster of this test is");
}

fn answer_always(body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let _ = lines.take_while(|line| !line.is_empty()).count();
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {length}\r\n\r\n{body}"
            );
        }
    });
    address
}
