use super::*;

fn full(now: Timestamp) -> CaStore {
    let mut store = CaStore::first(now).unwrap();
    for _ in 0..2 {
        let successor = Announced { published_at: Some(now), ..Announced::generate(now).unwrap() };
        store = store.succeeded_by(successor, now);
    }
    let other = Authority::generate(now).unwrap().certificate().clone();
    let trusted = TrustedCas::default().with(&[other], now);
    CaStore { next: Some(Announced::generate(now).unwrap()), trusted, ..store }
}

#[test]
fn encoded_store_is_decoded_again() {
    let now: Timestamp = "2026-02-03T04:05:06.123456789Z".parse().unwrap();
    for store in [CaStore::first(now).unwrap(), full(now)] {
        let data = encode(&store);
        assert_eq!(decode(&data).unwrap().unwrap(), store);
        assert_eq!(data["ca.crt"], store.bundle().to_pem().into_bytes());
    }
    assert!(!encode(&CaStore::first(now).unwrap()).contains_key("next.key"));
}

#[test]
fn blank_secret_is_empty() {
    let blank = |key: &str| (key.to_owned(), b" \n".to_vec());
    let cases = [Data::new(), Data::from(["tls.crt", "tls.key", "ca.crt"].map(blank)), {
        Data::from([("unknown".to_owned(), b"x".to_vec())])
    }];
    for data in cases {
        assert!(decode(&data).unwrap().is_none());
    }
}

#[test]
fn fault_is_reported_and_intact_parts_are_kept() {
    let now: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
    let store = full(now);
    let good = encode(&store);
    let foreign = Authority::generate(now).unwrap();
    let (foreign_key, foreign_pem) = (foreign.key_pem(), foreign.certificate().to_pem());
    let mismatch = "tls.crt, tls.key: CA key: the private key does not belong to the certificate";
    // key, its content, the fault, whether the current CA is intact, number of readable certificates (5 are stored)
    let cases = [
        ("tls.key", foreign_key, mismatch, false, 5),
        ("tls.key", "", "tls.crt, tls.key: CA key: no PEM section", false, 5),
        ("tls.crt", "", "tls.crt, tls.key: CA certificate: no PEM section", false, 5),
        ("tls.crt", &foreign_pem, mismatch, false, 6),
        ("published-at", "soon", "published-at: not a time", false, 5),
        ("next.key", foreign_key, "next.crt, next.key: CA key: the private key does not", true, 5),
        ("next.crt", "", "next.crt, next.key: CA certificate", true, 5),
        ("retired.crt", "", "retired.until: 2 times for 0 cert", true, 5),
        ("retired.until", "2026-01-01", "retired.until: not a time", true, 5),
        ("retired.until", "", "retired.until: 0 times for 2", true, 5),
        ("trusted.crt", "", "trusted.until: 1 times for 0 cert", true, 5),
        ("trusted.crt", "-----BEGIN CERTIFICATE-----\n", "trusted.crt: certificate 1: ", true, 5),
        ("trusted.until", "soon", "trusted.until: not a time", true, 5),
        ("ca.crt", "", "ca.crt: not the certificates", true, 5),
        ("ca.crt", &foreign_pem, "ca.crt: not the certificates", true, 6),
    ];
    for (key, content, text, is_current_intact, readable) in cases {
        let mut data = good.clone();
        data.insert(key.to_owned(), content.as_bytes().to_vec());
        let corrupt = decode(&data).unwrap_err();
        let shown = corrupt.fault.to_string();
        assert!(shown.starts_with(text), "{key}: {shown}");
        assert_eq!(corrupt.current.is_some(), is_current_intact, "{key}");
        assert_eq!(corrupt.readable.certificates().len(), readable, "{key}: {shown}");
        assert!(!format!("{corrupt:?} {corrupt}").contains("PRIVATE KEY-----"), "{key}");
    }
}

#[test]
fn manually_replaced_ca_is_not_published() {
    let now: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
    let mut data = encode(&full(now));
    let foreign = Authority::generate(now).unwrap();
    data.insert("tls.crt".into(), foreign.certificate().to_pem().into());
    data.insert("tls.key".into(), foreign.key_pem().into());
    let current = decode(&data).unwrap_err().current.unwrap();
    assert_eq!(current, Announced { authority: foreign, published_at: None });
}

#[test]
fn list_of_other_sources_changes_without_the_rest() {
    let now: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
    let other = Authority::generate(now).unwrap().certificate().clone();
    let list = TrustedCas::default().with(std::slice::from_ref(&other), now);
    let without_ca = with_trusted(&Data::from([("unknown".to_owned(), b"x".to_vec())]), list.clone());
    assert_eq!(trusted(&without_ca, now), list);
    assert!(decode(&without_ca).unwrap().is_none(), "there is no CA to sign with");
    assert_eq!(without_ca["unknown"], b"x");
    assert!(!with_trusted(&without_ca, TrustedCas::default()).contains_key("trusted.crt"));

    let store = full(now);
    let added = with_trusted(&encode(&store), list.clone());
    assert_eq!(decode(&added).unwrap().unwrap(), CaStore { trusted: list.clone(), ..store.clone() });
    let ca_crt = TrustBundle::from_pem(&added["ca.crt"]).unwrap();
    assert!(ca_crt.contains(&other));

    let mut damaged = encode(&store);
    damaged.insert("tls.key".into(), b"x".to_vec());
    damaged.insert("trusted.until".into(), b"x".to_vec());
    let known = store.trusted.entries()[0].certificate.clone();
    assert_eq!(trusted(&damaged, now), TrustedCas::default().with(&[known], now), "readable, from now on");
    let changed = with_trusted(&damaged, list.clone());
    assert_eq!((trusted(&changed, now), &changed["tls.key"]), (list, &b"x".to_vec()));
}
