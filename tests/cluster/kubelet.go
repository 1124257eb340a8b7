package main

import (
	"bytes"
	"fmt"
	"slices"
)

// kubeletConfig is the configuration of a kubelet. The cgroups of pods are below a cgroup of the node, which kills all
// of them. Evictions and garbage collection for disk space are off. A failed node is detected within seconds. The
// kubelet keeps its OOM score, since a lower one may not be allowed.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
healthzBindAddress: %[1]s
readOnlyPort: 0
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[2]q}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://%[3]s
cgroupDriver: cgroupfs
cgroupRoot: %[4]s
cgroupsPerQOS: true
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
localStorageCapacityIsolation: false
evictionHard:
  memory.available: "0%%"
  nodefs.available: "0%%"
  nodefs.inodesFree: "0%%"
  imagefs.available: "0%%"
imageGCHighThresholdPercent: 100
clusterDomain: %[5]s
clusterDNS: [%[6]s]
resolvConf: %[7]q
nodeStatusUpdateFrequency: 4s
nodeLeaseDurationSeconds: 20
podLogsDir: %[8]q
volumePluginDir: %[9]q
logging: {verbosity: 2}
`

// startKubelet runs the node's kubelet.
func (n *node) startKubelet() error {
	kubeconfig := n.plane.kubeconfig(n.name)
	client, err := n.plane.authority.client("system:node:"+n.name, "system:nodes")
	if err != nil {
		return err
	}
	if err := writeKubeconfig(kubeconfig, n.plane.server(), n.plane.authority.pem(), client); err != nil {
		return err
	}
	// Pods resolve names of the cluster only.
	if err := n.write("resolv.conf", "nameserver "+dnsAddress+"\n"); err != nil {
		return err
	}
	cgroup := cgroupOf(n.plane.options.initPID, n.name)
	if err := createCgroup(cgroup); err != nil {
		return err
	}
	config := fmt.Sprintf(kubeletConfig, n.address(), n.plane.caFile(), n.socket(),
		cgroup, clusterDomain, dnsAddress, n.file("resolv.conf"),
		n.file("pod-logs"), n.file("volume-plugins"))
	if err := n.write("kubelet.yaml", config); err != nil {
		return err
	}
	binary, prefix, err := n.plane.nodeComponentCommand("kubelet")
	if err != nil {
		return err
	}
	p, err := startProcess(n.plane.home, n.name+"-kubelet", binary, append(prefix,
		"--config="+n.file("kubelet.yaml"),
		"--kubeconfig="+kubeconfig,
		"--hostname-override="+n.name,
		"--node-ip="+n.address(),
		fmt.Sprintf("--node-labels=topology.kubernetes.io/zone=zone-%s,topology.kubernetes.io/region=local",
			letter(n.index%n.plane.options.zones)),
		"--root-dir="+n.file("kubelet"),
		"--cert-dir="+n.file("kubelet-pki"),
	))
	if err != nil {
		return err
	}
	n.processes = append(n.processes, p)
	return nil
}

// restartKubelet restarts a kubelet that died because of another kubelet, and reports whether that was the cause. All
// kubelets use the same fixed path for the socket of device plugins, and each removes an existing one before it
// listens.
func (c *controlPlane) restartKubelet(p *process) (bool, error) {
	if !bytes.Contains(p.died().tail, []byte("device-plugins/kubelet.sock: bind: address already in use")) {
		return false, nil
	}
	for _, n := range c.nodes {
		if i := slices.Index(n.processes, p); i >= 0 {
			n.processes = slices.Delete(n.processes, i, i+1)
			return true, n.startKubelet()
		}
	}
	return false, nil
}
