package gitops

import (
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// fluxStatus evaluates the expressions of the page in the order of Flux: the generation, inProgress, failed, current.
func fluxStatus(t *testing.T, object *unstructured.Unstructured) status.Status {
	t.Helper()
	observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if err != nil {
		t.Fatal(err)
	}
	if found && observed != object.GetGeneration() {
		return status.InProgressStatus
	}
	checks, _, err := unstructured.NestedSlice(block(t, "Kustomization"), "spec", "healthCheckExprs")
	if err != nil || len(checks) != 1 {
		t.Fatalf("the page has %d health checks: %v", len(checks), err)
	}
	expressions := checks[0].(map[string]any)
	for _, check := range []struct {
		name   string
		result status.Status
	}{
		{"inProgress", status.InProgressStatus}, {"failed", status.FailedStatus}, {"current", status.CurrentStatus},
	} {
		if expression, ok := expressions[check.name].(string); ok && holds(t, expression, object) {
			return check.result
		}
	}
	return status.InProgressStatus
}

// holds evaluates an expression without type checks, with the fields of the object as variables.
func holds(t *testing.T, expression string, object *unstructured.Unstructured) bool {
	t.Helper()
	env, err := cel.NewEnv(cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings())
	if err != nil {
		t.Fatal(err)
	}
	parsed, issues := env.Parse(expression)
	if issues != nil {
		t.Fatal(issues)
	}
	program, err := env.Program(parsed)
	if err != nil {
		t.Fatal(err)
	}
	result, _, err := program.Eval(object.Object)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return result.Value() == true
}
