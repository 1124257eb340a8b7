package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	// sizeParameter is the parameter of a class whose volumes are file systems of exactly that size.
	sizeParameter = "size"
	// User and group of a NATS pod, the owners of volumes: fsGroup has no effect on hostPath volumes.
	volumeUser, volumeGroup = 1000, 10001
)

// volumeFolders manages the folders of volumes on this machine.
type volumeFolders struct {
	root string
	// real creates the folders. Simulated pods do not use them.
	real bool
}

func (c *controlPlane) volumes() volumeFolders {
	return volumeFolders{root: c.home.file("volumes"), real: c.options.real}
}

// create creates the folder of a volume, with a file system of its own if the class has a size or expands its volumes.
func (f volumeFolders) create(volume *corev1.PersistentVolume, class *storagev1.StorageClass) error {
	if !f.real {
		return nil
	}
	path := volume.Spec.HostPath.Path
	if err := os.Mkdir(path, 0o770); os.IsExist(err) {
		return nil
	} else if err != nil {
		return err
	}
	if isExpanding(class) {
		size := capacityOf(volume)
		if err := mountSized(path, size.Value(), "mkfs.xfs", "-q"); err != nil {
			return err
		}
	} else if size := class.Parameters[sizeParameter]; size != "" {
		quantity, err := resource.ParseQuantity(size)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", sizeParameter, err)
		}
		err = mountSized(path, quantity.Value(), "mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal")
		if err != nil {
			return err
		}
	}
	if err := os.Chown(path, volumeUser, volumeGroup); err != nil {
		return err
	}
	return os.Chmod(path, os.ModeSetgid|0o770)
}

// delete removes a volume with its data.
func (f volumeFolders) delete(name string) error {
	if !f.real {
		return nil
	}
	path := filepath.Join(f.root, name)
	_ = unix.Unmount(path, unix.MNT_DETACH) // fails if the folder is no mount
	_ = os.Remove(imageOf(path))
	return os.RemoveAll(path)
}

// expand expands the device of a volume, not its file system.
func (f volumeFolders) expand(name string, size int64) error {
	path := filepath.Join(f.root, name)
	if !f.real || !hasImage(path) {
		return nil
	}
	if err := os.Truncate(imageOf(path), size); err != nil {
		return err
	}
	device, err := exec.Command("findmnt", "--noheadings", "--output=SOURCE", path).Output()
	if err != nil {
		return fmt.Errorf("no loop device of %s: %w", path, err)
	}
	return run("losetup", "--set-capacity", strings.TrimSpace(string(device)))
}

// expandFileSystem expands the file system of a mounted volume to the size of its device.
func (f volumeFolders) expandFileSystem(name string, size int64) error {
	path := filepath.Join(f.root, name)
	switch {
	case !f.real:
		return nil
	case hasImage(path):
		return run("xfs_growfs", path)
	default:
		return mountTmpfs(path, size, unix.MS_REMOUNT)
	}
}

// mountSized mounts a file system of this size in bytes: one on a loop device, which is removed with the mount, or tmpfs
// on a machine without loop devices and where the size is too small for the file system.
func mountSized(path string, size int64, mkfs ...string) error {
	if mountLoop(path, size, mkfs) == nil {
		return nil
	}
	_ = os.Remove(imageOf(path))
	return mountTmpfs(path, size, 0)
}

func mountTmpfs(path string, size int64, flags uintptr) error {
	return unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|flags, fmt.Sprintf("size=%d", size))
}

func mountLoop(path string, size int64, mkfs []string) error {
	image := imageOf(path)
	file, err := os.Create(image)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		return err
	}
	if err := run(mkfs[0], append(mkfs[1:], image)...); err != nil {
		return err
	}
	if err := run("mount", "-o", "loop", image, path); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(path, "lost+found")); !os.IsNotExist(err) {
		return err
	}
	return nil
}

// run runs a program. The error has its output.
func run(program string, args ...string) error {
	if output, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, output)
	}
	return nil
}

func imageOf(path string) string { return path + ".image" }

func hasImage(path string) bool {
	_, err := os.Stat(imageOf(path))
	return err == nil
}
