//! After the walk: the cluster is the user's.

use super::{DemoError, walk::Walk};
use crate::{
    local::{NAME, NAMESPACE},
    terminal::{heading, note, typed},
};

impl Walk<'_> {
    /// Says how to use the cluster, and shows what becomes of it until somebody stops it.
    pub(super) async fn stay(&mut self) -> Result<(), DemoError> {
        heading("it is yours now");
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
                    note("Everything is in a network of its own:");
                    let enter = format!("nsenter --net={}", cluster.namespace().display());
                    typed(format!("alias kubectl='{enter} {kubectl}' curl='{enter} curl'"));
                }
            }
        }
        typed(format!("kubectl get nats -n {NAMESPACE} -o wide"));
        typed(format!("kubectl edit nats {NAME} -n {NAMESPACE}"));
        typed(format!("kubectl delete statefulset {NAME} -n {NAMESPACE} --wait=false   # it comes back"));
        typed(format!("kubectl get events -n {NAMESPACE} --watch"));
        typed(format!("curl {}", self.manager.metrics_url()));
        typed(format!("tail -f {}", self.manager.log().display()));
        note("Ctrl-C takes everything down. This is what the manager sees until then:");
        self.watch().await
    }
}
