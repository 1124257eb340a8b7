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
	// The annotations below are the interface between PVCs, the scheduler and external provisioners.
	selectedNodeAnnotation  = "volume.kubernetes.io/selected-node"
	provisionedByAnnotation = "pv.kubernetes.io/provisioned-by"
	defaultClassAnnotation  = "storageclass.kubernetes.io/is-default-class"
)

// createStorageClasses creates the default class and, with real nodes, a class of small volumes, which fill up quickly,
// and classes of volumes that expand, each in another way.
func createStorageClasses(ctx context.Context, client kubernetes.Interface, real bool) error {
	classes := []*storagev1.StorageClass{newStorageClass("standard", nil)}
	classes[0].Annotations = map[string]string{defaultClassAnnotation: "true"}
	if real {
		small := map[string]string{sizeParameter: "64Mi"}
		classes = append(classes, newStorageClass("small", small),
			newExpandingClass("expands-online", expandsOnline), newExpandingClass("expands-slowly", expandsSlowly),
			newExpandingClass("expands-at-restart", expandsAtRestart), newExpandingClass("expansion-fails", expansionFails))
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

// newExpandingClass returns a class whose volumes expand in a way, which is a value of expansionAnnotation.
func newExpandingClass(name, expansion string) *storagev1.StorageClass {
	class := newStorageClass(name, nil)
	class.Annotations = map[string]string{expansionAnnotation: expansion}
	class.AllowVolumeExpansion = ptr.To(true)
	return class
}

// selectedNode returns the node for the volume of a PVC: the node of its first pod, or any node if the class does not
// wait for a pod. It is empty until the scheduler has selected a node.
func selectedNode(pvc *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, nodes []*corev1.Node) string {
	if ptr.Deref(class.VolumeBindingMode, storagev1.VolumeBindingImmediate) != storagev1.VolumeBindingImmediate {
		return pvc.Annotations[selectedNodeAnnotation]
	}
	if len(nodes) == 0 {
		return ""
	}
	return nodes[spread(pvc.Name)%len(nodes)].Name
}

// spread returns the index of the node for a PVC: PVCs of one StatefulSet are on successive nodes, as with real
// provisioners.
func spread(pvc string) int {
	base, ordinal := pvc, 0
	if i := strings.LastIndexByte(pvc, '-'); i >= 0 {
		if n, err := strconv.ParseUint(pvc[i+1:], 10, 16); err == nil {
			base, ordinal = pvc[:i], int(n)
		}
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(base))
	return int(hash.Sum32()>>1) + ordinal
}

// newVolume returns the volume for a PVC: a folder below root, reachable in the zone of the node.
func newVolume(
	pvc *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node *corev1.Node, root string,
) *corev1.PersistentVolume {
	name := fmt.Sprintf("pvc-%s", pvc.UID)
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{provisionedByAnnotation: provisionerName},
		},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: pvc.Spec.AccessModes,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: pvc.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: pvc.Namespace, Name: pvc.Name, UID: pvc.UID, ResourceVersion: pvc.ResourceVersion,
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
			VolumeMode:                    pvc.Spec.VolumeMode,
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: filepath.Join(root, name),
				Type: ptr.To(corev1.HostPathDirectoryOrCreate),
			}},
		},
	}
}
