package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file whose lock shows that the supervisor of a directory runs. The kernel releases the lock with the
// process, however that ends.
const lockName = "supervisor.lock"

// directory contains the files of one supervisor.
type directory struct {
	path string
	lock *os.File
}

// lockDirectory removes the directories of dead supervisors beside path, then creates path and locks it.
func lockDirectory(path string) (*directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	removeStale(parent)
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is in use or not empty", path)
	}
	lock, err := lockNew(path)
	if err != nil {
		return nil, err
	}
	d := &directory{path: path, lock: lock}
	for _, sub := range []string{"logs", "pki", "etcd", "volumes"} {
		if err := os.Mkdir(d.file(sub), 0o700); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// lockNew renames the lock file to lockName only once it is locked, so that a new directory never appears stale.
func lockNew(path string) (*os.File, error) {
	lock, err := os.CreateTemp(path, "lock-*")
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, err
	}
	return lock, os.Rename(lock.Name(), filepath.Join(path, lockName))
}

func removeStale(parent string) {
	locks, _ := filepath.Glob(filepath.Join(parent, "*", lockName))
	for _, name := range locks {
		lock, err := os.Open(name)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(name))
		}
		_ = lock.Close()
	}
}

func (d *directory) file(elements ...string) string {
	return filepath.Join(append([]string{d.path}, elements...)...)
}

// release removes the directory. With keep it removes only the lock file, so that the directory never appears stale.
func (d *directory) release(keep bool) {
	if d.lock == nil {
		return // another process releases it
	}
	if keep {
		_ = os.Remove(d.file(lockName))
	} else if err := os.RemoveAll(d.path); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	_ = d.lock.Close()
}
