package main

// startKubeProxy runs one kube-proxy for all nodes, since they share one network namespace. Connection tracking keeps
// the limits of the host, which a namespace cannot change.
func (c *controlPlane) startKubeProxy() error {
	binary, prefix, err := c.nodeComponentCommand("kube-proxy")
	if err != nil {
		return err
	}
	_, err = c.spawn("kube-proxy", binary, append(prefix,
		"--kubeconfig="+c.kubeconfig("kube-proxy"),
		"--hostname-override=node-a",
		"--proxy-mode=iptables",
		"--cluster-cidr="+podRange,
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-established=0",
		"--conntrack-tcp-timeout-close-wait=0",
		"--oom-score-adj=0",
		"--iptables-min-sync-period=100ms",
	))
	return err
}
