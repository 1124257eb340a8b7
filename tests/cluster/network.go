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
	// dnsAddress is CoreDNS', which belongs to no node, and so survives every one of them.
	dnsAddress    = "10.20.0.253"
	clusterDomain = "cluster.local"
	podRange      = "10.244.0.0/16"
)

// nodeAddress is the address of the i-th node.
func nodeAddress(i int) string { return fmt.Sprintf("10.20.0.%d", i+1) }

// podSubnet is the range of the pods of the i-th node.
func podSubnet(i int) string { return fmt.Sprintf("10.244.%d.0/24", i+1) }

// podBridge is the bridge that the pods of a node are attached to.
func podBridge(node string) string { return "pods-" + node }

// createNetwork makes the network of the nodes in this network namespace: all of them on one bridge, one address each.
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
	// It leads nowhere, but kubelets and services want one.
	route := &netlink.Route{LinkIndex: bridge.Attrs().Index, Scope: unix.RT_SCOPE_LINK, Dst: everywhere()}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

func everywhere() *net.IPNet {
	return &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
}

// cutPods takes the pods of a node off the network, or back on: of a machine without power nothing is heard, not even
// the end of its connections.
func cutPods(node string, cut bool) error {
	link, err := netlink.LinkByName(podBridge(node))
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil // there was no pod yet
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
	// linkBurst is what passes at once at a limited link: more than the largest packet that the kernel does not split.
	linkBurst = 64 << 10
	// linkQueue is what waits at a limited link; what does not fit is dropped, which slows the senders down.
	linkQueue = 256 << 10
)

// limitPods limits what the pods of a node receive from other nodes, in bytes per second; 0 ends the limit. What they
// send to each other on one node does not pass here.
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
		return nil // there was none
	}
	return err
}
