//! After the tour: the cluster stays up for the user.

use super::{DemoError, walk::Walk};
use crate::{
    local::{NAME, NAMESPACE},
    terminal::{heading, note, typed},
};

impl Walk<'_> {
    /// Prints commands for the cluster, and shows its state until the demo is interrupted.
    pub(super) async fn stay(&mut self) -> Result<(), DemoError> {
        heading("the cluster is ready for use");
        typed(format!("export KUBECONFIG={}", self.local.cluster().kubeconfig().display()));
        let kubectl = self.local.cluster().kubectl();
        let words: Vec<_> =
            std::iter::once(kubectl.as_std().get_program()).chain(kubectl.as_std().get_args()).collect();
        if let [program, arguments @ ..] = words.as_slice()
            && !arguments.is_empty()
        {
            let arguments = arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ");
            let kubectl = format!("{} {arguments}", program.display());
            match self.local.cluster().real() {
                None => typed(format!("alias kubectl='{kubectl}'   # if you have none")),
                Some(cluster) => {
                    note("The cluster has a network of its own:");
                    let enter = format!("nsenter --net={}", cluster.namespace().display());
                    typed(format!("alias kubectl='{enter} {kubectl}' curl='{enter} curl'"));
                }
            }
        }
        self.print_nats_commands()?;
        typed(format!("kubectl get nats -n {NAMESPACE} -o wide"));
        typed(format!("kubectl edit nats {NAME} -n {NAMESPACE}"));
        typed(format!("kubectl delete statefulset {NAME} -n {NAMESPACE} --wait=false   # the manager recreates it"));
        typed(format!("kubectl get events -n {NAMESPACE} --watch"));
        typed(format!("curl http://{}/metrics", self.manager.metrics));
        typed(format!("tail -f {}", self.manager.log_path().display()));
        note("Ctrl-C stops and removes everything. The current state:");
        self.watch().await
    }
}
