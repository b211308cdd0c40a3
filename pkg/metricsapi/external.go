package metricsapi

import (
	"context"
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// external is external.metrics.k8s.io: the metric's name, in the namespace of
// the HPA, and a selector of the labels of one series.
type external struct{ plans *Plans }

var _ provider.ExternalMetricsProvider = external{}

// GetExternalMetric returns exactly one value, or an error that says why not.
func (e external) GetExternalMetric(ctx context.Context, namespace string, selector labels.Selector, info provider.ExternalMetricInfo) (*external_metrics.ExternalMetricValueList, error) {
	s, a, err := e.plans.answerIn(ctx, namespace, info.Metric, selector)
	e.plans.count(APIExternal, info.Metric, a, err)
	if err != nil {
		return nil, httpError(err)
	}
	return &external_metrics.ExternalMetricValueList{Items: []external_metrics.ExternalMetricValue{{
		MetricName:   info.Metric,
		MetricLabels: s.labels(),
		Timestamp:    metav1.NewTime(a.at),
		Value:        a.value,
	}}}, nil
}

// ListAllExternalMetrics is for discovery.
func (external) ListAllExternalMetrics() []provider.ExternalMetricInfo {
	all := make([]provider.ExternalMetricInfo, len(metrics))
	for i := range metrics {
		all[i].Metric = metrics[i].Name
	}
	return all
}

// httpError gives an error the HTTP status that says whether to try again.
func httpError(err error) error {
	unknown, refused := new(unknownError), new(refusedError)
	switch {
	case errors.As(err, &unknown):
		return apierrors.NewServiceUnavailable(unknown.why)
	case errors.As(err, &refused) && refused.missing:
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: refused.why,
		}}
	case errors.As(err, &refused):
		return apierrors.NewBadRequest(refused.why)
	}
	return err
}
