package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOnlyDirectoriesOfDeadSupervisorsAreRemoved(t *testing.T) {
	parent := t.TempDir()
	stale := filepath.Join(parent, "stale")
	if err := os.Mkdir(stale, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stale, lockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(parent, "foreign")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}

	living, err := lockDirectory(filepath.Join(parent, "living"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDirectory(living.path); err == nil {
		t.Error("a directory in use was given away")
	}
	if _, err := lockDirectory(filepath.Join(parent, "next")); err != nil {
		t.Fatal(err)
	}
	for path, there := range map[string]bool{stale: false, foreign: true, living.path: true} {
		if _, err := os.Stat(path); (err == nil) != there {
			t.Errorf("%s: there should be %t, is %t", filepath.Base(path), there, err == nil)
		}
	}
}
