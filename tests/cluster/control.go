package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

const nodeStartTimeout = 30 * time.Second

// request is a line on the control socket: what to do with which node.
type request struct {
	verb, node string
	answer     chan error
}

// listenForControl takes requests about nodes on a socket in the directory: `stop-node node-b`, `start-node node-b`,
// one line each, answered by `ok` or `error: ...`.
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
		verb, node, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		asked := request{verb: verb, node: node, answer: make(chan error, 1)}
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

// obey does what was asked. Call it from the main thread only, as it starts processes.
func (c *controlPlane) obey(ctx context.Context, asked request) error {
	for _, n := range c.nodes {
		if n.name != asked.node {
			continue
		}
		switch {
		case asked.verb == "stop-node" && n.running():
			return n.kill()
		case asked.verb == "start-node" && !n.running():
			ctx, cancel := context.WithTimeout(ctx, nodeStartTimeout)
			defer cancel()
			return n.start(ctx)
		case asked.verb == "stop-node" || asked.verb == "start-node":
			return nil // it is so already
		}
		return fmt.Errorf("unknown: %s; there are stop-node and start-node", asked.verb)
	}
	return fmt.Errorf("there is no %s", asked.node)
}

func (c *controlPlane) controlSocket() string { return c.home.file("control.sock") }
