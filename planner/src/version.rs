//! Versions of the NATS server, and the steps between them that are safe.

use std::fmt;

/// A version of the NATS server, `major.minor.patch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number: incompatible changes.
    pub major: u32,
    /// Second number: new features.
    pub minor: u32,
    /// Third number: fixes.
    pub patch: u32,
}

/// Kyma's FIPS images multiply the third number by this (`nats-fips:2.14.200` is 2.14.2; the contract).
const FIPS_FACTOR: u32 = 100;

/// The oldest version that can be upgraded to 2.15, and the only line that 2.15 can be downgraded to
/// (release notes of NATS 2.15).
const BRIDGE: Version = Version::new(2, 14, 7);
/// The first version that needs the bridge.
const BRIDGED: Version = Version::new(2, 15, 0);
/// A migration of this version could delete a running store; fixed in 2.15.1.
const HARMFUL: Version = Version::new(2, 15, 0);

impl Version {
    /// Builds a version from its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Parses `2.14.2`, with or without a leading `v` and a suffix (`2.15.0-RC.1`, `2.14.2-scratch`).
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let (major, minor) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        let rest = numbers.next()?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let patch: u32 = rest[..end].parse().ok()?;
        let patch = if patch >= FIPS_FACTOR { patch / FIPS_FACTOR } else { patch };
        Some(Self { major, minor, patch })
    }

    /// Parses the tag of an image reference. Returns `None` for digests and for tags that are no version.
    pub fn of_image(image: &str) -> Option<Self> {
        let (_, name) = image.rsplit_once('/').unwrap_or(("", image));
        let name = name.split('@').next()?;
        Self::parse(name.split_once(':')?.1)
    }

    /// Returns whether this version must not be used at all, because it can delete a running store.
    pub fn is_harmful(self) -> bool {
        self == HARMFUL
    }

    /// Returns the reason why servers of version `self` must not be replaced by servers of version `to`; `None` if they
    /// may be.
    pub fn blocks_change(self, to: Self) -> Option<String> {
        if to == HARMFUL && self != to {
            return Some(format!("NATS {to} can delete a running store; use 2.15.1 or later"));
        }
        if self < BRIDGE && to >= BRIDGED {
            return Some(format!(
                "NATS {self} cannot be upgraded to {to} directly; upgrade to {BRIDGE} or a later 2.14 first"
            ));
        }
        if self >= BRIDGED && to < BRIDGE {
            return Some(format!(
                "NATS {self} cannot be downgraded to {to}; downgrade to {BRIDGE} or a later 2.14 first"
            ));
        }
        None
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_tags_are_parsed() {
        for (image, expected) in [
            ("nats:2.14.2-scratch", Some("2.14.2")),
            ("europe-docker.pkg.dev/kyma-project/restricted-prod/nats-fips:2.14.200", Some("2.14.2")),
            ("host:5000/library/nats:v2.15.3", Some("2.15.3")),
            ("nats:2.15.3@sha256:abc", Some("2.15.3")),
            ("host:5000/nats", None),
            ("nats@sha256:abc", None),
            ("nats:latest", None),
            ("nats:2.15", None),
        ] {
            assert_eq!(Version::of_image(image).map(|version| version.to_string()).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn unsafe_version_changes_are_blocked() {
        for (from, to, blocked) in [
            ("2.14.2", "2.14.10", false),
            ("2.14.10", "2.15.3", false),
            ("2.14.2", "2.15.3", true),
            ("2.14.6", "2.15.1", true),
            ("2.14.7", "2.15.1", false),
            ("2.14.10", "2.15.0", true),
            ("2.15.3", "2.14.7", false),
            ("2.15.3", "2.14.2", true),
            ("2.15.0", "2.15.0", false),
            ("2.15.0", "2.15.3", false),
        ] {
            let (from, to) = (Version::parse(from).unwrap(), Version::parse(to).unwrap());
            assert_eq!(from.blocks_change(to).is_some(), blocked, "{from} -> {to}");
        }
    }
}
