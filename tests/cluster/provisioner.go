package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// provisioner creates a volume for each PVC of its classes, expands it and deletes released volumes, as the volume driver
// of a real cluster does.
type provisioner struct {
	client  kubernetes.Interface
	folders volumeFolders
	pvcs    corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	nodes   corelisters.NodeLister
	pods    corelisters.PodLister
	classes storagelisters.StorageClassLister
	// recorder writes the events of PVCs.
	recorder record.EventRecorder
	// failed has the time of the last failed expansion by the UID of the PVC.
	failed map[types.UID]time.Time
	queue  workqueue.TypedRateLimitingInterface[item]
}

// item is the name of a PVC, or of a volume if it has no namespace.
type item = cache.ObjectName

// startProvisioner runs a provisioner until ctx ends.
func startProvisioner(ctx context.Context, client kubernetes.Interface, folders volumeFolders) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	pvcs, volumes, nodes := core.PersistentVolumeClaims(), core.PersistentVolumes(), core.Nodes()
	events := record.NewBroadcaster(record.WithContext(ctx))
	events.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: client.CoreV1().Events("")})
	classes := factory.Storage().V1().StorageClasses()
	p := &provisioner{
		client:   client,
		folders:  folders,
		pvcs:     pvcs.Lister(),
		volumes:  volumes.Lister(),
		nodes:    nodes.Lister(),
		pods:     core.Pods().Lister(),
		classes:  classes.Lister(),
		failed:   map[types.UID]time.Time{},
		recorder: events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "external-resizer " + provisionerName}),
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[item]()),
	}
	handlers := map[cache.SharedIndexInformer]func(object any){
		pvcs.Informer():    p.enqueue,
		volumes.Informer(): p.enqueue,
		classes.Informer(): p.enqueuePVCs,
		nodes.Informer():   p.enqueuePVCs,
	}
	for informer, handle := range handlers {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    handle,
			UpdateFunc: func(_, object any) { handle(object) },
		}); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return errors.New("the volume provisioner's caches did not sync")
		}
	}
	go func() {
		<-ctx.Done()
		p.queue.ShutDown()
	}()
	go p.run(ctx)
	return nil
}

func (p *provisioner) enqueue(object any) {
	if name, err := cache.ObjectToName(object); err == nil {
		p.queue.Add(name)
	}
}

// enqueuePVCs enqueues all PVCs: one of them may wait for a class or a node that was created.
func (p *provisioner) enqueuePVCs(any) {
	pvcs, _ := p.pvcs.List(labels.Everything())
	for _, pvc := range pvcs {
		p.enqueue(pvc)
	}
}

func (p *provisioner) run(ctx context.Context) {
	for {
		name, shutdown := p.queue.Get()
		if shutdown {
			return
		}
		if err := p.sync(ctx, name); err != nil {
			utilruntime.HandleErrorWithContext(ctx, err, "Volume provisioner will try again", "object", name)
			p.queue.AddRateLimited(name)
		} else {
			p.queue.Forget(name)
		}
		p.queue.Done(name)
	}
}

func (p *provisioner) sync(ctx context.Context, name item) error {
	var err error
	if name.Namespace == "" {
		err = p.deleteReleased(ctx, name.Name)
	} else {
		err = p.provision(ctx, name)
	}
	if apierrors.IsNotFound(err) {
		return nil // deleted, or not in the cache yet: the next event enqueues it
	}
	return err
}

func (p *provisioner) provision(ctx context.Context, name item) error {
	pvc, err := p.pvcs.PersistentVolumeClaims(name.Namespace).Get(name.Name)
	if err == nil && pvc.Spec.VolumeName != "" {
		return p.expand(ctx, name, pvc)
	}
	if err != nil || pvc.Spec.StorageClassName == nil || pvc.DeletionTimestamp != nil {
		return err
	}
	class, err := p.classes.Get(*pvc.Spec.StorageClassName)
	if err != nil || class.Provisioner != provisionerName {
		return err
	}
	node, err := p.place(pvc, class)
	if err != nil || node == nil {
		return err
	}
	volume := newVolume(pvc, class, node, p.folders.root)
	if err := p.folders.create(volume, class); err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// place returns the node for the volume of a PVC; nil until the scheduler has selected one.
func (p *provisioner) place(pvc *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) (*corev1.Node, error) {
	nodes, err := p.nodes.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	name := selectedNode(pvc, class, nodes)
	if name == "" {
		return nil, nil
	}
	return p.nodes.Get(name)
}

func (p *provisioner) deleteReleased(ctx context.Context, name string) error {
	volume, err := p.volumes.Get(name)
	if err != nil || volume.Annotations[provisionedByAnnotation] != provisionerName ||
		volume.Status.Phase != corev1.VolumeReleased || volume.DeletionTimestamp != nil ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return err
	}
	if err := p.folders.delete(name); err != nil {
		return err
	}
	return p.client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{})
}
