package main

import (
	"slices"

	"github.com/kyma-project/nats-manager/api/go/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func checkScheduling(spec *v1alpha1.NATSSpec) field.ErrorList {
	scheduling, path := spec.Scheduling, field.NewPath("spec", "scheduling")
	if scheduling == nil {
		return nil
	}
	errs := metavalidation.ValidateLabels(scheduling.NodeSelector, path.Child("nodeSelector"))
	for i, toleration := range scheduling.Tolerations {
		errs = append(errs, checkToleration(path.Child("tolerations").Index(i), &toleration)...)
	}
	if scheduling.Affinity != nil {
		errs = append(errs, checkAffinity(path.Child("affinity"), scheduling.Affinity)...)
	}
	return append(errs, checkConstraints(path.Child("topologySpreadConstraints"), scheduling.TopologySpreadConstraints)...)
}

func checkToleration(path *field.Path, toleration *corev1.Toleration) field.ErrorList {
	var errs field.ErrorList
	if toleration.Key != "" {
		errs = append(errs, metavalidation.ValidateLabelName(toleration.Key, path.Child("key"))...)
	}
	errs = append(errs, checkChoice(path.Child("effect"), toleration.Effect,
		"", corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)...)
	switch toleration.Operator {
	case corev1.TolerationOpExists:
		if toleration.Value != "" {
			errs = append(errs, field.Invalid(path.Child("value"), toleration.Value, "must be empty when `operator` is 'Exists'"))
		}
	case "", corev1.TolerationOpEqual:
		if toleration.Key == "" {
			errs = append(errs, field.Invalid(path.Child("operator"), toleration.Operator, "must be 'Exists' when `key` is empty"))
		}
		for _, message := range validation.IsValidLabelValue(toleration.Value) {
			errs = append(errs, field.Invalid(path.Child("value"), toleration.Value, message))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("operator"), toleration.Operator,
			[]corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists}))
	}
	if toleration.TolerationSeconds != nil && toleration.Effect != corev1.TaintEffectNoExecute {
		errs = append(errs, field.Invalid(path.Child("effect"), toleration.Effect, "must be 'NoExecute' when `tolerationSeconds` is set"))
	}
	return errs
}

func checkAffinity(path *field.Path, affinity *corev1.Affinity) field.ErrorList {
	var errs field.ErrorList
	if nodes := affinity.NodeAffinity; nodes != nil {
		path := path.Child("nodeAffinity")
		if required := nodes.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			terms := path.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
			if len(required.NodeSelectorTerms) == 0 {
				errs = append(errs, field.Required(terms, "must have at least one node selector term"))
			}
			for i := range required.NodeSelectorTerms {
				errs = append(errs, checkNodeTerm(terms.Index(i), &required.NodeSelectorTerms[i])...)
			}
		}
		for i, term := range nodes.PreferredDuringSchedulingIgnoredDuringExecution {
			path := path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
			errs = append(errs, checkWeight(path, term.Weight)...)
			errs = append(errs, checkNodeTerm(path.Child("preference"), &term.Preference)...)
		}
	}
	if pods := affinity.PodAffinity; pods != nil {
		errs = append(errs, checkPods(path.Child("podAffinity"), pods.RequiredDuringSchedulingIgnoredDuringExecution,
			pods.PreferredDuringSchedulingIgnoredDuringExecution)...)
	}
	if pods := affinity.PodAntiAffinity; pods != nil {
		errs = append(errs, checkPods(path.Child("podAntiAffinity"), pods.RequiredDuringSchedulingIgnoredDuringExecution,
			pods.PreferredDuringSchedulingIgnoredDuringExecution)...)
	}
	return errs
}

func checkNodeTerm(path *field.Path, term *corev1.NodeSelectorTerm) field.ErrorList {
	var errs field.ErrorList
	for i, requirement := range term.MatchExpressions {
		path := path.Child("matchExpressions").Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(requirement.Key, path.Child("key"))...)
		switch requirement.Operator {
		case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
			if len(requirement.Values) == 0 {
				errs = append(errs, field.Required(path.Child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
			}
		case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
			if len(requirement.Values) > 0 {
				errs = append(errs, field.Forbidden(path.Child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
			}
		case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
			if len(requirement.Values) != 1 {
				errs = append(errs, field.Required(path.Child("values"), "must be one value when `operator` is 'Gt' or 'Lt'"))
			}
		default:
			errs = append(errs, field.Invalid(path.Child("operator"), requirement.Operator, "not a valid selector operator"))
		}
	}
	for i, requirement := range term.MatchFields {
		path := path.Child("matchFields").Index(i)
		errs = append(errs, checkChoice(path.Child("key"), requirement.Key, metav1.ObjectNameField)...)
		errs = append(errs, checkChoice(path.Child("operator"), requirement.Operator,
			corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn)...)
		if len(requirement.Values) != 1 {
			errs = append(errs, field.Required(path.Child("values"), "must have one value"))
		}
	}
	return errs
}

func checkPods(path *field.Path, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) field.ErrorList {
	var errs field.ErrorList
	for i := range required {
		errs = append(errs, checkPodTerm(path.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i), &required[i])...)
	}
	for i := range preferred {
		path := path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		errs = append(errs, checkWeight(path, preferred[i].Weight)...)
		errs = append(errs, checkPodTerm(path.Child("podAffinityTerm"), &preferred[i].PodAffinityTerm)...)
	}
	return errs
}

func checkPodTerm(path *field.Path, term *corev1.PodAffinityTerm) field.ErrorList {
	errs := metavalidation.ValidateLabelName(term.TopologyKey, path.Child("topologyKey"))
	for _, namespace := range term.Namespaces {
		for _, message := range validation.IsDNS1123Label(namespace) {
			errs = append(errs, field.Invalid(path.Child("namespaces"), namespace, message))
		}
	}
	options := metavalidation.LabelSelectorValidationOptions{}
	errs = append(errs, metavalidation.ValidateLabelSelector(term.LabelSelector, options, path.Child("labelSelector"))...)
	return append(errs, metavalidation.ValidateLabelSelector(term.NamespaceSelector, options, path.Child("namespaceSelector"))...)
}

func checkWeight(path *field.Path, weight int32) field.ErrorList {
	if weight >= 1 && weight <= 100 {
		return nil
	}
	return field.ErrorList{field.Invalid(path.Child("weight"), weight, "must be in the range 1-100")}
}

func checkConstraints(path *field.Path, constraints []corev1.TopologySpreadConstraint) field.ErrorList {
	var errs field.ErrorList
	known := sets.New[[2]string]()
	for i := range constraints {
		constraint, path := &constraints[i], path.Index(i)
		errs = append(errs, checkConstraint(path, constraint)...)
		pair := [2]string{constraint.TopologyKey, string(constraint.WhenUnsatisfiable)}
		if known.Has(pair) {
			errs = append(errs, field.Duplicate(path.Child("topologyKey"), constraint.TopologyKey))
		}
		known.Insert(pair)
	}
	return errs
}

func checkConstraint(path *field.Path, constraint *corev1.TopologySpreadConstraint) field.ErrorList {
	var errs field.ErrorList
	if constraint.MaxSkew < 1 {
		errs = append(errs, field.Invalid(path.Child("maxSkew"), constraint.MaxSkew, "must be greater than 0"))
	}
	errs = append(errs, metavalidation.ValidateLabelName(constraint.TopologyKey, path.Child("topologyKey"))...)
	errs = append(errs, checkChoice(path.Child("whenUnsatisfiable"), constraint.WhenUnsatisfiable,
		corev1.DoNotSchedule, corev1.ScheduleAnyway)...)
	if domains := constraint.MinDomains; domains != nil {
		if *domains < 1 {
			errs = append(errs, field.Invalid(path.Child("minDomains"), *domains, "must be greater than 0"))
		} else if constraint.WhenUnsatisfiable != corev1.DoNotSchedule {
			errs = append(errs, field.Invalid(path.Child("minDomains"), *domains,
				"can only be set when `whenUnsatisfiable` is 'DoNotSchedule'"))
		}
	}
	policies := []corev1.NodeInclusionPolicy{corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore}
	if policy := constraint.NodeAffinityPolicy; policy != nil {
		errs = append(errs, checkChoice(path.Child("nodeAffinityPolicy"), *policy, policies...)...)
	}
	if policy := constraint.NodeTaintsPolicy; policy != nil {
		errs = append(errs, checkChoice(path.Child("nodeTaintsPolicy"), *policy, policies...)...)
	}
	for _, key := range constraint.MatchLabelKeys {
		errs = append(errs, metavalidation.ValidateLabelName(key, path.Child("matchLabelKeys"))...)
	}
	return append(errs, metavalidation.ValidateLabelSelector(constraint.LabelSelector,
		metavalidation.LabelSelectorValidationOptions{}, path.Child("labelSelector"))...)
}

func checkChoice[T ~string](path *field.Path, value T, choices ...T) field.ErrorList {
	if slices.Contains(choices, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, choices)}
}
