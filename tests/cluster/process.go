package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const tailLines = 25

// process is a running component with a log file of its own.
type process struct {
	name    string
	command *exec.Cmd
	log     string
	exited  chan struct{}
}

// diedError is a component that ended although nobody asked it to.
type diedError struct {
	name, state string
	tail        []byte
}

func (e *diedError) Error() string {
	return fmt.Sprintf("%s died (%s); the end of its log:\n%s", e.name, e.state, e.tail)
}

// portTaken says whether somebody else was quicker to take the port that was free a moment before.
func (e *diedError) portTaken() bool {
	return bytes.Contains(e.tail, []byte("address already in use"))
}

// startProcess runs a binary with its output in DIR/logs. Call it from the supervisor's main thread only.
func startProcess(home *directory, name, binary string, args []string) (*process, error) {
	log, err := os.Create(home.file("logs", name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(binary, args...)
	command.Dir = home.path
	// A home of its own: settings of whoever runs this (kwok's, kubectl's) have no say here.
	command.Env = append(os.Environ(), "HOME="+home.path)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // a Ctrl-C in the terminal is for the supervisor alone
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}
	p := &process{name: name, command: command, log: log.Name(), exited: make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(p.exited)
	}()
	return p, nil
}

// died describes the end of a process that has exited.
func (p *process) died() *diedError {
	content, _ := os.ReadFile(p.log)
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	tail := bytes.Join(lines[max(0, len(lines)-tailLines):], []byte("\n"))
	return &diedError{name: p.name, state: p.command.ProcessState.String(), tail: tail}
}

// until polls ready every few milliseconds, for as long as the process lives.
func (p *process) until(ctx context.Context, ready func(context.Context) bool) error {
	for {
		if ready(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready yet: %w", p.name, context.Cause(ctx))
		case <-p.exited:
			return p.died()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the process: at once, or with time to write its data to disk.
func (p *process) stop(grace time.Duration) {
	if grace > 0 {
		_ = p.command.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(grace):
		}
	}
	_ = p.command.Process.Kill()
	<-p.exited
}

// nodeComponentCommand is how to run a component of a node, which may be older than the control plane.
func (c *controlPlane) nodeComponentCommand(name string) (binary string, args []string, err error) {
	if c.options.nodeBinary != "" {
		return c.options.nodeBinary, []string{name}, nil
	}
	return componentCommand(name)
}

// componentCommand is how to run a component: this binary itself, or the one in KUBEBUILDER_ASSETS.
func componentCommand(name string) (binary string, args []string, err error) {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		binary := filepath.Join(assets, name)
		if info, err := os.Stat(binary); err == nil && !info.IsDir() {
			binary, err = filepath.Abs(binary)
			return binary, nil, err
		}
	}
	self, err := os.Executable()
	return self, []string{name}, err
}
