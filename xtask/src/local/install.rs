//! Installation of the shipped manifests, except for the Deployment: the manager runs as a local process.

use serde_json::Value;

use nats_manager_harness::KubectlOutput;

use super::{Kubectl, LocalError, NAME, NAMESPACE, kubectl::failed};

/// Folder of the complete installation, for kustomize.
const INSTALLATION: &str = "config/default";

/// Installs the manifests, and passes each command with its output to `show`.
pub(super) async fn install(
    kubectl: Kubectl<'_>,
    mut show: impl FnMut(&str, &KubectlOutput),
) -> Result<(), LocalError> {
    let namespace = ["create", "namespace", NAMESPACE];
    let answer = kubectl.run(&namespace).await?;
    if !answer.is_success && !answer.text().contains("AlreadyExists") {
        return Err(failed(&namespace, &answer));
    }
    show(&namespace.join(" "), &answer);
    let answer = on_manifest(kubectl, &["apply", "--server-side", "-f", "-"]).await?;
    show(&format!("apply --server-side -k {INSTALLATION}   # without the Deployment"), &answer);
    let established = format!("crd/{}", nats_manager_api::crd::NAME);
    kubectl.must(&["wait", "--for=condition=Established", "--timeout=30s", &established]).await?;
    Ok(())
}

/// Removes the objects of [`install`], except for the namespace. The manager has to run, since it removes the
/// finalizer.
pub(super) async fn uninstall(kubectl: Kubectl<'_>) -> Result<(), LocalError> {
    kubectl.must(&["delete", "nats", NAME, "-n", NAMESPACE, "--ignore-not-found", "--timeout=60s"]).await?;
    on_manifest(kubectl, &["delete", "--ignore-not-found", "-f", "-"]).await?;
    Ok(())
}

/// Returns whether the CRD exists already.
pub(super) async fn is_installed(kubectl: Kubectl<'_>) -> Result<bool, LocalError> {
    let definition = ["get", "crd", nats_manager_api::crd::NAME, "--ignore-not-found", "-o", "name"];
    Ok(!kubectl.must(&definition).await?.text().is_empty())
}

/// Runs kubectl with the manifest on its standard input.
async fn on_manifest(kubectl: Kubectl<'_>, args: &[&str]) -> Result<KubectlOutput, LocalError> {
    let manifest = without_deployments(&kubectl.must(&["kustomize", INSTALLATION]).await?.stdout)?;
    let answer = kubectl.run_with(args, &manifest).await?;
    if answer.is_success { Ok(answer) } else { Err(failed(args, &answer)) }
}

/// Removes Deployments from a manifest.
fn without_deployments(manifest: &str) -> Result<String, LocalError> {
    let mut kept = Vec::new();
    for document in manifest.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document).map_err(|error| LocalError::Manifest(Box::new(error)))?;
        if object.get("kind").and_then(Value::as_str) != Some("Deployment") {
            kept.push(document);
        }
    }
    Ok(kept.join("\n---\n"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn deployments_are_removed_from_a_manifest() {
        let manifest = "kind: Secret\n---\nkind: Deployment\nspec: {}\n---\nkind: Service\n";
        assert_eq!(super::without_deployments(manifest).unwrap(), "kind: Secret\n---\nkind: Service\n");
    }
}
