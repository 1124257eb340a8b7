package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	maxMetadataSize = 256*1024 - 4096
	deletionCost    = "controller.kubernetes.io/pod-deletion-cost"
	ownDomain       = "nats.operator.kyma-project.io"
	isOwn           = "is set by NATS Manager itself; remove it"
	isInstruction   = "is reserved: other components change Pods or copy Secrets because of it; remove it, and " +
		"configure them by their own resources"
)

var (
	ownLabels = sets.New(
		"app.kubernetes.io/name", "app.kubernetes.io/instance", "kyma-project.io/dashboard", "helm.sh/chart",
		"app.kubernetes.io/component", "app.kubernetes.io/created-by", "app.kubernetes.io/managed-by",
		"app.kubernetes.io/part-of", "control-plane", "nats_cluster", "kyma-project.io/module",
		"controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index")
	ownAnnotations = sets.New(
		"prometheus.io/port", "prometheus.io/scrape", "sidecar.istio.io/inject",
		"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes",
		"kubectl.kubernetes.io/last-applied-configuration", "kubectl.kubernetes.io/restartedat")
	instructionDomains = []string{
		"istio.io", "linkerd.io", "kuma.io", "consul.hashicorp.com", "dapr.io", "opentelemetry.io",
		"vault.hashicorp.com", "vault.security.banzaicloud.io", "k8s.v1.cni.cncf.io", "cni.projectcalico.org",
		"apparmor.security.beta.kubernetes.io", "seccomp.security.alpha.kubernetes.io",
		"reflector.v1.k8s.emberstack.com", "replicator.v1.mittwald.de", "kubed.appscode.com",
		"secret-generator.v1.mittwald.de", "iam.amazonaws.com", "cdi.k8s.io", "reloader.stakater.com",
		"rt-cfg.kyma-project.io",
	}
	instructionKeys = sets.New(
		"kubernetes.io/config.mirror", "kubernetes.io/config.source", "kubernetes.io/config.hash",
		"kubernetes.io/config.seen", "scheduler.alpha.kubernetes.io/tolerations")
)

func checkMetadata(spec *v1alpha1.NATSSpec, found *findings) {
	labels, annotations := field.NewPath("spec", "labels"), field.NewPath("spec", "annotations")
	checkLabels(labels, spec.Labels, found)
	checkAnnotations(annotations, spec.Annotations, found)
	labelSize, annotationSize := totalSize(spec.Labels), totalSize(spec.Annotations)
	if size := labelSize + annotationSize; size > maxMetadataSize {
		path := annotations
		if labelSize > annotationSize {
			path = labels
		}
		found.reject(field.Invalid(path, size,
			fmt.Sprintf("labels and annotations must be at most %d bytes together", maxMetadataSize)))
	}
}

func checkLabels(path *field.Path, labels map[string]string, found *findings) {
	if rejectTooMany(path, len(labels), found) {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value, entry := labels[key], path.Key(key)
		checkKey(entry, key, key, found)
		if messages := validation.IsValidLabelValue(value); len(messages) > 0 {
			found.reject(field.Invalid(entry, value, "must be at most 63 characters, letters, digits, '-', '_' or '.', "+
				"and start and end with a letter or digit"))
		}
		if ownLabels.Has(key) {
			found.reject(field.Forbidden(entry, isOwn))
		} else if reason := reserved(key); reason != "" {
			found.reject(field.Forbidden(entry, reason))
		}
	}
}

func checkAnnotations(path *field.Path, annotations map[string]string, found *findings) {
	if rejectTooMany(path, len(annotations), found) {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value, entry, lower := annotations[key], path.Key(key), strings.ToLower(key)
		checkKey(entry, key, lower, found)
		if ownAnnotations.Has(lower) {
			found.reject(field.Forbidden(entry, isOwn))
		} else if reason := reserved(lower); reason != "" {
			found.reject(field.Forbidden(entry, reason))
		}
		if key == deletionCost && !isDeletionCost(value) {
			found.reject(field.Invalid(entry, value, "must be a whole number from -2147483648 to 2147483647"))
		}
	}
}

func checkKey(path *field.Path, key, checked string, found *findings) {
	if messages := validation.IsQualifiedName(checked); len(messages) > 0 {
		found.reject(field.Invalid(path, key, "must be a name (at most 63 characters, letters, digits, '-', '_' or '.'), "+
			"with an optional DNS domain and '/' before it"))
	}
}

// reserved returns the reason for which a key is reserved as a label and as an annotation.
func reserved(key string) string {
	domain, name, hasDomain := strings.Cut(key, "/")
	if !hasDomain {
		domain, name = "", key
	}
	isIn := func(reserved string) bool {
		parent, ok := strings.CutSuffix(domain, reserved)
		return ok && (parent == "" || strings.HasSuffix(parent, "."))
	}
	switch {
	case isIn(ownDomain) || key == ownDomain:
		return isOwn
	case slices.ContainsFunc(instructionDomains, isIn) || name == "add-cluster-trust-bundle" || instructionKeys.Has(key):
		return isInstruction
	}
	return ""
}

func isDeletionCost(value string) bool {
	cost, err := strconv.ParseInt(value, 10, 32)
	return err == nil && strconv.FormatInt(cost, 10) == value
}

func totalSize(entries map[string]string) int {
	size := 0
	for key, value := range entries {
		size += len(key) + len(value)
	}
	return size
}
