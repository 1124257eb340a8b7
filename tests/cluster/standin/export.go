package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// export serves /metrics with a metric that marks it as a stand-in. Of the flags only the port has an effect.
func export(args []string) error {
	port := "7777"
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "-port="); ok {
			port = value
		}
	}
	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "# HELP nats_exporter_stand_in This is a stand-in for prometheus-nats-exporter.\n"+
			"# TYPE nats_exporter_stand_in gauge\nnats_exporter_stand_in 1\n")
	})
	server := &http.Server{Addr: ":" + port, ReadHeaderTimeout: 5 * time.Second}
	fmt.Println("stand-in for prometheus-nats-exporter, serves", server.Addr)
	return server.ListenAndServe()
}
