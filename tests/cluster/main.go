// Command cluster is a real Kubernetes control plane in one binary: the components themselves, compiled from
// their published modules, and a supervisor that runs them together on loopback, or with real nodes in a network of
// their own.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const usage = `usage:
  cluster up --dir DIR [flags]   run a control plane until stdin is closed (see: cluster up --help)
  cluster COMPONENT [flags]      run one component: %s
`

func main() {
	// If the program name is that of a component (a link to this binary), the complete command line belongs to it.
	if run, ok := components[filepath.Base(os.Args[0])]; ok {
		os.Exit(run(os.Args))
	}
	if len(os.Args) > 1 {
		name := os.Args[1]
		if name == "up" {
			os.Exit(up(os.Args[2:]))
		}
		if name == initName {
			os.Exit(runInit(os.Args[2:]))
		}
		if run, ok := components[name]; ok {
			os.Args = os.Args[1:]
			os.Exit(run(os.Args))
		}
	}
	fmt.Fprintf(os.Stderr, usage, strings.Join(componentNames(), ", "))
	os.Exit(2)
}
