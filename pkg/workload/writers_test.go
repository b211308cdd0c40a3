package workload

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// hpa keeps a HorizontalPodAutoscaler of some object.
func (c *cluster) hpa(apiVersion, kind, name string) {
	c.add(fmt.Sprintf(`
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: hpa, namespace: default}
spec: {maxReplicas: 4, scaleTargetRef: {apiVersion: %s, kind: %s, name: %s}}`, apiVersion, kind, name))
}

func TestHPAWriters(t *testing.T) {
	const rbg = "workloads.x-k8s.io/v1alpha2"
	for name, tc := range map[string]struct {
		build           func(*cluster)
		prefill, decode string
	}{
		"none": {build: func(*cluster) {}},
		"of the adapter": {func(c *cluster) {
			c.adapter("decode", "Bound", 1)
			c.hpa(rbg, "RoleBasedGroupScalingAdapter", "dynamo-pd-decode")
		}, "", "HorizontalPodAutoscaler default/hpa (RoleBasedGroupScalingAdapter dynamo-pd-decode)"},
		"of an older version": {func(c *cluster) {
			c.adapter("decode", "Bound", 1)
			c.hpa("workloads.x-k8s.io/v1alpha1", "RoleBasedGroupScalingAdapter", "dynamo-pd-decode")
		}, "", "HorizontalPodAutoscaler default/hpa (RoleBasedGroupScalingAdapter dynamo-pd-decode)"},
		"of an adapter to be": {func(c *cluster) { c.hpa(rbg, "RoleBasedGroupScalingAdapter", "dynamo-pd-decode") }, "", "HorizontalPodAutoscaler default/hpa (RoleBasedGroupScalingAdapter dynamo-pd-decode)"},
		"of the workload":     {func(c *cluster) { c.hpa(rbg, "RoleInstanceSet", "dynamo-pd-prefill") }, "HorizontalPodAutoscaler default/hpa (RoleInstanceSet dynamo-pd-prefill)", ""},
		"of the group":        {func(c *cluster) { c.hpa(rbg, "RoleBasedGroup", "dynamo-pd") }, "HorizontalPodAutoscaler default/hpa (RoleBasedGroup dynamo-pd)", "HorizontalPodAutoscaler default/hpa (RoleBasedGroup dynamo-pd)"},
		"of something else":   {build: func(c *cluster) { c.hpa("apps/v1", "Deployment", "dynamo-pd-prefill") }},
		"of another namespace": {build: func(c *cluster) {
			c.hpa(rbg, "RoleInstanceSet", "dynamo-pd-prefill")
			c.objects[len(c.objects)-1].SetNamespace("other")
		}},
		"on its way out": {build: func(c *cluster) {
			c.hpa(rbg, "RoleInstanceSet", "dynamo-pd-prefill")
			c.objects[len(c.objects)-1].SetDeletionTimestamp(new(metav1.NewTime(now)))
			c.objects[len(c.objects)-1].SetFinalizers([]string{"test/keep"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			tc.build(c)
			o := c.observe()
			if o.Prefill.Writer != tc.prefill || o.Decode.Writer != tc.decode {
				t.Errorf("writers %q and %q, want %q and %q", o.Prefill.Writer, o.Decode.Writer, tc.prefill, tc.decode)
			}
		})
	}
}

// Autoscalers of kinds that a cluster may do without.
func TestRivals(t *testing.T) {
	const keda = `{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: so, namespace: default%s}, spec: {scaleTargetRef: {%s}}}`
	const planner = `{apiVersion: inference-extension.rolebasedgroup.io/v1alpha1, kind: AutoScaler, metadata: {name: %s, namespace: default}, spec: {pattern: {PDDisaggregated: {%s}}, implementation: {DynamoPlanner: {dryRun: %s}}}}`
	const adapter = `apiVersion: workloads.x-k8s.io/v1alpha2, kind: RoleBasedGroupScalingAdapter, name: dynamo-pd-decode`
	for name, tc := range map[string]struct {
		object          string
		prefill, decode string
	}{
		"ScaledObject of the adapter":   {fmt.Sprintf(keda, "", adapter), "", "ScaledObject default/so (RoleBasedGroupScalingAdapter dynamo-pd-decode)"},
		"ScaledObject that is paused":   {fmt.Sprintf(keda, `, annotations: {autoscaling.keda.sh/paused: "true"}`, adapter), "", ""},
		"ScaledObject of a Deployment":  {fmt.Sprintf(keda, "", "name: dynamo-pd-decode"), "", ""},
		"the planner for RBG":           {fmt.Sprintf(planner, "dynamo-pd", "prefill: {roleName: prefill}, decode: {roleName: decode}", "false"), "AutoScaler default/dynamo-pd", "AutoScaler default/dynamo-pd"},
		"the planner, of one role":      {fmt.Sprintf(planner, "dynamo-pd", "prefill: {roleName: prefill}, decode: {roleName: decoder}", "false"), "AutoScaler default/dynamo-pd", ""},
		"the planner, without roles":    {fmt.Sprintf(planner, "dynamo-pd", "", "false"), "AutoScaler default/dynamo-pd", "AutoScaler default/dynamo-pd"},
		"the planner, only watching":    {fmt.Sprintf(planner, "dynamo-pd", "", "true"), "", ""},
		"the planner, of another group": {fmt.Sprintf(planner, "other", "", "false"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			c.adapter("decode", "Bound", 1)
			c.add(tc.object)
			if o := c.observe(); o.Prefill.Writer != tc.prefill || o.Decode.Writer != tc.decode {
				t.Errorf("writers %q and %q, want %q and %q", o.Prefill.Writer, o.Decode.Writer, tc.prefill, tc.decode)
			}
		})
	}
}

// Namespaces come and go; what was found in those that nobody asks about any more is not kept.
func TestRivalsOfOtherNamespacesAreDropped(t *testing.T) {
	w := dynamoPD(t).workload()
	for n := range 5 {
		if _, err := w.readRivals(t.Context(), fmt.Sprintf("preview-%d", n), now.Add(time.Duration(n)*rivalsAge)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.rivals) != 1 {
		t.Errorf("the autoscalers of %d namespaces are kept, want those of the last", len(w.rivals))
	}
}

// An HPA of an object that is scaled by reference is found whatever version it names.
func TestWritersOfScales(t *testing.T) {
	c := scales(t)
	c.hpa("apps/v1beta1", "Deployment", "vllm-prefill")
	if o := c.observeScales(byReference); o.Prefill.Writer != "HorizontalPodAutoscaler default/hpa (Deployment vllm-prefill)" || o.Decode.Writer != "" {
		t.Errorf("writers %q and %q", o.Prefill.Writer, o.Decode.Writer)
	}
	other := &v1alpha1.PDAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "default", UID: "other", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
		Spec: v1alpha1.PDAutoscalerSpec{Mode: v1alpha1.ModeAuto, Target: v1alpha1.TargetReference{ScaleTargetRefs: &v1alpha1.ScaleTargetReferences{
			Prefill: v1alpha1.ScaleTargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "else"},
			Decode:  v1alpha1.ScaleTargetReference{APIVersion: "leaderworkerset.x-k8s.io/v1", Kind: "LeaderWorkerSet", Name: "vllm-decode"},
		}}},
	}
	c.objects = append(c.objects, other)
	self := byReference
	self.Autoscaler = "self"
	if o := c.observeScales(self); o.Decode.Writer != "PDAutoscaler default/other" {
		t.Errorf("writer %q", o.Decode.Writer)
	}
}

// Whoever scales a group scales the objects that the group makes of its roles:
// one who names such an object must see that, as the other sees it the other way.
func TestGroupWritersOfScales(t *testing.T) {
	group := func(name string) client.Object {
		pda := &v1alpha1.PDAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "default", UID: "other", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
			Spec:       v1alpha1.PDAutoscalerSpec{Mode: v1alpha1.ModeAuto, Target: v1alpha1.TargetReference{Name: name}},
		}
		pda.Default()
		return pda
	}
	for name, tc := range map[string]struct {
		other           client.Object
		prefill, decode string
	}{
		"of the group":     {group("dynamo-pd"), "PDAutoscaler default/other", ""},
		"of another group": {group("dynamo"), "", ""},
		"RBG's planner": {&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": autoScalerKind.GroupVersion().String(), "kind": autoScalerKind.Kind, "metadata": map[string]any{"name": "dynamo-pd", "namespace": "default"},
		}}, "AutoScaler default/dynamo-pd", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := scales(t)
			c.objects = append(c.objects, tc.other)
			c.adapter("prefill", phaseBound, 2)
			c.owns(roleSetGVK, "dynamo-pd-decode", "by-hand") // named alike, and of no group
			self := byReference
			self.Autoscaler = "self"
			self.Scales = map[planner.Role]ScaleRef{
				prefill: {modern.adapter().GroupVersion().String(), adapterKind, "dynamo-pd-prefill"},
				decode:  {roleSetGVK.GroupVersion().String(), roleSetGVK.Kind, "dynamo-pd-decode"},
			}
			if o := c.observeScales(self); o.Prefill.Writer != tc.prefill || o.Decode.Writer != tc.decode {
				t.Errorf("writers %q and %q, want %q and %q", o.Prefill.Writer, o.Decode.Writer, tc.prefill, tc.decode)
			}
		})
	}
}

func TestOtherPDAutoscalers(t *testing.T) {
	auto := func(name string, age time.Duration, changes ...func(*v1alpha1.PDAutoscaler)) *v1alpha1.PDAutoscaler {
		pda := &v1alpha1.PDAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-age))},
			Spec:       v1alpha1.PDAutoscalerSpec{Mode: v1alpha1.ModeAuto, Target: v1alpha1.TargetReference{Name: "dynamo-pd"}},
		}
		pda.Default()
		for _, change := range changes {
			change(pda)
		}
		return pda
	}
	recommends := func(p *v1alpha1.PDAutoscaler) { p.Spec.Mode = v1alpha1.ModeRecommend }
	decodeOnly := func(p *v1alpha1.PDAutoscaler) { p.Spec.Roles.Prefill.Name = "encode" }
	elsewhere := func(p *v1alpha1.PDAutoscaler) { p.Spec.Target.Name = "other" }
	const older = "PDAutoscaler default/a"
	for name, tc := range map[string]struct {
		a, self         *v1alpha1.PDAutoscaler
		prefill, decode string
	}{
		"the first one writes":        {auto("a", 2*time.Hour), auto("self", time.Hour), older, older},
		"we are the first":            {auto("a", time.Hour), auto("self", 2*time.Hour), "", ""},
		"as old: one of the two":      {auto("a", time.Hour), auto("self", time.Hour), older, older},
		"as old: seen from the other": {auto("z", time.Hour), auto("self", time.Hour), "", ""},
		"one that only recommends":    {auto("a", 2*time.Hour, recommends), auto("self", time.Hour), "", ""},
		"we only recommend":           {auto("a", time.Hour), auto("self", 2*time.Hour, recommends), older, older},
		"of one role only":            {auto("a", 2*time.Hour, decodeOnly), auto("self", time.Hour), "", older},
		"of another group":            {auto("a", 2*time.Hour, elsewhere), auto("self", time.Hour), "", ""},
		"we are not in the cache yet": {auto("a", time.Hour), nil, older, older},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			c.objects = append(c.objects, tc.a)
			if tc.self != nil {
				c.objects = append(c.objects, tc.self)
			}
			self := target
			self.Autoscaler = "self"
			o, err := c.workload().Observe(t.Context(), self, now)
			if err != nil {
				t.Fatal(err)
			}
			if o.Prefill.Writer != tc.prefill || o.Decode.Writer != tc.decode {
				t.Errorf("writers %q and %q, want %q and %q", o.Prefill.Writer, o.Decode.Writer, tc.prefill, tc.decode)
			}
		})
	}
}
