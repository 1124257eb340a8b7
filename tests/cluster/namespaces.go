package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// superviseApart runs the supervisor of real nodes in namespaces of its own. However this process ends, the first
// process in the namespaces ends with it. The kernel then ends the other processes and removes their mounts and their
// network.
//
// Cgroups and the directory remain after such an end. They can only be removed from outside of the namespaces.
func superviseApart(o options, args []string) error {
	runtime.LockOSThread() // see supervise
	if os.Geteuid() != 0 {
		return errors.New("real nodes need root; run it with: sudo")
	}
	removeStaleCgroups()
	home, err := lockDirectory(o.directory)
	if err != nil {
		return err
	}
	defer home.release(o.keep)

	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self, append([]string{initName}, args...)...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if err := command.Start(); err != nil {
		return fmt.Errorf("no namespaces of its own: %w", err)
	}
	defer removeCgroups(command.Process.Pid)
	go func() {
		for s := range signals {
			_ = command.Process.Signal(s)
		}
	}()
	var failed *exec.ExitError
	if err := command.Wait(); errors.As(err, &failed) {
		return fmt.Errorf("the supervisor of the nodes ended: %s", failed.ProcessState)
	} else if err != nil {
		return err
	}
	return nil
}

// initName is the command of the first process in the namespaces.
const initName = "init"

// runInit prepares the namespaces, starts the supervisor in them, reaps orphaned processes, and ends with the
// supervisor.
func runInit(args []string) int {
	// The mounted /proc is still that of the outside, where this process has another ID.
	pid, err := os.Readlink("/proc/self")
	if err == nil {
		err = mountOwn()
	}
	var self string
	if err == nil {
		self, err = os.Executable()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster: init:", err)
		return 1
	}
	supervisor := exec.Command(self, append(append([]string{"up"}, args...), "--init="+pid)...)
	supervisor.Stdin, supervisor.Stdout, supervisor.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if err := supervisor.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster: init:", err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = supervisor.Process.Signal(s)
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1
		case pid == supervisor.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == supervisor.Process.Pid:
			return 1
		}
	}
}

// mountOwn makes the mounts of the nodes private, and mounts own folders at the fixed paths that containerd, CNI and
// kubelets write to.
func mountOwn() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	for _, path := range []string{"/run", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// networkNamespace returns the file of the network namespace of the nodes: that of the first process in it.
func networkNamespace(initPID int) string {
	return "/proc/" + strconv.Itoa(initPID) + "/ns/net"
}
