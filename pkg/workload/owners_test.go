package workload

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// ownerReads counts the reads of objects between the pods and the group.
func ownerReads(c *cluster) int {
	n := 0
	for _, read := range c.reads {
		if strings.HasPrefix(read, "RoleInstance ") {
			n++
		}
	}
	return n
}

func TestOwnersAreReadOnce(t *testing.T) {
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0")
	c.pod("prefill", "dynamo-pd-prefill-1")
	w := c.workload()
	for range 3 {
		if _, err := w.Observe(t.Context(), target, now); err != nil {
			t.Fatal(err)
		}
	}
	if got := ownerReads(c); got != 2 {
		t.Errorf("%d RoleInstances were read over three observations, want each of the two once", got)
	}
	w.Forget(target)
	if _, err := w.Observe(t.Context(), target, now); err != nil {
		t.Fatal(err)
	}
	if got := ownerReads(c); got != 4 {
		t.Errorf("%d RoleInstances were read after Forget, want 4", got)
	}
}

// What was learnt of a group does not hold for its successor of the same name.
func TestOwnersOfARecreatedGroup(t *testing.T) {
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0")
	w := c.workload()
	o, err := w.Observe(t.Context(), target, now)
	if err != nil || brief(o.Prefill) != "2 x 2: prefill-0=ready/2" {
		t.Fatalf("%s, %v", brief(o.Prefill), err)
	}
	c.group().SetUID("group-2")
	api := c.client()
	w.reader, w.live = api, api
	o, err = w.Observe(t.Context(), target, now)
	if err != nil || o.UID != "group-2" || brief(o.Prefill) != "2 x 2: prefill-0=terminating/2" {
		t.Errorf("%s of %s, %v; want the old group's pod to be on its way out", brief(o.Prefill), o.UID, err)
	}
}

// Without permission to read what is between, the labels are believed.
func TestOwnersThatMayNotBeRead(t *testing.T) {
	c := dynamoPD(t)
	c.forbidden["RoleInstance"], c.forbidden["RoleInstanceSet"] = true, true
	c.pod("prefill", "dynamo-pd-prefill-0")
	if got := brief(c.observe().Prefill); got != "2 x 2: prefill-0=ready/2" {
		t.Errorf("prefill %s", got)
	}
}

// An answer that did not come is not an answer.
func TestOwnersThatCannotBeRead(t *testing.T) {
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0")
	api := interceptor.NewClient(c.client().(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, through client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
			if into.GetObjectKind().GroupVersionKind().Kind == "RoleInstance" {
				return errors.New("connection refused")
			}
			return through.Get(ctx, key, into, options...)
		},
	})
	_, err := New(api, api, WithDiscovery(discovery(c.versions))).Observe(t.Context(), target, now)
	if want := "read the owner of pod default/dynamo-pd-prefill-0, RoleInstance dynamo-pd-prefill-0: connection refused"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

// The group and its counts come from the live reader, the rest through the cache.
func TestLiveReader(t *testing.T) {
	c, stale := dynamoPD(t), dynamoPD(t)
	c.adapter("prefill", "Bound", 4)
	stale.adapter("prefill", "Bound", 3)
	stale.pod("prefill", "dynamo-pd-prefill-0")
	c.pod("prefill", "dynamo-pd-prefill-0")
	c.pod("prefill", "dynamo-pd-prefill-1")
	o, err := New(stale.client(), c.client(), WithLiveReader(c.client()), WithDiscovery(discovery(c.versions))).Observe(t.Context(), target, now)
	if err != nil {
		t.Fatal(err)
	}
	if got := brief(o.Prefill); got != "4 x 2: prefill-0=ready/2" {
		t.Errorf("prefill %s, want the fresh count and the pods of the cache", got)
	}
	if held := o.Prefill.HeldGPUs(); held != 8 {
		t.Errorf("%d GPUs are held, want 8: pods that the cache does not show yet hold theirs", held)
	}
	if !slices.Contains(c.reads, "RoleBasedGroup dynamo-pd") || slices.Contains(stale.reads, "RoleBasedGroup dynamo-pd") {
		t.Error("the group was read through the cache")
	}
}

func TestStartupTimes(t *testing.T) {
	second := func(n int) time.Time { return created.Add(time.Duration(n) * time.Second) }
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0", readyFor(time.Hour-40*time.Second))
	c.pod("prefill", "dynamo-pd-prefill-1", notReady)
	w := c.workload()
	observe := func(at time.Time) (float64, bool) {
		t.Helper()
		api := c.client()
		w.reader, w.live = api, api
		o, err := w.Observe(t.Context(), target, at)
		if err != nil {
			t.Fatal(err)
		}
		return o.Prefill.StartupSeconds.Or(-1), o.Prefill.StartupSeconds.Ok()
	}
	if got, _ := observe(second(60)); got != 40 {
		t.Errorf("start-up %g s, want the 40 s of the replica that was ready before", got)
	}
	// what is watched through its start counts more than a guess
	c.objects = slices.DeleteFunc(c.objects, func(o client.Object) bool { return o.GetName() == "dynamo-pd-prefill-1" })
	c.pod("prefill", "dynamo-pd-prefill-1", readyFor(time.Hour-90*time.Second))
	if got, _ := observe(second(95)); got != 90 {
		t.Errorf("start-up %g s, want the 90 s of the replica that was seen starting", got)
	}
	// a readiness that comes and goes is no start
	c.objects = slices.DeleteFunc(c.objects, func(o client.Object) bool { return o.GetName() == "dynamo-pd-prefill-1" })
	c.pod("prefill", "dynamo-pd-prefill-1", notReady)
	observe(second(200))
	c.objects = slices.DeleteFunc(c.objects, func(o client.Object) bool { return o.GetName() == "dynamo-pd-prefill-1" })
	c.pod("prefill", "dynamo-pd-prefill-1", readyFor(time.Hour-300*time.Second))
	if got, _ := observe(second(310)); got != 90 {
		t.Errorf("start-up %g s after readiness came back, want 90 s still", got)
	}
}

func TestStartupIsThe90thPercentile(t *testing.T) {
	s := &startups{}
	if r := s.reading(now, "prefill"); r.Ok() {
		t.Errorf("a reading of nothing: %v", r)
	}
	for n := 1; n <= 30; n++ { // the first ten are forgotten
		s.seen = keep(s.seen, time.Duration(n)*time.Second)
	}
	if got := s.reading(now, "prefill").Value; got != 28 {
		t.Errorf("90th percentile of 11..30 s is %g s, want 28", got)
	}
	one := &startups{seen: []time.Duration{7 * time.Second}}
	if got := one.reading(now, "prefill").Value; got != 7 {
		t.Errorf("of one start-up of 7 s it is %g s", got)
	}
}

func TestRollout(t *testing.T) {
	for status, want := range map[string]bool{
		"{}":                                false,
		"{replicas: 2, updatedReplicas: 2}": false,
		"{replicas: 2, updatedReplicas: 1}": true,
		"{replicas: 2}":                     false, // not said
		"{currentRevision: a}":              false,
		"{currentRevision: a, updateRevision: a, replicas: 2, updatedReplicas: 2}": false,
		"{currentRevision: a, updateRevision: b, replicas: 2, updatedReplicas: 2}": true,
	} {
		c := dynamoPD(t)
		c.carrier("prefill", status)
		if got := c.observe().Prefill.Rollout; got != want {
			t.Errorf("status %s: rollout %v, want %v", status, got, want)
		}
	}
}

// Kinds that leave a count of 0 out say with its absence that none is updated yet:
// a quota may keep the first replica of a new template from being made for ever.
func TestRolloutThatHasNotComeToAnyReplica(t *testing.T) {
	for name, tc := range map[string]struct {
		status map[string]any
		want   bool
	}{
		"no replica":  {map[string]any{}, false},
		"all updated": {map[string]any{"replicas": int64(2), "updatedReplicas": int64(2)}, false},
		"none so far": {map[string]any{"replicas": int64(2)}, true},
	} {
		c := scales(t)
		for _, o := range c.objects[:2] {
			o.(*unstructured.Unstructured).Object["status"] = tc.status
		}
		if o := c.observeScales(byReference); o.Prefill.Rollout != tc.want || o.Decode.Rollout != tc.want {
			t.Errorf("%s: rollout of a Deployment %v and of a LeaderWorkerSet %v, want %v", name, o.Prefill.Rollout, o.Decode.Rollout, tc.want)
		}
	}
}

// What is confirmed before growth is read past the cache and past what is remembered of owners.
func TestConfirm(t *testing.T) {
	c, stale := dynamoPD(t), dynamoPD(t)
	c.adapter("prefill", "Bound", 1)
	c.adapter("decode", "Bound", 1)
	for _, of := range []*cluster{c, stale} {
		of.pod("prefill", "dynamo-pd-prefill-0")
		of.pod("decode", "dynamo-pd-decode-0")
	}
	c.pod("prefill", "dynamo-pd-prefill-1") // scaled down, and the cache has not seen that it is there
	w := New(stale.client(), c.client(), WithLiveReader(c.client()), WithDiscovery(discovery(c.versions)))
	check := func(what string, want int) {
		t.Helper()
		api := c.client()
		w.live, w.writer = api, api
		if got, err := w.Confirm(t.Context(), target, now); err != nil || got != want {
			t.Errorf("%s: %d GPUs are held (%v), want %d", what, got, err, want)
		}
	}
	o, err := w.Observe(t.Context(), target, now)
	if err != nil {
		t.Fatal(err)
	}
	if held := o.Prefill.HeldGPUs() + o.Decode.HeldGPUs(); held != 4 {
		t.Fatalf("the cache shows %d GPUs, want 4: the test has no subject", held)
	}
	check("a pod that the cache does not show", 6)

	// The instance is replaced while its pod is still there: the pod is no supply for the new one.
	c.objects = slices.DeleteFunc(c.objects, func(o client.Object) bool {
		return o.GetName() == "dynamo-pd-decode-0" && o.GetObjectKind().GroupVersionKind().Kind == "RoleInstance"
	})
	check("a pod whose owner is gone", 8)
}

// What is believed where an owner may not be read depends on whether there is a
// selector, which a new object gets a moment later: it is not remembered.
func TestOwnersThatMayNotBeReadUntilThereIsASelector(t *testing.T) {
	c := scales(t)
	c.forbidden["StatefulSet"] = true
	for index := range 3 {
		c.decodePod(0, index)
	}
	status := c.objects[1].(*unstructured.Unstructured).Object["status"].(map[string]any)
	selector := status["selector"]
	delete(status, "selector")
	w := c.workload()
	if _, err := w.Observe(t.Context(), byReference, now); err != nil {
		t.Fatal(err)
	}
	status["selector"] = selector
	api := c.client()
	w.reader, w.live, w.writer = api, api, api
	o, err := w.Observe(t.Context(), byReference, now)
	if want := "1 x 8: vllm-decode-0=ready/8"; err != nil || brief(o.Decode) != want {
		t.Errorf("decode %s, %v; want %s", brief(o.Decode), err, want)
	}
}
