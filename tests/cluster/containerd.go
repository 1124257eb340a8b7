package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// cniPlugins is the folder of the CNI plugins in Debian's package containernetworking-plugins.
const cniPlugins = "/usr/lib/cni"

// containerdConfig is the configuration of a node's own containerd. CAP_SYS_RESOURCE may be missing, hence
// restrict_oom_score_adj.
const containerdConfig = `version = 2
root = %[1]q
state = %[2]q
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = %[3]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[4]q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[5]q
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[6]q
    conf_dir = %[7]q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = %[8]q
`

const cniConfig = `{
  "cniVersion": "1.0.0",
  "name": %[1]q,
  "plugins": [
    {
      "type": "bridge", "bridge": %[2]q, "isGateway": true, "ipMasq": false,
      "ipam": {
        "type": "host-local", "dataDir": %[3]q,
        "ranges": [[{"subnet": %[4]q}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

// startContainerd runs the node's containerd and waits until it accepts connections.
func (n *node) startContainerd(ctx context.Context) error {
	network := fmt.Sprintf(cniConfig, "pods-of-"+n.name, podBridge(n.name), n.state("ipam"), podSubnet(n.index))
	if err := n.write("cni/10-pods.conflist", network); err != nil {
		return err
	}
	config := fmt.Sprintf(containerdConfig, n.file("containerd"), n.state("containerd"), n.socket(), n.file("opt"),
		pauseImage, cniPlugins, n.file("cni"), n.state("runc"))
	if err := n.write("containerd.toml", config); err != nil {
		return err
	}
	if err := os.MkdirAll(n.state(), 0o711); err != nil {
		return err
	}
	_ = os.Remove(n.socket()) // of an earlier containerd of this node
	p, err := startProcess(n.plane.home, n.name+"-containerd", "containerd", []string{"--config", n.file("containerd.toml")})
	if err != nil {
		return fmt.Errorf("%w; install it with: apt-get install containerd runc", err)
	}
	n.processes = append(n.processes, p)
	return p.until(ctx, func(context.Context) bool {
		connection, err := net.Dial("unix", n.socket())
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
}

// importImages loads the images of an archive into the node, since nodes pull no images.
func (n *node) importImages(ctx context.Context, archive string) error {
	output, err := exec.CommandContext(ctx, "ctr", "--address", n.socket(), "--namespace", "k8s.io",
		"images", "import", archive).CombinedOutput()
	if err != nil {
		return fmt.Errorf("images of %s: %w: %s", n.name, err, output)
	}
	return nil
}

func (n *node) socket() string { return n.state("containerd.sock") }

// state returns a path below a folder that is removed with the mounts. It is short, as paths of sockets must be.
func (n *node) state(elements ...string) string {
	return filepath.Join(append([]string{"/run", n.name}, elements...)...)
}
