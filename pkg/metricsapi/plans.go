package metricsapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// Plans finds what is offered among the PDAutoscalers. It is safe for concurrent use.
type Plans struct {
	reader    client.Reader
	clock     clock.PassiveClock
	telemetry *Telemetry
	changes   *changes
}

// NewPlans reads the resources from a cache: every sync of every HPA comes here.
// It must be called before the cache starts, and makes it keep the
// PDAutoscalers on every replica, also on one that never leads.
func NewPlans(ctx context.Context, cache Cache, c clock.PassiveClock, t *Telemetry) (*Plans, error) {
	p := &Plans{reader: cache, clock: c, telemetry: t, changes: newChanges()}
	if err := follow(ctx, cache, p.changes.tell); err != nil {
		return nil, fmt.Errorf("the PDAutoscalers cannot be watched: %w", err)
	}
	return p, nil
}

// Cache is what is used of controller-runtime's cache.
type Cache interface {
	client.Reader
	GetInformer(ctx context.Context, object client.Object, options ...cache.InformerGetOption) (cache.Informer, error)
}

// series is one metric of one role of one resource.
type series struct {
	metric *Metric
	role   string
	pda    *v1alpha1.PDAutoscaler
}

func (s series) labels() map[string]string {
	l := map[string]string{LabelAutoscaler: s.pda.Name}
	if s.role != RoleNone {
		l[LabelRole] = s.role
	}
	return l
}

func (s series) selector() labels.Selector { return labels.SelectorFromSet(s.labels()) }

func (s series) answer(now time.Time) (answer, error) { return s.metric.answerOf(s.pda, s.role, now) }

// list returns the resources of a namespace, oldest name first.
func (p *Plans) list(ctx context.Context, namespace string) ([]*v1alpha1.PDAutoscaler, error) {
	var all v1alpha1.PDAutoscalerList
	if err := p.reader.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, &unknownError{fmt.Sprintf("the PDAutoscalers of namespace %s could not be read: %s", namespace, err)}
	}
	pdas := make([]*v1alpha1.PDAutoscaler, 0, len(all.Items))
	for i := range all.Items {
		if all.Items[i].DeletionTimestamp == nil {
			pdas = append(pdas, prepared(&all.Items[i]))
		}
	}
	slices.SortFunc(pdas, func(a, b *v1alpha1.PDAutoscaler) int { return strings.Compare(a.Name, b.Name) })
	return pdas, nil
}

// among returns the resources that a selector may match. Most name one, and every
// HPA of the namespace asks: then only that one is read.
func (p *Plans) among(ctx context.Context, namespace string, selector labels.Selector) ([]*v1alpha1.PDAutoscaler, error) {
	name, named := selector.RequiresExactMatch(LabelAutoscaler)
	if !named || name == "" {
		return p.list(ctx, namespace)
	}
	pda, err := p.get(ctx, client.ObjectKey{Namespace: namespace, Name: name})
	if refused := new(refusedError); errors.As(err, &refused) {
		return nil, nil // no series; pick says what is allowed
	}
	if err != nil {
		return nil, err
	}
	return []*v1alpha1.PDAutoscaler{pda}, nil
}

// get returns one resource.
func (p *Plans) get(ctx context.Context, key client.ObjectKey) (*v1alpha1.PDAutoscaler, error) {
	pda := &v1alpha1.PDAutoscaler{}
	err := p.reader.Get(ctx, key, pda)
	if client.IgnoreNotFound(err) != nil {
		return nil, &unknownError{fmt.Sprintf("PDAutoscaler %s could not be read: %s", key, err)}
	}
	if err != nil || pda.DeletionTimestamp != nil {
		return nil, &refusedError{missing: true, why: fmt.Sprintf("there is no PDAutoscaler %s", key)}
	}
	return prepared(pda), nil
}

// prepared returns a copy with its defaults: what a cache hands out is shared.
func prepared(pda *v1alpha1.PDAutoscaler) *v1alpha1.PDAutoscaler {
	pda = pda.DeepCopy()
	pda.Default()
	return pda
}

// metric returns the metric of a name.
func (p *Plans) metric(name string) (*Metric, error) {
	if m := Lookup(name); m != nil {
		return m, nil
	}
	return nil, &refusedError{missing: true, why: fmt.Sprintf("there is no metric %q: allowed is one of %s", name, strings.Join(names(), ", "))}
}

// pick returns the one series of a metric that a selector of labels means.
func pick(m *Metric, pdas []*v1alpha1.PDAutoscaler, selector labels.Selector, where string) (series, error) {
	var matched, offered []series
	for _, pda := range pdas {
		for _, role := range m.Roles {
			s := series{m, role, pda}
			if !selector.Matches(labels.Set(s.labels())) {
				continue
			}
			matched = append(matched, s)
			if pda.Spec.Mode == v1alpha1.ModeMetrics {
				offered = append(offered, s)
			}
		}
	}
	switch {
	case len(offered) == 1:
		return offered[0], nil
	case len(offered) > 1:
		return series{}, &refusedError{why: fmt.Sprintf("the selector %q matches %d series of %s in %s: %s; name one with the labels %s and %s, an HPA would add them up",
			selector, len(offered), m.Name, where, texts(offered), LabelAutoscaler, LabelRole)}
	case len(matched) > 0:
		pda := matched[0].pda
		return series{}, &refusedError{why: fmt.Sprintf("PDAutoscaler %s/%s has the mode %s: its plan is offered in mode Metrics only, so that no two write the same replicas", pda.Namespace, pda.Name, pda.Spec.Mode)}
	}
	return series{}, &refusedError{missing: true, why: fmt.Sprintf("the selector %q matches no series of %s in %s: the labels are %s, the name of a PDAutoscaler, and %s, %s or %s",
		selector, m.Name, where, LabelAutoscaler, LabelRole, RolePrefill, RoleDecode)}
}

// texts shows a few series.
func texts(all []series) string {
	const shown = 4
	var t []string
	for _, s := range all[:min(len(all), shown)] {
		t = append(t, labels.Set(s.labels()).String())
	}
	if len(all) > shown {
		t = append(t, "...")
	}
	return strings.Join(t, "; ")
}

// answerIn returns the answer of the one series that a selector means in a namespace.
func (p *Plans) answerIn(ctx context.Context, namespace, name string, selector labels.Selector) (series, answer, error) {
	m, err := p.metric(name)
	if err != nil {
		return series{}, answer{}, err
	}
	pdas, err := p.among(ctx, namespace, selector)
	if err != nil {
		return series{}, answer{}, err
	}
	s, err := pick(m, pdas, selector, "namespace "+namespace)
	if err != nil {
		return series{}, answer{}, err
	}
	a, err := s.answer(p.clock.Now())
	return s, a, err
}

// count counts an answer.
func (p *Plans) count(api, metric string, a answer, err error) {
	if p.telemetry == nil {
		return
	}
	if Lookup(metric) == nil {
		metric = otherMetric
	}
	result := ResultKnown
	switch unknown := new(unknownError); {
	case errors.As(err, &unknown):
		result = ResultUnknown
	case err != nil:
		result = ResultRefused
	case a.repeated:
		result = ResultRepeated
	}
	p.telemetry.answers.WithLabelValues(api, metric, result).Inc()
}
