package main

import (
	"context"
	"fmt"
	"os"

	"k8s.io/client-go/rest"
)

// serviceRange is the range of service addresses, disjoint from the pod addresses of kwok.
const serviceRange = "10.96.0.0/16"

// auditPolicy logs each request after its response, without bodies: enough to count writes by user.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// startAPIServer runs kube-apiserver, writes its kubeconfigs, and waits until its readiness endpoint reports success.
func (c *controlPlane) startAPIServer(ctx context.Context) error {
	if err := os.WriteFile(c.home.file("audit-policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	var client rest.Interface
	return c.runOnFreePort(ctx, func(port int) (*process, error) {
		c.apiPort = port
		if err := c.writeKubeconfigs(); err != nil {
			return nil, err
		}
		var err error
		if client, err = readinessClient(c.kubeconfig("supervisor")); err != nil {
			return nil, err
		}
		return c.run("kube-apiserver", append(c.apiserverFlags(), c.options.apiserverArgs...)...)
	}, func(ctx context.Context) bool {
		return client.Get().AbsPath("/readyz").Do(ctx).Error() == nil
	})
}

func (c *controlPlane) apiserverFlags() []string {
	return append(c.addressFlags(),
		"--etcd-servers="+c.etcdURL(),
		fmt.Sprintf("--secure-port=%d", c.apiPort),
		"--service-cluster-ip-range="+serviceRange,
		"--allow-privileged=true",
		"--profiling=false",
		"--tls-cert-file="+c.home.file("pki", "apiserver.crt"),
		"--tls-private-key-file="+c.home.file("pki", "apiserver.key"),
		"--client-ca-file="+c.caFile(),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file="+c.serviceAccountKey(),
		"--service-account-key-file="+c.serviceAccountKey(),
		"--audit-policy-file="+c.home.file("audit-policy.yaml"),
		"--audit-log-path="+c.auditLog(),
		"--audit-log-mode=blocking", // requests with a response are in the log
		"--audit-log-maxsize=1000000",
	)
}

// ownerReferences is an admission plugin that some distributions enable: it requires permissions for owner references.
const ownerReferences = "OwnerReferencesPermissionEnforcement"

// addressFlags are the flags of addresses and authorization: reachable on loopback only, or by pods and kubelets as
// well.
func (c *controlPlane) addressFlags() []string {
	if !c.options.real {
		return []string{
			"--bind-address=127.0.0.1",
			"--advertise-address=127.0.0.1",
			// Loopback addresses are invalid endpoints of the `kubernetes` service, so it has none.
			"--endpoint-reconciler-type=none",
			"--authorization-mode=RBAC",
			"--enable-admission-plugins=" + ownerReferences,
		}
	}
	return []string{
		"--bind-address=0.0.0.0",
		"--advertise-address=" + nodeAddress(0),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction," + ownerReferences,
		"--kubelet-client-certificate=" + c.home.file("pki", "kubelet-client.crt"),
		"--kubelet-client-key=" + c.home.file("pki", "kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP", // names of nodes do not resolve
		// Pods are evicted from a failed node after 30 s instead of 5 minutes, since tests wait for it.
		"--default-not-ready-toleration-seconds=30",
		"--default-unreachable-toleration-seconds=30",
	}
}

func (c *controlPlane) server() string   { return fmt.Sprintf("https://127.0.0.1:%d", c.apiPort) }
func (c *controlPlane) auditLog() string { return c.home.file("logs", "audit.log") }
