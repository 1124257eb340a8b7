package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// pauseImage is the image of the container that keeps the namespaces of a pod.
const pauseImage = "nats-server.example/pause:stand-in"

// image is a container image that contains one program.
type image struct {
	name    string
	program string // name in the image, below /
	binary  string // path on this machine
}

// images returns the images that every node has from its start. The NATS server is the real one, the other programs are
// stand-ins from tests/cluster/standin.
func (o options) images() []image {
	return append([]image{
		{pauseImage, "pause", o.standIn},
		{"nats-server.example/config-reloader:stand-in", "nats-server-config-reloader", o.standIn},
		{"nats-server.example/exporter:stand-in", "prometheus-nats-exporter", o.standIn},
	}, natsImages(o.natsServers)...)
}

// natsImages returns the images of NATS servers, sorted by version.
func natsImages(servers map[string]string) []image {
	var images []image
	for _, version := range slices.Sorted(maps.Keys(servers)) {
		images = append(images, image{"docker.io/library/nats:" + version + "-scratch", "nats-server", servers[version]})
	}
	return images
}

// manifest is an entry of manifest.json in an archive as `docker save` writes it.
type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// writeImages puts the images into one docker-archive, each with a single layer.
func writeImages(path string, images []image) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	var manifests []manifest
	for i, image := range images {
		layer, err := image.layer()
		if err != nil {
			return err
		}
		config, err := image.config(layer)
		if err != nil {
			return err
		}
		m := manifest{
			Config:   fmt.Sprintf("%d.json", i),
			RepoTags: []string{image.name},
			Layers:   []string{fmt.Sprintf("%d.tar", i)},
		}
		if err := writeFile(archive, m.Config, config, 0o644); err != nil {
			return err
		}
		if err := writeFile(archive, m.Layers[0], layer, 0o644); err != nil {
			return err
		}
		manifests = append(manifests, m)
	}
	content, err := json.Marshal(manifests)
	if err != nil {
		return err
	}
	if err := writeFile(archive, "manifest.json", content, 0o644); err != nil {
		return err
	}
	return archive.Close()
}

func (i image) layer() ([]byte, error) {
	program, err := os.Open(i.binary)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	content, err := io.ReadAll(program)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	if err := writeFile(writer, filepath.Base(i.program), content, 0o755); err != nil {
		return nil, err
	}
	err = writer.Close()
	return layer.Bytes(), err
}

func (i image) config(layer []byte) ([]byte, error) {
	return json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": map[string]any{
			"Env":        []string{"PATH=/"},
			"Entrypoint": []string{"/" + i.program},
		},
		"rootfs": map[string]any{
			"type":     "layers",
			"diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))},
		},
	})
}

func writeFile(archive *tar.Writer, name string, content []byte, mode int64) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}
