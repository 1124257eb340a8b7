use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    parse_x509_certificate,
};

use super::*;

fn now() -> Timestamp {
    "2026-02-03T04:05:06Z".parse().unwrap()
}

fn names() -> DnsNames {
    DnsNames { dns: vec!["webhook.ns.svc".into()], addresses: vec!["::1".parse().unwrap()] }
}

#[test]
fn ca_certificate_permits_only_signing() {
    let ca = Authority::generate(now()).unwrap();
    let (_, x509) = parse_x509_certificate(ca.certificate().der()).unwrap();
    let usage = x509.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature());
    assert_eq!(x509.subject().to_string(), "CN=nats-manager webhook CA");
    assert_eq!(ca.validity().not_before, after(now(), -BACKDATED));
    assert_eq!(ca.validity().not_after, after(now(), AUTHORITY_LIFETIME));
    assert_eq!(ca.certificate().key_id().len(), 40);
}

#[test]
fn leaf_permits_only_server_auth_and_names_its_ca() {
    let (ca, other) = (Authority::generate(now()).unwrap(), Authority::generate(now()).unwrap());
    let leaf = ca.issue(&names(), now()).unwrap();
    let (_, x509) = parse_x509_certificate(leaf.certificate().der()).unwrap();
    let purposes = x509.extended_key_usage().unwrap().unwrap().value.clone();
    assert!(purposes.server_auth && !purposes.client_auth && !purposes.any);
    assert!(!leaf.certificate().is_authority());
    let key_id = x509.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.clone(),
        _ => None,
    });
    let key_id = format!("{:02x?}", key_id.unwrap().0).replace(['[', ']', ',', ' '], "");
    assert_eq!(key_id, ca.certificate().key_id());
    assert_ne!(key_id, other.certificate().key_id());
    assert!(ca.has_signed(&leaf) && !other.has_signed(&leaf));
    let alternatives = x509.subject_alternative_name().unwrap().unwrap();
    assert!(matches!(
        alternatives.value.general_names[..],
        [GeneralName::DNSName("webhook.ns.svc"), GeneralName::IPAddress(_)]
    ));
    let cases = [("webhook.ns.svc", true), ("::1", true), ("webhook.ns", false), ("::2", false), ("", false)];
    for (name, found) in cases {
        assert_eq!(leaf.is_for(name), found, "{name}");
    }
}

#[test]
fn leaf_is_valid_only_within_its_ca() {
    let ca = Authority::generate(now()).unwrap();
    let validity_of_ca = ca.validity();
    let (week, minute) = (LEAF_LIFETIME, SignedDuration::from_mins(1));
    let cases = [
        (now(), after(now(), week)),
        (after(validity_of_ca.not_after, -minute), validity_of_ca.not_after),
        (validity_of_ca.not_after, validity_of_ca.not_after),
        (after(now(), -SignedDuration::from_hours(9000)), after(validity_of_ca.not_before, week)),
    ];
    for (at, end) in cases {
        let validity = ca.issue(&names(), at).unwrap().validity();
        assert_eq!(validity.not_after, end, "issued at {at}");
        assert!(validity.not_before >= validity_of_ca.not_before && validity.not_before <= validity.not_after);
    }
    let late = ca.issue(&names(), after(validity_of_ca.not_after, minute));
    assert!(matches!(late, Err(AuthorityError::Expired(_))));
}

#[test]
fn rejects_missing_and_invalid_names() {
    let ca = Authority::generate(now()).unwrap();
    assert!(matches!(ca.issue(&DnsNames::default(), now()), Err(AuthorityError::NoNames)));
    for name in ["", "a b", "ünï", "a..b", "-.example", "a\0b"] {
        let names = DnsNames { dns: vec![name.into()], addresses: vec![] };
        assert!(matches!(ca.issue(&names, now()), Err(AuthorityError::Name(_))), "{name}");
    }
    assert!(matches!(Authority::generate(Timestamp::MIN), Err(AuthorityError::Time(_))));
    assert!(Authority::generate(Timestamp::MAX).is_ok(), "cut at the end of time");
}

#[test]
fn stored_ca_is_parsed_again() {
    let ca = Authority::generate(now()).unwrap();
    let pem = ca.certificate().to_pem();
    let again = Authority::from_pem(pem.as_bytes(), ca.key_pem().as_bytes()).unwrap();
    assert_eq!(again, ca);
    assert!(ca.has_signed(&again.issue(&names(), now()).unwrap()));
}

#[test]
fn rejects_invalid_cas() {
    let (ca, other) = (Authority::generate(now()).unwrap(), Authority::generate(now()).unwrap());
    let pem = ca.certificate().to_pem();
    let leaf = ca.issue(&names(), now()).unwrap().certificate().to_pem();
    let two = format!("{pem}{}", other.certificate().to_pem());
    let key = ca.key_pem();
    let cases = [
        (pem.as_str(), other.key_pem(), "CA key: the private key does not belong to the certificate"),
        (&pem, "", "CA key: no PEM section PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY"),
        (&two, key, "CA certificate: 2 certificates where one is expected"),
        (&leaf, key, "CA certificate: not a CA (basic constraints or key usage forbid it to sign certificates)"),
        ("", key, "CA certificate: no PEM section CERTIFICATE"),
    ];
    for (certificate, key, text) in cases {
        let error = Authority::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn debug_output_omits_private_key() {
    let ca = Authority::generate(now()).unwrap();
    let leaf = ca.issue(&names(), now()).unwrap();
    let shown = format!("{ca:?} {leaf:?}");
    let secret = ca.key_pem().lines().nth(1).unwrap();
    assert!(!shown.contains("PRIVATE") && !shown.contains(secret) && shown.contains("key_id"));
}
