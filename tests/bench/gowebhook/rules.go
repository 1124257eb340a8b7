package main

import (
	"encoding/json"
	"fmt"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	maxSize     = 99
	defaultSize = 3
	maxEntries  = 1000
)

// findings of a check: violations cause a rejection, warnings do not.
type findings struct {
	violations field.ErrorList
	warnings   []string
}

func (f *findings) reject(violations ...*field.Error) {
	f.violations = append(f.violations, violations...)
}

func (f *findings) warn(path *field.Path, message string) {
	f.warnings = append(f.warnings, fmt.Sprintf("%s: %s", path, message))
}

// check checks a spec on its own.
func check(spec *v1alpha1.NATSSpec) findings {
	var found findings
	checkCluster(spec, &found)
	checkStorage(spec, &found)
	checkResources(spec, &found)
	found.reject(checkScheduling(spec)...)
	checkMetadata(spec, &found)
	checkLogging(spec, &found)
	return found
}

// checkUpdate checks a change. A violation that the stored spec has as well becomes a warning, so that every stored
// resource stays editable.
func checkUpdate(old, changed *v1alpha1.NATS) findings {
	found := check(&changed.Spec)
	before := map[string]bool{}
	if len(found.violations) > 0 {
		for _, violation := range check(&old.Spec).violations {
			before[violation.Error()] = true
		}
	}
	made := found.violations[:0]
	for _, violation := range found.violations {
		if before[violation.Error()] || isEased(violation, &old.Spec, &changed.Spec) {
			found.warnings = append(found.warnings, violation.Error())
		} else {
			made = append(made, violation)
		}
	}
	found.violations = made
	checkClusterChange(old, &changed.Spec, &found)
	checkDataChange(old, &changed.Spec, &found)
	checkStorageChange(&old.Spec, &changed.Spec, &found)
	return found
}

func checkCluster(spec *v1alpha1.NATSSpec, found *findings) {
	path, size := field.NewPath("spec", "cluster", "size"), clusterSize(spec)
	if size < 1 {
		found.reject(field.Invalid(path, size, "should be greater than or equal to 1"))
	} else if size > maxSize {
		found.reject(field.Invalid(path, size, fmt.Sprintf("should be less than or equal to %d", maxSize)))
	}
	if size%2 == 0 {
		found.reject(field.Invalid(path, size, "size only accepts odd numbers"))
	}
	if size == 1 {
		found.warn(path, "a single server has no redundancy; use 3 for production")
	}
}

func checkClusterChange(old *v1alpha1.NATS, spec *v1alpha1.NATSSpec, found *findings) {
	path := field.NewPath("spec", "cluster", "size")
	if clusterSize(&old.Spec) > 1 && clusterSize(spec) == 1 && old.Status.Members != 1 {
		found.reject(field.Invalid(path, clusterSize(spec), "cannot be set to 1 if size was greater than 1"))
	}
}

func checkLogging(spec *v1alpha1.NATSSpec, found *findings) {
	path := field.NewPath("spec", "logging")
	if spec.Logging == nil {
		return
	}
	if spec.Logging.Trace != nil && *spec.Logging.Trace {
		found.warn(path.Child("trace"), "logs every message and slows the servers down")
	}
	if spec.Logging.Debug != nil && *spec.Logging.Debug {
		found.warn(path.Child("debug"), "produces many log lines; turn it off after use")
	}
}

// rejectTooMany rejects a map with too many entries, which are then not checked one by one.
func rejectTooMany(path *field.Path, entries int, found *findings) bool {
	if entries > maxEntries {
		found.reject(field.TooMany(path, entries, maxEntries))
	}
	return entries > maxEntries
}

func clusterSize(spec *v1alpha1.NATSSpec) int64 {
	if spec.Cluster == nil || spec.Cluster.Size == nil {
		return defaultSize
	}
	return *spec.Cluster.Size
}

// isTrue returns a flag whose default is true.
func isTrue(flag *bool) bool {
	return flag == nil || *flag
}

func isSet(size *resource.Quantity) bool {
	return size != nil && !size.IsZero()
}

func decode(raw []byte, object any) error {
	return json.Unmarshal(raw, object)
}
