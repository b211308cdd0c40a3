package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Pods may take their GPUs by resource claims (DRA) instead of the extended
// resource: a ResourceClaimTemplate says how many devices of which class each
// pod gets. A claim that several pods share, or one for all devices of a node,
// says no number of GPUs of a replica, which is then not known.

var claimTemplateKind = schema.GroupVersionKind{Group: "resource.k8s.io", Version: "v1", Kind: "ResourceClaimTemplate"}

// gpuDeviceClass is the class of whole GPUs of NVIDIA's driver.
const gpuDeviceClass = "gpu.nvidia.com"

// claimTemplate is what is read of a ResourceClaimTemplate.
type claimTemplate struct {
	Spec struct {
		Spec struct {
			Devices struct {
				Requests []struct {
					Name    string `json:"name"`
					Exactly *struct {
						DeviceClassName string `json:"deviceClassName"`
						AllocationMode  string `json:"allocationMode"`
						Count           *int64 `json:"count"`
						AdminAccess     bool   `json:"adminAccess"`
					} `json:"exactly"`
					FirstAvailable []map[string]any `json:"firstAvailable"`
				} `json:"requests"`
			} `json:"devices"`
		} `json:"spec"`
	} `json:"spec"`
}

// gpus is how many GPUs a claim of the template takes.
func (t *claimTemplate) gpus() (int, error) {
	total := int64(0)
	for _, r := range t.Spec.Spec.Devices.Requests {
		switch {
		case len(r.FirstAvailable) > 0:
			return 0, fmt.Errorf("its request %q leaves a choice of devices", r.Name)
		case r.Exactly == nil || r.Exactly.DeviceClassName != gpuDeviceClass:
		case r.Exactly.AdminAccess: // it looks at devices and takes none
		case r.Exactly.AllocationMode != "" && r.Exactly.AllocationMode != "ExactCount":
			return 0, fmt.Errorf("its request %q is for mode %s", r.Name, r.Exactly.AllocationMode)
		case r.Exactly.Count == nil:
			total++
		default:
			total += min(max(0, *r.Exactly.Count), maxGPUs)
		}
	}
	return int(total), nil
}

// claims reads templates of one namespace, each once.
type claims struct {
	w         *Workload
	namespace string
	now       time.Time
	known     map[string]int
}

// of is how many GPUs a pod takes by claims. An *unknownClaimError says that
// nobody can tell; any other that the API server could not be asked.
func (c *claims) of(ctx context.Context, spec *corev1.PodSpec) (int, error) {
	total := 0
	for i := range spec.ResourceClaims {
		claim := &spec.ResourceClaims[i]
		switch {
		case claim.ResourceClaimTemplateName != nil:
			n, err := c.template(ctx, *claim.ResourceClaimTemplateName)
			if err != nil {
				return 0, err
			}
			total += n
		case claim.ResourceClaimName != nil:
			return 0, &unknownClaimError{fmt.Sprintf("ResourceClaim %s may be shared", *claim.ResourceClaimName)}
		}
	}
	return total, nil
}

func (c *claims) template(ctx context.Context, name string) (int, error) {
	if n, ok := c.known[name]; ok {
		return n, nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(claimTemplateKind)
	what := "ResourceClaimTemplate " + c.namespace + "/" + name
	found, err := c.w.getOptional(ctx, c.now, client.ObjectKey{Namespace: c.namespace, Name: name}, u)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", what, err)
	}
	if !found {
		return 0, &unknownClaimError{what + " does not exist, or may not be read"}
	}
	t := &claimTemplate{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, t); err != nil {
		return 0, &unknownClaimError{what + " cannot be understood: " + err.Error()}
	}
	n, err := t.gpus()
	if err != nil {
		return 0, &unknownClaimError{what + ": " + err.Error()}
	}
	c.known[name] = n
	return n, nil
}

// claims reports whether pods of the scaled roles take GPUs by claims.
func (s *sight) claims() bool {
	for _, r := range scaledRoles {
		if slices.ContainsFunc(s.views[r].shape.specs, func(one claimingPods) bool { return len(one.spec.ResourceClaims) > 0 }) {
			return true
		}
	}
	return slices.ContainsFunc(s.members, func(m member) bool { return m.claimed > 0 })
}

// unknownClaimError says why the GPUs of a claim are not known.
type unknownClaimError struct{ why string }

func (e *unknownClaimError) Error() string { return e.why }

// addClaims counts what templates and pods take by claims. Where that is not
// known the role is held: its GPUs cannot be counted against the budget.
func (w *Workload) addClaims(ctx context.Context, t Target, now time.Time, s *sight) error {
	c := &claims{w: w, namespace: t.Namespace, now: now, known: map[string]int{}}
	unknown := map[string]string{}
	for i := range s.members {
		m := &s.members[i]
		n, err := c.of(ctx, &m.Spec)
		if why := new(unknownClaimError); errors.As(err, &why) {
			unknown[m.role] = why.why
		} else if err != nil {
			return err
		}
		m.claimed = n
	}
	for _, r := range scaledRoles {
		view := s.views[r]
		for i := range view.shape.specs {
			one := &view.shape.specs[i]
			n, err := c.of(ctx, one.spec)
			if why := new(unknownClaimError); errors.As(err, &why) {
				unknown[view.name] = why.why
			} else if err != nil {
				return err
			}
			view.shape.gpus += one.pods * n
		}
		if why := unknown[view.name]; why != "" && view.missing == "" {
			view.shape.gpus = 0
			view.unknownPods = fmt.Sprintf("how many GPUs %s takes is not known: %s", view.name, why)
			view.problem(ProblemGPUsUnknown, view.unknownPods)
		}
	}
	return nil
}
