use super::*;

fn parsed(arguments: &[&str]) -> Result<Cli, String> {
    let arguments = [&["nats-manager"], arguments].concat().into_iter().map(OsString::from);
    Cli::try_parse_from(arguments.map(predecessor::with_two_dashes)).map_err(|error| one_line(&error))
}

#[test]
fn flags_accept_go_spellings() {
    let cases: &[(&[&str], bool)] = &[
        (&[], false),
        (&["--leader-elect"], true),
        (&["--leader-elect=true"], true),
        (&["--leader-elect=T"], true),
        (&["--leader-elect=false"], false),
        (&["--leader-elect=0"], false),
        (&["--leader-elect", "--metrics-bind-address=:1"], true),
        (&["--leader-elect", "--metrics-bind-address", ":1"], true),
        (&["-leader-elect", "-metrics-bind-address", ":1"], true),
        (&["-leader-elect=false"], false),
    ];
    for (arguments, leader_elect) in cases {
        let cli = parsed(arguments).unwrap();
        assert_eq!(cli.options.leader_elect, *leader_elect, "{arguments:?}");
        assert!(cli.command.is_none(), "{arguments:?}");
    }
    let options = parsed(&[]).unwrap().options;
    assert_eq!(options.metrics_bind_address, ":8080".parse().unwrap());
    assert_eq!(options.health_probe_bind_address, ":8081".parse().unwrap());
}

#[test]
fn flags_of_the_predecessor_are_accepted_and_name_their_replacement() {
    /// Arguments, and the name and the replacement of each ignored flag.
    type Case = (&'static [&'static str], &'static [(&'static str, &'static str)]);
    let cases: &[Case] = &[
        (&["--leader-elect"], &[]),
        (&["--leaderElectionID=26479083.kyma-project.io"], &[("--leaderElectionID", "nats-manager")]),
        (&["-metricsPort", "9443"], &[("--metricsPort", "--metrics-bind-address")]),
        (&["--zap-devel"], &[("--zap-devel", "JSON")]),
        (
            &["--zap-devel=false", "--zap-encoder=console", "--zap-log-level", "debug"],
            &[("--zap-devel", "JSON"), ("--zap-encoder", "JSON"), ("--zap-log-level", "LOG_LEVEL")],
        ),
        (
            &["--zap-stacktrace-level=panic", "--zap-time-encoding=epoch"],
            &[("--zap-stacktrace-level", "JSON"), ("--zap-time-encoding", "RFC 3339")],
        ),
    ];
    for (arguments, expected) in cases {
        let ignored: Vec<_> = parsed(arguments).unwrap().options.predecessor.set().collect();
        assert_eq!(ignored.len(), expected.len(), "{arguments:?}: {ignored:?}");
        for (flag, (name, instead)) in ignored.iter().zip(*expected) {
            assert_eq!(flag.name, *name, "{arguments:?}");
            assert!(flag.instead.contains(instead), "{arguments:?}: {flag:?}");
        }
    }
    let options = parsed(&["--kubeconfig", "/a"]).unwrap().options;
    assert_eq!(options.kubeconfig, Some("/a".into()));
}

#[test]
fn offline_commands_are_parsed() {
    let cases: &[(&[&str], Command)] = &[
        (&["crd"], Command::Crd),
        (&["validate", "-f", "a.yaml"], Command::Validate { file: Source::File("a.yaml".into()) }),
        (&["validate", "-f", "-"], Command::Validate { file: Source::Stdin }),
        (&["validate", "-fa.yaml"], Command::Validate { file: Source::File("a.yaml".into()) }),
        (&["render", "--file=-"], Command::Render { file: Source::Stdin }),
    ];
    for (arguments, command) in cases {
        assert_eq!(parsed(arguments).unwrap().command.as_ref(), Some(command), "{arguments:?}");
    }
}

#[test]
fn usage_error_is_one_line() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--metric-bind-address=:1"], &["--metric-bind-address", "--metrics-bind-address"]),
        (&["--metrics-bind-address=8080"], &["--metrics-bind-address", "'8080'", ":8080"]),
        (&["--leader-elect=maybe"], &["--leader-elect", "'maybe'", "true or false"]),
        (&["--nats-url=http://nats:4222"], &["http", "--nats-url", "nats://127.0.0.1:4222"]),
        (&["validate"], &["--file <FILE>"]),
        (&["install"], &["install"]),
    ];
    for (arguments, expected) in cases {
        let line = parsed(arguments).unwrap_err();
        assert!(!line.contains('\n'), "{line}");
        for part in *expected {
            assert!(line.contains(part), "{arguments:?}: {line}");
        }
    }
}

#[test]
fn help_contains_environment_variables() {
    use clap::CommandFactory;
    let help = Cli::command().render_long_help().to_string();
    for name in ["LOG_LEVEL", "NATS_CR_NAME", "NATS_IMAGE_FIPS", "KYMA_FIPS_MODE_ENABLED", "NATS_URL", "POD_NAME"] {
        assert!(help.contains(name), "{name}");
    }
    Cli::command().debug_assert();
}
