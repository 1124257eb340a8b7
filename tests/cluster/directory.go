package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file whose lock says that a directory's supervisor lives. The kernel drops the lock with the
// process, however that ended.
const lockName = "supervisor.lock"

// directory is what one supervisor keeps on disk.
type directory struct {
	path string
	lock *os.File
}

// claimDirectory removes what dead supervisors left beside path, then makes path and locks it.
func claimDirectory(path string) (*directory, error) {
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

// lockNew gives the lock file its name only once it is locked, so that nobody takes a new directory for a stale one.
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

// release removes the directory. What is to be kept loses only its lock file, so that nobody takes it for stale.
func (d *directory) release(keep bool) {
	if d.lock == nil {
		return // somebody else's to release
	}
	if keep {
		_ = os.Remove(d.file(lockName))
	} else if err := os.RemoveAll(d.path); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	_ = d.lock.Close()
}
