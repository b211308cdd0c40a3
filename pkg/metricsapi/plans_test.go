package metricsapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// reads counts what is read, and may refuse it.
type reads struct {
	gets, lists int
	refuse      error
}

// plansOf offers resources from a reader that counts.
func plansOf(t *testing.T, pdas ...client.Object) (*Plans, *reads) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	n := &reads{}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pdas...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
			n.gets++
			return errors.Join(n.refuse, c.Get(ctx, key, into, o...))
		},
		List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, o ...client.ListOption) error {
			n.lists++
			return errors.Join(n.refuse, c.List(ctx, into, o...))
		},
	}).Build()
	return &Plans{reader: reader, clock: clocktesting.NewFakePassiveClock(now)}, n
}

// A selector that names one resource reads that one, any other the namespace;
// what is answered is the same as if all had been looked through.
func TestOnlyTheNamedOneIsRead(t *testing.T) {
	named := func(name string, edit ...func(*v1alpha1.PDAutoscaler)) *v1alpha1.PDAutoscaler {
		return plan(append(edit, func(p *v1alpha1.PDAutoscaler) { p.Name = name })...)
	}
	plans, n := plansOf(t, plan(), named("llama"),
		named("auto", func(p *v1alpha1.PDAutoscaler) { p.Spec.Mode = v1alpha1.ModeAuto }),
		named("leaving", func(p *v1alpha1.PDAutoscaler) {
			p.DeletionTimestamp, p.Finalizers = new(metav1.NewTime(now)), []string{v1alpha1.MoveFinalizer}
		}),
		named("far", func(p *v1alpha1.PDAutoscaler) { p.Namespace = "elsewhere" }))
	for text, want := range map[string]struct {
		one    bool   // only one is read
		answer string // the series, or part of the refusal
	}{
		"pdautoscaler=qwen,role=decode":               {true, "qwen decode 5"},
		"pdautoscaler==llama,role in (prefill)":       {true, "llama prefill 5"},
		"pdautoscaler in (qwen),role=decode":          {true, "qwen decode 5"},
		"pdautoscaler=qwen,role!=decode":              {true, "qwen prefill 5"},
		"pdautoscaler=qwen":                           {true, "matches 2 series"},
		"pdautoscaler=qwen,pdautoscaler=llama":        {true, "matches no series"},
		"pdautoscaler=qwen,team=a":                    {true, "matches no series"},
		"pdautoscaler=auto,role=decode":               {true, "has the mode Auto"},
		"pdautoscaler=nobody,role=decode":             {true, "matches no series"},
		"pdautoscaler=leaving,role=decode":            {true, "matches no series"},
		"pdautoscaler=far,role=decode":                {true, "matches no series"},
		"pdautoscaler in (qwen,nobody),role=decode":   {false, "qwen decode 5"},
		"pdautoscaler!=qwen,role=prefill":             {false, "llama prefill 5"},
		"pdautoscaler,role=decode":                    {false, "matches 2 series"},
		"pdautoscaler=,role=decode":                   {false, "matches no series"},
		"role=decode":                                 {false, "matches 2 series"},
		"pdautoscaler notin (qwen,llama),role=decode": {false, "has the mode Auto"},
		"": {false, "matches 4 series"},
	} {
		selector, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all, err := plans.list(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		s, err := pick(Lookup(DesiredReplicas), all, selector, "namespace default")
		through := said(s, err)

		*n = reads{}
		s, _, err = plans.answerIn(t.Context(), "default", DesiredReplicas, selector)
		if got := said(s, err); got != through || !strings.Contains(got, want.answer) {
			t.Errorf("%q: %s; want %q, as by looking through all: %s", text, got, want.answer, through)
		}
		if one := n.gets == 1 && n.lists == 0; one != want.one || n.gets+n.lists != 1 {
			t.Errorf("%q: %d were read and %d lists, want one of the two, alone: %t", text, n.gets, n.lists, want.one)
		}
	}
}

// said is a series with its count, or why there is none.
func said(s series, err error) string {
	if err != nil {
		return fmt.Sprintf("%T: %v", err, err)
	}
	a, err := s.answer(now)
	return fmt.Sprintf("%s %s %s %v", s.pda.Name, s.role, a.value.String(), err)
}

// What cannot be read is unknown, never missing: an HPA keeps its replicas.
func TestUnreadIsUnknown(t *testing.T) {
	plans, n := plansOf(t, plan())
	n.refuse = errors.New("the cache is not there")
	for _, text := range []string{"pdautoscaler=qwen,role=decode", "role=decode"} {
		selector, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := plans.answerIn(t.Context(), "default", DesiredReplicas, selector); !errors.As(err, new(*unknownError)) || !strings.Contains(err.Error(), "the cache is not there") {
			t.Errorf("%q: %T %v, want that it is unknown", text, err, err)
		}
	}
}
