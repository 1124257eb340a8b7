package main

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	"sigs.k8s.io/yaml"
)

const table = "../../../api/tests/cases.yaml"

// incomparable lists the cases with another verdict, because Go types do not have the difference that they are about.
var incomparable = []string{
	// resource.Quantity is the same for 0 and "0".
	"the memory store on and empty, as a number",
	"the memory store empty as a string becomes a number",
}

type violation struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

type reviewCase struct {
	Name     string                    `json:"name"`
	Old      json.RawMessage           `json:"old"`
	New      json.RawMessage           `json:"new"`
	Holds    *v1alpha1.JetStreamStatus `json:"holds"`
	Members  int64                     `json:"members"`
	Rejected []violation               `json:"rejected"`
}

// findingsOf returns the findings of a case, and whether its new spec is readable.
func findingsOf(t *testing.T, tested reviewCase) (findings, bool) {
	var spec v1alpha1.NATSSpec
	if err := json.Unmarshal(tested.New, &spec); err != nil {
		return findings{}, false
	}
	if tested.Old == nil {
		return check(&spec), true
	}
	old := v1alpha1.NATS{Status: v1alpha1.NATSStatus{JetStream: tested.Holds, Members: tested.Members}}
	if err := json.Unmarshal(tested.Old, &old.Spec); err != nil {
		t.Skipf("the stored spec is unreadable: %v", err)
	}
	return checkUpdate(&old, &v1alpha1.NATS{Spec: spec}), true
}

func TestTableHasTheSameVerdicts(t *testing.T) {
	content, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	var cases []reviewCase
	if err := yaml.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	for _, tested := range cases {
		t.Run(tested.Name, func(t *testing.T) {
			found, isReadable := findingsOf(t, tested)
			if !isReadable {
				if len(tested.Rejected) == 0 {
					t.Error("unreadable, but expected to be accepted")
				}
				return
			}
			var fields, expected []string
			for _, found := range found.violations {
				fields = append(fields, found.Field)
			}
			for _, violation := range tested.Rejected {
				expected = append(expected, violation.Field)
			}
			slices.Sort(fields)
			slices.Sort(expected)
			isSame := slices.Equal(fields, expected)
			if slices.Contains(incomparable, tested.Name) {
				if isSame {
					t.Error("is listed as incomparable, but has the same verdict")
				}
				return
			}
			if !isSame {
				t.Errorf("rejects %v, expected %v: %v", fields, expected, found.violations)
			}
		})
	}
}
