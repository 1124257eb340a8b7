//! Encoding of the [`CaStore`] as the data of a Secret.
//!
//! | key | content |
//! |---|---|
//! | `tls.crt`, `tls.key` | the current CA, as in every Secret of type `kubernetes.io/tls` |
//! | `published-at` | the time since which every configuration contains the current CA (RFC 3339); absent before |
//! | `ca.crt` | the bundle to publish: current, next, retired, trusted; the key that cert-manager's cainjector reads |
//! | `next.crt`, `next.key`, `next.published-at` | the next CA, while one is prepared |
//! | `retired.crt` | CAs whose leaves may be in use, in descending order of their time of removal |
//! | `retired.until` | their times of removal, one a line (RFC 3339) |
//! | `trusted.crt` | CAs of other sources, in descending order of their ends |
//! | `trusted.until` | their ends, one a line (RFC 3339) |
//!
//! A Secret in which all of these keys are missing or blank is empty, as shipped in the manifest. One that has only the
//! CAs of other sources contains no CA to sign with. `ca.crt` is compared
//! with the other keys, so that a CA that was replaced manually is detected, and is published before it signs.

use std::{collections::BTreeMap, str};

use jiff::Timestamp;

use crate::{
    Announced, Authority, AuthorityError, CaStore, Certificate, CertificateError, Retired, TrustBundle, TrustedCa,
    TrustedCas,
};

/// Data of a Secret, by key.
pub type Data = BTreeMap<String, Vec<u8>>;

const CURRENT: [&str; 3] = ["tls.crt", "tls.key", "published-at"];
const NEXT: [&str; 3] = ["next.crt", "next.key", "next.published-at"];
const BUNDLE: &str = "ca.crt";
const RETIRED: [&str; 2] = ["retired.crt", "retired.until"];
const TRUSTED: [&str; 2] = ["trusted.crt", "trusted.until"];

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
    /// The certificates of this key are invalid.
    #[error("{key}: {cause}")]
    Certificates {
        /// Key of the data.
        key: &'static str,
        /// Error in its content.
        #[source]
        cause: CertificateError,
    },
    /// The numbers of certificates and of their times differ.
    #[error("{key}: {times} times for {certificates} certificates")]
    Times {
        /// Key of the times.
        key: &'static str,
        /// Number of times.
        times: usize,
        /// Number of certificates.
        certificates: usize,
    },
    /// The value of this key is not a time in RFC 3339.
    #[error("{0}: not a time such as 2026-01-31T12:00:00Z")]
    Time(&'static str),
    /// The bundle cannot be parsed, or is not that of the stored CAs.
    #[error("ca.crt: not the certificates of tls.crt, next.crt, retired.crt and trusted.crt")]
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
    put_limited(&mut data, RETIRED, store.retired.iter().map(|ca| (&ca.certificate, ca.until)));
    put_limited(&mut data, TRUSTED, store.trusted.entries().iter().map(|ca| (&ca.certificate, ca.until)));
    data
}

/// Writes certificates and the ends of the trust in them. Without a certificate, removes the keys.
fn put_limited<'a>(
    data: &mut Data,
    [certificates, times]: [&str; 2],
    all: impl Iterator<Item = (&'a Certificate, Timestamp)>,
) {
    let (pem, ends): (String, Vec<String>) =
        all.map(|(certificate, end)| (certificate.to_pem(), end.to_string())).unzip();
    for (key, text) in [(certificates, pem), (times, ends.join("\n"))] {
        if text.is_empty() {
            data.remove(key);
        } else {
            data.insert(key.to_owned(), text.into_bytes());
        }
    }
}

/// Returns the CAs of other sources. Of a damaged list, the readable certificates are trusted for as long as if they
/// had been added at `now`.
pub fn trusted(data: &Data, now: Timestamp) -> TrustedCas {
    read_trusted(data).unwrap_or_else(|_| {
        let readable = TrustBundle::readable(text(data, TRUSTED[0]));
        TrustedCas::default().with(readable.certificates(), now)
    })
}

/// Returns the data with another list of the CAs of other sources. All other content stays, damaged or not.
pub fn with_trusted(data: &Data, trusted: TrustedCas) -> Data {
    if let Ok(Some(store)) = decode(data) {
        return encode(&CaStore { trusted, ..store });
    }
    let mut data = data.clone();
    put_limited(&mut data, TRUSTED, trusted.entries().iter().map(|ca| (&ca.certificate, ca.until)));
    data
}

/// Decodes a Secret's data; `None` if it contains no CA. Damaged data is an error that contains the intact parts.
pub fn decode(data: &Data) -> Result<Option<CaStore>, Box<Corrupt>> {
    let keys = CURRENT.iter().chain(&NEXT).chain([&BUNDLE]).chain(&RETIRED);
    if keys.clone().all(|key| text(data, key).is_empty()) {
        return Ok(None);
    }
    let keys = keys.chain(&TRUSTED);
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
    let retired = limited(data, RETIRED)?.map(|(certificate, until)| Retired { certificate, until }).collect();
    let store = CaStore { current, next, retired, trusted: read_trusted(data)? };
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

fn read_trusted(data: &Data) -> Result<TrustedCas, SecretFault> {
    let all = limited(data, TRUSTED)?;
    Ok(TrustedCas::new(all.map(|(certificate, until)| TrustedCa { certificate, until }).collect()))
}

/// Parses certificates and the ends of the trust in them.
fn limited(
    data: &Data,
    [key, until]: [&'static str; 2],
) -> Result<impl Iterator<Item = (Certificate, Timestamp)>, SecretFault> {
    let certificates = match text(data, key) {
        [] => Vec::new(),
        pem => Certificate::all_from_pem(pem).map_err(|cause| SecretFault::Certificates { key, cause })?,
    };
    let lines = text(data, until).split(|byte| *byte == b'\n');
    let times = lines.filter(|line| !line.is_empty()).map(|line| time(line, until));
    let times = times.collect::<Result<Vec<_>, _>>()?;
    if times.len() != certificates.len() {
        return Err(SecretFault::Times { key: until, times: times.len(), certificates: certificates.len() });
    }
    Ok(certificates.into_iter().zip(times))
}

fn time(stamp: &[u8], key: &'static str) -> Result<Timestamp, SecretFault> {
    let stamp = str::from_utf8(stamp).map_err(|_| SecretFault::Time(key))?;
    stamp.trim().parse().map_err(|_| SecretFault::Time(key))
}

fn text<'a>(data: &'a Data, key: &str) -> &'a [u8] {
    data.get(key).map(|value| value.trim_ascii()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
