package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

// expansionAnnotation of a StorageClass selects how its volumes expand. Tests change it while an expansion is running.
// Without it, volumes of the class never expand.
const expansionAnnotation = "nats-manager.local/expansion"

// The values of expansionAnnotation.
const (
	// expandsOnline expands volume and file system at once.
	expandsOnline = "online"
	// expandsSlowly does the same after slowExpansion.
	expandsSlowly = "slow"
	// expandsAtRestart expands the file system only when no Pod that is older than the expanded volume uses it.
	expandsAtRestart = "restart"
	// expansionFails reports that the volume cannot be expanded.
	expansionFails = "fails"
	// expansionHolds stays before the expansion of the volume.
	expansionHolds = "holds"
)

const (
	slowExpansion = 20 * time.Second
	// expansionPoll is the pause between two looks at a condition that no watched object reports.
	expansionPoll = 500 * time.Millisecond
	// expansionRetry is the pause after a failed expansion. external-resizer waits for minutes.
	expansionRetry = 5 * time.Second
	// infeasible is the cause of failed expansions.
	infeasible = "rpc error: code = OutOfRange desc = the requested size is above the maximum of the provider"
)

// expansion is the expansion of one PVC. It takes the parts of external-resizer, up to the expanded volume, and of the
// kubelet, which expands the file system.
type expansion struct {
	p      *provisioner
	name   item
	pvc    *corev1.PersistentVolumeClaim // a copy
	volume *corev1.PersistentVolume
	kind   string
}

// expand takes the next step in the expansion of a bound PVC. Its write causes the event that leads to the next one.
func (p *provisioner) expand(ctx context.Context, name item, pvc *corev1.PersistentVolumeClaim) error {
	requested, capacity := pvc.Spec.Resources.Requests.Storage(), pvc.Status.Capacity.Storage()
	if pvc.Status.Phase != corev1.ClaimBound || pvc.DeletionTimestamp != nil || requested.Cmp(*capacity) <= 0 {
		return nil
	}
	volume, err := p.volumes.Get(pvc.Spec.VolumeName)
	if err != nil || volume.Annotations[provisionedByAnnotation] != provisionerName {
		return err
	}
	class, err := p.classes.Get(volume.Spec.StorageClassName)
	if err != nil || !isExpanding(class) {
		return err
	}
	e := &expansion{p, name, pvc.DeepCopy(), volume, class.Annotations[expansionAnnotation]}
	switch pvc.Status.AllocatedResourceStatuses[corev1.ResourceStorage] {
	case corev1.PersistentVolumeClaimNodeResizePending:
		return e.mount(ctx)
	case corev1.PersistentVolumeClaimNodeResizeInProgress:
		return e.expandFileSystem(ctx)
	default:
		return e.expandVolume(ctx)
	}
}

// isExpanding returns whether volumes of a class have an own file system that can expand.
func isExpanding(class *storagev1.StorageClass) bool {
	return ptr.Deref(class.AllowVolumeExpansion, false) && class.Annotations[expansionAnnotation] != ""
}

func (e *expansion) expandVolume(ctx context.Context) error {
	requested := *e.pvc.Spec.Resources.Requests.Storage()
	allocated := e.pvc.Status.AllocatedResources.Storage()
	status := e.pvc.Status.AllocatedResourceStatuses[corev1.ResourceStorage]
	isInfeasible := status == corev1.PersistentVolumeClaimControllerResizeInfeasible
	if status == "" || allocated.Cmp(requested) != 0 || isInfeasible && e.kind != expansionFails {
		e.event(corev1.EventTypeNormal, "Resizing", "External resizer is resizing volume "+e.volume.Name)
		e.pvc.Status.AllocatedResources = corev1.ResourceList{corev1.ResourceStorage: requested}
		return e.write(ctx, corev1.PersistentVolumeClaimControllerResizeInProgress,
			condition(corev1.PersistentVolumeClaimResizing, ""))
	}
	switch e.kind {
	case expansionHolds:
		return nil // until the annotation changes
	case expansionFails:
		return e.fail(ctx, isInfeasible)
	case expandsSlowly:
		if begun := e.since(corev1.PersistentVolumeClaimResizing); time.Since(begun.Time) < slowExpansion {
			return e.later(expansionPoll)
		}
	}
	if err := e.p.folders.expand(e.volume.Name, requested.Value()); err != nil {
		return err
	}
	volume := e.volume.DeepCopy()
	volume.Spec.Capacity[corev1.ResourceStorage] = requested
	if _, err := e.p.client.CoreV1().PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{}); err != nil {
		return err
	}
	e.event(corev1.EventTypeNormal, "FileSystemResizeRequired", "Require file system resize of volume on node")
	pending := condition(corev1.PersistentVolumeClaimFileSystemResizePending,
		"Waiting for user to (re-)start a pod to finish file system resize of volume on node.")
	return e.write(ctx, corev1.PersistentVolumeClaimNodeResizePending, pending)
}

// fail reports a failure: every time as an event, and in the status.
func (e *expansion) fail(ctx context.Context, isReported bool) error {
	if rest := expansionRetry - time.Since(e.p.failed[e.pvc.UID]); isReported && rest > 0 {
		return e.later(rest)
	}
	e.p.failed[e.pvc.UID] = time.Now()
	e.event(corev1.EventTypeWarning, "VolumeResizeFailed",
		fmt.Sprintf("resize volume %q by resizer %q failed: %s", e.volume.Name, provisionerName, infeasible))
	if err := e.later(expansionRetry); err != nil || isReported {
		return err
	}
	return e.write(ctx, corev1.PersistentVolumeClaimControllerResizeInfeasible,
		condition(corev1.PersistentVolumeClaimResizing, ""),
		condition(corev1.PersistentVolumeClaimControllerResizeError, "failed to expand pvc with "+infeasible))
}

// mount waits until the file system may expand.
func (e *expansion) mount(ctx context.Context) error {
	if e.kind == expandsAtRestart {
		pods, err := e.p.pods.Pods(e.pvc.Namespace).List(labels.Everything())
		if err != nil {
			return err
		}
		since := e.since(corev1.PersistentVolumeClaimFileSystemResizePending)
		if slices.ContainsFunc(pods, func(pod *corev1.Pod) bool {
			return usesPVC(pod, e.pvc.Name) && pod.CreationTimestamp.Before(&since)
		}) {
			return e.later(expansionPoll)
		}
	}
	return e.write(ctx, corev1.PersistentVolumeClaimNodeResizeInProgress, e.pvc.Status.Conditions...)
}

func (e *expansion) expandFileSystem(ctx context.Context) error {
	size := *e.pvc.Status.AllocatedResources.Storage()
	if err := e.p.folders.expandFileSystem(e.volume.Name, size.Value()); err != nil {
		return err
	}
	e.pvc.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: size}
	return e.write(ctx, "")
}

// write writes the status with these conditions only.
func (e *expansion) write(
	ctx context.Context, status corev1.ClaimResourceStatus, conditions ...corev1.PersistentVolumeClaimCondition,
) error {
	e.pvc.Status.AllocatedResourceStatuses = nil
	if status != "" {
		e.pvc.Status.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{
			corev1.ResourceStorage: status,
		}
	}
	e.pvc.Status.Conditions = conditions
	_, err := e.p.client.CoreV1().PersistentVolumeClaims(e.pvc.Namespace).UpdateStatus(ctx, e.pvc, metav1.UpdateOptions{})
	return err
}

func (e *expansion) event(kind, reason, message string) {
	e.p.recorder.Event(e.pvc, kind, reason, message)
}

func (e *expansion) later(pause time.Duration) error {
	e.p.queue.AddAfter(e.name, pause)
	return nil
}

// since returns the time of a condition.
func (e *expansion) since(kind corev1.PersistentVolumeClaimConditionType) metav1.Time {
	for _, condition := range e.pvc.Status.Conditions {
		if condition.Type == kind {
			return condition.LastTransitionTime
		}
	}
	return metav1.Time{}
}

func condition(
	kind corev1.PersistentVolumeClaimConditionType, message string,
) corev1.PersistentVolumeClaimCondition {
	return corev1.PersistentVolumeClaimCondition{
		Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(), Message: message,
	}
}

func usesPVC(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(volume corev1.Volume) bool {
		return volume.PersistentVolumeClaim != nil && volume.PersistentVolumeClaim.ClaimName == name
	})
}

// capacityOf returns the capacity of a volume.
func capacityOf(volume *corev1.PersistentVolume) resource.Quantity {
	return volume.Spec.Capacity[corev1.ResourceStorage]
}
