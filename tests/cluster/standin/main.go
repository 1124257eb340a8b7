// Command standin is the stand-in for programs of a NATS pod that cannot be built here. Its program name selects one:
// the config reloader, the metrics exporter, or the pause container that keeps the namespaces of a pod. For tests and
// demos.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	modes := map[string]func(args []string) error{
		"nats-server-config-reloader": reload,
		"prometheus-nats-exporter":    export,
		"pause":                       pause,
	}
	name := filepath.Base(os.Args[0])
	run, ok := modes[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "standin: call it by the name of what it plays, not %s\n", name)
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s (stand-in): %v\n", name, err)
		os.Exit(1)
	}
}
