//! Model of a volume driver and of the kubelets' growth of file systems.

use super::{Kubernetes, VolumeChange};
use crate::{random::Random, servers::SERVERS};

/// Behaviour of the volume driver when a PVC requests a larger volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// Volume and file system grow online.
    #[default]
    Online,
    /// The file system grows when the volume is mounted again.
    AtMount,
    /// Every attempt fails.
    Failing,
}

/// Simulates a second of the volume driver and of the kubelets.
pub fn tick(kubernetes: &mut Kubernetes, now: u64, random: &mut Random) {
    for ordinal in 0..SERVERS {
        let Some(pvc) = &mut kubernetes.pvcs[ordinal] else { continue };
        if pvc.requested <= pvc.capacity || pvc.terminating {
            continue;
        }
        let before = *pvc;
        let pod = kubernetes.pods[ordinal].as_ref();
        match (kubernetes.driver, pvc.pending_since) {
            (Driver::Failing, None) => pvc.is_failed = true,
            (Driver::Online, None) if random.chance(10) => pvc.pending_since = Some(now),
            (Driver::AtMount, None) if random.chance(10) => {
                (pvc.pending_since, pvc.is_failed) = (Some(now), false);
            }
            // The kubelet of a stopped or lost server grows it at the next mount.
            (driver, Some(since)) => {
                let is_mounted_since = pod.is_some_and(|pod| pod.running && pod.created > since);
                let is_online = driver == Driver::Online && pod.is_some_and(|pod| pod.running) && random.chance(30);
                if is_mounted_since || is_online {
                    pvc.capacity = pvc.requested;
                    (pvc.pending_since, pvc.is_failed) = (None, false);
                    kubernetes.volumes.push(VolumeChange::Grown(ordinal, pvc.requested));
                }
            }
            _ => {}
        }
        kubernetes.pvcs_version += u64::from(before != *pvc);
    }
}
