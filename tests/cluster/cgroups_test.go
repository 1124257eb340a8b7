package main

import (
	"os"
	"testing"
)

func TestCgroupsOfANodeAreBelowThoseOfItsSupervisor(t *testing.T) {
	if got := cgroupOf(17, "node-b"); got != "/nats-manager-cluster/17/node-b" {
		t.Errorf("cgroup of a node is %s", got)
	}
	if got := cgroupOf(17, ""); got != "/nats-manager-cluster/17" {
		t.Errorf("cgroup of a supervisor is %s", got)
	}
}

func TestWhoIsHereOrGoneHasNoNetworkOfItsOwn(t *testing.T) {
	for _, pid := range []int{os.Getpid(), 1 << 30} {
		if hasOwnNetwork(pid) {
			t.Errorf("process %d would keep its cgroups", pid)
		}
	}
}
