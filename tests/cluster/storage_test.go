package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

func TestARealVolumeIsThereUntilItIsDeleted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("volumes belong to another user, which takes root")
	}
	folders := volumeFolders{root: t.TempDir(), real: true}
	pvc := pvcNamed("data-nats-0", nil)
	pvc.UID = "1234"
	volume := newVolume(pvc, &storagev1.StorageClass{}, newNode(0, 3), folders.root)
	for range 2 { // a second attempt has no effect
		if err := folders.create(volume, &storagev1.StorageClass{}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(volume.Spec.HostPath.Path)
	if err != nil || info.Mode().Perm() != 0o770 || info.Mode()&os.ModeSetgid == 0 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(volume.Spec.HostPath.Path, "data"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := folders.delete(volume.Name); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(folders.root); len(entries) > 0 {
		t.Errorf("%v is left", entries)
	}
}

func TestAFileSystemIsLargerOnlyAfterItsVolume(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts take root")
	}
	folders := volumeFolders{root: t.TempDir(), real: true}
	for name, size := range map[string]int64{"xfs": 1 << 30, "tmpfs": 64 << 20} {
		class := newExpandingClass("expands", expandsOnline)
		pvc := pvcNamed(name, nil)
		pvc.UID = types.UID(name)
		pvc.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(size, resource.BinarySI)}
		volume := newVolume(pvc, class, newNode(0, 3), folders.root)
		if err := folders.create(volume, class); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := folders.delete(volume.Name); err != nil {
				t.Error(err)
			}
		})
		blocks := func() uint64 {
			var stat unix.Statfs_t
			if err := unix.Statfs(volume.Spec.HostPath.Path, &stat); err != nil {
				t.Fatal(err)
			}
			return stat.Blocks * uint64(stat.Bsize)
		}
		before := blocks()
		if before > uint64(size) {
			t.Errorf("%s: %d bytes in a volume of %d", name, before, size)
		}
		if err := folders.expand(volume.Name, 2*size); err != nil || blocks() != before {
			t.Errorf("%s: %v, or the file system expanded with its volume", name, err)
		}
		if err := folders.expandFileSystem(volume.Name, 2*size); err != nil || blocks() < before+uint64(size)*9/10 {
			t.Errorf("%s: %v, or %d bytes are as small as %d", name, err, blocks(), before)
		}
	}
}
