package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"time"

	"k8s.io/client-go/kubernetes"
)

const (
	startTimeout = 2 * time.Minute
	portAttempts = 5
	// stopGrace is the time that a component has for its end if its data is kept.
	stopGrace = 5 * time.Second
)

// controlPlane contains the processes of `cluster up`, in the order of their start.
type controlPlane struct {
	options   options
	home      *directory
	authority *authority
	etcdPort  int
	apiPort   int
	processes []*process
	// nodes are the real nodes, each with processes of its own.
	nodes []*node
	// requests are those of the control socket, which the main thread carries out.
	requests chan request
	// stopControllers ends the controllers that run in the supervisor itself.
	stopControllers context.CancelFunc
}

// start starts all components and returns once pods can be scheduled.
func (c *controlPlane) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready within %s", startTimeout))
	defer cancel()
	if c.options.real {
		if err := createNetwork(c.options.nodes); err != nil {
			return err
		}
	}
	if err := c.writeCredentials(); err != nil {
		return err
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	if err := c.startControllers(); err != nil {
		return err
	}
	config, err := loadKubeconfig(c.kubeconfig("supervisor"), "nats-manager-cluster")
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := c.startNodes(ctx, client); err != nil {
		return err
	}
	if err := createStorageClasses(ctx, client, c.options.real); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.Background())
	c.stopControllers = stop
	if err := startProvisioner(background, client, c.volumes()); err != nil {
		return err
	}
	return c.untilUsable(ctx, client)
}

// startNodes runs real nodes, or kwok, which simulates them.
func (c *controlPlane) startNodes(ctx context.Context, client kubernetes.Interface) error {
	if c.options.real {
		return c.startRealNodes(ctx)
	}
	if err := c.startKwok(); err != nil {
		return err
	}
	return createNodes(ctx, client, c.options.nodes, c.options.zones)
}

// wait returns nil when ctx ends, or an error when a component dies.
func (c *controlPlane) wait(ctx context.Context) error {
	for {
		processes := c.processes
		for _, n := range c.nodes {
			processes = append(slices.Clip(processes), n.processes...)
		}
		cases := []reflect.SelectCase{
			{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())},
			{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c.requests)},
		}
		for _, p := range processes {
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(p.exited)})
		}
		switch chosen, value, _ := reflect.Select(cases); chosen {
		case 0:
			return nil
		case 1:
			asked := value.Interface().(request)
			asked.answer <- c.obey(ctx, asked)
		default:
			p := processes[chosen-2]
			if restarted, err := c.restartKubelet(p); err != nil {
				return err
			} else if !restarted {
				return p.died()
			}
		}
	}
}

// stop ends all components in reverse order of their start.
func (c *controlPlane) stop() {
	if c.stopControllers != nil {
		c.stopControllers()
	}
	grace := time.Duration(0) // no data to write if the directory is removed as well
	if c.options.keep {
		grace = stopGrace
	}
	for i := len(c.processes) - 1; i >= 0; i-- {
		c.processes[i].stop(grace)
	}
	// The kernel ends the processes of real nodes with their namespaces.
}

// run starts a component of this binary.
func (c *controlPlane) run(name string, args ...string) (*process, error) {
	binary, prefix, err := componentCommand(name)
	if err != nil {
		return nil, err
	}
	return c.spawn(name, binary, append(prefix, args...))
}

func (c *controlPlane) spawn(name, binary string, args []string) (*process, error) {
	p, err := startProcess(c.home, name, binary, args)
	if err == nil {
		c.processes = append(c.processes, p)
	}
	return p, err
}

// runOnFreePort starts a server and waits until it is ready. It tries another port if another process took the first.
func (c *controlPlane) runOnFreePort(
	ctx context.Context, start func(port int) (*process, error), ready func(context.Context) bool,
) error {
	for attempt := 1; ; attempt++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		p, err := start(port)
		if err != nil {
			return err
		}
		err = p.until(ctx, ready)
		var died *diedError
		if !errors.As(err, &died) || !died.portTaken() || attempt == portAttempts {
			return err
		}
		c.processes = c.processes[:len(c.processes)-1]
	}
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
