//! The Secret with the system account. It is generated once: a new password would disconnect clients that subscribe to
//! system events.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use nats_manager_api::ResolvedCluster;
use nats_manager_jetstream::{Credentials, is_equivalent_config};
use rand::distr::{Alphanumeric, SampleString};

use super::metadata;

/// Key of the Secret, and name of the file that `nats.conf` includes.
pub const RESOLVER_KEY: &str = "resolver.conf";

/// Number of letters and digits in the password: 357 bits.
const PASSWORD_LENGTH: usize = 60;

/// Content of [`RESOLVER_KEY`]: account `$SYS` and its user `admin`.
#[derive(Clone, PartialEq, Eq)]
pub struct SystemAccount {
    content: Vec<u8>,
}

impl SystemAccount {
    /// Generates an account with a random password.
    pub fn generate() -> Self {
        Self::with_password(&Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH))
    }

    /// Returns the account with the stored content, which is not validated. `None` if the content is missing or empty.
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        let content = &secret.data.as_ref()?.get(RESOLVER_KEY)?.0;
        (!content.is_empty()).then(|| Self { content: content.clone() })
    }

    /// Returns user and password, if the content has them.
    pub fn credentials(&self) -> Option<Credentials> {
        Credentials::from_resolver_conf(&self.content)
    }

    /// Returns user and password if the file contains nothing else. Only then the configuration of the servers is
    /// known.
    pub fn sole_user(&self) -> Option<Credentials> {
        let own = |credentials: &Credentials| Self::of(credentials.user(), credentials.password());
        self.credentials().filter(|credentials| is_equivalent_config(&self.content, &own(credentials).content))
    }

    /// Returns whether the file defines the system account only. Clients then have only the default account.
    pub fn is_only_account(&self) -> bool {
        self.sole_user().is_some()
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

/// Output without the password.
impl fmt::Debug for SystemAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemAccount").finish_non_exhaustive()
    }
}

pub(super) fn build(cluster: &ResolvedCluster, account: &SystemAccount) -> Secret {
    let data = |content| Some(BTreeMap::from([(RESOLVER_KEY.to_owned(), ByteString(content))]));
    // The hash is computed while the value is empty, so it reveals nothing about the password.
    let mut secret = metadata::stamped(Secret {
        metadata: metadata::object(cluster, cluster.id.secret(), metadata::annotations(cluster, [])),
        type_: Some("Opaque".to_owned()),
        data: data(Vec::new()),
        ..Secret::default()
    });
    secret.data = data(account.content.clone());
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_generated_account_excludes_others() {
        let account = |text: &str| SystemAccount { content: text.as_bytes().to_vec() };
        assert!(SystemAccount::generate().is_only_account());
        let own = String::from_utf8(SystemAccount::with_password("pA1").content).unwrap();
        for (expected, what, text) in [
            (true, "laid out differently", own.replace("  ", "\t").replace("]\n  }", "],\n  },")),
            (true, "without the comment", own.lines().skip(1).collect::<Vec<_>>().join("\n")),
            (false, "one account more", own.replace("accounts: {", "accounts: {\n  team: {jetstream: enabled},")),
            (false, "one user more", own.replace("\n    ]", "\n      {user: \"b\", password: \"c\"}\n    ]")),
            (true, "another user", own.replace("admin", "root")),
            (false, "something behind", format!("{own}include other.conf\n")),
            (false, "no text", String::new()),
        ] {
            assert_eq!(account(&text).is_only_account(), expected, "{what}: {text}");
        }
    }
}
