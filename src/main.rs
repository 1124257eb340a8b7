//! Binary `nats-manager`.

use std::{env, error::Error, process::ExitCode};

use nats_manager::{
    cli::{self, RunOptions},
    offline, run,
    settings::Settings,
    telemetry,
};

fn main() -> ExitCode {
    let cli = match cli::parse(env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if let Some(command) = cli.command {
        return offline::run(&command, |name| env::var(name).ok());
    }
    let settings = match Settings::from_env(|name| env::var(name).ok()) {
        Ok(settings) => settings,
        Err(error) => return cli::usage_error(&error),
    };
    let _logs = match telemetry::init_logging(settings.log_level) {
        Ok(logs) => logs,
        Err(error) => return cli::usage_error(&error),
    };
    for flag in cli.options.predecessor.set() {
        tracing::warn!(flag = flag.name, instead = flag.instead, "ignored flag of the Go manager");
    }
    match start(cli.options, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "exiting after a failure");
            ExitCode::FAILURE
        }
    }
}

fn start(options: RunOptions, settings: Settings) -> Result<(), Box<dyn Error>> {
    // One provider for the whole process. An error only means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // One thread: the work is mostly waiting, and each further thread needs memory for its heap.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(async { Ok(Box::pin(run::run(options, settings, run::stop_signal()?)).await?) })
}
