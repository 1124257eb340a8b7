//go:build !simulated_nodes

package main

import (
	"context"

	"k8s.io/component-base/cli"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// init adds the components of real nodes. A build with the tag simulated_nodes has none of them.
func init() {
	components["kube-proxy"] = func([]string) int { return cli.Run(proxy.NewProxyCommand()) }
	components["kubelet"] = func([]string) int { return cli.Run(kubelet.NewKubeletCommand(context.Background())) }
}
