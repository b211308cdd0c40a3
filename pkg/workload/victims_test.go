package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// stateless makes prefill a role without identities, with RoleInstances of
// these deletion costs.
func (c *cluster) stateless(costs map[string]string) {
	c.role("prefill", `annotations: {rbg.workloads.x-k8s.io/role-instance-pattern: Stateless}`)
	for name, cost := range costs {
		c.pod("prefill", name)
		for _, o := range c.objects {
			if u, ok := o.(*unstructured.Unstructured); ok && u.GetKind() == roleInstanceKind && u.GetName() == name {
				u.SetLabels(map[string]string{groupLabels[0]: "dynamo-pd", roleLabels[0]: "prefill"})
				if cost != "" {
					u.SetAnnotations(map[string]string{instanceCostAnnotation: cost})
				}
			}
		}
	}
}

func TestChoose(t *testing.T) {
	cost := func(name, value string) string {
		return fmt.Sprintf(`RoleInstance %s application/merge-patch+json {"metadata":{"annotations":{"controller.kubernetes.io/instance-deletion-cost":%q},"uid":"instance-%s"}}`, name, value, name)
	}
	for name, tc := range map[string]struct {
		build   func(*cluster)
		victims []string
		want    []string
		wantErr string
	}{
		"one of three":             {build: func(c *cluster) { c.stateless(map[string]string{"a": "", "b": "", "c": ""}) }, victims: []string{"b"}, want: []string{cost("b", "-1")}},
		"the cheapest already":     {build: func(c *cluster) { c.stateless(map[string]string{"a": "", "b": "-5", "c": ""}) }, victims: []string{"b"}},
		"another one was cheap":    {build: func(c *cluster) { c.stateless(map[string]string{"a": "-7", "b": ""}) }, victims: []string{"b"}, want: []string{cost("b", "-8")}},
		"two of which one is":      {build: func(c *cluster) { c.stateless(map[string]string{"a": "", "b": "-1", "c": ""}) }, victims: []string{"b", "c"}, want: []string{cost("c", "-1")}},
		"all that there are":       {build: func(c *cluster) { c.stateless(map[string]string{"a": "", "b": ""}) }, victims: []string{"a", "b"}},
		"what is no cost counts 0": {build: func(c *cluster) { c.stateless(map[string]string{"a": "+9", "b": "007"}) }, victims: []string{"b"}, want: []string{cost("b", "-1")}},
		"no lower cost is left":    {build: func(c *cluster) { c.stateless(map[string]string{"a": "-2147483648", "b": ""}) }, victims: []string{"b"}, wantErr: "RoleInstance default/b cannot be chosen to go"},
		"a role with identities":   {build: func(c *cluster) { c.pod("prefill", "dynamo-pd-prefill-0") }, victims: []string{"dynamo-pd-prefill-0"}},
		"a role that is gone":      {build: func(c *cluster) { c.role("prefill", `name: other`) }, victims: []string{"a"}},
		"without the right to do so": {build: func(c *cluster) {
			c.stateless(map[string]string{"a": "", "b": ""})
			c.refuse = forbiddenError(roleInstanceKind)
		}, victims: []string{"b"}, want: []string{cost("b", "-1")}, wantErr: "no permission"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			tc.build(c)
			err := c.workload().Choose(t.Context(), target, prefill, tc.victims)
			c.wantWrites(tc.want...)
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error %v, want %q", err, tc.wantErr)
			}
		})
	}
	t.Run("a pod of a Deployment", func(t *testing.T) {
		c := scales(t)
		c.prefillPod("vllm-prefill-5d-a")
		c.prefillPod("vllm-prefill-5d-b")
		w := c.workload()
		if _, err := w.Observe(t.Context(), byReference, now); err != nil {
			t.Fatal(err)
		}
		if err := w.Choose(t.Context(), byReference, prefill, []string{"vllm-prefill-5d-a"}); err != nil {
			t.Fatal(err)
		}
		c.wantWrites(`Pod vllm-prefill-5d-a application/merge-patch+json {"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"-1"},"uid":"pod-vllm-prefill-5d-a"}}`)
	})
}

func TestOrderByLoad(t *testing.T) {
	pool := &planner.Pool{Replicas: []planner.Replica{
		{Name: "busy", State: planner.Ready}, {Name: "idle", State: planner.Ready}, {Name: "silent", State: planner.Ready},
		{Name: "draining", State: planner.Ready}, {Name: "new", State: planner.Starting}, {Name: "gone", State: planner.Terminating},
	}}
	OrderByLoad(pool, []string{"draining"}, map[string]float64{"busy": 9, "idle": 0, "draining": 4})
	var got []string
	for _, r := range pool.Replicas {
		got = append(got, r.Name)
	}
	if diff := cmp.Diff([]string{"silent", "busy", "idle", "new", "draining", "gone"}, got); diff != "" {
		t.Errorf("order of removal (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"draining", "new", "idle"}, Victims(pool, 3)); diff != "" {
		t.Errorf("those that go (-want +got):\n%s", diff)
	}
}

// engine is a pod's drain endpoint that answers with the codes, one a call.
func engine(t *testing.T, codes ...int) (pod Pod, port int32, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.Path)
		if codes[0] == http.StatusFound {
			w.Header().Set("Location", "http://elsewhere.example/")
		}
		w.WriteHeader(codes[0])
		if len(codes) > 1 {
			codes = codes[1:]
		}
	}))
	t.Cleanup(server.Close)
	host, text, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return Pod{Name: "p", UID: "pod-p", IP: host, Ready: true, Leader: true}, int32(n), asked
}

func TestDrainByHTTP(t *testing.T) {
	for name, tc := range map[string]struct {
		codes   []int
		want    []bool // done after each call
		wantErr string
	}{
		"done at once":       {codes: []int{200}, want: []bool{true}},
		"no content":         {codes: []int{204}, want: []bool{true}},
		"at it, then done":   {codes: []int{202, 503, 200}, want: []bool{false, false, true}},
		"no such page":       {codes: []int{404}, want: []bool{false}, wantErr: "/drain answered 404 Not Found; allowed is 200 or 204 when drained, 202 or 503 until then"},
		"sent to elsewhere":  {codes: []int{302}, want: []bool{false}, wantErr: "answered 302 Found"},
		"an error of theirs": {codes: []int{500}, want: []bool{false}, wantErr: "answered 500"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			pod, port, asked := engine(t, tc.codes...)
			worker := pod // the worker of a leader has nothing to say
			worker.Leader = false
			for i, want := range tc.want {
				done, err := c.workload().Drain(t.Context(), target, Hook{HTTP: &HTTPHook{Method: "POST", Port: port, Path: "/drain"}}, []Pod{pod, worker, {Name: "pending"}})
				if done != want || (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("call %d: done %v, error %v; want %v, %q", i, done, err, want, tc.wantErr)
				}
			}
			if len(*asked) != len(tc.want) || (*asked)[0] != "POST /drain" {
				t.Errorf("asked %q", *asked)
			}
			c.wantWrites()
		})
	}
	t.Run("a pod that does not answer", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		done, err := dynamoPD(t).workload().Drain(ctx, target, Hook{HTTP: &HTTPHook{Method: "POST", Port: int32(port), Path: "/"}}, []Pod{{Name: "p", IP: "127.0.0.1", Leader: true}})
		if done || err == nil {
			t.Errorf("done %v, error %v", done, err)
		}
	})
}

// A replica that stays after all is told so where there is a path for it.
func TestDrainByHTTPIsTakenBack(t *testing.T) {
	for name, tc := range map[string]struct {
		code    int
		wantErr string
		final   bool
	}{
		"it serves again":            {code: 200},
		"it will in a while":         {code: 202},
		"it does not know the path":  {code: 404, wantErr: "/resume answered 404 Not Found, so that the pod may go on draining although it stays; allowed is any 2xx", final: true},
		"it does not know the verb":  {code: 405, wantErr: "answered 405", final: true},
		"it cannot at the moment":    {code: 503, wantErr: "/resume answered 503 Service Unavailable; allowed is any 2xx when it serves again"},
		"it sends us somewhere else": {code: 302, wantErr: "answered 302 Found", final: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			pod, port, asked := engine(t, tc.code)
			worker, going := pod, pod
			worker.Leader, going.Terminating = false, true
			err := c.workload().Undrain(t.Context(), target, Hook{HTTP: &HTTPHook{Method: "PUT", Port: port, Path: "/drain", CancelPath: "/resume"}}, []Pod{pod, worker, going, {Name: "pending"}})
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) || errors.As(err, new(*NotTakenBackError)) != tc.final {
				t.Errorf("error %v, want %q, final %v", err, tc.wantErr, tc.final)
			}
			if diff := cmp.Diff([]string{"PUT /resume"}, *asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			c.wantWrites()
		})
	}
	t.Run("one knows no way and one does not answer", func(t *testing.T) {
		pod, port, _ := engine(t, 404)
		away := Pod{Name: "away", IP: "127.244.255.254", Leader: true}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := dynamoPD(t).workload().Undrain(ctx, target, Hook{HTTP: &HTTPHook{Method: "POST", Port: port, Path: "/", CancelPath: "/resume"}}, []Pod{pod, away})
		if err == nil || errors.As(err, new(*NotTakenBackError)) {
			t.Errorf("error %v, want that the one that did not answer is asked again", err)
		}
	})
}

func TestDrainMarks(t *testing.T) {
	pods := []Pod{{Name: "dynamo-pd-decode-0", UID: "pod-dynamo-pd-decode-0"}, {Name: "dynamo-pd-decode-1", UID: "another"}, {Name: "gone", UID: "gone"}}
	const prefix = " dynamo-pd-decode-0 application/merge-patch+json "
	for name, tc := range map[string]struct {
		hook   Hook
		change func(*corev1.Pod)
		undo   bool
		want   []string
	}{
		"a label":                 {hook: Hook{Label: &Mark{"drain", "true"}}, want: []string{prefix + `{"metadata":{"labels":{"drain":"true"}}}`}},
		"a label that is set":     {hook: Hook{Label: &Mark{"drain", "true"}}, change: labelled("drain", "true")},
		"a label taken back":      {hook: Hook{Label: &Mark{"drain", "true"}}, change: labelled("drain", "true"), undo: true, want: []string{prefix + `{"metadata":{"labels":{"drain":null}}}`}},
		"a label of others":       {hook: Hook{Label: &Mark{"drain", "true"}}, change: labelled("drain", "no"), undo: true},
		"an annotation":           {hook: Hook{Annotation: &Mark{"drain", "now"}}, want: []string{prefix + `{"metadata":{"annotations":{"drain":"now"}}}`}},
		"nothing to take back":    {hook: Hook{Annotation: &Mark{"drain", "now"}}, undo: true},
		"HTTP without a way back": {hook: Hook{HTTP: &HTTPHook{Method: "POST", Port: 1, Path: "/"}}, undo: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			change := func(*corev1.Pod) {}
			if tc.change != nil {
				change = tc.change
			}
			c.pod("decode", "dynamo-pd-decode-0", change)
			c.pod("decode", "dynamo-pd-decode-1")
			var err error
			done := false
			if tc.undo {
				err = c.workload().Undrain(t.Context(), target, tc.hook, pods)
			} else {
				done, err = c.workload().Drain(t.Context(), target, tc.hook, pods)
			}
			if err != nil || done {
				t.Errorf("done %v, error %v: a mark never knows", done, err)
			}
			c.wantWrites(tc.want...)
		})
	}
}
