//! What the apiserver was asked, by whom: how a test tells that a controller with nothing to do writes nothing.

use std::{io::SeekFrom, ops::Deref, path::PathBuf, time::Duration};

use serde::Deserialize;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use crate::error::{Error, Result};

/// The apiserver logs a request when it has sent the answer; this is how long after it the log is looked at.
const SETTLE: Duration = Duration::from_millis(50);

/// An apiserver's audit log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// A moment in an audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditMark(u64);

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// get, list, watch, create, update, patch, delete or deletecollection.
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The resource, in the plural; empty when the request was for no resource.
    pub resource: String,
    /// status, token, ...; mostly empty.
    pub subresource: String,
    /// The object; empty for lists, and for creations that leave the name to the apiserver.
    pub name: String,
    /// The object's namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Who asked.
    pub user: String,
    /// The client that asked.
    pub user_agent: String,
    /// The response's HTTP status, 0 when there was none.
    pub code: u16,
    /// The whole path, with the query.
    pub uri: String,
}

/// Requests, in the order of their answers. It is a slice, with counts of writes on top.
#[derive(Debug, Clone, Default)]
pub struct AuditEvents(Vec<AuditEvent>);

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Now. Requests that were answered before are not in what follows.
    pub async fn mark(&self) -> Result<AuditMark> {
        tokio::time::sleep(SETTLE).await;
        let metadata = tokio::fs::metadata(&self.path).await.map_err(Error::io(self.path.display()))?;
        Ok(AuditMark(metadata.len()))
    }

    /// The requests that were answered since the mark. A watch counts when it starts.
    pub async fn since(&self, mark: AuditMark) -> Result<AuditEvents> {
        tokio::time::sleep(SETTLE).await;
        let content = self.read_from(mark).await.map_err(Error::io(self.path.display()))?;
        // The last line may still be in the writing.
        let whole = content.rfind('\n').map_or("", |end| &content[..end]);
        let mut events = Vec::new();
        for line in whole.lines() {
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
    /// Whether the request was to change something.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

impl AuditEvents {
    /// The requests that were to change something.
    pub fn writes(&self) -> impl Iterator<Item = &AuditEvent> {
        self.0.iter().filter(|event| event.is_write())
    }

    /// How many writes a user asked for, such as `system:serviceaccount:NAMESPACE:NAME`.
    pub fn writes_of_user(&self, user: &str) -> usize {
        self.writes().filter(|event| event.user == user).count()
    }

    /// How many writes clients asked for whose user agent starts like this.
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

/// A line of the log, `audit.k8s.io/v1` Event.
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
    /// Each request counts once: what takes long (a watch) is logged at its start and again at its end.
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
