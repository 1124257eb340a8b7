package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v2"
)

// kept are the labels that every expression keeps, so that one Prometheus can evaluate several clusters.
var kept = []string{"cluster", "namespace"}

// lostLabels returns the part of an expression that loses a label of kept, or an error if it cannot be parsed.
func lostLabels(expression string) error {
	root, err := parser.ParseExpr(expression)
	if err != nil {
		return err
	}
	var lost error
	parser.Inspect(root, func(node parser.Node, _ []parser.Node) error {
		for _, label := range kept {
			switch node := node.(type) {
			case *parser.AggregateExpr:
				// topk and bottomk select series, and keep all their labels.
				selects := node.Op == parser.TOPK || node.Op == parser.BOTTOMK
				if !selects && slices.Contains(node.Grouping, label) == node.Without {
					lost = fmt.Errorf("%s loses the label %s", node, label)
				}
			case *parser.BinaryExpr:
				matching := node.VectorMatching
				if matching != nil && matching.On != slices.Contains(matching.MatchingLabels, label) {
					lost = fmt.Errorf("%s does not match by the label %s", node, label)
				}
			}
		}
		return nil
	})
	return lost
}

func TestExpressionsKeepTheLabelsOfTheCluster(t *testing.T) {
	all := append(alerts(t), queries(t)...)
	if len(all) < 90 {
		t.Fatalf("%d expressions", len(all))
	}
	for _, expression := range all {
		if err := lostLabels(expression); err != nil {
			t.Error(err)
		}
	}
}

func TestExpressionsThatLoseLabelsAreFound(t *testing.T) {
	for expression, isLost := range map[string]bool{
		`max(up)`:                               true,
		`sum by (cluster) (up)`:                 true,
		`sum without (namespace) (up)`:          true,
		`up and on (instance) up`:               true,
		`up / ignoring (cluster) up`:            true,
		`up ==`:                                 true,
		`sum by (cluster, namespace, pod) (up)`: false,
		`sum without (pod) (up)`:                false,
		`up and on (cluster, namespace) up`:     false,
		`topk(10, up) / up > 1`:                 false,
	} {
		if err := lostLabels(expression); (err != nil) != isLost {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

func alerts(t *testing.T) []string {
	t.Helper()
	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct{ Expr string }
			}
		}
	}
	text, err := os.ReadFile(folder + "rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, group := range rules.Spec.Groups {
		for _, rule := range group.Rules {
			all = append(all, rule.Expr)
		}
	}
	return all
}

// queries returns the expressions of panels and annotations.
func queries(t *testing.T) []string {
	t.Helper()
	type query struct{ Expr string }
	var all []string
	for path, text := range dashboards(t) {
		var board struct {
			Panels      []struct{ Targets []query }
			Annotations struct{ List []query }
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, annotation := range board.Annotations.List {
			all = append(all, annotation.Expr)
		}
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				all = append(all, target.Expr)
			}
		}
	}
	return all
}
