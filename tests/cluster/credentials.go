package main

import (
	"net"
	"os"
)

const mastersGroup = "system:masters"

// users are the identities of the control plane by the name of their kubeconfig. Each has a name of its own,
// which identifies it in the audit log.
var users = map[string]struct{ name, group string }{
	"admin":                   {"kubernetes-admin", mastersGroup},
	"supervisor":              {"cluster-supervisor", mastersGroup},
	"kwok":                    {"kwok", mastersGroup},
	"kube-controller-manager": {"system:kube-controller-manager", ""},
	"kube-scheduler":          {"system:kube-scheduler", ""},
	"kube-proxy":              {"system:kube-proxy", ""},
	"coredns":                 {"coredns", mastersGroup},
}

// writeCredentials creates the certificates and the signing key of the apiserver.
func (c *controlPlane) writeCredentials() error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	c.authority = authority
	if err := os.WriteFile(c.caFile(), authority.pem(), 0o600); err != nil {
		return err
	}
	serving, err := authority.server(net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1))
	if err != nil {
		return err
	}
	if err := serving.write(c.home.file("pki", "apiserver")); err != nil {
		return err
	}
	kubeletClient, err := authority.client("kube-apiserver-kubelet-client", mastersGroup)
	if err != nil {
		return err
	}
	if err := kubeletClient.write(c.home.file("pki", "kubelet-client")); err != nil {
		return err
	}
	return writeSigningKey(c.serviceAccountKey())
}

// writeKubeconfigs writes a kubeconfig for each user, with the current address of the apiserver.
func (c *controlPlane) writeKubeconfigs() error {
	for file, user := range users {
		var groups []string
		if user.group != "" {
			groups = append(groups, user.group)
		}
		client, err := c.authority.client(user.name, groups...)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(c.kubeconfig(file), c.server(), c.authority.pem(), client); err != nil {
			return err
		}
	}
	return nil
}

func (c *controlPlane) caFile() string            { return c.home.file("pki", "ca.crt") }
func (c *controlPlane) serviceAccountKey() string { return c.home.file("pki", "service-account.key") }
func (c *controlPlane) adminKubeconfig() string   { return c.kubeconfig("admin") }
func (c *controlPlane) kubeconfig(user string) string {
	return c.home.file(user + ".kubeconfig")
}
