//! Load generator of `cargo xtask bench admission`. It prints its result as JSON.
//!
//! Its connections are like those of the apiserver to a webhook: HTTP/1.1 over TLS 1.3, kept alive
//! (`k8s.io/apiserver/pkg/util/webhook/client.go` of 1.34 sets `NextProtos` to `http/1.1`). Each has an own source
//! address, since the server limits the connections that an address may open.

mod ask;
mod certificate;
mod connection;
mod load;
mod usage;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use serde::Serialize;

use connection::{LoadError, Target};
use load::Load;

/// Sends admission reviews, and prints the result as JSON.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write `ca.crt`, `tls.crt` and `tls.key` into a folder
    Certificate {
        /// Folder
        folder: PathBuf,
    },
    /// Send each review of a folder once, and print the responses
    Ask {
        #[command(flatten)]
        target: TargetOptions,
        /// Folder
        reviews: PathBuf,
    },
    /// Send one review over and over
    Send {
        #[command(flatten)]
        target: TargetOptions,
        /// Review
        #[arg(long)]
        review: PathBuf,
        /// Connections
        #[arg(long, default_value_t = 16)]
        connections: u16,
        #[command(flatten)]
        extent: Extent,
        /// Reviews per second, at fixed times; without it, each connection sends the next review after a response
        #[arg(long)]
        rate: Option<u32>,
        /// Open a connection for each review
        #[arg(long, conflicts_with = "rate")]
        reconnect: bool,
        /// Process whose CPU time is measured
        #[arg(long)]
        server: Option<u32>,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Extent {
    /// Seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Reviews
    #[arg(long)]
    reviews: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct TargetOptions {
    /// Address of the server
    #[arg(long)]
    address: SocketAddr,
    /// CA of its certificate
    #[arg(long)]
    ca: PathBuf,
    /// Path of the webhook
    #[arg(long)]
    path: String,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match task {
        Task::Certificate { folder } => certificate::write(&folder),
        Task::Ask { target, reviews } => {
            let target = target.target()?;
            print(&runtime.block_on(ask::ask_all(&target, &reviews))?)
        }
        Task::Send { target, review, connections, extent, rate, reconnect, server } => {
            let load = Load {
                target: target.target()?,
                review: std::fs::read(review)?.into(),
                connections,
                time: extent.seconds.map(Duration::from_secs_f64),
                reviews: extent.reviews,
                rate,
                reconnects: reconnect,
                server,
            };
            print(&runtime.block_on(load.run())?)
        }
    }
}

fn print(result: &impl Serialize) -> Result<(), LoadError> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}

impl TargetOptions {
    fn target(self) -> Result<Target, LoadError> {
        Target::new(self.address, &self.ca, self.path)
    }
}
