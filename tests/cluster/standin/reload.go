package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

const pollInterval = time.Second

type paths []string

func (p *paths) String() string         { return fmt.Sprint(*p) }
func (p *paths) Set(value string) error { *p = append(*p, value); return nil }

// reload sends SIGHUP to the server when the content of one of its files changes.
func reload(args []string) error {
	var files paths
	flags := flag.NewFlagSet("nats-server-config-reloader", flag.ContinueOnError)
	pidFile := flags.String("pid", "/var/run/nats/nats.pid", "the server's pid file")
	flags.Var(&files, "config", "a file to look at (repeatable)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Println("stand-in for nats-server-config-reloader, looks at", files)
	known := contents(files)
	for {
		time.Sleep(pollInterval)
		now := contents(files)
		if bytes.Equal(now, known) {
			continue
		}
		// An error is followed by another attempt: the server may not run yet.
		if err := hangUp(*pidFile); err != nil {
			fmt.Println("no signal sent:", err)
			continue
		}
		fmt.Println("changed: sent SIGHUP")
		known = now
	}
}

func contents(files []string) []byte {
	var all bytes.Buffer
	for _, file := range files {
		content, err := os.ReadFile(file)
		fmt.Fprintf(&all, "%d %t\n", len(content), err == nil)
		all.Write(content)
	}
	return all.Bytes()
}

func hangUp(pidFile string) error {
	content, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(content)))
	if err != nil {
		return err
	}
	if pid <= 1 {
		return errors.New("the pid file names no server")
	}
	return syscall.Kill(pid, syscall.SIGHUP)
}
