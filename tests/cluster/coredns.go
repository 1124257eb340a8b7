package main

import (
	"fmt"
	"os"
)

// corefile is the CoreDNS configuration: only names of the cluster, with a short TTL since pods move in tests.
const corefile = `.:53 {
	bind %s
	errors
	kubernetes %s {
		kubeconfig %s
		ttl 1
	}
}
`

// startCoreDNS runs CoreDNS outside of the nodes, so that names resolve whichever node is stopped.
func (c *controlPlane) startCoreDNS() error {
	path := c.home.file("Corefile")
	content := fmt.Sprintf(corefile, dnsAddress, clusterDomain, c.kubeconfig("coredns"))
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	resolver := fmt.Sprintf("nameserver %[1]s\nsearch svc.%[2]s %[2]s\noptions ndots:5\n", dnsAddress, clusterDomain)
	if err := os.WriteFile(c.resolvConf(), []byte(resolver), 0o644); err != nil {
		return err
	}
	_, err := c.spawn("coredns", c.options.coreDNS, []string{"-conf", path})
	return err
}

// resolvConf returns the file that is /etc/resolv.conf for processes that enter the network.
func (c *controlPlane) resolvConf() string { return c.home.file("resolv.conf") }
