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

// diedError is the error of a component that ended without a request to stop.
type diedError struct {
	name, state string
	tail        []byte
}

func (e *diedError) Error() string {
	return fmt.Sprintf("%s died (%s); the end of its log:\n%s", e.name, e.state, e.tail)
}

// portTaken reports whether another process took the port that was free a moment before.
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
	// A home of its own, so that settings of the user (of kwok, kubectl) have no effect.
	command.Env = append(os.Environ(), "HOME="+home.path)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // a Ctrl-C in the terminal reaches only the supervisor
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

// died returns the error that describes the end of the process.
func (p *process) died() *diedError {
	content, _ := os.ReadFile(p.log)
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	tail := bytes.Join(lines[max(0, len(lines)-tailLines):], []byte("\n"))
	return &diedError{name: p.name, state: p.command.ProcessState.String(), tail: tail}
}

// until polls ready every few milliseconds, as long as the process runs.
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

// stop ends the process: immediately, or with a grace period for its data to be written to disk.
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

// nodeComponentCommand returns the command of a node component, which may be older than the control plane.
func (c *controlPlane) nodeComponentCommand(name string) (binary string, args []string, err error) {
	if c.options.nodeBinary != "" {
		return c.options.nodeBinary, []string{name}, nil
	}
	return componentCommand(name)
}

// componentCommand returns the command of a component: this binary itself, or the one in KUBEBUILDER_ASSETS.
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
