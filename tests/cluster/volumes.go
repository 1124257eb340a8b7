package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

const (
	provisionerName = "nats-manager.local/fake"
	// The names below are the contract between claims, the scheduler and provisioners outside of Kubernetes.
	selectedNodeAnnotation  = "volume.kubernetes.io/selected-node"
	provisionedByAnnotation = "pv.kubernetes.io/provisioned-by"
	defaultClassAnnotation  = "storageclass.kubernetes.io/is-default-class"
)

// createStorageClasses makes the default class and, where volumes hold data, one of volumes that are soon full.
func createStorageClasses(ctx context.Context, client kubernetes.Interface, real bool) error {
	classes := []*storagev1.StorageClass{newStorageClass("standard", nil)}
	classes[0].Annotations = map[string]string{defaultClassAnnotation: "true"}
	if real {
		small := map[string]string{sizeParameter: "64Mi"}
		classes = append(classes, newStorageClass("small", small))
	}
	for _, class := range classes {
		if _, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func newStorageClass(name string, parameters map[string]string) *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta:        metav1.ObjectMeta{Name: name},
		Provisioner:       provisionerName,
		Parameters:        parameters,
		ReclaimPolicy:     ptr.To(corev1.PersistentVolumeReclaimDelete),
		VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer),
	}
}

// selectedNode is where a claim's volume has to be: on the node of its first pod, or, when the class does not wait for
// one, on any. It is empty as long as that is undecided.
func selectedNode(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, nodes []*corev1.Node) string {
	if ptr.Deref(class.VolumeBindingMode, storagev1.VolumeBindingImmediate) != storagev1.VolumeBindingImmediate {
		return claim.Annotations[selectedNodeAnnotation]
	}
	if len(nodes) == 0 {
		return ""
	}
	return nodes[spread(claim.Name)%len(nodes)].Name
}

// spread puts the claims of one StatefulSet on successive nodes, as real provisioners do.
func spread(claim string) int {
	base, ordinal := claim, 0
	if i := strings.LastIndexByte(claim, '-'); i >= 0 {
		if n, err := strconv.ParseUint(claim[i+1:], 10, 16); err == nil {
			base, ordinal = claim[:i], int(n)
		}
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(base))
	return int(hash.Sum32()>>1) + ordinal
}

// newVolume is the volume for a claim: a folder below root, reachable in the zone of the node.
func newVolume(
	claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node *corev1.Node, root string,
) *corev1.PersistentVolume {
	name := fmt.Sprintf("pvc-%s", claim.UID)
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{provisionedByAnnotation: provisionerName},
		},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: claim.Spec.AccessModes,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key:      corev1.LabelTopologyZone,
						Operator: corev1.NodeSelectorOpIn,
						Values:   []string{node.Labels[corev1.LabelTopologyZone]},
					}},
				}},
			}},
			PersistentVolumeReclaimPolicy: ptr.Deref(class.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete),
			StorageClassName:              class.Name,
			VolumeMode:                    claim.Spec.VolumeMode,
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: filepath.Join(root, name),
				Type: ptr.To(corev1.HostPathDirectoryOrCreate),
			}},
		},
	}
}
