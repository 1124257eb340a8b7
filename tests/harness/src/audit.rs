//! Audit log of the apiserver: requests and their users. A test counts writes, for example to check that a controller
//! without a change to apply writes nothing.

use std::{io::SeekFrom, ops::Deref, path::PathBuf, time::Duration};

use serde::Deserialize;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use crate::error::{Error, Result};

/// Delay before the log is read: the apiserver logs a request after its response.
const LOG_DELAY: Duration = Duration::from_millis(50);

/// Audit log of an apiserver.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// Position in an audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditMark(u64);

/// Request that has a response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// One of get, list, watch, create, update, patch, delete and deletecollection.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Resource in the plural; empty for a request without a resource.
    pub resource: String,
    /// Subresource such as `status` or `token`; empty for the object itself.
    pub subresource: String,
    /// Name of the object; empty for lists and for creations with `generateName`.
    pub name: String,
    /// Namespace of the object; empty for cluster-scoped objects.
    pub namespace: String,
    /// User that sent the request.
    pub user: String,
    /// User agent of the client.
    pub user_agent: String,
    /// HTTP status of the response; 0 if it has none.
    pub code: u16,
    /// Path and query of the request.
    pub uri: String,
}

/// Requests in the order of their responses: a slice with counts of writes.
#[derive(Debug, Clone, Default)]
pub struct AuditEvents(Vec<AuditEvent>);

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns the current end of the log. [`AuditLog::since`] leaves out requests with an earlier response.
    pub async fn mark(&self) -> Result<AuditMark> {
        tokio::time::sleep(LOG_DELAY).await;
        let metadata = tokio::fs::metadata(&self.path).await.map_err(Error::io(self.path.display()))?;
        Ok(AuditMark(metadata.len()))
    }

    /// Returns the requests with a response since the mark. A watch counts at its start.
    pub async fn since(&self, mark: AuditMark) -> Result<AuditEvents> {
        tokio::time::sleep(LOG_DELAY).await;
        let content = self.read_from(mark).await.map_err(Error::io(self.path.display()))?;
        // The last line may be incomplete.
        let complete = content.rfind('\n').map_or("", |end| &content[..end]);
        let mut events = Vec::new();
        for line in complete.lines() {
            let record: Record = serde_json::from_str(line)
                .map_err(|source| Error::Json { context: self.path.display().to_string(), source })?;
            if record.counts() {
                events.push(record.into());
            }
        }
        Ok(AuditEvents(events))
    }

    async fn read_from(&self, mark: AuditMark) -> std::io::Result<String> {
        let mut file = File::open(&self.path).await?;
        file.seek(SeekFrom::Start(mark.0)).await?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).await?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }
}

impl AuditEvent {
    /// Returns whether the request is a write.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

impl AuditEvents {
    /// Returns the writes.
    pub fn writes(&self) -> impl Iterator<Item = &AuditEvent> {
        self.0.iter().filter(|event| event.is_write())
    }

    /// Counts the writes of a user such as `system:serviceaccount:NAMESPACE:NAME`.
    pub fn writes_of_user(&self, user: &str) -> usize {
        self.writes().filter(|event| event.user == user).count()
    }

    /// Counts the writes of clients whose user agent starts with `prefix`.
    pub fn writes_of_agent(&self, prefix: &str) -> usize {
        self.writes().filter(|event| event.user_agent.starts_with(prefix)).count()
    }
}

impl Deref for AuditEvents {
    type Target = [AuditEvent];

    fn deref(&self) -> &[AuditEvent] {
        &self.0
    }
}

impl IntoIterator for AuditEvents {
    type Item = AuditEvent;
    type IntoIter = std::vec::IntoIter<AuditEvent>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Line of the log: an `Event` of `audit.k8s.io/v1`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    stage: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default, rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Debug, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl Record {
    /// Returns whether the line is the one that counts for its request. The apiserver logs a watch at its start and at
    /// its end.
    fn counts(&self) -> bool {
        let started = self.stage == "ResponseStarted";
        if self.verb == "watch" && self.response_status.code < 400 { started } else { !started }
    }
}

impl From<Record> for AuditEvent {
    fn from(record: Record) -> Self {
        Self {
            verb: record.verb,
            group: record.object_ref.api_group,
            resource: record.object_ref.resource,
            subresource: record.object_ref.subresource,
            name: record.object_ref.name,
            namespace: record.object_ref.namespace,
            user: record.user.username,
            user_agent: record.user_agent,
            code: record.response_status.code,
            uri: record.request_uri,
        }
    }
}
