package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	nodeStartTimeout = 30 * time.Second
	imageTimeout     = time.Minute
)

// request is a line on the control socket: what to do with which node or file.
type request struct {
	verb, object string
	answer       chan error
}

// listenForControl takes requests on a socket in the directory: `stop-node node-b`, `start-node node-b`,
// `load-image /path/of/archive.tar` (into every node that runs), one line each, answered by `ok` or `error: ...`.
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

// obey does what was asked. Call it from the main thread only, as it starts processes.
func (c *controlPlane) obey(ctx context.Context, asked request) error {
	if asked.verb == "load-image" {
		return c.loadImage(ctx, asked.object)
	}
	for _, n := range c.nodes {
		if n.name != asked.object {
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
		return fmt.Errorf("unknown: %s; there are stop-node, start-node and load-image", asked.verb)
	}
	return fmt.Errorf("there is no %s", asked.object)
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
