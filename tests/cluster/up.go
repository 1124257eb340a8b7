package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/spf13/pflag"
)

// options of `cluster up`.
type options struct {
	directory     string
	keep          bool
	kwok          string
	nodes, zones  int
	apiserverArgs []string
	// real selects nodes that run containers. The others are paths of the programs that real nodes require.
	real             bool
	coreDNS, standIn string
	// natsServers are the paths of NATS servers by version. Each becomes an image.
	natsServers map[string]string
	// nodeBinary is a binary with kubelet and kube-proxy of another version; empty for those of this binary.
	nodeBinary string
	// initPID is the process ID, outside of the namespaces, of the first process in them; 0 in a process outside of them.
	initPID int
}

// announcement is the line on stdout that reports a ready control plane and the paths of its files.
type announcement struct {
	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	AuditLog   string `json:"auditLog"`
	Directory  string `json:"dir"`
	// With real nodes: their network namespace, the resolv.conf for processes in it, and the control socket.
	Network    string `json:"network,omitempty"`
	ResolvConf string `json:"resolvConf,omitempty"`
	Control    string `json:"control,omitempty"`
}

var errStdinClosed = errors.New("stdin was closed")

// up runs a control plane until it has to stop, and returns the exit code.
func up(args []string) int {
	options, err := parseOptions(args)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	if err == nil && options.real && options.initPID == 0 {
		err = superviseApart(options, args)
	} else if err == nil {
		err = supervise(options)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		return 1
	}
	return 0
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := pflag.NewFlagSet("cluster up", pflag.ContinueOnError)
	flags.StringVar(&o.directory, "dir", "", "where everything is kept; must be empty or not exist, and goes again at the end")
	flags.BoolVar(&o.keep, "keep", false, "leave the directory (logs, audit log, data) behind at the end")
	flags.StringVar(&o.kwok, "kwok", "kwok", "the kwok binary (go install sigs.k8s.io/kwok/cmd/kwok@v0.7.0)")
	flags.IntVar(&o.nodes, "nodes", 3, "number of nodes")
	flags.IntVar(&o.zones, "zones", 3, "number of zones the nodes are spread over")
	flags.StringArrayVar(&o.apiserverArgs, "apiserver-arg", nil, "one more flag for kube-apiserver (repeatable)")
	flags.BoolVar(&o.real, "real", false, "run real nodes: containerd and kubelet, with pods that run (root, Linux)")
	flags.StringVar(&o.coreDNS, "coredns", "coredns", "with --real: the CoreDNS binary")
	flags.StringToStringVar(&o.natsServers, "nats-server", nil, "with --real: VERSION=PATH of a NATS server, a static binary (repeatable)")
	flags.StringVar(&o.standIn, "stand-in", "standin", "with --real: the binary of ./standin")
	flags.StringVar(&o.nodeBinary, "node-binary", "", "with --real: the binary of another version that has the kubelet and kube-proxy")
	flags.IntVar(&o.initPID, initName, 0, "")
	_ = flags.MarkHidden(initName)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case o.directory == "":
		return o, errors.New("--dir is required")
	case o.nodes < 1 || o.nodes > maxNodes:
		return o, fmt.Errorf("--nodes must be 1 to %d", maxNodes)
	case o.zones < 1 || o.zones > o.nodes:
		return o, errors.New("--zones must be 1 to the number of nodes")
	case o.real && o.nodeBinary == "" && components["kubelet"] == nil:
		return o, errors.New("--real needs --node-binary: this binary has no kubelet")
	}
	return o, nil
}

// supervise starts the control plane, announces it, and waits until it has to stop or a component dies.
func supervise(o options) error {
	// Children must end with this process, and the kernel regards the thread that started them as their parent.
	runtime.LockOSThread()

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(errStdinClosed)
	}()

	home, err := o.home()
	if err != nil {
		return err
	}
	defer home.release(o.keep)
	plane := &controlPlane{options: o, home: home}
	defer plane.stop()

	if err := plane.start(ctx); err != nil {
		return err
	}
	announced := announcement{
		Kubeconfig: plane.adminKubeconfig(),
		Server:     plane.server(),
		AuditLog:   plane.auditLog(),
		Directory:  home.path,
	}
	if o.real {
		if err := plane.listenForControl(); err != nil {
			return err
		}
		announced.Network = networkNamespace(o.initPID)
		announced.ResolvConf = plane.resolvConf()
		announced.Control = plane.controlSocket()
	}
	if err := json.NewEncoder(os.Stdout).Encode(announced); err != nil {
		return err
	}
	return plane.wait(ctx)
}

// home returns the directory. The directory of real nodes is already locked, outside of their namespaces.
func (o options) home() (*directory, error) {
	if o.initPID == 0 {
		return lockDirectory(o.directory)
	}
	path, err := filepath.Abs(o.directory)
	return &directory{path: path}, err
}
