package main

// startControllers runs kube-controller-manager and kube-scheduler. Each has one replica, so leader election is off.
// Their servers are off as well, so they need no port.
func (c *controlPlane) startControllers() error {
	flags := []string{
		"--kubeconfig=" + c.kubeconfig("kube-controller-manager"),
		"--leader-elect=false",
		"--secure-port=0",
		"--use-service-account-credentials",
		"--root-ca-file=" + c.caFile(),
		"--service-account-private-key-file=" + c.serviceAccountKey(),
		// The defaults are for apiservers that many clients share.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}
	if c.options.real {
		flags = append(flags, "--node-monitor-grace-period=20s", "--node-monitor-period=2s")
	}
	if _, err := c.run("kube-controller-manager", flags...); err != nil {
		return err
	}
	_, err := c.run("kube-scheduler",
		"--kubeconfig="+c.kubeconfig("kube-scheduler"),
		"--leader-elect=false",
		"--secure-port=0",
	)
	return err
}

// startKwok runs kwok, which simulates kubelets.
func (c *controlPlane) startKwok() error {
	_, err := c.spawn("kwok", c.options.kwok, []string{
		"--kubeconfig=" + c.kubeconfig("kwok"),
		"--manage-all-nodes=false",
		"--manage-nodes-with-annotation-selector=" + kwokAnnotation + "=fake",
		"--node-lease-duration-seconds=40",
		"--cidr=10.244.0.0/16",
		"--node-ip=10.20.0.1",
	})
	return err
}
