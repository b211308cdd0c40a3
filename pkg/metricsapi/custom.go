package metricsapi

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// custom is custom.metrics.k8s.io: the metrics of a PDAutoscaler as an object,
// for HPAs of type Object. Where a metric has a series for each role, the
// metric's own selector names the role.
type custom struct{ plans *Plans }

var _ provider.CustomMetricsProvider = custom{}

// customResource is the only kind of object that has metrics here.
var customResource = schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "pdautoscalers"}

// GetMetricByName returns the value of one object.
func (c custom) GetMetricByName(ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo, selector labels.Selector) (*custom_metrics.MetricValue, error) {
	value, a, err := c.one(ctx, name, info, selector)
	c.plans.count(APICustom, info.Metric, a, err)
	if err != nil {
		return nil, httpError(err)
	}
	return value, nil
}

func (c custom) one(ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo, selector labels.Selector) (*custom_metrics.MetricValue, answer, error) {
	m, err := c.metric(info)
	if err != nil {
		return nil, answer{}, err
	}
	pda, err := c.plans.get(ctx, name)
	if err != nil {
		return nil, answer{}, err
	}
	return c.of(m, pda, selector)
}

// of returns the one value of an object that a selector means.
func (c custom) of(m *Metric, pda *v1alpha1.PDAutoscaler, selector labels.Selector) (*custom_metrics.MetricValue, answer, error) {
	s, err := pick(m, []*v1alpha1.PDAutoscaler{pda}, selector, fmt.Sprintf("PDAutoscaler %s/%s", pda.Namespace, pda.Name))
	if err != nil {
		return nil, answer{}, err
	}
	a, err := s.answer(c.plans.clock.Now())
	if err != nil {
		return nil, answer{}, err
	}
	return &custom_metrics.MetricValue{
		DescribedObject: custom_metrics.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "PDAutoscaler", Namespace: pda.Namespace, Name: pda.Name,
		},
		Metric:    custom_metrics.MetricIdentifier{Name: m.Name, Selector: metav1.SetAsLabelSelector(s.labels())},
		Timestamp: metav1.NewTime(a.at),
		Value:     a.value,
	}, a, nil
}

// GetMetricBySelector returns the value of every object that the first selector
// matches: one that is not known makes the whole an error, or whoever adds the
// values up would take it for zero.
func (c custom) GetMetricBySelector(ctx context.Context, namespace string, objects labels.Selector, info provider.CustomMetricInfo, selector labels.Selector) (*custom_metrics.MetricValueList, error) {
	m, err := c.metric(info)
	if err != nil {
		c.plans.count(APICustom, info.Metric, answer{}, err)
		return nil, httpError(err)
	}
	pdas, err := c.plans.list(ctx, namespace)
	if err != nil {
		c.plans.count(APICustom, info.Metric, answer{}, err)
		return nil, httpError(err)
	}
	all := &custom_metrics.MetricValueList{}
	for _, pda := range pdas {
		if !objects.Matches(labels.Set(pda.Labels)) || pda.Spec.Mode != v1alpha1.ModeMetrics {
			continue
		}
		value, a, err := c.of(m, pda, selector)
		c.plans.count(APICustom, info.Metric, a, err)
		if err != nil {
			return nil, httpError(err)
		}
		all.Items = append(all.Items, *value)
	}
	return all, nil
}

// metric checks what is asked for.
func (c custom) metric(info provider.CustomMetricInfo) (*Metric, error) {
	if r := info.GroupResource; r != customResource && r != (schema.GroupResource{Resource: customResource.Resource}) {
		return nil, &refusedError{missing: true, why: fmt.Sprintf("%s have no metrics here: allowed is %s", r, customResource)}
	}
	return c.plans.metric(info.Metric)
}

// ListAllMetrics is for discovery.
func (custom) ListAllMetrics() []provider.CustomMetricInfo {
	all := make([]provider.CustomMetricInfo, len(metrics))
	for i := range metrics {
		all[i] = provider.CustomMetricInfo{GroupResource: customResource, Namespaced: true, Metric: metrics[i].Name}
	}
	return all
}
