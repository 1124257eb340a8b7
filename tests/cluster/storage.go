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
	// sizeParameter is the parameter of a class whose volumes are file systems of their own, of just that size.
	sizeParameter = "size"
	// Who a NATS pod runs as: fsGroup has no effect on hostPath volumes.
	volumeUser, volumeGroup = 1000, 10001
)

// volumeFolders are the places of volumes on this machine.
type volumeFolders struct {
	root string
	// real folders exist, with real contents; where pods do not run nobody looks.
	real bool
}

func (c *controlPlane) volumes() volumeFolders {
	return volumeFolders{root: c.home.file("volumes"), real: c.options.real}
}

// create makes the folder of a volume, or the file system on it that its class asks for.
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
	_ = unix.Unmount(path, unix.MNT_DETACH) // one that is no mount is none
	_ = os.Remove(imageOf(path))
	return os.RemoveAll(path)
}

// mountSized mounts a file system that is as large as asked: ext4 on a loop device, which goes with the mount; where
// there are no loop devices, tmpfs.
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
