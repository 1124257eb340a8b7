package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// startEtcd runs etcd and waits until it responds. Data of one run does not have to be durable.
func (c *controlPlane) startEtcd(ctx context.Context) error {
	return c.runOnFreePort(ctx, func(port int) (*process, error) {
		c.etcdPort = port
		return c.run("etcd",
			"--name="+etcdName(),
			"--initial-cluster="+etcdName()+"=http://localhost:2380", // etcd's default address, which no client uses
			"--data-dir="+c.home.file("etcd"),
			"--listen-client-urls="+c.etcdURL(),
			"--advertise-client-urls="+c.etcdURL(),
			"--listen-peer-urls=http://127.0.0.1:0",
			"--unsafe-no-fsync",
			"--log-level=warn",
		)
	}, c.etcdAnswers)
}

// etcdAnswers reports whether the etcd of this control plane serves, rather than that of another one on the same port.
func (c *controlPlane) etcdAnswers(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(
		ctx, http.MethodPost, c.etcdURL()+"/v3/cluster/member/list", strings.NewReader("{}"))
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	members, err := io.ReadAll(response.Body)
	return err == nil && bytes.Contains(members, []byte(`"`+etcdName()+`"`))
}

func etcdName() string { return fmt.Sprintf("etcd-%d", os.Getpid()) }

func (c *controlPlane) etcdURL() string {
	return fmt.Sprintf("http://127.0.0.1:%d", c.etcdPort)
}
