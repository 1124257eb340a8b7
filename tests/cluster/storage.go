package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

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

// create creates the folder of a volume, with a file system of its own if the class has a size.
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
	if size := class.Parameters[sizeParameter]; size != "" {
		if err := mountSized(path, size); err != nil {
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

// mountSized mounts a file system of this size: ext4 on a loop device, which is removed with the mount, or tmpfs on a
// machine without loop devices.
func mountSized(path, size string) error {
	quantity, err := resource.ParseQuantity(size)
	if err != nil {
		return fmt.Errorf("parameter %s: %w", sizeParameter, err)
	}
	if mountLoop(path, quantity.Value()) == nil {
		return nil
	}
	_ = os.Remove(imageOf(path))
	return unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d", quantity.Value()))
}

func mountLoop(path string, size int64) error {
	image := imageOf(path)
	file, err := os.Create(image)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		return err
	}
	if err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image).Run(); err != nil {
		return err
	}
	if err := exec.Command("mount", "-o", "loop", image, path).Run(); err != nil {
		return err
	}
	return os.Remove(filepath.Join(path, "lost+found"))
}

func imageOf(path string) string { return path + ".ext4" }
