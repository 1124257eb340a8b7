package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const hugePages = "hugepages-"

var (
	resourcesPath = field.NewPath("spec", "resources")
	native        = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}
	defaultLimits = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("1Gi"),
	}
	leastLimits = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
	}
	unusualLimits = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
	}
)

func checkResources(spec *v1alpha1.NATSSpec, found *findings) {
	given := spec.Resources
	if given == nil {
		return
	}
	if len(given.Claims) > 0 {
		found.reject(field.Forbidden(resourcesPath.Child("claims"), "the Pods have no resourceClaims to refer to; remove it"))
	}
	limits, requests := resourcesPath.Child("limits"), resourcesPath.Child("requests")
	tooMany := rejectTooMany(limits, len(given.Limits), found)
	if rejectTooMany(requests, len(given.Requests), found) || tooMany {
		return
	}
	limitAmounts := checkAmounts(limits, given.Limits, found)
	requestAmounts := checkAmounts(requests, given.Requests, found)
	checkLimits(limits, limitAmounts, found)
	for _, name := range sortedNames(requestAmounts) {
		request, path := requestAmounts[name], requests.Child(string(name))
		limit, limited := limitAmounts[name]
		switch {
		case limited && isUnlimited(name, limit):
		case limited && request.Cmp(limit) > 0:
			found.reject(field.Invalid(path, request.String(),
				fmt.Sprintf("must not be more than the limit %s%s", limit.String(), origin(limits, name, limit))))
		case limited && request.Cmp(limit) != 0 && !slices.Contains(native, name):
			found.reject(field.Invalid(path, request.String(),
				fmt.Sprintf("must equal the limit %s: Kubernetes does not overcommit %s", limit.String(), name)))
		case !limited && !slices.Contains(native, name):
			found.reject(field.Invalid(path, request.String(),
				fmt.Sprintf("needs a limit of the same amount: Kubernetes does not overcommit %s", name)))
		}
	}
}

// origin explains a limit that equals the default: it may be stored although no apply set it.
func origin(limits *field.Path, name corev1.ResourceName, limit resource.Quantity) string {
	if standard, ok := defaultLimits[name]; ok && standard.Cmp(limit) == 0 {
		return fmt.Sprintf(", which is the default that is stored if no resources are set; set %s too", limits.Child(string(name)))
	}
	return ""
}

// checkLimits checks limits that are likely mistakes.
func checkLimits(limits *field.Path, amounts corev1.ResourceList, found *findings) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		amount, ok := amounts[name]
		if !ok {
			continue
		}
		path, least, unusual := limits.Child(string(name)), leastLimits[name], unusualLimits[name]
		switch {
		case isUnlimited(name, amount):
			if name == corev1.ResourceMemory {
				found.warn(path, "0 means no limit: a server can take all memory of its node")
			}
		case amount.Cmp(least) < 0:
			found.reject(field.Invalid(path, amount.String(), fmt.Sprintf(
				"is too little for a NATS server; use at least %s, or 0 for no limit", least.String())))
		case amount.Cmp(unusual) < 0:
			found.warn(path, amount.String()+" is unusually little")
		}
	}
}

// checkAmounts returns those resources whose amounts can be compared with others.
func checkAmounts(path *field.Path, given corev1.ResourceList, found *findings) corev1.ResourceList {
	amounts := corev1.ResourceList{}
	for _, name := range sortedNames(given) {
		amount, path := given[name], path.Child(string(name))
		if !isContainerResource(string(name)) {
			found.reject(field.Invalid(path, amount.String(), "is no resource of a container: use cpu, memory, "+
				"ephemeral-storage, hugepages-<size>, or a name with a domain"))
			continue
		}
		if amount.Sign() < 0 {
			found.reject(field.Invalid(path, amount.String(), "must not be negative"))
			continue
		}
		page, isHuge := strings.CutPrefix(string(name), hugePages)
		if name != corev1.ResourceCPU && !isWhole(&amount) {
			unit := "number"
			if slices.Contains(native, name) || isHuge {
				unit = "number of bytes"
			}
			found.reject(field.Invalid(path, amount.String(), "must be a whole "+unit))
		} else if isHuge {
			if size := resource.MustParse(page); amount.Value()%size.Value() != 0 {
				found.reject(field.Invalid(path, amount.String(), "must be a multiple of "+page))
			}
		}
		amounts[name] = amount
	}
	return amounts
}

func isContainerResource(name string) bool {
	if slices.Contains(native, corev1.ResourceName(name)) {
		return true
	}
	if page, ok := strings.CutPrefix(name, hugePages); ok {
		size, err := resource.ParseQuantity(page)
		return err == nil && size.Value() > 0
	}
	domain, _, ok := strings.Cut(name, "/")
	return ok && len(validation.IsQualifiedName(name)) == 0 && domain != "kubernetes.io" &&
		!strings.HasSuffix(domain, ".kubernetes.io") && !strings.HasPrefix(name, "requests.")
}

func isUnlimited(name corev1.ResourceName, limit resource.Quantity) bool {
	return (name == corev1.ResourceCPU || name == corev1.ResourceMemory) && limit.IsZero()
}

// memoryLimit returns the limit of a server: the given one, else the larger of the default and the request; nil if
// there is no limit.
func memoryLimit(spec *v1alpha1.NATSSpec) *resource.Quantity {
	limit := defaultLimits[corev1.ResourceMemory]
	if spec.Resources == nil {
		return &limit
	}
	if given, ok := spec.Resources.Limits[corev1.ResourceMemory]; ok {
		if given.IsZero() || given.Sign() < 0 {
			return nil
		}
		return &given
	}
	if request, ok := spec.Resources.Requests[corev1.ResourceMemory]; ok && request.Cmp(limit) > 0 {
		return &request
	}
	return &limit
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(list))
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
