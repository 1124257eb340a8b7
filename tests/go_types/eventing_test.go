package gotypes

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/kyma-project/nats-manager/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// isAvailable is the decision of Eventing Manager in each situation of tests/situations.
var isAvailable = map[string]bool{
	"deploying":        false,
	"ready":            true,
	"scaling":          true,
	"blocked":          true,
	"invalid-spec":     false,
	"deleting":         false,
	"deletion-blocked": true,
	"wrong-name":       false,
	"zone-warning":     true,
	"paused":           true,
}

// kept are the fields that a reader with the Go types must find as they are stored.
var kept = [][]string{
	{"metadata", "name"},
	{"metadata", "namespace"},
	{"metadata", "generation"},
	{"metadata", "finalizers"},
	{"spec", "cluster", "size"},
	{"spec", "jetStream", "memStorage"},
	{"spec", "jetStream", "fileStorage", "storageClassName"},
	{"spec", "resources"},
	{"status", "state"},
	{"status", "conditions"},
}

// Eventing Manager lists the resources as unstructured objects, and converts them (pkg/k8s/client.go).
func TestEventingReadsEachSituation(t *testing.T) {
	files, err := filepath.Glob("../situations/*.yaml")
	if err != nil || len(files) != len(isAvailable) {
		t.Fatalf("%d situations, %v", len(files), err)
	}
	for _, file := range files {
		situation := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(situation, func(t *testing.T) {
			stored := map[string]any{}
			parse(t, file, &stored)
			// As a client decodes it, with integers.
			object := unstructured.Unstructured{}
			convert(t, stored, &object)
			nats := v1alpha1.NATS{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &nats); err != nil {
				t.Fatal(err)
			}
			readsAsStored(t, stored, nats)
			// IsNATSAvailable in pkg/eventing/manager.go.
			state := nats.Status.State
			available := state == v1alpha1.StateReady || state == v1alpha1.StateWarning
			if want, isKnown := isAvailable[situation]; !isKnown || available != want {
				t.Errorf("available: %v with the state %s", available, state)
			}
			// getNATSUrl in internal/controller/operator/eventing/nats.go: it does not read the status.
			url := fmt.Sprintf("nats://%s.%s.svc.cluster.local:4222", nats.Name, nats.Namespace)
			if nats.Status.URL != "" && nats.Status.URL != url {
				t.Errorf("status.url is %s, and Eventing connects to %s", nats.Status.URL, url)
			}
			if available && nats.Status.URL == "" {
				t.Error("NATS is available without a URL")
			}
		})
	}
}

// readsAsStored compares the fields of the Go types with those that are stored.
func readsAsStored(t *testing.T, stored map[string]any, nats v1alpha1.NATS) {
	t.Helper()
	read := fields(t, nats)
	for _, path := range kept {
		want, isStored, err := unstructured.NestedFieldNoCopy(stored, path...)
		found, isRead, otherErr := unstructured.NestedFieldNoCopy(read, path...)
		if err != nil || otherErr != nil || isStored != isRead || !reflect.DeepEqual(found, want) {
			t.Errorf("%v: %v, stored is %v", path, found, want)
		}
	}
	for _, condition := range []v1alpha1.ConditionType{v1alpha1.ConditionAvailable, v1alpha1.ConditionStatefulSet} {
		if nats.Status.FindCondition(condition) == nil {
			t.Errorf("no condition %s", condition)
		}
	}
}
