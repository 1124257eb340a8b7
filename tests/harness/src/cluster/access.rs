use std::path::{Path, PathBuf};

use http::{HeaderValue, header::USER_AGENT};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::LocalCluster;
use crate::error::{Error, Result};

const TOKEN_LIFETIME_SECONDS: i64 = 12 * 60 * 60;
const HARNESS: &str = "nats-manager-harness";

impl LocalCluster {
    /// Returns the client settings of the administrator.
    pub async fn config(&self) -> Result<Config> {
        load(&self.kubeconfig).await
    }

    /// Returns a client of the administrator. The user agent identifies its requests in the audit log.
    pub async fn client(&self, user_agent: &str) -> Result<Client> {
        self.client_of(&self.kubeconfig, user_agent).await
    }

    /// Returns a client for a kubeconfig, such as one of [`LocalCluster::kubeconfig_for`].
    pub async fn client_of(&self, kubeconfig: &Path, user_agent: &str) -> Result<Client> {
        let mut config = load(kubeconfig).await?;
        let value = HeaderValue::from_str(user_agent).map_err(|_| Error::UserAgent(user_agent.to_owned()))?;
        config.headers.push((USER_AGENT, value));
        Ok(Client::try_from(config)?)
    }

    /// Writes a kubeconfig with a token of a service account, which must exist. It gives a process the permissions of a
    /// pod with that service account.
    pub async fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(HARNESS).await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_LIFETIME_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let response = accounts.create_token_request(service_account, &PostParams::default(), &request).await?;
        let token = response.status.map(|status| status.token).unwrap_or_default();

        let path = self.folder().join(format!("{namespace}.{service_account}.kubeconfig"));
        let admin = read(&self.kubeconfig)?;
        let context = admin.contexts.iter().find(|context| Some(&context.name) == admin.current_context.as_ref());
        let cluster_name = context.and_then(|named| named.context.as_ref()).map(|context| &context.cluster);
        let cluster = admin.clusters.iter().find(|cluster| Some(&cluster.name) == cluster_name);
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": cluster.and_then(|named| named.cluster.as_ref())}],
            "users": [{"name": service_account, "user": {"token": token}}],
            "contexts": [{
                "name": "context",
                "context": {"cluster": "cluster", "user": service_account, "namespace": namespace},
            }],
            "current-context": "context",
        });
        tokio::fs::write(&path, kubeconfig.to_string()).await.map_err(Error::io(path.display()))?;
        Ok(path)
    }
}

async fn load(path: &Path) -> Result<Config> {
    Config::from_custom_kubeconfig(read(path)?, &KubeConfigOptions::default())
        .await
        .map_err(|source| Error::Kubeconfig { path: path.to_owned(), source: Box::new(source) })
}

fn read(path: &Path) -> Result<Kubeconfig> {
    Kubeconfig::read_from(path).map_err(|source| Error::Kubeconfig { path: path.to_owned(), source: Box::new(source) })
}
