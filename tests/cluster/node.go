package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// node is a real node: a containerd and a kubelet with folders, sockets and addresses of their own.
type node struct {
	plane     *controlPlane
	name      string
	index     int
	processes []*process
}

func newNodeProcesses(plane *controlPlane, index int) *node {
	return &node{plane: plane, name: "node-" + letter(index), index: index}
}

// start starts the node. The kubelet registers it at the apiserver. Call it from the main thread only.
func (n *node) start(ctx context.Context) error {
	if err := cutPods(n.name, false); err != nil {
		return err
	}
	if err := n.startContainerd(ctx); err != nil {
		return err
	}
	return n.startKubelet()
}

// kill ends the node as a power failure does: first its network, then all its processes at once.
func (n *node) kill() error {
	if err := cutPods(n.name, true); err != nil {
		return err
	}
	for _, p := range n.processes {
		_ = p.command.Process.Kill()
	}
	deadline := time.Now().Add(stopGrace)
	for killCgroup(cgroupOf(n.plane.options.initPID, n.name)) || n.killShims() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: processes stay", n.name)
		}
		time.Sleep(time.Millisecond)
	}
	for _, p := range n.processes {
		<-p.exited
	}
	n.processes = nil
	return nil
}

// killShims kills the shims between containerd and the containers of this node, and reports whether there was one.
func (n *node) killShims() bool {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	found := false
	for _, path := range commands {
		command, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(command, []byte("containerd-shim")) ||
			!bytes.Contains(command, []byte(n.socket())) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			found = true
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return found
}

func (n *node) running() bool { return len(n.processes) > 0 }

func (n *node) address() string { return nodeAddress(n.index) }

func (n *node) file(elements ...string) string {
	return n.plane.home.file(append([]string{"nodes", n.name}, elements...)...)
}

func (n *node) write(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(n.file(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(n.file(name), []byte(content), 0o600)
}
