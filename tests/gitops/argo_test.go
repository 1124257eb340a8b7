package gitops

import (
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const healthKey = "resource.customizations.health.operator.kyma-project.io_NATS"

// health is the result of a health check of Argo CD.
type health struct {
	status, message string
}

// argoHealth evaluates the health check of the page. Argo CD runs none for an object that is being deleted, and opens
// only the libraries base, package and table.
func argoHealth(t *testing.T, object *unstructured.Unstructured) health {
	t.Helper()
	if object.GetDeletionTimestamp() != nil {
		return health{"Progressing", "Pending deletion"}
	}
	script, _, err := unstructured.NestedString(block(t, "ConfigMap"), "data", healthKey)
	if err != nil || script == "" {
		t.Fatalf("the page has no health check: %v", err)
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		call := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	state.SetGlobal("obj", value(state, object.Object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	result, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the health check returned %s", state.Get(-1).Type())
	}
	field := func(name string) string { return lua.LVAsString(result.RawGetString(name)) }
	return health{field("status"), field("message")}
}

// value converts JSON to Lua.
func value(state *lua.LState, json any) lua.LValue {
	switch json := json.(type) {
	case bool:
		return lua.LBool(json)
	case int64:
		return lua.LNumber(json)
	case float64:
		return lua.LNumber(json)
	case string:
		return lua.LString(json)
	case []any:
		table := state.NewTable()
		for _, element := range json {
			table.Append(value(state, element))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, field := range json {
			table.RawSetString(key, value(state, field))
		}
		return table
	default:
		return lua.LNil
	}
}
