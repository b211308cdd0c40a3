package install

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

// lease is what the replicas of the controller agree by.
const lease = "pdautoscaler.pdautoscaler.io"

// holder is who holds the lease.
func (c *chart) holder(t *testing.T) string {
	t.Helper()
	l, err := c.stage.Kubernetes.CoordinationV1().Leases(namespace).Get(t.Context(), lease, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// takeover kills the replica that works, under load, as the loss of its node does. The other one takes the lease when it has run
// out, and decides on; nothing goes down for its having taken over. Prometheus is told by the alert on the lease, and by no other.
func (c *chart) takeover(t *testing.T) {
	second := newOffer(t)
	if err := c.stage.StandBy(t.Context(), c.binary, second.flags()...); err != nil {
		t.Fatal(err)
	}
	leader, before := c.holder(t), c.rest(t)
	resource, err := c.stage.Autoscaler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	window := resource.Spec.Behavior.ScaleDownWindow.Duration
	seen := scrapes{start: time.Now()}
	seen.add(c, t, "a")
	if err := c.stage.TakeOver(stage.Killed); err != nil {
		t.Fatal(err)
	}
	c.offer = second

	killed := time.Now()
	seen.add(c, t, "b") // nobody leads yet
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	const few = 5
	var taken time.Duration
	var records []planner.Record
	for len(records) < few {
		select {
		case <-c.stage.Failed():
			t.Fatal(c.stage.Err())
		case <-tick.C:
		}
		since := time.Since(killed).Round(time.Second)
		if taken == 0 && c.holder(t) != leader {
			taken = since
		}
		seen.add(c, t, "b")
		now := c.ready()
		var err error
		records, err = c.stage.Decisions(t.Context(), 100) // an error before the first: a standby has none to show
		// What a new leader has watched for a whole window it may take away, as any other.
		if early := within(records, window); len(early) == len(records) && (now[0] < before[0] || now[1] < before[1]) {
			t.Fatalf("%s after the kill %v prefill and decode replicas are ready, %v before it", since, now, before)
		}
		if since > patience {
			t.Fatalf("%s after the kill the lease was taken (after %s) by %s, and %d decisions were made (%v)", since, taken, c.holder(t), len(records), err)
		}
	}
	for i := range within(records, window) {
		if d := &records[i].Decision; d.Prefill.To < d.Prefill.From || d.Decode.To < d.Decode.From {
			t.Errorf("the new leader takes replicas away: %s", d.Summary)
		}
	}
	t.Logf("the lease was taken %s after the kill, and the first decision made %s after it", taken, records[0].Input.Now.Sub(killed).Round(time.Second))
	c.alertsOf(t, &seen)
}

// within are the records of a leader's first while.
func within(records []planner.Record, while time.Duration) []planner.Record {
	for i := range records {
		if records[i].Input.Now.Sub(records[0].Input.Now) >= while {
			return records[:i]
		}
	}
	return records
}

// rest waits until as many replicas are ready as were decided last, and says how many those are.
func (c *chart) rest(t *testing.T) (ready [2]int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		records, err := c.stage.Decisions(t.Context(), 1)
		ready = c.ready()
		if err == nil && len(records) == 1 && ready == [2]int{records[0].Decision.Prefill.To, records[0].Decision.Decode.To} {
			return ready
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v prefill and decode replicas are ready, and %d decisions ask for others (%v)", ready, len(records), err)
		}
	}
}

// ready is how many prefill and decode replicas are.
func (c *chart) ready() [2]int {
	roles := c.stage.Pods.Ledger.Totals(time.Now()).Roles
	return [2]int{roles[rbgfake.RolePrefill].Ready, roles[rbgfake.RoleDecode].Ready}
}

// scrapes are pages of /metrics, one a second.
type scrapes struct {
	start time.Time
	pages []map[string]string
}

// add scrapes the replica that the stage has now.
func (s *scrapes) add(c *chart, t *testing.T, pod string) {
	t.Helper()
	page, err := c.stage.Page(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	s.pages = append(s.pages, map[string]string{pod: string(page)})
}

// alertsOf evaluates the chart's alerts over the pages of the takeover: what a Prometheus would have made of them.
func (c *chart) alertsOf(t *testing.T, seen *scrapes) {
	results, err := Alerts(t.Context(), repository, History{StartSeconds: float64(seen.start.Unix()), EverySeconds: 1, Scrapes: seen.pages})
	if err != nil {
		t.Fatal(err)
	}
	gap := false
	for _, a := range results[0] {
		t.Logf("%s was pending from %.0f s on: %s", a.Name, a.PendingAt, a.Summary)
		switch {
		case a.FiringAt != nil:
			t.Errorf("%s fires after %.0f s of a takeover: %s", a.Name, *a.FiringAt, a.Summary)
		case a.Name == "PDAutoscalerNoLeader":
			gap = a.EndedAt != nil
		case !strings.Contains(a.Summary, stage.Namespace+"/"+stage.Name):
			t.Errorf("%s does not say of what: %s", a.Name, a.Summary)
		}
	}
	if !gap {
		t.Error("PDAutoscalerNoLeader did not see the time without a leader, or not its end")
	}
}
