package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	nodeStartTimeout = 30 * time.Second
	imageTimeout     = time.Minute
)

// request is a line on the control socket: an operation and the node or file that it applies to.
type request struct {
	verb, object string
	answer       chan error
}

// listenForControl accepts requests on a socket in the directory, one line each. The response is `ok` or `error: ...`:
//   - `stop-node NODE`, `start-node NODE`
//   - `load-image ARCHIVE`, into every running node
//   - `load-nats-server VERSION PATH`, the image of a NATS server into every running node
//   - `limit-link NODE BYTES_PER_SECOND`, for the traffic that its pods receive; 0 removes the limit
func (c *controlPlane) listenForControl() error {
	listener, err := net.Listen("unix", c.controlSocket())
	if err != nil {
		return err
	}
	c.requests = make(chan request)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go c.converse(connection)
		}
	}()
	return nil
}

func (c *controlPlane) converse(connection net.Conn) {
	defer connection.Close()
	for lines := bufio.NewScanner(connection); lines.Scan(); {
		verb, object, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		asked := request{verb: verb, object: object, answer: make(chan error, 1)}
		c.requests <- asked
		answer := "ok"
		if err := <-asked.answer; err != nil {
			answer = "error: " + strings.ReplaceAll(err.Error(), "\n", " | ")
		}
		if _, err := fmt.Fprintln(connection, answer); err != nil {
			return
		}
	}
}

// obey carries out a request. Call it from the main thread only, as it starts processes.
func (c *controlPlane) obey(ctx context.Context, asked request) error {
	object, argument, _ := strings.Cut(asked.object, " ")
	switch asked.verb {
	case "load-image":
		return c.loadImage(ctx, asked.object)
	case "load-nats-server":
		return c.loadNatsServer(ctx, object, argument)
	}
	i := slices.IndexFunc(c.nodes, func(n *node) bool { return n.name == object })
	if i < 0 {
		return fmt.Errorf("there is no %s", object)
	}
	n := c.nodes[i]
	switch asked.verb {
	case "stop-node":
		if n.running() {
			return n.kill()
		}
		return nil // already stopped
	case "start-node":
		if n.running() {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, nodeStartTimeout)
		defer cancel()
		return n.start(ctx)
	case "limit-link":
		rate, err := strconv.ParseUint(argument, 10, 32)
		if err != nil {
			return fmt.Errorf("a rate in bytes per second cannot be %q", argument)
		}
		return limitPods(n.name, rate)
	}
	return fmt.Errorf("unknown: %s; there are stop-node, start-node, load-image, load-nats-server and limit-link", asked.verb)
}

// loadNatsServer builds the image of a NATS server and loads it into every running node.
func (c *controlPlane) loadNatsServer(ctx context.Context, version, binary string) error {
	archive := c.home.file("nats-server-" + version + ".tar")
	if err := writeImages(archive, natsImages(map[string]string{version: binary})); err != nil {
		return err
	}
	defer os.Remove(archive)
	return c.loadImage(ctx, archive)
}

func (c *controlPlane) loadImage(ctx context.Context, archive string) error {
	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	var failed error
	for _, n := range c.nodes {
		if n.running() {
			failed = errors.Join(failed, n.importImages(ctx, archive))
		}
	}
	return failed
}

func (c *controlPlane) controlSocket() string { return c.home.file("control.sock") }
