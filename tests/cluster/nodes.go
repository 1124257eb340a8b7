package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// maxNodes is the number of letters that node names end with.
	maxNodes = 26
	// kwokAnnotation marks the nodes that kwok simulates.
	kwokAnnotation = "kwok.x-k8s.io/node"
)

func createNodes(ctx context.Context, client kubernetes.Interface, nodes, zones int) error {
	for i := range nodes {
		if _, err := client.CoreV1().Nodes().Create(ctx, newNode(i, zones), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// newNode returns the i-th node. Nodes are assigned to zones in turn: node-a to zone-a, node-b to zone-b, ...
func newNode(i, zones int) *corev1.Node {
	name := "node-" + letter(i)
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("500"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{kwokAnnotation: "fake"},
			Labels: map[string]string{
				corev1.LabelHostname:       name,
				corev1.LabelTopologyZone:   "zone-" + letter(i%zones),
				corev1.LabelTopologyRegion: "local",
				corev1.LabelOSStable:       "linux",
				corev1.LabelArchStable:     "amd64",
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    resources,
			Allocatable: resources,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.20.0.%d", i+1)},
				{Type: corev1.NodeHostName, Address: name},
			},
		},
	}
}

func letter(i int) string { return string(rune('a' + i)) }
