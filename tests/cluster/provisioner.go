package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// provisioner makes a volume for each claim of its classes and deletes released ones, as an external provisioner
// does beside a real cluster.
type provisioner struct {
	client  kubernetes.Interface
	folders volumeFolders
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	nodes   corelisters.NodeLister
	classes storagelisters.StorageClassLister
	queue   workqueue.TypedRateLimitingInterface[item]
}

// item is a claim, or, without a namespace, a volume.
type item = cache.ObjectName

// startProvisioner runs a provisioner until ctx ends.
func startProvisioner(ctx context.Context, client kubernetes.Interface, folders volumeFolders) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	claims, volumes, nodes := core.PersistentVolumeClaims(), core.PersistentVolumes(), core.Nodes()
	classes := factory.Storage().V1().StorageClasses()
	p := &provisioner{
		client:  client,
		folders: folders,
		claims:  claims.Lister(),
		volumes: volumes.Lister(),
		nodes:   nodes.Lister(),
		classes: classes.Lister(),
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[item]()),
	}
	handlers := map[cache.SharedIndexInformer]func(object any){
		claims.Informer():  p.enqueue,
		volumes.Informer(): p.enqueue,
		classes.Informer(): p.enqueueClaims,
		nodes.Informer():   p.enqueueClaims,
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

// enqueueClaims looks at all claims again: one of them may have waited for the class or the node that came.
func (p *provisioner) enqueueClaims(any) {
	claims, _ := p.claims.List(labels.Everything())
	for _, claim := range claims {
		p.enqueue(claim)
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
		return nil // gone, or not there yet: its next event tells
	}
	return err
}

func (p *provisioner) provision(ctx context.Context, name item) error {
	claim, err := p.claims.PersistentVolumeClaims(name.Namespace).Get(name.Name)
	if err != nil || claim.Spec.VolumeName != "" || claim.Spec.StorageClassName == nil || claim.DeletionTimestamp != nil {
		return err
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil || class.Provisioner != provisionerName {
		return err
	}
	node, err := p.place(claim, class)
	if err != nil || node == nil {
		return err
	}
	volume := newVolume(claim, class, node, p.folders.root)
	if err := p.folders.create(volume, class); err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// place is the node for the claim's volume, nil as long as the scheduler has not chosen one.
func (p *provisioner) place(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) (*corev1.Node, error) {
	nodes, err := p.nodes.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	name := selectedNode(claim, class, nodes)
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
