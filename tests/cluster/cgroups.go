package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	cgroupMount = "/sys/fs/cgroup"
	// cgroupParent is the parent of all cgroups of real nodes, in every hierarchy.
	cgroupParent = "nats-manager-cluster"
)

// cgroupOf returns the cgroup of the containers of a node, or of all nodes if node is empty.
func cgroupOf(initPID int, node string) string {
	return filepath.Join("/", cgroupParent, strconv.Itoa(initPID), node)
}

// cgroupHierarchies returns the mount points of cgroups: one with version 2, one for each controller with version 1.
func cgroupHierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return []string{cgroupMount}
	}
	hierarchies, _ := filepath.Glob(filepath.Join(cgroupMount, "*"))
	return hierarchies
}

// createCgroup creates a cgroup in every hierarchy.
func createCgroup(cgroup string) error {
	for _, hierarchy := range cgroupHierarchies() {
		if err := os.MkdirAll(filepath.Join(hierarchy, cgroup), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// removeStaleCgroups removes the cgroups of supervisors that were killed.
func removeStaleCgroups() {
	for _, hierarchy := range cgroupHierarchies() {
		entries, _ := os.ReadDir(filepath.Join(hierarchy, cgroupParent))
		for _, entry := range entries {
			if pid, err := strconv.Atoi(entry.Name()); err == nil && !hasOwnNetwork(pid) {
				removeCgroups(pid)
			}
		}
	}
}

// hasOwnNetwork reports whether a process is in another network namespace than this one. It is false for a process that
// has ended or is about to. A process that reuses the ID of a dead supervisor is likely to be in the network of this
// one.
func hasOwnNetwork(pid int) bool {
	theirs, err := os.Readlink(networkNamespace(pid))
	if err != nil {
		return false
	}
	ours, _ := os.Readlink("/proc/self/ns/net")
	return theirs != ours
}

// removeCgroups removes the cgroups of a supervisor whose processes are gone.
func removeCgroups(initPID int) {
	for _, hierarchy := range cgroupHierarchies() {
		top := filepath.Join(hierarchy, cgroupOf(initPID, ""))
		var found []string
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				found = append(found, path)
			}
			return nil
		})
		for i := len(found) - 1; i >= 0; i-- { // children first
			_ = syscall.Rmdir(found[i])
		}
		_ = syscall.Rmdir(filepath.Dir(top)) // succeeds if it was the last one
	}
}

// killCgroup kills every process below a cgroup, and reports whether there was one.
func killCgroup(cgroup string) bool {
	found := false
	for _, hierarchy := range cgroupHierarchies() {
		_ = filepath.WalkDir(filepath.Join(hierarchy, cgroup), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil
			}
			content, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
					found = true
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			return nil
		})
	}
	return found
}
