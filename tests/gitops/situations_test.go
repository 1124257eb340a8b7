// Package gitops evaluates the stored resources in ../situations as GitOps tools do: with kstatus, with the Lua health
// check for Argo CD, and with the CEL expressions for Flux that docs/user/gitops.md contains.
package gitops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

const (
	situations = "../situations"
	page       = "../../docs/user/gitops.md"
)

// expectation is the evaluation of one situation by each tool.
type expectation struct {
	kstatus status.Status
	argo    string
	flux    status.Status
}

var expected = map[string]expectation{
	"deploying":        {status.InProgressStatus, "Progressing", status.InProgressStatus},
	"ready":            {status.CurrentStatus, "Healthy", status.CurrentStatus},
	"healthy":          {status.CurrentStatus, "Healthy", status.CurrentStatus},
	"server-not-ready": {status.InProgressStatus, "Degraded", status.InProgressStatus},
	"scaling":          {status.InProgressStatus, "Progressing", status.InProgressStatus},
	"blocked":          {status.FailedStatus, "Degraded", status.FailedStatus},
	"invalid-spec":     {status.FailedStatus, "Degraded", status.FailedStatus},
	"deleting":         {status.TerminatingStatus, "Progressing", status.InProgressStatus},
	"deletion-blocked": {status.TerminatingStatus, "Progressing", status.FailedStatus},
	"wrong-name":       {status.FailedStatus, "Degraded", status.FailedStatus},
	"zone-warning":     {status.CurrentStatus, "Healthy", status.CurrentStatus},
	"paused":           {status.FailedStatus, "Suspended", status.FailedStatus},
}

func TestSituationsAreEvaluatedAsDocumented(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(situations, "*.yaml"))
	if err != nil || len(files) != len(expected) {
		t.Fatalf("%d situations, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			object := read(t, file)
			want := expected[name]
			result, err := status.Compute(object)
			if err != nil || result.Status != want.kstatus {
				t.Errorf("kstatus: %+v, %v, want %s", result, err, want.kstatus)
			}
			if found := argoHealth(t, object); found.status != want.argo || found.message == "" {
				t.Errorf("Argo CD: %+v, want %s", found, want.argo)
			}
			if found := fluxStatus(t, object); found != want.flux {
				t.Errorf("Flux: %s, want %s", found, want.flux)
			}
		})
	}
}

// A status of an older generation, and a resource without a status, are in progress for every tool.
func TestUnobservedChangeIsInProgress(t *testing.T) {
	changed := read(t, filepath.Join(situations, "ready.yaml"))
	changed.SetGeneration(changed.GetGeneration() + 1)
	created := read(t, filepath.Join(situations, "ready.yaml"))
	created.Object["status"] = map[string]any{}
	for name, object := range map[string]*unstructured.Unstructured{"changed": changed, "created": created} {
		if found := argoHealth(t, object); found.status != "Progressing" {
			t.Errorf("%s, Argo CD: %+v", name, found)
		}
		if found := fluxStatus(t, object); found != status.InProgressStatus {
			t.Errorf("%s, Flux: %s", name, found)
		}
	}
	if result, err := status.Compute(changed); err != nil || result.Status != status.InProgressStatus {
		t.Errorf("kstatus: %+v, %v", result, err)
	}
}

func read(t *testing.T, file string) *unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	json, err := yaml.YAMLToJSON(content)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(json); err != nil {
		t.Fatal(err)
	}
	return object
}

// block returns the YAML block of the page that has this kind.
func block(t *testing.T, kind string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(content), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		if object["kind"] == kind {
			return object
		}
	}
	t.Fatalf("%s has no %s", page, kind)
	return nil
}
