package main

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// readinessClient returns a client for frequent requests, without a rate limit and with a short timeout.
func readinessClient(kubeconfig string) (rest.Interface, error) {
	config, err := loadKubeconfig(kubeconfig, "nats-manager-cluster")
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.Timeout = 2 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return client.Discovery().RESTClient(), nil
}

// untilUsable waits until a new pod would be admitted and scheduled: its service account exists, and the nodes are
// ready and have no taints.
func (c *controlPlane) untilUsable(ctx context.Context, client kubernetes.Interface) error {
	for {
		if hasServiceAccount(ctx, client) && haveReadyNodes(ctx, client, c.options.nodes) {
			return nil
		}
		soon, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		err := c.wait(soon)
		cancel()
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func hasServiceAccount(ctx context.Context, client kubernetes.Interface) bool {
	_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err == nil
}

func haveReadyNodes(ctx context.Context, client kubernetes.Interface, count int) bool {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	return err == nil && len(nodes.Items) == count && !slices.ContainsFunc(nodes.Items, func(node corev1.Node) bool {
		ready := slices.ContainsFunc(node.Status.Conditions, func(condition corev1.NodeCondition) bool {
			return condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue
		})
		return !ready || len(node.Spec.Taints) > 0
	})
}
