use std::path::PathBuf;

/// What can go wrong before a test can start.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program that builds the rest is not installed.
    #[error("{program} is not in PATH; install it with: {mend}")]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// The command that installs it.
        mend: &'static str,
    },
    /// A tool could not be built.
    #[error("{tool} does not build ({status}); the end of what the compiler said:\n{output}")]
    Build {
        /// The tool.
        tool: &'static str,
        /// How the build ended.
        status: std::process::ExitStatus,
        /// The last lines of its output.
        output: String,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("nowhere to keep the tools; set one with: export XDG_CACHE_HOME=/some/folder")]
    NoCacheFolder,
    /// An environment variable names no known version.
    #[error("{variable}: {source}")]
    Version {
        /// The variable.
        variable: &'static str,
        /// The value and the known versions.
        source: crate::UnknownVersion,
    },
    /// The control plane did not start.
    #[error("the control plane did not start: {0}")]
    Cluster(String),
    /// There can be no real nodes on this machine.
    #[error(transparent)]
    Unavailable(#[from] crate::real::Unavailable),
    /// A node did not stop or start.
    #[error("{0}")]
    Node(String),
    /// `USE_EXISTING_CLUSTER` is set, but nothing says which cluster.
    #[error("USE_EXISTING_CLUSTER is set without a cluster; choose one with: export KUBECONFIG=/path/to/kubeconfig")]
    NoKubeconfig,
    /// An existing cluster keeps its audit log to itself.
    #[error("an existing cluster has no audit log to read; unset it with: unset USE_EXISTING_CLUSTER")]
    NoAuditLog,
    /// A NATS server did not start.
    #[error("the NATS server did not start: {0}")]
    Nats(String),
    /// A file or process operation failed.
    #[error("{context}: {source}")]
    Io {
        /// What was done, to which file.
        context: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A kubeconfig cannot be used.
    #[error("{}: {source}", path.display())]
    Kubeconfig {
        /// The kubeconfig.
        path: PathBuf,
        /// Why it cannot be used.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The apiserver refused, or could not be asked.
    #[error(transparent)]
    Kube(Box<kube::Error>),
    /// A user agent that no header can carry.
    #[error("a user agent cannot be: {0}")]
    UserAgent(String),
    /// Something that should be JSON is not.
    #[error("{context}: {source}")]
    Json {
        /// Where the JSON came from.
        context: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A result of the harness.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Tests unwrap, and that is to show the one clear line as well.
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
    /// Says what was done when an I/O operation failed; for `map_err`.
    pub(crate) fn io(context: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { context: context.to_string(), source }
    }

    /// The same for a program that has to be installed: a missing one leads to the command that mends it.
    pub(crate) fn spawn(program: &'static str, mend: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Self::MissingProgram { program, mend },
            _ => Self::Io { context: program.to_owned(), source },
        }
    }
}

/// Runs what blocks (builds, child processes) where it does not hold up the caller's runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Io { context: "the runtime is shutting down".to_owned(), source: error.into() }),
        },
    }
}
