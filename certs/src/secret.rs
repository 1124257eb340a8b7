//! Encoding of the [`CaStore`] as the data of a Secret.
//!
//! | key | content |
//! |---|---|
//! | `tls.crt`, `tls.key` | the current CA, as in every Secret of type `kubernetes.io/tls` |
//! | `published-at` | the time since which every configuration contains the current CA (RFC 3339); absent before |
//! | `ca.crt` | the bundle to publish: current, next, retired; the key that cert-manager's cainjector reads |
//! | `next.crt`, `next.key`, `next.published-at` | the next CA, while one is prepared |
//! | `retired.crt` | CAs whose leaves may be in use, in descending order of their time of removal |
//! | `retired.until` | their times of removal, one a line (RFC 3339) |
//!
//! A Secret in which all of these keys are missing or blank is empty, as shipped in the manifest. `ca.crt` is compared
//! with the other keys, so that a CA that was replaced manually is detected, and is published before it signs.

use std::{collections::BTreeMap, str};

use jiff::Timestamp;

use crate::{Announced, Authority, AuthorityError, CaStore, Certificate, CertificateError, Retired, TrustBundle};

/// Data of a Secret, by key.
pub type Data = BTreeMap<String, Vec<u8>>;

const CURRENT: [&str; 3] = ["tls.crt", "tls.key", "published-at"];
const NEXT: [&str; 3] = ["next.crt", "next.key", "next.published-at"];
const BUNDLE: &str = "ca.crt";
const RETIRED: &str = "retired.crt";
const RETIRED_UNTIL: &str = "retired.until";

/// Error for data that [`encode`] has not written, with the parts that are intact.
#[derive(Debug, thiserror::Error)]
#[error("the stored CA is damaged: {fault}")]
pub struct Corrupt {
    /// Fault in the data.
    pub fault: SecretFault,
    /// Current CA, if the damage is elsewhere.
    pub current: Option<Announced>,
    /// All readable certificates, because leaves that they signed may be in use.
    pub readable: TrustBundle,
}

/// Fault in stored data. Its message never contains parts of the data.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The current CA is invalid.
    #[error("tls.crt, tls.key: {0}")]
    Current(#[source] AuthorityError),
    /// The next CA is invalid.
    #[error("next.crt, next.key: {0}")]
    Next(#[source] AuthorityError),
    /// The retired CAs are invalid.
    #[error("retired.crt: {0}")]
    Retired(#[source] CertificateError),
    /// The numbers of retired CAs and of their times differ.
    #[error("retired.until: {times} times for {certificates} certificates in retired.crt")]
    RetiredUntil {
        /// Number of times.
        times: usize,
        /// Number of certificates.
        certificates: usize,
    },
    /// The value of this key is not a time in RFC 3339.
    #[error("{0}: not a time such as 2026-01-31T12:00:00Z")]
    Time(&'static str),
    /// The bundle cannot be parsed, or is not that of the stored CAs.
    #[error("ca.crt: not the certificates of tls.crt, next.crt and retired.crt")]
    Bundle,
}

/// Encodes the store as a Secret's data. All other keys are to be removed from the Secret.
pub fn encode(store: &CaStore) -> Data {
    let mut data = Data::new();
    let mut put = |key: &str, text: String| data.insert(key.to_owned(), text.into_bytes());
    put(BUNDLE, store.bundle().to_pem());
    let signing = [(CURRENT, Some(&store.current)), (NEXT, store.next.as_ref())];
    for ([certificate, key, published_at], announced) in signing {
        let Some(announced) = announced else { continue };
        put(certificate, announced.authority.certificate().to_pem());
        put(key, announced.authority.key_pem().to_owned());
        if let Some(at) = announced.published_at {
            put(published_at, at.to_string());
        }
    }
    if !store.retired.is_empty() {
        put(RETIRED, store.retired.iter().map(|ca| ca.certificate.to_pem()).collect());
        let times: Vec<String> = store.retired.iter().map(|ca| ca.until.to_string()).collect();
        put(RETIRED_UNTIL, times.join("\n"));
    }
    data
}

/// Decodes a Secret's data; `None` if it is empty. Damaged data is an error that contains the intact parts.
pub fn decode(data: &Data) -> Result<Option<CaStore>, Box<Corrupt>> {
    let keys = CURRENT.iter().chain(&NEXT).chain([&BUNDLE, &RETIRED, &RETIRED_UNTIL]);
    if keys.clone().all(|key| text(data, key).is_empty()) {
        return Ok(None);
    }
    let bundle = TrustBundle::readable(text(data, BUNDLE));
    let mut intact = None;
    read(data, &bundle, &mut intact).map(Some).map_err(|fault| {
        let sections = keys.map(|key| TrustBundle::readable(text(data, key)));
        let readable = sections.flat_map(|part| part.certificates().to_vec()).collect();
        Box::new(Corrupt { fault, current: intact, readable })
    })
}

/// Parses all parts. Stores the current CA in `intact`, even if a later part is damaged.
fn read(data: &Data, bundle: &TrustBundle, intact: &mut Option<Announced>) -> Result<CaStore, SecretFault> {
    let mut current = announced(data, CURRENT, SecretFault::Current)?;
    // A CA that is missing in the stored bundle was not published, even if a time is stored.
    current.published_at = current.published_at.filter(|_| bundle.contains(current.authority.certificate()));
    *intact = Some(current.clone());

    let has_next = NEXT.iter().any(|key| !text(data, key).is_empty());
    let next = has_next.then(|| announced(data, NEXT, SecretFault::Next)).transpose()?;
    let store = CaStore { current, next, retired: retired(data)? };
    let strict = TrustBundle::from_pem(text(data, BUNDLE)).map_err(|_| SecretFault::Bundle)?;
    if strict == store.bundle() { Ok(store) } else { Err(SecretFault::Bundle) }
}

fn announced(
    data: &Data,
    [certificate, key, published_at]: [&'static str; 3],
    fault: fn(AuthorityError) -> SecretFault,
) -> Result<Announced, SecretFault> {
    let authority = Authority::from_pem(text(data, certificate), text(data, key)).map_err(fault)?;
    let stamp = text(data, published_at);
    let published_at = if stamp.is_empty() { None } else { Some(time(stamp, published_at)?) };
    Ok(Announced { authority, published_at })
}

fn retired(data: &Data) -> Result<Vec<Retired>, SecretFault> {
    let certificates = match text(data, RETIRED) {
        [] => Vec::new(),
        pem => Certificate::all_from_pem(pem).map_err(SecretFault::Retired)?,
    };
    let lines = text(data, RETIRED_UNTIL).split(|byte| *byte == b'\n');
    let times = lines.filter(|line| !line.is_empty()).map(|line| time(line, RETIRED_UNTIL));
    let times = times.collect::<Result<Vec<_>, _>>()?;
    if times.len() != certificates.len() {
        return Err(SecretFault::RetiredUntil { times: times.len(), certificates: certificates.len() });
    }
    let all = certificates.into_iter().zip(times);
    Ok(all.map(|(certificate, until)| Retired { certificate, until }).collect())
}

fn time(stamp: &[u8], key: &'static str) -> Result<Timestamp, SecretFault> {
    let stamp = str::from_utf8(stamp).map_err(|_| SecretFault::Time(key))?;
    stamp.trim().parse().map_err(|_| SecretFault::Time(key))
}

fn text<'a>(data: &'a Data, key: &str) -> &'a [u8] {
    data.get(key).map(|value| value.trim_ascii()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(now: Timestamp) -> CaStore {
        let mut store = CaStore::first(now).unwrap();
        for _ in 0..2 {
            let successor = Announced { published_at: Some(now), ..Announced::generate(now).unwrap() };
            store = store.succeeded_by(successor, now);
        }
        CaStore { next: Some(Announced::generate(now).unwrap()), ..store }
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
        // key, its content, the fault, whether the current CA is intact, number of readable certificates (4 are stored)
        let cases = [
            ("tls.key", foreign_key, mismatch, false, 4),
            ("tls.key", "", "tls.crt, tls.key: CA key: no PEM section", false, 4),
            ("tls.crt", "", "tls.crt, tls.key: CA certificate: no PEM section", false, 4),
            ("tls.crt", &foreign_pem, mismatch, false, 5),
            ("published-at", "soon", "published-at: not a time", false, 4),
            ("next.key", foreign_key, "next.crt, next.key: CA key: the private key does not", true, 4),
            ("next.crt", "", "next.crt, next.key: CA certificate", true, 4),
            ("retired.crt", "", "retired.until: 2 times for 0 cert", true, 4),
            ("retired.until", "2026-01-01", "retired.until: not a time", true, 4),
            ("retired.until", "", "retired.until: 0 times for 2", true, 4),
            ("ca.crt", "", "ca.crt: not the certificates", true, 4),
            ("ca.crt", &foreign_pem, "ca.crt: not the certificates", true, 5),
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
}
