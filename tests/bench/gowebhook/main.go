// Command gowebhook serves the rules of the NATS resource as a webhook on controller-runtime. It is the yardstick of
// cargo xtask bench admission: the same rules, written as users of kubebuilder write them.
package main

import (
	"crypto/tls"
	"flag"
	"log"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	port := flag.Int("port", 9443, "port of the webhook on 127.0.0.1")
	certificates := flag.String("cert-dir", "", "folder of tls.crt and tls.key")
	flag.Parse()
	logf.SetLogger(zap.New())
	if err := serve(*port, *certificates); err != nil {
		log.Fatal(err)
	}
}

// serve serves both webhooks until SIGTERM. As in the scaffold of kubebuilder, HTTP/2 is off.
func serve(port int, certificates string) error {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{
		Host:    "127.0.0.1",
		Port:    port,
		CertDir: certificates,
		TLSOpts: []func(*tls.Config){func(config *tls.Config) { config.NextProtos = []string{"http/1.1"} }},
	})
	server.Register("/mutate", admission.WithCustomDefaulter(scheme, &v1alpha1.NATS{}, Defaulter{}))
	server.Register("/validate", admission.WithCustomValidator(scheme, &v1alpha1.NATS{}, Validator{}))
	return server.Start(signals.SetupSignalHandler())
}
