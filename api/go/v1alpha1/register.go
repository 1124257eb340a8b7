// Package v1alpha1 contains the Go types of the NATS resource, operator.kyma-project.io/v1alpha1.
//
// They are generated from the CustomResourceDefinition. In the spec, a field that is not set is nil or absent, so that
// the API server sets its default. Quantities of the same value are equal: 2048Mi becomes 2Gi.
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of the resource.
	GroupVersion = schema.GroupVersion{Group: "operator.kyma-project.io", Version: "v1alpha1"}

	// GroupVersionResource is the resource for dynamic clients.
	GroupVersionResource = GroupVersion.WithResource("nats")

	// SchemeBuilder collects the functions that add the types to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addTypes)

	// AddToScheme adds the types to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &NATS{}, &NATSList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
