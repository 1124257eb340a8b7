use std::path::PathBuf;

/// Error of the test support.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Missing program that is required to build the tools.
    #[error("{program} is not in PATH; install it with: {fix}")]
    MissingProgram {
        /// Name of the program.
        program: &'static str,
        /// Command that installs it.
        fix: &'static str,
    },
    /// Failed build of a tool.
    #[error("{tool} does not build ({status}); the end of the output:\n{output}")]
    Build {
        /// Name of the tool.
        tool: &'static str,
        /// Exit status of the build.
        status: std::process::ExitStatus,
        /// Last lines of its output.
        output: String,
    },
    /// Missing cache folder: neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("no cache folder for the tools; set one with: export XDG_CACHE_HOME=/some/folder")]
    NoCacheFolder,
    /// Environment variable with an unknown version.
    #[error("{variable}: {source}")]
    Version {
        /// Name of the variable.
        variable: &'static str,
        /// Value and known versions.
        source: crate::UnknownVersion,
    },
    /// Failed start of the control plane, with the end of its output.
    #[error("the control plane did not start: {0}")]
    Cluster(String),
    /// Machine that cannot have real nodes.
    #[error(transparent)]
    Unavailable(#[from] crate::real::Unavailable),
    /// Failed request to the control socket of the nodes.
    #[error("{0}")]
    Node(String),
    /// `USE_EXISTING_CLUSTER` without `KUBECONFIG`.
    #[error("USE_EXISTING_CLUSTER is set without a cluster; choose one with: export KUBECONFIG=/path/to/kubeconfig")]
    NoKubeconfig,
    /// Missing audit log: that of an existing cluster is not available.
    #[error("an existing cluster has no audit log to read; unset it with: unset USE_EXISTING_CLUSTER")]
    NoAuditLog,
    /// Failed start of a NATS server, with its log.
    #[error("the NATS server did not start: {0}")]
    Nats(String),
    /// Failed file or process operation.
    #[error("{context}: {source}")]
    Io {
        /// Operation or file that failed.
        context: String,
        /// Cause of the failure.
        source: std::io::Error,
    },
    /// Invalid kubeconfig.
    #[error("{}: {source}", path.display())]
    Kubeconfig {
        /// Path of the kubeconfig.
        path: PathBuf,
        /// Cause of the failure.
        source: Box<kube::config::KubeconfigError>,
    },
    /// Failed request to the apiserver: rejected, or without a response.
    #[error(transparent)]
    Kube(Box<kube::Error>),
    /// User agent that is not a valid header value.
    #[error("invalid user agent: {0}")]
    UserAgent(String),
    /// Invalid JSON.
    #[error("{context}: {source}")]
    Json {
        /// Source of the JSON.
        context: String,
        /// Error of the parser.
        source: serde_json::Error,
    },
}

/// Result of the test support.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Prints the same line as `Display`, since tests unwrap.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

impl Error {
    /// Returns a closure for `map_err` that adds the operation or file to an I/O error.
    pub(crate) fn io(context: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { context: context.to_string(), source }
    }

    /// Returns a closure for `map_err` of a spawn. A missing program becomes [`Error::MissingProgram`] with the command
    /// that installs it.
    pub(crate) fn spawn(program: &'static str, fix: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Self::MissingProgram { program, fix },
            _ => Self::Io { context: program.to_owned(), source },
        }
    }
}

/// Runs blocking work (builds, child processes) on a thread outside of the workers of the caller's runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Io { context: "the runtime is shutting down".to_owned(), source: error.into() }),
        },
    }
}
