package main

import (
	"context"
	"fmt"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	allowedName      = "eventing-nats"
	allowedNamespace = "kyma-system"
)

// Validator rejects specs that break a rule.
type Validator struct{}

// Defaulter fills in the default that depends on the stored resource: the size of the file store.
type Defaulter struct{}

// ValidateCreate checks a new resource.
func (Validator) ValidateCreate(_ context.Context, object runtime.Object) (admission.Warnings, error) {
	nats, err := typed(object)
	if err != nil {
		return nil, err
	}
	if nats.Name != allowedName || nats.Namespace != allowedNamespace {
		message := fmt.Errorf("only a single NATS CR with name: %s and namespace: %s is allowed to be created",
			allowedName, allowedNamespace)
		resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "nats"}
		return nil, apierrors.NewForbidden(resource, nats.Name, message)
	}
	return result(nats.Name, check(&nats.Spec))
}

// ValidateUpdate checks a change of a resource.
func (Validator) ValidateUpdate(_ context.Context, oldObject, newObject runtime.Object) (admission.Warnings, error) {
	old, err := typed(oldObject)
	if err != nil {
		return nil, err
	}
	nats, err := typed(newObject)
	if err != nil {
		return nil, err
	}
	return result(nats.Name, checkUpdate(old, nats))
}

// ValidateDelete allows every deletion.
func (Validator) ValidateDelete(context.Context, runtime.Object) (admission.Warnings, error) {
	return nil, nil
}

// Default fills in the size of the file store.
func (Defaulter) Default(ctx context.Context, object runtime.Object) error {
	nats, err := typed(object)
	if err != nil {
		return err
	}
	if nats.Spec.JetStream == nil {
		nats.Spec.JetStream = &v1alpha1.JetStreamSpec{}
	}
	if nats.Spec.JetStream.FileStorage == nil {
		nats.Spec.JetStream.FileStorage = &v1alpha1.FileStorageSpec{}
	}
	store := nats.Spec.JetStream.FileStorage
	if !isTrue(store.Enabled) || isSet(store.Size) {
		return nil
	}
	size := resource.MustParse("1Gi")
	if before, ok := storedSize(ctx); ok {
		size = before
	}
	store.Size = &size
	return nil
}

// storedSize returns the size that the stored resource has, if it has one.
func storedSize(ctx context.Context) (resource.Quantity, bool) {
	request, err := admission.RequestFromContext(ctx)
	if err != nil || len(request.OldObject.Raw) == 0 {
		return resource.Quantity{}, false
	}
	var old v1alpha1.NATS
	if err := decode(request.OldObject.Raw, &old); err != nil {
		return resource.Quantity{}, false
	}
	size := fileStore(&old.Spec).Size
	if !isSet(size) || size.Sign() < 0 {
		return resource.Quantity{}, false
	}
	return *size, true
}

func typed(object runtime.Object) (*v1alpha1.NATS, error) {
	nats, ok := object.(*v1alpha1.NATS)
	if !ok {
		return nil, fmt.Errorf("expected a NATS resource, got %T", object)
	}
	return nats, nil
}

func result(name string, found findings) (admission.Warnings, error) {
	if len(found.violations) == 0 {
		return found.warnings, nil
	}
	kind := v1alpha1.GroupVersion.WithKind("NATS").GroupKind()
	return found.warnings, apierrors.NewInvalid(kind, name, field.ErrorList(found.violations))
}
