package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
)

// startRealNodes runs containerd and a kubelet for each node, and the components that the nodes share.
func (c *controlPlane) startRealNodes(ctx context.Context) error {
	for program, debianPackage := range map[string]string{
		"containerd": "containerd", "ctr": "containerd", "runc": "runc", "iptables": "iptables", "conntrack": "conntrack",
	} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not in PATH; install it with: apt-get install %s", program, debianPackage)
		}
	}
	archive := c.home.file("images.tar")
	if err := writeImages(archive, c.options.images()); err != nil {
		return err
	}
	if err := c.startKubeProxy(); err != nil {
		return err
	}
	if err := c.startCoreDNS(); err != nil {
		return err
	}
	imported := make(chan error)
	for i := range c.options.nodes {
		n := newNodeProcesses(c, i)
		c.nodes = append(c.nodes, n)
		if err := n.start(ctx); err != nil {
			return err
		}
		go func() { imported <- n.importImages(ctx, archive) }()
	}
	for range c.nodes {
		if err := <-imported; err != nil {
			return err
		}
	}
	return c.untilNamesResolve(ctx)
}

// untilNamesResolve waits for CoreDNS, which is the last process started before the nodes.
func (c *controlPlane) untilNamesResolve(ctx context.Context) error {
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(dnsAddress, "53"))
		},
	}
	dns := c.processes[len(c.processes)-1]
	return dns.until(ctx, func(ctx context.Context) bool {
		_, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+clusterDomain+".")
		return err == nil
	})
}
