package main

import (
	"fmt"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const smallestCluster = 3

// checkDataChange rejects a change that would lose data of JetStream, or that would never complete.
func checkDataChange(old *v1alpha1.NATS, spec *v1alpha1.NATSSpec, found *findings) {
	if summary := old.Status.JetStream; summary != nil {
		checkSizeChange(old, spec, summary, found)
		checkMemoryChange(&old.Spec, spec, summary, found)
	}
}

func checkSizeChange(old *v1alpha1.NATS, spec *v1alpha1.NATSSpec, summary *v1alpha1.JetStreamStatus, found *findings) {
	path, before, after := field.NewPath("spec", "cluster", "size"), clusterSize(&old.Spec), clusterSize(spec)
	if after == before || after%2 == 0 {
		return
	}
	existing := before
	if old.Status.Members > 0 {
		existing = old.Status.Members
	}
	if existing < smallestCluster && after >= smallestCluster && summary.Streams {
		found.reject(field.Invalid(path, after, fmt.Sprintf("cannot be set to %d while there are streams: "+
			"a restart as a cluster destroys them; back them up, delete them, change the size and restore them", after)))
	}
	if after > before || after < smallestCluster {
		return
	}
	if after < summary.HighestReplicas {
		found.reject(field.Invalid(path, after, fmt.Sprintf("is too small for a stream with %d replicas; "+
			"first: nats stream edit STREAM --replicas %d", summary.HighestReplicas, after)))
	}
	if summary.Storage == "NearlyFull" || summary.Storage == "Full" {
		found.warn(path, "the servers that stay take over the streams of the others, and are nearly full")
	}
}

func checkMemoryChange(old, spec *v1alpha1.NATSSpec, summary *v1alpha1.JetStreamStatus, found *findings) {
	path := field.NewPath("spec", "jetStream", "memStorage")
	before, after := memoryStore(old), memoryStore(spec)
	if before == nil {
		return
	}
	if after == nil {
		if !summary.MemoryStreams {
			return
		}
		message := "cannot be turned off while there are streams in memory: their servers would never be ready again; " +
			"first delete them (nats stream rm STREAM)"
		if isTrue(memStore(spec).Enabled) {
			found.reject(field.Invalid(path.Child("size"), "0", message))
		} else {
			found.reject(field.Invalid(path.Child("enabled"), false, message))
		}
		return
	}
	if used := summary.MemoryUsed; used != nil && after.Cmp(*before) < 0 && after.Cmp(*used) < 0 {
		found.reject(field.Invalid(path.Child("size"), after.String(), fmt.Sprintf("is less than streams in memory "+
			"hold on one server (up to %s); first delete or purge them (nats stream purge STREAM)", used)))
	}
}
