use super::*;

const PLAIN: [(&str, &str); 3] = [
    ("NATS_IMAGE", "nats:1"),
    ("NATS_SERVER_CONFIG_RELOADER_IMAGE", "reloader:1"),
    ("PROMETHEUS_NATS_EXPORTER_IMAGE", "exporter:1"),
];

/// Reads settings from the plain images, overlaid with `extra`.
fn with(extra: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let find = |variable: &str| {
        let all = extra.iter().chain(&PLAIN);
        all.into_iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned())
    };
    Settings::from_env(find)
}

#[test]
fn unset_variables_get_defaults() {
    let settings = with(&[("LOG_LEVEL", ""), ("POD_NAME", " ")]).unwrap();
    let images = Images { nats: "nats:1".into(), config_reloader: "reloader:1".into(), exporter: "exporter:1".into() };
    let expected = Settings {
        log_level: Level::INFO,
        cr_name: "eventing-nats".into(),
        cr_namespace: "kyma-system".into(),
        images,
        is_fips_required: false,
        pod_namespace: "kyma-system".into(),
        pod_name: None,
    };
    assert_eq!(settings, expected);
    assert_eq!(with(&[("NATS_CR_NAMESPACE", "a")]).unwrap().pod_namespace, "a");
    assert_eq!(with(&[("HOSTNAME", "host-1")]).unwrap().pod_name.as_deref(), Some("host-1"));
    assert_eq!(with(&[("HOSTNAME", "Host_1")]).unwrap().pod_name, None);
    assert_eq!(with(&[("HOSTNAME", "h"), ("POD_NAME", "p")]).unwrap().pod_name.as_deref(), Some("p"));
}

#[test]
fn log_level_is_parsed() {
    let cases = [
        ("debug", Level::DEBUG),
        ("INFO", Level::INFO),
        ("Warn", Level::WARN),
        ("warning", Level::WARN),
        ("error", Level::ERROR),
        ("trace", Level::TRACE),
    ];
    for (text, level) in cases {
        assert_eq!(with(&[("LOG_LEVEL", text)]).unwrap().log_level, level, "{text}");
    }
}

#[test]
fn fips_images_are_used_in_fips_mode_only() {
    let fips = [
        ("NATS_IMAGE_FIPS", "f:1"),
        ("NATS_SERVER_CONFIG_RELOADER_IMAGE_FIPS", "f:2"),
        ("PROMETHEUS_NATS_EXPORTER_IMAGE_FIPS", "f:3"),
    ];
    for (mode, nats) in
        [("true", "f:1"), ("T", "f:1"), ("1", "f:1"), ("false", "nats:1"), ("F", "nats:1"), ("", "nats:1")]
    {
        let environment = [&fips[..], &[("KYMA_FIPS_MODE_ENABLED", mode)]].concat();
        assert_eq!(with(&environment).unwrap().images.nats, nats, "{mode:?}");
    }
}

#[test]
fn invalid_variable_is_named_with_expected_value() {
    let label = "a".repeat(64);
    let too_long = "a".repeat(53);
    let cases = [
        ("LOG_LEVEL", "verbose", r#"LOG_LEVEL is "verbose": expected debug, info"#),
        ("NATS_IMAGE", "", "NATS_IMAGE is not set: expected an image reference"),
        ("NATS_IMAGE", "a b", r#"NATS_IMAGE is "a b": expected an image reference"#),
        ("KYMA_FIPS_MODE_ENABLED", "true", "NATS_IMAGE_FIPS is not set: expected an image reference"),
        ("KYMA_FIPS_MODE_ENABLED", "yes", r#"KYMA_FIPS_MODE_ENABLED is "yes": expected true or false"#),
        ("NATS_CR_NAME", "Eventing", r#"NATS_CR_NAME is "Eventing": expected a name of at most 52"#),
        ("NATS_CR_NAME", "a.b", "expected a name of at most 52"),
        ("NATS_CR_NAME", "1a", "first a letter"),
        ("NATS_CR_NAME", &too_long, "expected a name of at most 52"),
        ("NATS_CR_NAMESPACE", "a.b", "expected a DNS label"),
        ("NATS_CR_NAMESPACE", "-a", "expected a DNS label"),
        ("NATS_CR_NAMESPACE", &label, "expected a DNS label"),
        ("POD_NAMESPACE", "a_b", "POD_NAMESPACE is \"a_b\": expected a DNS label"),
        ("POD_NAME", "a/b", "POD_NAME is \"a/b\": expected a DNS subdomain"),
    ];
    for (variable, value, expected) in cases {
        let message = with(&[(variable, value)]).unwrap_err().to_string();
        assert!(message.contains(expected), "{variable}={value}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn cluster_name_may_be_as_long_as_a_stateful_set_allows() {
    let longest = format!("a{}", "1".repeat(51));
    assert_eq!(with(&[("NATS_CR_NAME", &longest)]).unwrap().cr_name, longest);
}

#[test]
fn cluster_domain_of_the_environment_is_checked() {
    let read = |value: Option<&str>| {
        let found = cluster_domain(|name| value.filter(|_| name == "CLUSTER_DOMAIN").map(str::to_owned));
        found.map(|domain| domain.to_string()).map_err(|error| error.to_string())
    };
    let invalid = |value: &str| {
        let expected = "a DNS domain such as cluster.local (at most 253 of a-z, 0-9, '-' and '.')";
        Err(format!("CLUSTER_DOMAIN is {value:?}: expected {expected}"))
    };
    for (value, expected) in [
        (None, Ok("cluster.local".to_owned())),
        (Some(" "), Ok("cluster.local".to_owned())),
        (Some("k8s.example.com."), Ok("k8s.example.com".to_owned())),
        (Some("k8s_example"), invalid("k8s_example")),
        (Some("a b"), invalid("a b")),
    ] {
        assert_eq!(read(value), expected, "{value:?}");
    }
}
