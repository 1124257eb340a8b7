package v1alpha1

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const root = "../../.."

// field is the part of an OpenAPI schema that the tests read.
type field struct {
	Type                 string           `json:"type"`
	Format               string           `json:"format"`
	Properties           map[string]field `json:"properties"`
	Items                *field           `json:"items"`
	AdditionalProperties *field           `json:"additionalProperties"`
	IntOrString          bool             `json:"x-kubernetes-int-or-string"`
	Required             []string         `json:"required"`
}

// crd returns the schema of the resource in the CustomResourceDefinition.
func crd(t *testing.T) field {
	t.Helper()
	text, err := os.ReadFile(root + "/config/crd/nats.operator.kyma-project.io.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema field `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &definition); err != nil {
		t.Fatal(err)
	}
	return definition.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// example returns a value that sets every field of a schema.
func example(of field) any {
	switch {
	case of.IntOrString:
		return "1536Mi"
	case of.Items != nil:
		return []any{example(*of.Items), example(*of.Items)}
	case of.AdditionalProperties != nil:
		return map[string]any{"a": example(*of.AdditionalProperties), "b": example(*of.AdditionalProperties)}
	case of.Type == "boolean":
		return true
	case of.Type == "integer":
		return float64(7)
	case of.Format == "date-time":
		return "2026-11-27T05:00:00Z"
	case of.Type == "object":
		all := map[string]any{}
		for name, property := range of.Properties {
			all[name] = example(property)
		}
		return all
	default:
		return "text"
	}
}

// single returns one value for each field of a schema that sets only this field and those that are required beside it.
func single(of field) []any {
	var all []any
	for name, property := range of.Properties {
		values := []any{example(property)}
		if len(property.Properties) > 0 {
			values = single(property)
		}
		if property.Type == "boolean" {
			values = append(values, false)
		}
		for _, value := range values {
			object := map[string]any{name: value}
			for _, required := range of.Required {
				if _, isSet := object[required]; !isSet {
					object[required] = example(of.Properties[required])
				}
			}
			all = append(all, object)
		}
	}
	return all
}

// roundTrip decodes an object into the Go type, rejecting unknown fields, and encodes it again.
func roundTrip(t *testing.T, object map[string]any) (NATS, map[string]any) {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var nats NATS
	if err := yaml.UnmarshalStrict(text, &nats, yaml.DisallowUnknownFields); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	encoded, err := json.Marshal(nats)
	if err != nil {
		t.Fatal(err)
	}
	var again map[string]any
	if err := json.Unmarshal(encoded, &again); err != nil {
		t.Fatal(err)
	}
	return nats, again
}

// byValue replaces quantities by one text for each value. Other text stays as it is.
func byValue(value any) any {
	switch value := value.(type) {
	case map[string]any:
		all := map[string]any{}
		for key, field := range value {
			all[key] = byValue(field)
		}
		return all
	case []any:
		all := make([]any, len(value))
		for i, item := range value {
			all[i] = byValue(item)
		}
		return all
	case string:
		if quantity, err := resource.ParseQuantity(value); err == nil {
			return quantity.AsDec().String()
		}
	}
	return value
}

func requireEqual(t *testing.T, subject string, got, want any) {
	t.Helper()
	if got, want := byValue(got), byValue(want); !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", subject, got, want)
	}
}

func resourceWith(part string, value any) map[string]any {
	return map[string]any{
		"apiVersion": "operator.kyma-project.io/v1alpha1",
		"kind":       "NATS",
		"metadata":   map[string]any{"name": "eventing-nats", "namespace": "kyma-system"},
		part:         value,
	}
}

func TestEveryFieldSurvivesARoundTrip(t *testing.T) {
	for part, of := range crd(t).Properties {
		object := resourceWith(part, example(of))
		_, again := roundTrip(t, object)
		requireEqual(t, part, again, object)
	}
}

func TestFieldsThatAreNotSetStayAbsent(t *testing.T) {
	spec := crd(t).Properties["spec"]
	values := single(spec)
	if len(values) < 10 {
		t.Fatalf("only %d fields", len(values))
	}
	for _, value := range values {
		object := resourceWith("spec", value)
		_, again := roundTrip(t, object)
		requireEqual(t, "spec", again, object)
	}
	object := resourceWith("spec", map[string]any{})
	delete(object, "spec")
	_, again := roundTrip(t, object)
	requireEqual(t, "no spec", again, object)
}

// stored returns the NATS resources of the samples and of the objects of the Go manager, by file.
func stored(t *testing.T) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	for _, folder := range []string{"config/samples", "tests/reference"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.yaml"))
		if err != nil || len(files) < 5 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var object map[string]any
			if err := yaml.Unmarshal([]byte(strings.SplitN(string(text), "\n---\n", 2)[0]), &object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if object["kind"] == "NATS" {
				found[strings.TrimPrefix(file, root)] = object
			}
		}
	}
	return found
}

func TestSamplesSurviveARoundTrip(t *testing.T) {
	all := stored(t)
	if len(all) < 10 {
		t.Fatalf("only %d resources", len(all))
	}
	for _, file := range slices.Sorted(maps.Keys(all)) {
		object := all[file]
		if status, hasStatus := object["status"].(map[string]any); hasStatus {
			for _, condition := range status["conditions"].([]any) {
				condition.(map[string]any)["lastTransitionTime"] = "2026-11-27T05:00:00Z"
			}
		}
		_, again := roundTrip(t, object)
		requireEqual(t, file, again, object)
	}
}

func TestCopySharesNothing(t *testing.T) {
	properties := crd(t).Properties
	object := resourceWith("spec", example(properties["spec"]))
	object["status"] = example(properties["status"])
	nats, _ := roundTrip(t, object)
	list := &NATSList{Items: []NATS{nats}}
	copied := list.DeepCopyObject().(*NATSList)
	if !reflect.DeepEqual(copied, list) {
		t.Fatalf("got %v, want %v", copied, list)
	}
	shared := map[uintptr]bool{}
	collect(reflect.ValueOf(list), func(at uintptr) { shared[at] = true })
	if len(shared) < 20 {
		t.Fatalf("only %d pointers", len(shared))
	}
	collect(reflect.ValueOf(copied), func(at uintptr) {
		if shared[at] {
			t.Errorf("the copy shares %x", at)
		}
	})
	var none *NATS
	if none.DeepCopy() != nil || none.DeepCopyObject() != nil {
		t.Error("the copy of nil is not nil")
	}
}

// collect calls a function with the address of everything that a value refers to. It does not look into Kubernetes'
// own private fields.
func collect(value reflect.Value, found func(uintptr)) {
	switch value.Kind() {
	case reflect.Pointer:
		if !value.IsNil() && value.Elem().Type().Size() > 0 {
			found(value.Pointer())
			collect(value.Elem(), found)
		}
	case reflect.Slice:
		if value.Len() > 0 {
			found(value.Pointer())
		}
		for i := range value.Len() {
			collect(value.Index(i), found)
		}
	case reflect.Map:
		if !value.IsNil() {
			found(value.Pointer())
		}
	case reflect.Struct:
		for i := range value.NumField() {
			if value.Type().Field(i).IsExported() {
				collect(value.Field(i), found)
			}
		}
	}
}

func TestSchemeKnowsTheResource(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, object := range []runtime.Object{&NATS{}, &NATSList{}} {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil || len(kinds) != 1 || kinds[0].GroupVersion() != GroupVersion {
			t.Errorf("%T: %v, %v", object, kinds, err)
		}
	}
}
