//! Certificates that kubectl and webpki may see differently, each judged by depd, and by the real kubectl
//! where `DEPD_TEST_KUBECTL` names one (`scripts/test-access`).

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, SigningKey as _,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;

use super::tests::{element, inline, pem, rsa, serve_once};
use super::*;
use crate::cluster::client::Client;
use crate::cluster::fixture::access;
use crate::cluster::session::ClientOptions;

/// What becomes of a server.
#[derive(Clone, Copy, Debug)]
enum Judgement {
    /// depd and kubectl accept it.
    Accepted,
    /// Both refuse it, depd in these words.
    Refused(&'static str),
    /// Only depd refuses it, in these words, because it is not safe or cannot be verified.
    Stricter(&'static str),
}
use Judgement::{Accepted, Refused, Stricter};

/// A server with this certificate, and the authority that the kubeconfig names.
struct Odd {
    config: Arc<ServerConfig>,
    authority: String,
}

fn serving(certificate: &[u8], key: &KeyPair, authority: String) -> Odd {
    serving_chain(&[certificate], key, authority)
}

fn serving_chain(chain: &[&[u8]], key: &KeyPair, authority: String) -> Odd {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let key = provider.key_provider.load_private_key(der).unwrap();
    // rustls' own builder would refuse what is odd.
    let pair = CertifiedKey::new(chain.iter().map(|one| one.to_vec().into()).collect(), key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
    Odd { config: Arc::new(config), authority }
}

fn named(params: &mut CertificateParams, name: &str) {
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    named(&mut params, "authority");
    params
}

fn authority_with(
    change: impl FnOnce(&mut CertificateParams),
) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = authority_params();
    change(&mut params);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server_params(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    named(&mut params, "server");
    params
}

/// Signed by an authority of its own.
fn signed(change: impl FnOnce(&mut CertificateParams)) -> Odd {
    let authority = authority_with(|_| ());
    let key = KeyPair::generate().unwrap();
    let mut params = server_params("127.0.0.1");
    change(&mut params);
    serving(params.signed_by(&key, &authority).unwrap().der(), &key, authority.pem())
}

/// Signed by itself, and what the kubeconfig names.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Odd {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    serving(certificate.der(), &key, certificate.pem())
}

fn is_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

fn is_over(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
}

fn is_of_the_future(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2999, 1, 1);
}

fn is_for_clients(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

fn is_for(host: &str) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.subject_alt_names = server_params(host).subject_alt_names
}

/// An element of DER, which wants the shortest form of its length.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

/// The same certificate without version and extensions, signed again with this key.
fn of_version_1(der: &[u8], issuer: &KeyPair) -> Vec<u8> {
    let (certificate, _) = element(der);
    let (signed, rest) = element(certificate);
    let algorithm = &rest[..rest.len() - element(rest).1.len()];
    let (_version, mut fields) = element(signed);
    let mut kept = Vec::new();
    while !fields.is_empty() {
        let (_, rest) = element(fields);
        if fields[0] != 0xa3 {
            kept.extend(&fields[..fields.len() - rest.len()]);
        }
        fields = rest;
    }
    let signed = tlv(0x30, &kept);
    let signature = issuer.sign(&signed).unwrap();
    tlv(0x30, &[&signed, algorithm, &tlv(0x03, &[&[0], &signature[..]].concat())].concat())
}

/// The same certificate with SHA-1 for SHA-256 in its signature, which is not computed again.
fn with_sha_1(der: &[u8]) -> Vec<u8> {
    let rsa_with = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
    let mut der = der.to_vec();
    for at in 0..der.len() - rsa_with.len() {
        if der[at..].starts_with(&rsa_with) && der[at + rsa_with.len()] == 11 {
            der[at + rsa_with.len()] = 5;
        }
    }
    der
}

fn leaf_as_authority() -> Odd {
    let key = KeyPair::generate().unwrap();
    let leaf = server_params("127.0.0.1").signed_by(&key, &authority_with(|_| ())).unwrap();
    serving(leaf.der(), &key, leaf.pem())
}

fn of_a_stranger() -> Odd {
    Odd { authority: self_signed(is_authority).authority, ..self_signed(is_authority) }
}

fn signed_by(change: impl FnOnce(&mut CertificateParams)) -> Odd {
    let (authority, key) = (authority_with(change), KeyPair::generate().unwrap());
    let leaf = server_params("127.0.0.1").signed_by(&key, &authority).unwrap();
    serving(leaf.der(), &key, authority.pem())
}

/// As [`signed_by`], with an authority in between that the server shows.
fn signed_far_from(
    change: impl FnOnce(&mut CertificateParams),
    between: impl FnOnce(&mut CertificateParams),
) -> Odd {
    let (root, key) = (authority_with(change), KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    named(&mut params, "between");
    between(&mut params);
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let leaf = server_params("127.0.0.1").signed_by(&key, &between).unwrap();
    serving_chain(&[leaf.der(), between.der()], &key, root.pem())
}

/// An authority was renewed with the key that it had, and both are listed.
fn signed_by_a_renewed_one() -> Odd {
    let (authority, key) = (authority_with(|_| ()), KeyPair::generate().unwrap());
    let mut params = authority_params();
    is_over(&mut params);
    let old = params.self_signed(authority.key()).unwrap();
    let leaf = server_params("127.0.0.1").signed_by(&key, &authority).unwrap();
    serving(leaf.der(), &key, format!("{}{}", old.pem(), authority.pem()))
}

/// For any purpose, with an authority in between.
fn for_anything_far_from() -> Odd {
    let (root, key) = (authority_with(|_| ()), KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    is_authority(&mut params);
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let mut params = server_params("127.0.0.1");
    is_for_anything(&mut params);
    let leaf = params.signed_by(&key, &between).unwrap();
    serving_chain(&[leaf.der(), between.der()], &key, root.pem())
}

/// The server's certificate is an authority's too, which webpki never accepts by itself.
fn authority_signed_by(change: impl FnOnce(&mut CertificateParams)) -> Odd {
    let (authority, key) = (authority_with(change), KeyPair::generate().unwrap());
    let mut params = server_params("127.0.0.1");
    is_authority(&mut params);
    serving(params.signed_by(&key, &authority).unwrap().der(), &key, authority.pem())
}

fn is_limited_to(below: u8) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below))
}

fn signs_lists_only(params: &mut CertificateParams) {
    params.key_usages = vec![KeyUsagePurpose::CrlSign];
}

fn is_no_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::ExplicitNoCa;
}

fn says_nothing_of_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::NoCa;
}

fn is_for_anything(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
}

fn is_not_for_this_machine(params: &mut CertificateParams) {
    let here = GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0]));
    let excluded_subtrees = vec![here];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees });
}

/// What an authority that the kubeconfig lists may vouch for.
fn odd_authorities() -> Vec<(&'static str, Odd, Judgement)> {
    let nothing = |_: &mut CertificateParams| ();
    let no_authority = Refused("is no authority's certificate (basicConstraints without CA:TRUE)");
    let no_signer = Refused("may not sign certificates (keyUsage without keyCertSign)");
    let no_server = Refused("kubeconfig is not meant for servers (extendedKeyUsage without");
    let too_far = Refused("allows fewer authorities below it than the server shows (pathlen)");
    let over = Refused("the certificate authority of the kubeconfig has expired; renew it");
    vec![
        ("signed by no authority", signed_by(is_no_authority), no_authority),
        ("signed by one that says nothing", signed_by(says_nothing_of_authority), no_authority),
        ("far from no authority", signed_far_from(is_no_authority, nothing), no_authority),
        ("an authority's, signed by none", authority_signed_by(is_no_authority), no_authority),
        ("signed by one for lists", signed_by(signs_lists_only), no_signer),
        ("an authority's, by one for lists", authority_signed_by(signs_lists_only), no_signer),
        (
            "of one between that is for lists",
            signed_far_from(nothing, signs_lists_only),
            Refused("that the server shows may not sign certificates"),
        ),
        ("signed by one for clients", signed_by(is_for_clients), no_server),
        ("an authority's, by one for clients", authority_signed_by(is_for_clients), no_server),
        ("signed by one for anything", signed_by(is_for_anything), Accepted),
        ("one between", signed_far_from(nothing, nothing), Accepted),
        ("none allowed between", signed_far_from(is_limited_to(0), nothing), too_far),
        ("one allowed between", signed_far_from(is_limited_to(1), nothing), Accepted),
        ("none allowed and none there", signed_by(is_limited_to(0)), Accepted),
        ("of an authority that has expired", signed_by(is_over), over),
        ("an authority's, of an expired one", authority_signed_by(is_over), over),
        (
            "of an authority of the future",
            signed_by(is_of_the_future),
            Refused("kubeconfig is not valid yet"),
        ),
        ("of a renewed authority", signed_by_a_renewed_one(), Accepted),
        (
            "of an authority that may not",
            signed_by(is_not_for_this_machine),
            Refused("for a name that its authority may not issue for (nameConstraints)"),
        ),
    ]
}

fn leaf_of_version_1() -> Odd {
    let (authority, key) = (authority_with(|_| ()), KeyPair::generate().unwrap());
    let leaf = server_params("127.0.0.1").signed_by(&key, &authority).unwrap();
    serving(&of_version_1(leaf.der(), authority.key()), &key, authority.pem())
}

fn authority_of_version_1() -> Odd {
    let (authority, key) = (authority_with(|_| ()), KeyPair::generate().unwrap());
    let leaf = server_params("127.0.0.1").signed_by(&key, &authority).unwrap();
    let old = of_version_1(authority.der(), authority.key());
    serving(leaf.der(), &key, pem("CERTIFICATE", &old))
}

fn signed_with_sha_1() -> Odd {
    let authority = CertifiedIssuer::self_signed(authority_params(), rsa()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = server_params("127.0.0.1").signed_by(&key, &authority).unwrap();
    serving(&with_sha_1(leaf.der()), &key, authority.pem())
}

fn self_signed_with_sha_1() -> Odd {
    let der = with_sha_1(server_params("127.0.0.1").self_signed(&rsa()).unwrap().der());
    let authority = pem("CERTIFICATE", &der);
    serving(&der, &rsa(), authority)
}

/// Every certificate that rustls can serve.
fn odd_servers() -> Vec<(&'static str, Odd, Judgement)> {
    let both = |one: fn(&mut CertificateParams), two: fn(&mut CertificateParams)| {
        move |params: &mut CertificateParams| {
            one(params);
            two(params);
        }
    };
    let nameless: fn(&mut CertificateParams) = |params| params.subject_alt_names.clear();
    let elsewhere: fn(&mut CertificateParams) = |params| is_for("other.example")(params);
    let mut all = odd_authorities();
    all.extend([
        ("an ordinary one", signed(|_| ()), Accepted),
        ("self-signed", self_signed(|_| ()), Accepted),
        ("self-signed and an authority", self_signed(is_authority), Accepted),
        ("an authority's, signed by the authority", signed(is_authority), Accepted),
        ("a leaf given as authority", leaf_as_authority(), Accepted),
        ("of an authority of version 1", authority_of_version_1(), Accepted),
        ("self-signed with SHA-1, and named itself", self_signed_with_sha_1(), Accepted),
        ("signed with SHA-1", signed_with_sha_1(), Refused("not accepted (SHA-1")),
        ("of version 1", leaf_of_version_1(), Refused("is of version 1")),
        (
            "an authority's, of somebody else",
            of_a_stranger(),
            Refused("is an authority's, and not signed by"),
        ),
        ("for another name", signed(is_for("other.example")), Refused("is for another name")),
        ("for another address", signed(is_for("127.0.0.2")), Refused("is for another name")),
        ("for an address of IPv6", signed(is_for("::1")), Refused("is for another name")),
        (
            "an authority's for another name",
            signed(both(is_authority, elsewhere)),
            Refused("is for another name"),
        ),
        ("that has expired", signed(is_over), Refused("has expired")),
        ("self-signed, that has expired", self_signed(is_over), Refused("has expired")),
        (
            "an authority's that has expired",
            self_signed(both(is_authority, is_over)),
            Refused("has expired"),
        ),
        ("of the future", signed(is_of_the_future), Refused("is not valid yet")),
        (
            "an authority's of the future",
            self_signed(both(is_authority, is_of_the_future)),
            Refused("is not valid yet"),
        ),
        (
            "an authority's that is meant for clients",
            signed(both(is_authority, is_for_clients)),
            Refused("not meant for servers"),
        ),
        ("without a name", signed(nameless), Refused("names no host")),
        (
            "an authority's without a name",
            self_signed(both(is_authority, nameless)),
            Refused("names no host"),
        ),
        ("meant for clients", signed(is_for_clients), Refused("not meant for servers")),
        ("meant for anything", signed(is_for_anything), Accepted),
        (
            "meant for anything, with one between",
            for_anything_far_from(),
            Stricter("is not meant for servers (extended key usage without serverAuth)"),
        ),
    ]);
    all
}

/// What depd says of a server.
fn depd(address: SocketAddr, authority: &str) -> Result<(), String> {
    let trust = Trust::Authority(inline(authority));
    let access = access(&format!("https://{address}"), trust);
    let client = Client::new(&access, ClientOptions::default()).unwrap();
    let result = client.version().map(drop).map_err(|e| e.to_string());
    client.shutdown();
    result
}

#[track_caller]
fn judge(name: &str, said: Result<(), String>, judgement: Judgement) {
    match (&said, judgement) {
        (Ok(()), Accepted) => {}
        (Err(error), Refused(words) | Stricter(words)) if error.contains(words) => {}
        _ => panic!("{name}: {said:?} instead of {judgement:?}"),
    }
}

#[test]
fn what_kubectl_accepts_is_accepted_where_it_is_safe_and_the_rest_is_explained() {
    for (name, odd, judgement) in odd_servers() {
        let (address, server) = serve_once(odd.config.clone());
        let said = depd(address, &odd.authority);
        let is_accepted = said.is_ok();
        judge(name, said, judgement);
        assert_eq!(server.join().unwrap(), is_accepted, "{name}: whether it saw the request");
    }
}

/// kubectl's own judgement of the same server.
#[track_caller]
fn ask_kubectl(kubectl: &Path, name: &str, address: SocketAddr, authority: &str, of: Judgement) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let ca = STANDARD.encode(authority);
    let text = format!(
        "current-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
         users: [{{name: a, user: {{token: t}}}}]\nclusters: [{{name: a, cluster: {{server: \
         'https://{address}', certificate-authority-data: {ca}}}}}]\n"
    );
    fs::write(&file, text).unwrap();
    let output = Command::new(kubectl)
        .args(["get", "--raw", "/version", "--kubeconfig"])
        .arg(&file)
        .env_remove("HTTPS_PROXY")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expect = matches!(of, Accepted | Stricter(_));
    assert_eq!(output.status.success(), expect, "{name}: kubectl says {said}");
}

fn kubectl() -> Option<std::ffi::OsString> {
    let kubectl = std::env::var_os("DEPD_TEST_KUBECTL");
    if kubectl.is_none() {
        println!("skipped: DEPD_TEST_KUBECTL names no kubectl; scripts/test-access sets it");
    }
    kubectl
}

#[test]
fn kubectl_judges_the_same_certificates_in_the_same_way() {
    let Some(kubectl) = kubectl() else { return };
    for (name, odd, judgement) in odd_servers() {
        let (address, server) = serve_once(odd.config.clone());
        ask_kubectl(kubectl.as_ref(), name, address, &odd.authority, judgement);
        server.join().unwrap();
    }
}

/// A server of OpenSSL's, for keys that rustls cannot have.
struct Openssl {
    child: Child,
    address: SocketAddr,
    authority: String,
    _folder: TempDir,
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CONFIG: &str = "[req]\ndistinguished_name = dn\n[dn]\n\
    [authority]\nbasicConstraints = critical, CA:TRUE\n\
    [server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";

const P_256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P_521: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
const RSA_1024: &[&str] = &["-newkey", "rsa:1024"];
const RSA_2048: &[&str] = &["-newkey", "rsa:2048"];
const ED25519: &[&str] = &["-newkey", "ed25519"];
const ED448: &[&str] = &["-newkey", "ed448"];

impl Openssl {
    /// A server whose key is made like this, signed by an authority whose key is made like that.
    fn start(leaf: &[&str], authority: &[&str], digest: &str) -> Openssl {
        let folder = tempfile::tempdir().unwrap();
        let run = |words: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(words).current_dir(folder.path()).stdin(Stdio::null());
            command
        };
        fs::write(folder.path().join("config"), CONFIG).unwrap();
        let make = |kind: &str, key: &[&str], more: &[&str]| {
            let (name, out, keyout) =
                (format!("/CN={kind}"), format!("{kind}.crt"), format!("{kind}.key"));
            let words = ["req", "-x509", "-config", "config", "-nodes", "-days", "10", digest];
            let words = [&words[..], &["-subj", &name, "-extensions", kind], key, more].concat();
            let output = run(&words).args(["-out", &out, "-keyout", &keyout]).output().unwrap();
            assert!(output.status.success(), "{words:?}: {output:?}");
        };
        make("authority", authority, &[]);
        make("server", leaf, &["-CA", "authority.crt", "-CAkey", "authority.key"]);
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{\"major\":\"1\"}";
        fs::write(folder.path().join("version"), answer).unwrap();
        let words = ["s_server", "-accept", "127.0.0.1:0", "-cert", "server.crt"];
        let mut command = run(&words);
        command.args(["-key", "server.key", "-HTTP", "-cipher", "DEFAULT@SECLEVEL=0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        // It writes on, and must not be stopped by a full or closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let authority = fs::read_to_string(folder.path().join("authority.crt")).unwrap();
        Openssl { child, address: line.trim().parse().unwrap(), authority, _folder: folder }
    }
}

type Made =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static str, Judgement);

/// Name, the key of the server, the key of the authority, the digest of both signatures.
const MADE: &[Made] = &[
    ("RSA under RSA", RSA_2048, RSA_2048, "-sha256", Accepted),
    ("ECDSA under RSA with SHA-512", P_256, RSA_2048, "-sha512", Accepted),
    ("RSA under ECDSA", RSA_2048, P_256, "-sha256", Accepted),
    ("Ed25519", ED25519, ED25519, "-sha256", Accepted),
    (
        "RSA of 1024 bits",
        RSA_1024,
        P_256,
        "-sha256",
        Stricter("the server's certificate has an RSA key of 1024 bits, which is too weak; issue"),
    ),
    (
        "an authority of RSA of 1024 bits",
        P_256,
        RSA_1024,
        "-sha256",
        Stricter("the certificate authority of the kubeconfig has an RSA key of 1024 bits"),
    ),
    ("P-521", P_521, P_256, "-sha256", Stricter("found no way to prove who it is")),
    (
        "an authority on P-521",
        P_256,
        P_521,
        "-sha512",
        Stricter("the certificate authority of the kubeconfig has an ECDSA key on P-521"),
    ),
    (
        "ECDSA on P-256 with SHA-512",
        P_256,
        P_256,
        "-sha512",
        Stricter("in a way that is not accepted (SHA-1, ECDSA with SHA-512"),
    ),
    ("Ed448", ED448, P_256, "-sha256", Refused("found no way to prove who it is")),
];

fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        println!("skipped: there is no openssl, which makes and serves these certificates");
    }
    found
}

#[test]
fn keys_that_cannot_be_believed_are_named_with_the_way_out() {
    if !has_openssl() {
        return;
    }
    for (name, leaf, authority, digest, judgement) in MADE {
        let server = Openssl::start(leaf, authority, digest);
        judge(name, depd(server.address, &server.authority), *judgement);
    }
}

/// A server would take them, but nothing here can sign with them.
#[test]
fn client_keys_that_are_not_supported_are_named_with_the_way_out() {
    if !has_openssl() {
        return;
    }
    for kind in [RSA_1024, P_521, ED448] {
        let folder = tempfile::tempdir().unwrap();
        let words =
            ["req", "-x509", "-nodes", "-subj", "/CN=ann", "-out", "a.crt", "-keyout", "a.key"];
        let mut command = Command::new("openssl");
        let output = command.args(words).args(kind).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{kind:?}: {output:?}");
        let file = |name: &str| Material::File(folder.path().join(name));
        let identity = ClientIdentity { certificate: file("a.crt"), key: file("a.key") };
        let access = access("https://a.example", Trust::PublicRoots);
        let error = Tls::load(&access, Some(&identity)).unwrap_err().to_string();
        assert!(error.contains("use RSA of 2048 bits or more, ECDSA P-256 or P-384"), "{error}");
    }
}

#[test]
fn kubectl_judges_the_same_keys_in_the_same_way() {
    let Some(kubectl) = kubectl().filter(|_| has_openssl()) else { return };
    for (name, leaf, authority, digest, judgement) in MADE {
        let server = Openssl::start(leaf, authority, digest);
        let Openssl { address, authority, .. } = &server;
        ask_kubectl(kubectl.as_ref(), name, *address, authority, *judgement);
    }
}
