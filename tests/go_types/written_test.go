package gotypes

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/kyma-project/nats-manager/api/v1alpha1"
	"sigs.k8s.io/yaml"
)

const (
	written = "../../api/tests/go_types.yaml"
	cases   = "../../api/tests/cases.yaml"
)

// row is a spec, and what a client writes that has read it.
type row struct {
	Case    string         `json:"case"`
	Stored  map[string]any `json:"stored"`
	Written map[string]any `json:"written"`
}

func TestSpecsAreWrittenAsTheTableOfTheRulesHasThem(t *testing.T) {
	var rows []row
	parse(t, written, &rows)
	if len(rows) < 7 {
		t.Fatalf("%d rows in %s", len(rows), written)
	}
	for _, row := range rows {
		nats := v1alpha1.NATS{}
		convert(t, map[string]any{"spec": row.Stored}, &nats)
		if found := fields(t, nats)["spec"]; !reflect.DeepEqual(found, any(row.Written)) {
			t.Errorf("%s:\n%v is written, and %s has\n%v", row.Case, found, written, row.Written)
		}
	}
}

func TestZeroValueIsTheOneOfBothTables(t *testing.T) {
	zero := fields(t, v1alpha1.NATS{})
	if status := map[string]any{"state": ""}; !reflect.DeepEqual(zero["status"], any(status)) {
		t.Errorf("status: %v", zero["status"])
	}
	var rows []row
	parse(t, written, &rows)
	var creations []struct {
		Name string         `json:"name"`
		New  map[string]any `json:"new"`
	}
	parse(t, cases, &creations)
	var creation map[string]any
	for _, known := range creations {
		if known.Name == "the zero value of the predecessor's Go types" {
			creation = known.New
		}
	}
	for _, table := range []map[string]any{rows[0].Written, creation} {
		if !reflect.DeepEqual(zero["spec"], any(table)) {
			t.Errorf("spec: %v, not %v", zero["spec"], table)
		}
	}
}

func parse(t *testing.T, file string, value any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// convert reads JSON fields into a typed value.
func convert(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// fields returns the JSON fields of a typed value.
func fields(t *testing.T, value any) map[string]any {
	t.Helper()
	object := map[string]any{}
	convert(t, value, &object)
	return object
}
