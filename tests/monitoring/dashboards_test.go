// Package monitoring checks config/monitoring with the libraries of Grafana and Prometheus.
package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const folder = "../../config/monitoring/"

// schemaErrors returns the violations of Grafana's schema, of which every field has to be known.
func schemaErrors(text []byte) error {
	board := dashboard.Dashboard{}
	// A panel without violations adds an empty error.
	if err := board.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		return err
	}
	return board.Validate()
}

func TestDashboardsMatchTheSchemaOfGrafana(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for path, text := range dashboards(t) {
		if err := schemaErrors(text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		// The schema finds a field that does not exist.
		var broken map[string]any
		if err := json.Unmarshal(text, &broken); err != nil {
			t.Fatal(err)
		}
		panel := broken["panels"].([]any)[1].(map[string]any)
		panel["options"].(map[string]any)["colour"] = "red"
		changed, err := json.Marshal(broken)
		if err != nil {
			t.Fatal(err)
		}
		if schemaErrors(changed) == nil {
			t.Errorf("%s: an unknown option is accepted", path)
		}
	}
}

func dashboards(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(folder + "dashboards/*.json")
	if err != nil || len(paths) != 2 {
		t.Fatalf("%v: %v", paths, err)
	}
	all := map[string][]byte{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = text
	}
	return all
}
