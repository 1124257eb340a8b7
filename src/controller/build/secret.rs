//! The Secret with the system account, made once: who has a stream of system events open would
//! lose it with the password.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use nats_manager_api::SettledCluster;
use rand::distr::{Alphanumeric, SampleString};

use super::metadata;
use crate::jetstream::{mean_the_same, system::Credentials};

/// The key of the Secret, and the name of the file that `nats.conf` includes.
pub const RESOLVER_KEY: &str = "resolver.conf";

/// Letters and digits in the password: 357 bits.
const PASSWORD_LENGTH: usize = 60;

/// The content of [`RESOLVER_KEY`]: account `$SYS` and its user `admin`.
#[derive(Clone, PartialEq, Eq)]
pub struct SystemAccount {
    content: Vec<u8>,
}

impl SystemAccount {
    /// An account with a random password.
    pub fn generate() -> Self {
        Self::with_password(&Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH))
    }

    /// The account as it is stored, whatever it says. None if it was never made, or was emptied.
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        let content = &secret.data.as_ref()?.get(RESOLVER_KEY)?.0;
        (!content.is_empty()).then(|| Self { content: content.clone() })
    }

    /// User and password, if they can be found in it.
    pub fn credentials(&self) -> Option<Credentials> {
        Credentials::from_resolver_conf(&self.content)
    }

    /// User and password, where the file says nothing else: only then it is known what the servers
    /// read.
    pub fn sole_user(&self) -> Option<Credentials> {
        let own = |credentials: &Credentials| Self::of(credentials.user(), credentials.password());
        self.credentials().filter(|credentials| mean_the_same(&self.content, &own(credentials).content))
    }

    pub(crate) fn with_password(password: &str) -> Self {
        Self::of("admin", password)
    }

    fn of(user: &str, password: &str) -> Self {
        let content = format!(
            r#"# Made once by nats-manager; it is not changed afterwards.
accounts: {{
  "$SYS": {{
    users: [
      {{user: "{user}", password: "{password}"}}
    ]
  }}
}}
system_account: "$SYS"
"#
        );
        Self { content: content.into_bytes() }
    }
}

/// Shows nothing of the password.
impl fmt::Debug for SystemAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemAccount").finish_non_exhaustive()
    }
}

pub(super) fn build(cluster: &SettledCluster, account: &SystemAccount) -> Secret {
    let data = |content| Some(BTreeMap::from([(RESOLVER_KEY.to_owned(), ByteString(content))]));
    // Stamped while the value is empty: the hash says nothing about the password.
    let mut secret = metadata::stamped(Secret {
        metadata: metadata::object(cluster, cluster.id.secret(), metadata::annotations(cluster, [])),
        type_: Some("Opaque".to_owned()),
        data: data(Vec::new()),
        ..Secret::default()
    });
    secret.data = data(account.content.clone());
    secret
}
