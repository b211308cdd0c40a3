package controller

import (
	"bytes"
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
	if o.NewCollector == nil {
		o.NewCollector = func(signals.Config) (Collector, error) { return &fileCollector{path: s.Traffic}, nil }
	}
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
	log, err := os.ReadFile(filepath.Join(c.cp.Logs, "audit.log"))
	c.must(err)
	var all []access
	for line := range bytes.Lines(log) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		var e struct {
			Stage, Verb string
			User        struct{ Username string }
			ObjectRef   struct{ Namespace, APIGroup, Resource, Subresource string }
		}
		c.must(json.Unmarshal(line, &e))
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
				p.Spec.Behavior.ScaleDownWindow = v1alpha1.Every(time.Hour) // nothing is given back meanwhile, however long it takes
				p.Spec.Budget.GPUs = 16
			})))
			rounds := func(since int) int {
				return len(calls.of(since, func(a access) bool { return a.verb == "get" && a.resource == "rolebasedgroups" }))
			}
			since, idle := calls.len(), 0
			c.eventually("idle rounds in a row", func() error {
				// whatever is written begins the count again
				if len(calls.of(since, access.writes)) > 0 {
					since = calls.len()
				}
				if idle = rounds(since); idle < 8 {
					return fmt.Errorf("%d rounds without a write", idle)
				}
				return nil
			})
			was := c.status()
			c.eventually("more rounds", func() error {
				if n := rounds(since); n < idle+8 {
					return fmt.Errorf("%d rounds", n)
				}
				return nil
			})
			if wrote := calls.of(since, access.writes); len(wrote) > 0 {
				t.Errorf("idle rounds wrote %v (-before +after):\n%s", wrote, cmp.Diff(was, c.status()))
			}

			scale := func(a access) bool {
				return a.verb == "patch" && (a.resource == "rolebasedgroupscalingadapters/scale" || a.resource == "rolebasedgroups")
			}
			c.demand(14, 3000, 300)
			c.eventually("a call for each change of a role's count", func() error {
				changed := 0
				for _, d := range c.status().Decisions {
					for _, role := range []v1alpha1.CountChange{d.Prefill, d.Decode} {
						if d.Applied && role.From != role.To {
							changed++
						}
					}
				}
				if made := calls.of(0, scale); len(made) != changed || changed == 0 {
					return fmt.Errorf("%d calls for %d changes: %v; %s", len(made), changed, made, c.status().Message)
				}
				return nil
			})
			// After the surge the counts rest, and so do the calls for them.
			after := calls.len()
			c.eventually("rounds after the surge", func() error {
				if n := rounds(after); n < 8 {
					return fmt.Errorf("%d rounds", n)
				}
				return nil
			})
			for _, a := range calls.of(after, access.writes) {
				if a != (access{"patch", "pdautoscaler.io", "pdautoscalers/status"}) && a.resource != "events" && !scale(a) {
					t.Errorf("a round after the surge wrote %s", a)
				}
			}
			c.eventually("the API server's count", func() error {
				// The API server counted the same; its policy leaves events and leases out.
				noted := calls.of(0, func(a access) bool { return a.writes() && a.resource != "events" })
				if diff := cmp.Diff(tally(noted), tally(c.audited())); diff != "" {
					return fmt.Errorf("the writes that the API server audited (-noted here +audited):\n%s", diff)
				}
				return nil
			})
		})
	}
}
