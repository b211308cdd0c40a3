package workload

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// labelledNode keeps a ready node of 8 GPUs.
func (c *cluster) labelledNode(name, labels, spec string) {
	c.add(fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s, labels: {%s}}, spec: {%s}, status: {allocatable: {nvidia.com/gpu: "8"}, conditions: [{type: Ready, status: "True"}]}}`, name, labels, spec))
}

// Where a role's pods may run is what its template requires: selector,
// affinity and tolerations.
func TestPlacement(t *testing.T) {
	for name, tc := range map[string]struct {
		template string // fields of decode's pod spec
		free     bool   // whether the node's GPUs count for decode
		labels   string
		spec     string
	}{
		"nothing asked":           {free: true},
		"selector":                {template: `nodeSelector: {pool: a}`, labels: `pool: a`, free: true},
		"another selector":        {template: `nodeSelector: {pool: a}`, labels: `pool: b`},
		"a taint":                 {spec: `taints: [{key: team, value: x, effect: NoSchedule}]`},
		"a taint that evicts":     {spec: `taints: [{key: team, value: x, effect: NoExecute}]`},
		"a taint that asks only":  {spec: `taints: [{key: team, effect: PreferNoSchedule}]`, free: true},
		"a tolerated taint":       {template: `tolerations: [{key: team, operator: Equal, value: x, effect: NoSchedule}]`, spec: `taints: [{key: team, value: x, effect: NoSchedule}]`, free: true},
		"another value":           {template: `tolerations: [{key: team, operator: Equal, value: "y"}]`, spec: `taints: [{key: team, value: x, effect: NoSchedule}]`},
		"everything is tolerated": {template: `tolerations: [{operator: Exists}]`, spec: `taints: [{key: team, value: x, effect: NoExecute}]`, free: true},
		"the GPUs' own taint":     {spec: `taints: [{key: nvidia.com/gpu, effect: NoSchedule}]`, free: true},
		"affinity":                {template: affinity(`{key: gpu, operator: In, values: [h200, h100]}`), labels: `gpu: h200`, free: true},
		"affinity to others":      {template: affinity(`{key: gpu, operator: NotIn, values: [h200]}`), labels: `gpu: h200`},
		"affinity by number":      {template: affinity(`{key: gen, operator: Gt, values: ["8"]}`), labels: `gen: "9"`, free: true},
		"affinity by name":        {template: `affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [other]}]}]}}}`},
		"affinity of no term":     {template: affinity(``)},
		"an operator that is odd": {template: affinity(`{key: gpu, operator: Is, values: [h200]}`), labels: `gpu: h200`},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			c.nodesAllowed = true
			c.labelledNode("node", tc.labels, tc.spec)
			c.labelledNode("anywhere", "", "")
			c.role("prefill", `standalonePattern: {template: {spec: {nodeSelector: {nothing: here}, containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}}`)
			c.role("decode", `standalonePattern: {template: {spec: {`+joined(tc.template)+`containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}}`)
			o := c.observe()
			if _, free := o.FreeGPUsByNode["node"]; free != tc.free {
				t.Errorf("free GPUs %v, want those of n: %v", o.FreeGPUsByNode, tc.free)
			}
		})
	}
}

func affinity(expressions string) string {
	return `affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [` + expressions + `]}]}}}`
}

func joined(fields string) string {
	if fields == "" {
		return ""
	}
	return fields + ", "
}

// GPUs that one role frees are of no use to the other where it may not run.
func TestNodesOfNoUse(t *testing.T) {
	c := dynamoPD(t)
	c.nodesAllowed = true
	c.labelledNode("gpu-0", "pool: prefill", "")
	c.labelledNode("gpu-1", "pool: decode", "")
	c.labelledNode("gpu-2", "pool: decode", "unschedulable: true")
	c.role("decode", `standalonePattern: {template: {spec: {nodeSelector: {pool: decode}, containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}}`)
	c.pod("prefill", "dynamo-pd-prefill-0", on("gpu-0"))
	c.pod("prefill", "dynamo-pd-prefill-1", on("gpu-2"))
	c.pod("decode", "dynamo-pd-decode-0", on("gpu-1"))
	o := c.observe()
	if diff := cmp.Diff([]string{"gpu-0", "gpu-2"}, o.Decode.NotOn); diff != "" {
		t.Errorf("nodes of no use to decode (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"gpu-2"}, o.Prefill.NotOn); diff != "" { // cordoned
		t.Errorf("nodes of no use to prefill (-want +got):\n%s", diff)
	}
}

func TestQuotas(t *testing.T) {
	quota := func(name, spec, status string) string {
		return `{apiVersion: v1, kind: ResourceQuota, metadata: {name: ` + name + `, namespace: default}, spec: {` + spec + `}, status: {` + status + `}}`
	}
	const gpus10of16 = `hard: {requests.nvidia.com/gpu: "16"}, used: {requests.nvidia.com/gpu: "10"}`
	queue := func(cluster string) []string {
		return []string{`{apiVersion: kueue.x-k8s.io/v1beta1, kind: LocalQueue, metadata: {name: q, namespace: default}, spec: {clusterQueue: cq}}`, cluster}
	}
	const clusterQueue = `{apiVersion: kueue.x-k8s.io/v1beta1, kind: ClusterQueue, metadata: {name: cq}, spec: {%sresourceGroups: [{flavors: [
		{name: a, resources: [{name: cpu, nominalQuota: 100}, {name: nvidia.com/gpu, nominalQuota: 8}]}, {name: b, resources: [{name: nvidia.com/gpu, nominalQuota: 4}]}]}]},
		status: {flavorsReservation: [{name: a, resources: [{name: nvidia.com/gpu, total: "7"}]}, {name: b, resources: [{name: nvidia.com/gpu, total: "2"}]}]}}`
	for name, tc := range map[string]struct {
		objects []string
		pods    func(*corev1.Pod)
		want    *Allowance
	}{
		"none":                  {},
		"of GPUs":               {objects: []string{quota("a", "", gpus10of16)}, want: &Allowance{6, "ResourceQuota default/a"}},
		"the tightest of two":   {objects: []string{quota("a", "", gpus10of16), quota("b", "", `hard: {requests.nvidia.com/gpu: "2"}, used: {requests.nvidia.com/gpu: "2"}`)}, want: &Allowance{0, "ResourceQuota default/b"}},
		"of something else":     {objects: []string{quota("a", "", `hard: {requests.cpu: "1"}`)}},
		"not counted yet":       {objects: []string{quota("a", `hard: {requests.nvidia.com/gpu: "16"}`, "")}, want: &Allowance{16, "ResourceQuota default/a"}},
		"of other pods":         {objects: []string{quota("a", "scopes: [Terminating]", gpus10of16)}},
		"of such pods":          {objects: []string{quota("a", "scopes: [NotTerminating]", gpus10of16)}, want: &Allowance{6, "ResourceQuota default/a"}},
		"of another priority":   {objects: []string{quota("a", "scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}", gpus10of16)}},
		"of the pods' priority": {objects: []string{quota("a", "scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}", gpus10of16)}, pods: func(p *corev1.Pod) { p.Spec.PriorityClassName = "high" }, want: &Allowance{6, "ResourceQuota default/a"}},
		"of a queue":            {objects: queue(fmt.Sprintf(clusterQueue, "")), pods: labelled(queueLabel, "q"), want: &Allowance{3, "Kueue's ClusterQueue cq"}},
		"of a queue of newer Kueue": {objects: []string{strings.ReplaceAll(queue("")[0], "v1beta1", "v1beta2"), strings.ReplaceAll(fmt.Sprintf(clusterQueue, ""), "v1beta1", "v1beta2")},
			pods: labelled(queueLabel, "q"), want: &Allowance{3, "Kueue's ClusterQueue cq"}},
		"of a queue that borrows":  {objects: queue(fmt.Sprintf(clusterQueue, "cohort: all, ")), pods: labelled(queueLabel, "q")},
		"of a queue of others":     {objects: queue(fmt.Sprintf(clusterQueue, ""))},
		"of a queue that is gone":  {objects: queue(fmt.Sprintf(clusterQueue, ""))[1:], pods: labelled(queueLabel, "q")},
		"of a queue without GPUs":  {objects: queue(`{apiVersion: kueue.x-k8s.io/v1beta1, kind: ClusterQueue, metadata: {name: cq}, spec: {resourceGroups: []}}`), pods: labelled(queueLabel, "q")},
		"of a queue that is oddly": {objects: queue(`{apiVersion: kueue.x-k8s.io/v1beta1, kind: ClusterQueue, metadata: {name: cq}, spec: {resourceGroups: 7}}`), pods: labelled(queueLabel, "q")},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			c.nodesAllowed = true
			for _, o := range tc.objects {
				c.add(o)
			}
			change := func(*corev1.Pod) {}
			if tc.pods != nil {
				change = tc.pods
			}
			c.pod("prefill", "dynamo-pd-prefill-0", change)
			c.pod("decode", "dynamo-pd-decode-0", change)
			if diff := cmp.Diff(tc.want, c.observe().QuotaGPUs); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// A quota is a budget of what is held and what it leaves, and takes nothing back.
func TestQuotaAsABudget(t *testing.T) {
	pool := func(desired int, replicas ...planner.Replica) planner.Pool {
		return planner.Pool{Desired: desired, GPUsPerReplica: 2, Replicas: replicas}
	}
	two := planner.Replica{State: planner.Ready, GPUs: 2}
	pods := []Pod{{Role: prefill, GPUs: 2}, {Role: decode, GPUs: 2}, {Role: FrontendRole, GPUs: 1}}
	for name, tc := range map[string]struct {
		o       Observation
		want    int
		limited bool
	}{
		"none":                          {Observation{}, 0, false},
		"some left":                     {Observation{Prefill: pool(1, two), Decode: pool(1, two), Pods: pods, QuotaGPUs: &Allowance{GPUs: 3}}, 7, true},
		"nothing left":                  {Observation{Prefill: pool(1, two), Decode: pool(1, two), Pods: pods, QuotaGPUs: &Allowance{GPUs: 0}}, 4, true},
		"overdrawn":                     {Observation{Prefill: pool(1, two), Decode: pool(1, two), Pods: pods, QuotaGPUs: &Allowance{GPUs: -8}}, 4, true},
		"asked for and not counted yet": {Observation{Prefill: pool(3, two), Decode: pool(1, two), Pods: pods, QuotaGPUs: &Allowance{GPUs: 4}}, 8, true},
		"asked for and refused":         {Observation{Prefill: pool(3, two), Decode: pool(1, two), Pods: pods, QuotaGPUs: &Allowance{GPUs: 1}}, 8, true},
	} {
		if got, _, limited := tc.o.BudgetGPUs(); got != tc.want || limited != tc.limited {
			t.Errorf("%s: %d GPUs (limited %v), want %d (%v)", name, got, limited, tc.want, tc.limited)
		}
	}
}

// One pod without a place holds back every new pod of a gang, and no shrink.
func TestGang(t *testing.T) {
	for name, tc := range map[string]struct {
		build func(*cluster)
		want  string
	}{
		"no gang": {func(c *cluster) { c.pod("decode", "dynamo-pd-decode-0", pending) }, ""},
		"all have a place": {func(c *cluster) {
			c.group().SetAnnotations(map[string]string{gangAnnotation: "true"})
			c.pod("decode", "dynamo-pd-decode-0", notReady)
		}, ""},
		"one has none": {func(c *cluster) {
			c.group().SetAnnotations(map[string]string{gangAnnotation: "true"})
			c.pod("decode", "dynamo-pd-decode-0", pending)
		}, "the group is scheduled as a gang and pod dynamo-pd-decode-0 of role decode has no place (0/1 nodes are available: 1 Insufficient nvidia.com/gpu.)"},
		"a role that is not scaled": {func(c *cluster) {
			c.group().SetAnnotations(map[string]string{gangAnnotation: "true"})
			c.pod("processor", "dynamo-pd-processor-0", pending)
		}, "pod dynamo-pd-processor-0 of role processor has no place"},
		"on its way out": {func(c *cluster) {
			c.group().SetAnnotations(map[string]string{gangAnnotation: "true"})
			c.pod("decode", "dynamo-pd-decode-0", pending, leaving)
		}, ""},
		"a gang of one replica": {func(c *cluster) {
			c.role("decode", `annotations: {rbg.workloads.x-k8s.io/role-instance-gang-scheduling: "true"}`)
			c.pod("decode", "dynamo-pd-decode-0", pending)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			tc.build(c)
			o := c.observe()
			if got := o.Prefill.HeldUp; !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") {
				t.Errorf("prefill may not grow because %q, want %q", got, tc.want)
			}
			if o.Prefill.Held != "" {
				t.Errorf("prefill may not shrink either: %q", o.Prefill.Held)
			}
		})
	}
	t.Run("of v1alpha1", func(t *testing.T) {
		c := ack(t)
		c.group().Object["spec"].(map[string]any)["podGroupPolicy"] = map[string]any{"kubeScheduling": map[string]any{"scheduleTimeoutSeconds": int64(60)}}
		c.oldPod("decode", "dynamo-pd-decode-0", gpus(4), pending)
		if got := c.observe().Prefill.HeldUp; !strings.Contains(got, "scheduled as a gang") {
			t.Errorf("prefill may not grow because %q", got)
		}
	})
}

// A pod that a queue keeps from the scheduler waits, and says for what.
func TestGatedPods(t *testing.T) {
	c := dynamoPD(t)
	c.pod("decode", "dynamo-pd-decode-0", pending, func(p *corev1.Pod) {
		p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "kueue.x-k8s.io/admission"}}
		p.Status.Conditions[0].Reason, p.Status.Conditions[0].Message = corev1.PodReasonSchedulingGated, "gated"
	})
	o := c.observe()
	if got := o.Decode.Replicas[0].Unschedulable; got != "it waits at the scheduling gate kueue.x-k8s.io/admission" {
		t.Errorf("unschedulable because %q", got)
	}
	if len(o.Problems) != 1 || o.Problems[0].Reason != ProblemWaiting {
		t.Errorf("problems %v", o.Problems)
	}
}

// started says how long ago a pod was made, placed, running and ready.
func started(made, placed, running, ready time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
		age(made)(p)
		p.Status.Conditions = []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: ago(placed)},
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: ago(ready)},
		}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ago(running)}}}}
	}
}

// A node that had the weights a day ago may not have them any more, and is not kept in mind for ever.
func TestNodesDoNotStayWarm(t *testing.T) {
	const day = 24 * time.Hour
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0", started(day+1000*time.Second, day+990*time.Second, day+930*time.Second, day+830*time.Second))
	c.pod("prefill", "dynamo-pd-prefill-1", started(500*time.Second, 498*time.Second, 497*time.Second, 477*time.Second)) // the same node
	if got := c.observe().Startup[prefill]; got.ColdLoad.Samples != 2 || got.WarmLoad.Samples != 0 {
		t.Errorf("%d cold loads and %d warm ones, want 2 and none", got.ColdLoad.Samples, got.WarmLoad.Samples)
	}
}

func TestPhasesOfAStart(t *testing.T) {
	const s = time.Second
	c := dynamoPD(t)
	c.role("prefill", `standalonePattern: {template: {spec: {volumes: [{name: w, persistentVolumeClaim: {claimName: models}}, {name: tmp, emptyDir: {}}, {name: h, hostPath: {path: /cache}}], containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}}`)
	c.pod("prefill", "dynamo-pd-prefill-0", started(1000*s, 990*s, 930*s, 830*s))                    // cold: 10, 60, 100
	c.pod("prefill", "dynamo-pd-prefill-1", started(500*s, 498*s, 497*s, 477*s))                     // the same node, later: 2, 1, 20
	c.pod("prefill", "dynamo-pd-prefill-2", on("gpu-1"), started(400*s, 396*s, 376*s, 276*s))        // another node: 4, 20, 100
	c.pod("prefill", "dynamo-pd-prefill-3", started(300*s, 298*s, 50*s, 40*s), func(p *corev1.Pod) { // its container was restarted
		p.Status.ContainerStatuses[0].RestartCount = 1
	})
	got := c.observe().Startup[prefill]
	want := Startup{
		Total: Quantiles{3, 124 * s, 170 * s}, Schedule: Quantiles{3, 4 * s, 10 * s}, Pull: Quantiles{3, 20 * s, 60 * s},
		ColdLoad: Quantiles{2, 100 * s, 100 * s}, WarmLoad: Quantiles{1, 20 * s, 20 * s},
		Volumes: []string{"PersistentVolumeClaim models", "hostPath /cache"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("start-up (-want +got):\n%s", diff)
	}
}
