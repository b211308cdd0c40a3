package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// manage runs a manager in this process, with the rights of config/rbac, and
// notes all its requests.
func (c *cluster) manage(o Options) *recorder {
	c.t.Helper()
	s := c.standIn()
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	c.must(err)
	calls := &recorder{}
	o.Namespaces = []string{c.namespace}
	o.NewCollector = func(signals.Config) (Collector, error) { return &fileCollector{path: s.Traffic, answers: true}, nil }
	mgr, err := NewManager(calls.through(config), o)
	c.must(err)
	calls.events = mgr.GetEventRecorder(fieldOwner)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	c.t.Cleanup(func() { stop(); c.must(<-done) })
	return calls
}

// audited are the writes in the cluster's namespace for which the API server
// says that the controller asked.
func (c *cluster) audited() []access {
	c.t.Helper()
	log, err := os.Open(filepath.Join(c.cp.Logs, "audit.log"))
	c.must(err)
	defer log.Close()
	var all []access
	for lines := json.NewDecoder(log); lines.More(); {
		var e struct {
			Stage, Verb string
			User        struct{ Username string }
			ObjectRef   struct{ Namespace, APIGroup, Resource, Subresource string }
		}
		c.must(lines.Decode(&e))
		if o := e.ObjectRef; e.Stage == "ResponseComplete" && e.User.Username == controllerUser && o.Namespace == c.namespace {
			if o.Subresource != "" {
				o.Resource += "/" + o.Subresource
			}
			all = append(all, access{e.Verb, o.APIGroup, o.Resource})
		}
	}
	return all
}

// tally counts requests that are alike.
func tally(all []access) map[string]int {
	n := map[string]int{}
	for _, a := range all {
		n[a.String()]++
	}
	return n
}

// A decision reaches the target in one call for each role that changes, and a
// round that changes nothing writes nothing.
func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	for name, adapters := range map[string]bool{"through adapters": true, "in the group": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, rbgfake.Example{ReadyAfter: 300 * time.Millisecond, NoAdapters: !adapters})
			c.demand(2, 500, 100)
			calls := c.manage(Options{})
			c.must(c.client.Create(t.Context(), example(func(p *v1alpha1.PDAutoscaler) {
				p.ObjectMeta = metav1.ObjectMeta{Namespace: c.namespace, Name: "qwen"}
				p.Spec.Behavior.Interval = v1alpha1.Every(time.Second)
				p.Spec.Behavior.StartupTime = v1alpha1.Every(time.Second)
				p.Spec.Budget.GPUs = 16
			})))
			rounds := func(since int) int {
				return len(calls.of(since, func(a access) bool { return a.verb == "get" && a.resource == "rolebasedgroups" }))
			}
			settled := func(what string, n int) int {
				since := calls.len()
				c.eventually(what, func() error {
					// whatever is written begins the count again
					if len(calls.of(since, access.writes)) > 0 {
						since = calls.len()
					}
					if got := rounds(since); got < n {
						return fmt.Errorf("%d rounds without a write", got)
					}
					return nil
				})
				return since
			}
			settled("idle rounds in a row", 8)

			scale := func(a access) bool {
				return a.verb == "patch" && (a.resource == "rolebasedgroupscalingadapters/scale" || a.resource == "rolebasedgroups")
			}
			before := calls.len()
			c.demand(14, 3000, 300)
			c.eventually("a decision", func() error {
				if n := len(calls.of(before, scale)); n == 0 {
					return fmt.Errorf("nothing was scaled: %s", c.status().Message)
				}
				return nil
			})
			settled("rest after the surge", 12)
			changed := 0
			for _, d := range c.status().Decisions {
				for _, role := range []v1alpha1.CountChange{d.Prefill, d.Decode} {
					if d.Applied && role.From != role.To {
						changed++
					}
				}
			}
			if got := len(calls.of(0, scale)); got != changed || changed == 0 {
				t.Errorf("%d calls for %d changes of a role's count: %v", got, changed, calls.of(0, scale))
			}
			since := calls.len()
			c.eventually("more rounds", func() error {
				if n := rounds(since); n < 8 {
					return fmt.Errorf("%d rounds", n)
				}
				return nil
			})
			if idle := calls.of(since, access.writes); len(idle) > 0 {
				t.Errorf("idle rounds wrote %v", idle)
			}
			// The API server counted the same; its policy leaves events and leases out.
			noted := calls.of(0, func(a access) bool { return a.writes() && a.resource != "events" })
			if diff := cmp.Diff(tally(noted), tally(c.audited())); diff != "" {
				t.Errorf("the writes that the API server audited (-noted here +audited):\n%s", diff)
			}
		})
	}
}
