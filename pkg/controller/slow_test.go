package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// slowCollector is of a service whose metrics do not answer: it takes all the time that it is given, and what is more, none of
// its collections ends before it is let go.
type slowCollector struct {
	inside *atomic.Int32 // collections that have begun
	letGo  <-chan struct{}
}

func (c *slowCollector) Collect(ctx context.Context, _ []signals.Target, _ time.Time) (planner.Signals, []signals.SourceReport) {
	c.inside.Add(1)
	<-ctx.Done()
	<-c.letGo
	return planner.Signals{RequestsPerSecond: planner.Unknown("no answer in time")}, nil
}

func (c *slowCollector) Close() {}

// countedCollector counts its collections.
type countedCollector struct {
	Collector
	n *atomic.Int32
}

func (c *countedCollector) Collect(ctx context.Context, targets []signals.Target, now time.Time) (planner.Signals, []signals.SourceReport) {
	c.n.Add(1)
	return c.Collector.Collect(ctx, targets, now)
}

// A service whose metrics never answer takes its own time, not that of others: while the collections of three such services
// hang, one after another is made of the fourth. Their own end with a demand that is not known.
func TestSlowServiceDelaysNoOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rbgfake.Example{})
	c.demand(1, 500, 100)
	const neverAnswers, slow = "never-answers", 3
	var hanging, collected atomic.Int32
	hang := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(hang) })
	defer letGo() // or the manager never ends
	c.manage(Options{Concurrency: slow + 1, NewCollector: func(config signals.Config) (Collector, error) {
		if config.Model == neverAnswers {
			return &slowCollector{&hanging, hang}, nil
		}
		return &countedCollector{&fileCollector{path: c.traffic}, &collected}, nil
	}})
	add := func(name, model string) {
		c.must(c.client.Create(t.Context(), example(func(p *v1alpha1.PDAutoscaler) {
			p.ObjectMeta = metav1.ObjectMeta{Namespace: c.namespace, Name: name}
			p.Spec.Mode = v1alpha1.ModeRecommend
			p.Spec.Behavior.Interval = v1alpha1.Every(time.Second)
			p.Spec.Model.ServedName = model
		})))
	}
	for i := range slow {
		add(fmt.Sprint("slow-", i), neverAnswers)
	}
	c.eventually("all slow services to hang", func() error {
		if n := hanging.Load(); n != slow {
			return fmt.Errorf("%d hang", n)
		}
		return nil
	})
	add("qwen", "")
	c.eventually("10 collections beside them", func() error {
		if n := collected.Load(); n < 10 {
			return fmt.Errorf("%d collections", n)
		}
		return nil
	})
	if n := hanging.Load(); n != slow {
		t.Errorf("%d collections of slow services have begun, want the first of each, which still hang", n)
	}
	if known := meta.FindStatusCondition(c.status().Conditions, v1alpha1.ConditionSignalsKnown); known == nil || known.Status != metav1.ConditionTrue {
		t.Errorf("after 10 collections the condition of the readings is %+v", known)
	}
	letGo()
	for i := range slow {
		c.eventually("the decision of a slow service", func() error {
			var pda v1alpha1.PDAutoscaler
			c.must(c.client.Get(t.Context(), client.ObjectKey{Namespace: c.namespace, Name: fmt.Sprint("slow-", i)}, &pda))
			known := meta.FindStatusCondition(pda.Status.Conditions, v1alpha1.ConditionSignalsKnown)
			if known == nil {
				return errors.New("there is none")
			}
			if known.Status != metav1.ConditionFalse || known.Reason != string(planner.ReasonDemandUnknown) {
				t.Fatalf("its readings are %+v, want a demand that is not known", known)
			}
			return nil
		})
	}
}
