package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestAnArchiveHasWhatItsManifestNames(t *testing.T) {
	folder := t.TempDir()
	binary, archive := filepath.Join(folder, "binary"), filepath.Join(folder, "images.tar")
	if err := os.WriteFile(binary, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	images := options{natsServers: map[string]string{"2.14.2": binary, "2.15.3": binary}, standIn: binary}.images()
	if err := writeImages(archive, images); err != nil {
		t.Fatal(err)
	}
	files := readArchive(t, archive)
	var manifests []manifest
	if err := json.Unmarshal(files["manifest.json"], &manifests); err != nil {
		t.Fatal(err)
	}
	if len(manifests) != len(images) {
		t.Errorf("%d images are in the archive", len(manifests))
	}
	for _, m := range manifests {
		for _, name := range append(m.Layers, m.Config) {
			if len(files[name]) == 0 {
				t.Errorf("%v: there is no %s", m.RepoTags, name)
			}
		}
	}
}

func readArchive(t *testing.T, path string) map[string][]byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	files := map[string][]byte{}
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}
