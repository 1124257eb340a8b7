//! The cryptography of the process: AWS-LC, in a FIPS build its validated module.

/// Version of the program. A FIPS build has the suffix `+fips`.
pub const VERSION: &str =
    if cfg!(feature = "fips") { concat!(env!("CARGO_PKG_VERSION"), "+fips") } else { env!("CARGO_PKG_VERSION") };

/// Returns whether the module in use is a FIPS module that has passed its self-tests.
pub fn is_active() -> bool {
    aws_lc_rs::try_fips_mode().is_ok()
}

/// Returns whether FIPS mode is required (`KYMA_FIPS_MODE_ENABLED`) of a build that does not have it, and logs it.
pub(crate) fn is_missing(is_required: bool) -> bool {
    let is_missing = is_required && !is_active();
    if is_missing {
        tracing::warn!(
            version = VERSION,
            "KYMA_FIPS_MODE_ENABLED is true and this build has no FIPS module; use the image that `cargo xtask image --fips` builds"
        );
    }
    is_missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fips_module_is_active_in_fips_builds_only() {
        let is_fips = cfg!(feature = "fips");
        assert_eq!(is_active(), is_fips);
        assert_eq!(rustls::crypto::aws_lc_rs::default_provider().fips(), is_fips);
        assert_eq!(VERSION.ends_with("+fips"), is_fips);
        assert_eq!([false, true].map(is_missing), [false, !is_fips]);
    }
}
