//! Certificates and keys as people have them, and servers that must not be trusted.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::cluster::access::Authorization;
use crate::cluster::client::Client;
use crate::cluster::fixture::access;
use crate::cluster::secret::Secret;
use crate::cluster::session::ClientOptions;

/// A throw-away RSA key of 2048 bits in PKCS #8: the test's own tools make no RSA keys.
const RSA: &str = concat!(
    "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQC069GMca+rLsBBmnmmWEofjORtg0heHqHB+StaX7Ky",
    "7cAzO34OhfjDYYYkAaG/r3AYbukUrkme9A4XGfSdK4NX8rZJOW3CsfKJiE7i58HiLsHv+ZKDXC8EYpKIjdElKbLaaeYf",
    "k3WZRxCznxD9mOXxl8HSMM0uKdMcIrC4alG0VGJaxMOac8r636uTPDGn6Mqt4fddwvgopmkHL6GpUCnDb8ZAhb5J9K+r",
    "WQ6Ow9vHG3s+3RSc53pqfJK6f3AWFdgJynpFZPGVKG5PrVMvckWYDLr4x7xasrdcOvG3Fe2qMb7s01EnYFxjqMJrmXse",
    "oWA5twsP4y/DNTLL7mQ+SyJxAgMBAAECggEAG3zpy1YZi99wR/dlrLuk1WrVaPslk2FBj+Rg7Rv1nWBoj5AmLKQ3wc2v",
    "MQjLb8GCvT+aq7D4UA2CF4nyw69xBvuCLRlr3wUk1bcPT0PJjiku/5wyYcFvhlHItDUh1eziNvOYimsf1rA4riXIkdM5",
    "eo2lXd9ayT0DDXcK1RYYQFbBRAGVPr+RB/KrvZ8cCFtrqLfe80bVzT3d1gLji0D/8wZXfLC0lpyLuVr7j5xHUhCNjuIb",
    "/x71nLjqXBlkFcRp2o8ERHS9ztwTpJsXlFnubq7K+HUbvfAIzCZi1Xj1QVYXhnebI+wwUfJVQHd6DoUVwuRIi81Nw4CB",
    "5yAQLse+TQKBgQDnECQGEubZYvX+EszSCy3TCBHuc8U9bIFmdbo4IRJtE/ROjUN7Lkri5z6JssRrzoTq+B15DZfwXSlp",
    "WCZTjwC4Ud0IiiZf5elp/89upEvRd4bTIPOprSzoqBALihKr14dN0kmD1VUuLhflMS5QN0C3tV4wC6e4xwZVFRi4u1kP",
    "LQKBgQDIcljf67vr4QbPA3M+y1zmnH+afHWmuwwtvqT7Bv8Ot/9lzijIayyVf6o4YgImzFnfRzNUv7EDLFYzImAZjDSL",
    "czvlZqiYrNAn2EVlZYryRRBcxzYbLHvlitPnVHnyjuENn8N/rQJ9oU5FOTecuL++3azOcTN/3CksfGdANxjK1QKBgGza",
    "I75gxTP/9Nce0DLbZVkXYistiuvm5Ab6yyGKIv4T+nHPBs1O/6RpQALqnrIS9ncjL+9JQhzQJqQkDNoscjBjEHfnbTCc",
    "RRvUkUoUSEuDvZZU3bU/ifqIwhZNk4I05N76g/uBUsGQoV0tkB3mCa0B2j9UHk1kJU2LxLuyNsB5AoGAYfbw1M+Dkq7y",
    "Au7uvjvp9ZN7EefOIGS+eQT54O30bh8jJYBykjE/Ivm4GcJcxtWM/wDvZ3YgbyqWHnuoeBP8AkOZfG6F68haG38pu3q7",
    "Q9jZPF7oZLODAhatphu1VgTanSv+AkJuOzRA6rgiI+hvXjs9H9BXmR/ix6ktVUcYSNkCgYB5ydzHgVmj+fiiFPcWeLCe",
    "DrZXRFyJdVzQfpAV5IhnYTxes2u/7E61HrOhkqRFT8yqCGJ+WeCc/cLk3zPMkfB9Whi4Nulu7YSDB4O+CSIXB++8X4lJ",
    "pewF90/6UxInDTsno8dO6B26tmaKUcPE4bGRqQlv1BOKOVehUs/eo+x1zQ==",
);

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|i| &text[i..text.len().min(i + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The content of the first DER element, and what follows it.
pub(super) fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        _ => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
    };
    (&der[start..start + length], &der[start + length..])
}

/// The key inside a PKCS #8 envelope: PKCS #1 for RSA, SEC1 for elliptic curves.
fn without_envelope(pkcs8: &[u8]) -> &[u8] {
    let (_version, rest) = element(element(pkcs8).0);
    let (_algorithm, rest) = element(rest);
    element(rest).0
}

pub(super) fn rsa() -> KeyPair {
    KeyPair::try_from(STANDARD.decode(RSA).unwrap()).unwrap()
}

/// A certificate for a key.
fn certificate(key: &KeyPair) -> String {
    CertificateParams::new(vec!["ann".to_owned()]).unwrap().self_signed(key).unwrap().pem()
}

pub(super) fn inline(text: &str) -> Material {
    Material::Inline(Secret::new(text.as_bytes().to_vec()))
}

/// Loads an access with this client certificate.
fn load(certificate: &str, key: &str) -> Result<Option<Tls>, ConnectError> {
    let identity = ClientIdentity { certificate: inline(certificate), key: inline(key) };
    let access =
        Access { identity: Some(identity), ..access("https://a.example", Trust::PublicRoots) };
    Tls::load(&access, None)
}

#[test]
fn every_usual_kind_of_key_fits_its_certificate_and_no_other() {
    let keys: Vec<(&str, KeyPair)> = vec![
        ("EC", KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()),
        ("EC", KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()),
        ("", KeyPair::generate_for(&PKCS_ED25519).unwrap()),
        ("RSA", rsa()),
    ];
    let stranger = certificate(&KeyPair::generate().unwrap());
    for (kind, key) in keys {
        let own = certificate(&key);
        let mut forms = vec![pem("PRIVATE KEY", key.serialized_der())];
        if !kind.is_empty() {
            let bare = without_envelope(key.serialized_der());
            forms.push(pem(&format!("{kind} PRIVATE KEY"), bare));
        }
        for form in forms {
            let label = form.lines().next().unwrap();
            load(&own, &form).unwrap_or_else(|e| panic!("{label}: {e}"));
            let error = load(&stranger, &form).unwrap_err();
            assert!(matches!(error, ConnectError::PairMismatch { .. }), "{label}: {error:?}");
        }
    }
}

#[test]
fn a_key_is_found_among_other_things_in_its_file() {
    let key = KeyPair::generate().unwrap();
    let sec1 = pem("EC PRIVATE KEY", without_envelope(key.serialized_der()));
    // As openssl ecparam writes it.
    let parameters = pem("EC PARAMETERS", &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    load(&certificate(&key), &format!("{parameters}{sec1}")).unwrap();
    // As minikube's and openssl's tools write text in front, on Windows too.
    let text = format!("Bag Attributes\n    friendlyName: ann\n{sec1}").replace('\n', "\r\n");
    load(&certificate(&key), &text).unwrap();
    let both = format!("{}{sec1}", certificate(&key));
    load(&both, &both).unwrap();
}

#[test]
fn a_chain_keeps_the_own_certificate_first() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let chain = format!("{}{}", certificate(&key), certificate(&other));
    load(&chain, &key.serialize_pem()).unwrap();
    let turned = format!("{}{}", certificate(&other), certificate(&key));
    assert!(matches!(load(&turned, &key.serialize_pem()), Err(ConnectError::PairMismatch { .. })));
}

/// One place to read what is said of files that cannot be used.
#[test]
fn what_cannot_be_used_is_named_with_its_place() {
    let key = KeyPair::generate().unwrap();
    let (own, key) = (certificate(&key), key.serialize_pem());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"canary");
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let trusting =
        |text: &str| Tls::load(&access("https://a.example", Trust::Authority(inline(text))), None);
    let named = |name: &str| {
        let tls_server_name = Some(name.into());
        let access = Access { tls_server_name, ..access("https://a.example", Trust::Unverified) };
        Tls::load(&access, None)
    };
    let gone = Trust::Authority(Material::File("/nowhere/ca.crt".into()));
    let cases = [
        ("no authority", trusting("")),
        ("a key as authority", trusting(&key)),
        ("a broken authority", trusting(&pem("CERTIFICATE", b"canary"))),
        ("a cut authority", trusting(&own[..own.len() / 2])),
        ("a missing authority", Tls::load(&access("https://a.example", gone), None)),
        ("a wrong server name", named("not a name")),
        ("no certificate", load("", &key)),
        ("a broken certificate", load(&pem("CERTIFICATE", b"canary"), &key)),
        ("no key", load(&own, "")),
        ("a certificate as key", load(&own, &own)),
        ("a broken key", load(&own, &pem("PRIVATE KEY", b"canary"))),
        ("an encrypted key", load(&own, &encrypted)),
        ("an encrypted key of old", load(&own, old_encrypted)),
        ("another key", load(&own, &other)),
    ];
    let mut texts = String::new();
    for (name, result) in cases {
        let error = result.expect_err(name).to_string();
        assert!(!error.contains("canary") && !error.contains("Y2FuYXJ5"), "{name}: {error}");
        texts.push_str(&format!("{name}\n    {error}\n"));
    }
    insta::assert_snapshot!(texts);
}

#[test]
fn a_certificate_of_an_authority_that_cannot_be_read_leaves_the_others_in_use() {
    let good = certificate(&KeyPair::generate().unwrap());
    let broken = pem("CERTIFICATE", b"broken");
    let torn = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let count = |text: &str| authority(&inline(text)).unwrap().0.len();
    assert_eq!(count(&good), 1);
    assert_eq!(count(&format!("{broken}{good}{torn}")), 1);
    assert_eq!(count(&format!("{torn}{good}{broken}{good}")), 2);
}

#[test]
fn files_are_read_when_they_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.crt"), certificate(&key)).unwrap();
    let identity = ClientIdentity {
        certificate: Material::File(path("a.crt")),
        key: Material::File(path("a.key")),
    };
    let trust = Trust::Authority(Material::File(path("a.crt")));
    let access = Access { identity: Some(identity), ..access("https://a.example", trust) };
    let error = Tls::load(&access, None).unwrap_err().to_string();
    assert!(error.contains("client key") && error.contains("a.key"), "{error}");
    std::fs::write(path("a.key"), key.serialize_pem()).unwrap();
    Tls::load(&access, None).unwrap();
    std::fs::write(path("a.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = Tls::load(&access, None).unwrap_err().to_string();
    assert!(error.contains("a.crt") && error.contains("does not belong"), "{error}");
}

#[test]
fn a_plain_server_needs_no_certificates() {
    let gone = Trust::Authority(Material::File("/nowhere/ca.crt".into()));
    assert!(Tls::load(&access("http://127.0.0.1:8001", gone), None).unwrap().is_none());
}

/// An authority and a server certificate of it.
struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
    config: Arc<ServerConfig>,
}

fn pki(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pki {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let own = params.signed_by(&key, &authority).unwrap();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], der)
        .unwrap();
    Pki { authority, config: Arc::new(config) }
}

/// Answers one request for the version, if the client trusts it that far.
pub(super) fn serve_once(config: Arc<ServerConfig>) -> (SocketAddr, JoinHandle<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let mut head = [0; 4096];
        let asked = matches!(stream.read(&mut head), Ok(n) if n > 0);
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"major\":\"1\"}";
        let _ = stream.write_all(answer.as_bytes());
        asked
    };
    (address, std::thread::spawn(body))
}

/// What comes of a request to such a server: its text, and whether a request arrived.
fn ask(pki: &Pki, trust: Trust, server_name: Option<&str>) -> (Result<(), String>, bool) {
    let (address, server) = serve_once(pki.config.clone());
    let access = Access {
        tls_server_name: server_name.map(Into::into),
        ..access(&format!("https://{address}"), trust)
    };
    let client = Client::new(&access, ClientOptions::default()).unwrap();
    let result = client.version().map(drop).map_err(|e| e.to_string());
    client.shutdown();
    (result, server.join().unwrap())
}

fn own_authority(pki: &Pki) -> Trust {
    Trust::Authority(inline(&pki.authority.pem()))
}

#[test]
fn a_server_is_believed_by_its_authority_and_its_name() {
    let by_address = pki("127.0.0.1", |_| ());
    assert_eq!(ask(&by_address, own_authority(&by_address), None), (Ok(()), true));
    let by_name = pki("kubernetes", |_| ());
    assert_eq!(ask(&by_name, own_authority(&by_name), Some("kubernetes")), (Ok(()), true));
}

#[test]
fn a_wrong_server_never_sees_the_request() {
    let check = |pki: &Pki, trust: Trust, name: Option<&str>, words: &str| {
        let (result, asked) = ask(pki, trust, name);
        let error = result.expect_err(words);
        assert!(error.contains(words), "{error}");
        assert!(!asked, "{words}");
    };
    let good = pki("127.0.0.1", |_| ());
    let other = pki("127.0.0.1", |_| ());
    check(&good, own_authority(&other), None, "not signed by the certificate authority");
    check(&good, Trust::PublicRoots, None, "not signed by the certificate authority");
    check(&good, own_authority(&good), Some("kubernetes"), "is for another name");
    let named = pki("kubernetes", |_| ());
    check(&named, own_authority(&named), None, "is for another name");
    let expired = pki("127.0.0.1", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
    });
    check(&expired, own_authority(&expired), None, "has expired");
    let early = pki("127.0.0.1", |params| params.not_before = date_time_ymd(2999, 1, 1));
    check(&early, own_authority(&early), None, "is not valid yet");
}

#[test]
fn skipping_the_verification_takes_any_server() {
    let expired = pki("somewhere-else", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
    });
    assert_eq!(ask(&expired, Trust::Unverified, None), (Ok(()), true));
}

#[test]
fn a_server_without_tls_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 4096]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\nthis is no TLS");
    });
    let client = Client::new(&access(&url, Trust::Unverified), ClientOptions::default()).unwrap();
    let error = client.version().unwrap_err().to_string();
    assert!(error.contains("does not speak TLS"), "{error}");
    server.join().unwrap();
}

#[test]
fn no_key_is_in_debug_output() {
    let key = KeyPair::generate().unwrap();
    let text = key.serialize_pem();
    let identity = ClientIdentity { certificate: inline(&certificate(&key)), key: inline(&text) };
    let access = Access {
        identity: Some(identity),
        authorization: Authorization::Basic {
            username: "ann".into(),
            password: Secret::new("canary".into()),
        },
        ..access("https://a.example", Trust::PublicRoots)
    };
    let client = Client::new(&access, ClientOptions::default()).unwrap();
    let shown = format!("{access:?} {client:?} {:#?}", Tls::load(&access, None));
    let bytes = format!("{:?}", &text.as_bytes()[30..40]);
    for secret in
        ["canary", "YW5uOmNhbmFyeQ==", text.lines().nth(1).unwrap(), bytes.trim_matches(['[', ']'])]
    {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
