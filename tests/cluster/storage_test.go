package main

import (
	"os"
	"path/filepath"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
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
