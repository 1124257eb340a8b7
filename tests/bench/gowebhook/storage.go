package main

import (
	"fmt"
	"strings"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	leastStore   = 1 << 20
	unusualStore = 16 << 20
	highShare    = 80
	tooSmall     = "is too small for a store"
	immutable    = "fileStorage is immutable once it was set"
	defaultClass = "default"
)

var (
	storesPath    = field.NewPath("spec", "jetStream")
	filePath      = storesPath.Child("fileStorage")
	fileSizePath  = filePath.Child("size")
	classPath     = filePath.Child("storageClassName")
	memoryPath    = storesPath.Child("memStorage", "size")
	defaultMemory = resource.MustParse("1Gi")
)

func checkStorage(spec *v1alpha1.NATSSpec, found *findings) {
	file := fileStore(spec)
	if !isTrue(file.Enabled) && memoryStore(spec) == nil {
		found.reject(field.Invalid(storesPath, "object", "at least one of fileStorage and memStorage must be enabled"))
	}
	checkMemoryStore(spec, found)
	if !isTrue(file.Enabled) {
		found.warn(filePath, "is off: streams are kept in memory and do not outlive the pods; streams in files fail, "+
			"so Eventing does not work, whose stream sap is one")
		return
	}
	if isSet(file.Size) {
		checkStoreSize(fileSizePath, file.Size, found)
	}
	if name := className(file); name != defaultClass {
		if messages := validation.IsDNS1123Subdomain(name); len(messages) > 0 {
			found.reject(field.Invalid(classPath, name, "must be the name of a StorageClass"))
		}
	}
}

func checkMemoryStore(spec *v1alpha1.NATSSpec, found *findings) {
	store := memStore(spec)
	size := memorySize(spec)
	if isTrue(store.Enabled) && size.IsZero() {
		found.warn(memoryPath, "0 turns the memory store off: streams in memory fail; omit it for the default 1Gi, or "+
			"set spec.jetStream.memStorage.enabled to false")
		return
	}
	if !isTrue(store.Enabled) {
		checkWholeBytes(memoryPath, &size, found)
		return
	}
	if !checkStoreSize(memoryPath, &size, found) {
		return
	}
	limit := memoryLimit(spec)
	if limit == nil {
		return
	}
	if size.Cmp(*limit) > 0 {
		found.reject(field.Invalid(memoryPath, size.String(),
			fmt.Sprintf("must not be more than the memory limit %s in spec.resources.limits.memory", limit)))
	} else if size.Value() > limit.Value()/100*highShare && (size.Cmp(defaultMemory) != 0 || limit.Cmp(defaultMemory) != 0) {
		found.warn(memoryPath, fmt.Sprintf("%s is above %d%% of the memory limit %s", size.String(), highShare, limit))
	}
}

// checkStoreSize returns whether the size is a number of bytes that is not negative.
func checkStoreSize(path *field.Path, size *resource.Quantity, found *findings) bool {
	if size.Sign() < 0 || !checkWholeBytes(path, size, found) {
		if size.Sign() < 0 {
			found.reject(field.Invalid(path, size.String(), "must not be negative"))
		}
		return size.Sign() >= 0
	}
	if size.Value() < leastStore {
		hint := ""
		if number := size.Value(); number < 100 {
			hint = fmt.Sprintf("; did you mean %dGi?", number)
		} else if number < 1<<16 {
			hint = fmt.Sprintf("; did you mean %dMi?", number)
		}
		found.reject(field.Invalid(path, size.Value(), tooSmall+"; use at least 1Mi"+hint))
	} else if size.Value() < unusualStore {
		found.warn(path, size.String()+" is unusually small for a store")
	}
	return true
}

func checkWholeBytes(path *field.Path, size *resource.Quantity, found *findings) bool {
	if isWhole(size) {
		return true
	}
	found.reject(field.Invalid(path, size.String(), "must be a whole number of bytes"))
	return false
}

func checkStorageChange(old, spec *v1alpha1.NATSSpec, found *findings) {
	before, after := fileStore(old), fileStore(spec)
	if isTrue(before.Enabled) != isTrue(after.Enabled) {
		found.reject(field.Invalid(filePath.Child("enabled"), isTrue(after.Enabled), immutable))
	}
	if className(before) != className(after) {
		found.reject(field.Invalid(classPath, className(after), immutable))
	}
	if isSet(before.Size) && (!isSet(after.Size) || after.Size.Cmp(*before.Size) < 0) {
		found.reject(field.Invalid(fileSizePath, quantityText(after.Size), immutable+", but its size can grow"))
	}
}

// isEased returns whether a violation is no worse than before the change.
func isEased(violation *field.Error, old, spec *v1alpha1.NATSSpec) bool {
	switch {
	case violation.Field == fileSizePath.String() && strings.HasPrefix(violation.Detail, tooSmall):
		before, after := fileStore(old).Size, fileStore(spec).Size
		return isSet(before) && after != nil && after.Cmp(*before) >= 0
	case violation.Field == memoryPath.String() && strings.HasPrefix(violation.Detail, tooSmall):
		before, after := memorySize(old), memorySize(spec)
		return !before.IsZero() && after.Cmp(before) >= 0
	case violation.Field == memoryPath.String():
		before, after := memorySize(old), memorySize(spec)
		limitBefore, limitAfter := memoryLimit(old), memoryLimit(spec)
		return isTrue(memStore(old).Enabled) == isTrue(memStore(spec).Enabled) && before.Cmp(after) == 0 &&
			limitBefore != nil && limitAfter != nil && limitAfter.Cmp(*limitBefore) >= 0
	}
	return false
}

func fileStore(spec *v1alpha1.NATSSpec) v1alpha1.FileStorageSpec {
	if spec.JetStream == nil || spec.JetStream.FileStorage == nil {
		return v1alpha1.FileStorageSpec{}
	}
	return *spec.JetStream.FileStorage
}

func memStore(spec *v1alpha1.NATSSpec) v1alpha1.MemStorageSpec {
	if spec.JetStream == nil || spec.JetStream.MemStorage == nil {
		return v1alpha1.MemStorageSpec{}
	}
	return *spec.JetStream.MemStorage
}

func memorySize(spec *v1alpha1.NATSSpec) resource.Quantity {
	if size := memStore(spec).Size; size != nil {
		return *size
	}
	return defaultMemory
}

// memoryStore returns the size of the memory store, nil if it is off.
func memoryStore(spec *v1alpha1.NATSSpec) *resource.Quantity {
	size := memorySize(spec)
	if !isTrue(memStore(spec).Enabled) || size.IsZero() {
		return nil
	}
	return &size
}

func className(store v1alpha1.FileStorageSpec) string {
	if store.StorageClassName == nil || *store.StorageClassName == "" {
		return defaultClass
	}
	return *store.StorageClassName
}

// isWhole returns whether the quantity has no fraction.
func isWhole(quantity *resource.Quantity) bool {
	return quantity.Cmp(*resource.NewQuantity(quantity.Value(), quantity.Format)) == 0
}

func quantityText(quantity *resource.Quantity) string {
	if quantity == nil {
		return "0"
	}
	return quantity.String()
}
