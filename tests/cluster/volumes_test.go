package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func pvcNamed(name string, annotations map[string]string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}}
}

func TestVolumeWaitsForTheScheduler(t *testing.T) {
	class := &storagev1.StorageClass{VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer)}
	nodes := []*corev1.Node{newNode(0, 3), newNode(1, 3), newNode(2, 3)}
	if got := selectedNode(pvcNamed("data-nats-0", nil), class, nodes); got != "" {
		t.Errorf("placed on %s before the scheduler said so", got)
	}
	selected := map[string]string{selectedNodeAnnotation: "node-b"}
	if got := selectedNode(pvcNamed("data-nats-0", selected), class, nodes); got != "node-b" {
		t.Errorf("placed on %q instead of node-b", got)
	}
}

func TestImmediateVolumesOfAStatefulSetAreSpread(t *testing.T) {
	class := &storagev1.StorageClass{VolumeBindingMode: ptr.To(storagev1.VolumeBindingImmediate)}
	nodes := []*corev1.Node{newNode(0, 3), newNode(1, 3), newNode(2, 3)}
	zones := map[string]bool{}
	for _, name := range []string{"data-nats-0", "data-nats-1", "data-nats-2"} {
		zones[selectedNode(pvcNamed(name, nil), class, nodes)] = true
	}
	if len(zones) != 3 {
		t.Errorf("three PVCs are in %d zones", len(zones))
	}
}

func TestVolumeIsBoundToItsPVCAndZone(t *testing.T) {
	pvc := pvcNamed("data-nats-0", nil)
	pvc.Namespace, pvc.UID = "default", "1234"
	volume := newVolume(pvc, &storagev1.StorageClass{}, newNode(4, 3), "/volumes")
	if ref := volume.Spec.ClaimRef; ref.UID != pvc.UID || ref.Namespace != "default" || ref.Name != "data-nats-0" {
		t.Errorf("claimRef is %v", ref)
	}
	zone := volume.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0]
	if zone != "zone-b" {
		t.Errorf("in %s instead of zone-b", zone)
	}
	if volume.Spec.HostPath.Path != "/volumes/pvc-1234" {
		t.Errorf("path is %s", volume.Spec.HostPath.Path)
	}
}
