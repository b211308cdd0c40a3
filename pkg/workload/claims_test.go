package workload

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// claiming makes a pod take its GPUs by a claim of a template.
func claiming(template string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpus", ResourceClaimTemplateName: &template}}
	}
}

func TestGPUsByClaims(t *testing.T) {
	template := func(requests string) string {
		return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: gpus, namespace: default}, spec: {spec: {devices: {requests: [%s]}}}}`, requests)
	}
	const role = `standalonePattern: {template: {spec: {resourceClaims: [{name: gpus, resourceClaimTemplateName: gpus}], containers: [{name: vllm}]}}}`
	for name, tc := range map[string]struct {
		template string
		role     string
		want     string
		held     string
	}{
		"one":                  {template(`{name: a, exactly: {deviceClassName: gpu.nvidia.com}}`), role, "2 x 1: prefill-0=ready/1", ""},
		"several":              {template(`{name: a, exactly: {deviceClassName: gpu.nvidia.com, allocationMode: ExactCount, count: 4}}`), role, "2 x 4: prefill-0=ready/4", ""},
		"with a network card":  {template(`{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}, {name: b, exactly: {deviceClassName: rdma.example.com}}`), role, "2 x 2: prefill-0=ready/2", ""},
		"two pods of a leader": {template(`{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}`), `{standalonePattern: null, leaderWorkerPattern: {size: 3, template: {spec: {resourceClaims: [{name: gpus, resourceClaimTemplateName: gpus}], containers: [{name: vllm}]}}}}`, "2 x 6: prefill-0=starting/6", ""},
		"a look at all others": {template(`{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}, {name: b, exactly: {deviceClassName: gpu.nvidia.com, allocationMode: All, adminAccess: true}}`), role, "2 x 2: prefill-0=ready/2", ""},
		"all of a node":        {template(`{name: a, exactly: {deviceClassName: gpu.nvidia.com, allocationMode: All}}`), role, "2 x 0: prefill-0=ready/0", `how many GPUs prefill takes is not known: ResourceClaimTemplate default/gpus: its request "a" is for mode All`},
		"a choice":             {template(`{name: a, firstAvailable: [{name: x, deviceClassName: gpu.nvidia.com}]}`), role, "2 x 0: prefill-0=ready/0", `its request "a" leaves a choice of devices`},
		"no template":          {`{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: default}}`, role, "2 x 0: prefill-0=ready/0", "ResourceClaimTemplate default/gpus does not exist, or may not be read"},
		"a shared claim": {template(""), `standalonePattern: {template: {spec: {resourceClaims: [{name: gpus, resourceClaimName: all}], containers: [{name: vllm}]}}}`, "2 x 0: prefill-0=ready/0",
			"ResourceClaim all may be shared"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			c.add(tc.template)
			c.role("prefill", tc.role)
			c.pod("prefill", "dynamo-pd-prefill-0", claiming("gpus"))
			o := c.observe()
			if got := brief(o.Prefill); got != tc.want {
				t.Errorf("prefill %s, want %s", got, tc.want)
			}
			if !strings.Contains(o.Prefill.Held, tc.held) || (o.Prefill.Held == "") != (tc.held == "") {
				t.Errorf("held by %q, want %q", o.Prefill.Held, tc.held)
			}
			if tc.held == "" && len(o.Problems) > 0 {
				t.Errorf("problems %v", o.Problems)
			}
			if o.Decode.Held != "" || o.Decode.GPUsPerReplica != 2 {
				t.Errorf("decode: %d GPUs, held by %q", o.Decode.GPUsPerReplica, o.Decode.Held)
			}
		})
	}
}
