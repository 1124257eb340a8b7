//! The Secret with the system account, made once: who has a stream of system events open would
//! lose it with the password.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use nats_manager_api::ResolvedCluster;
use nats_manager_jetstream::{Credentials, is_equivalent_config};
use rand::distr::{Alphanumeric, SampleString};

use super::metadata;

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
        self.credentials().filter(|credentials| is_equivalent_config(&self.content, &own(credentials).content))
    }

    /// Whether it makes the system account and no other: then clients have the default account alone.
    pub fn is_alone(&self) -> bool {
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

/// Shows nothing of the password.
impl fmt::Debug for SystemAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemAccount").finish_non_exhaustive()
    }
}

pub(super) fn build(cluster: &ResolvedCluster, account: &SystemAccount) -> Secret {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_account_that_we_make_rules_out_others() {
        let account = |text: &str| SystemAccount { content: text.as_bytes().to_vec() };
        assert!(SystemAccount::generate().is_alone());
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
            assert_eq!(account(&text).is_alone(), expected, "{what}: {text}");
        }
    }
}
