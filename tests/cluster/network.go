package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	bridgeName = "nodes"
	// dnsAddress is the address of CoreDNS. It belongs to no node, so a stopped node does not affect it.
	dnsAddress    = "10.20.0.253"
	clusterDomain = "cluster.local"
	podRange      = "10.244.0.0/16"
)

// nodeAddress returns the address of the i-th node.
func nodeAddress(i int) string { return fmt.Sprintf("10.20.0.%d", i+1) }

// podSubnet returns the range of pod addresses of the i-th node.
func podSubnet(i int) string { return fmt.Sprintf("10.244.%d.0/24", i+1) }

// podBridge returns the name of the bridge of the pods of a node.
func podBridge(node string) string { return "pods-" + node }

// createNetwork creates the network of the nodes in this network namespace: one bridge with an address for each node.
func createNetwork(nodes int) error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	addresses := []string{dnsAddress}
	for i := range nodes {
		addresses = append(addresses, nodeAddress(i))
	}
	for _, address := range addresses {
		ip := &net.IPNet{IP: net.ParseIP(address), Mask: net.CIDRMask(24, 32)}
		if err := netlink.AddrAdd(bridge, &netlink.Addr{IPNet: ip}); err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return err
	}
	// The route leads nowhere, but kubelets and services require a default route.
	route := &netlink.Route{LinkIndex: bridge.Attrs().Index, Scope: unix.RT_SCOPE_LINK, Dst: everywhere()}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

func everywhere() *net.IPNet {
	return &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
}

// cutPods disconnects the pods of a node from the network, or connects them again. A machine without power sends no
// packets, not even for the end of its connections.
func cutPods(node string, cut bool) error {
	link, err := netlink.LinkByName(podBridge(node))
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil // the node has not had a pod
	}
	if err != nil {
		return err
	}
	if cut {
		return netlink.LinkSetDown(link)
	}
	return netlink.LinkSetUp(link)
}

const (
	// linkBurst is the burst of a limited link in bytes: more than the largest packet that the kernel does not split.
	linkBurst = 64 << 10
	// linkQueue is the queue of a limited link in bytes. Further packets are dropped, which slows the senders down.
	linkQueue = 256 << 10
)

// limitPods limits the traffic that the pods of a node receive from other nodes, in bytes per second; 0 removes the
// limit. Traffic between pods of one node is not limited.
func limitPods(node string, rate uint64) error {
	link, err := netlink.LinkByName(podBridge(node))
	var missing netlink.LinkNotFoundError
	if rate == 0 && errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s has had no pod yet: %w", node, err)
	}
	root := netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index,
		Handle:    netlink.MakeHandle(1, 0),
		Parent:    netlink.HANDLE_ROOT,
	}
	if rate > 0 {
		return netlink.QdiscReplace(&netlink.Tbf{
			QdiscAttrs: root, Rate: rate, Limit: linkQueue, Buffer: netlink.Xmittime(rate, linkBurst),
		})
	}
	err = netlink.QdiscDel(&netlink.Tbf{QdiscAttrs: root})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return nil // there was no limit
	}
	return err
}
