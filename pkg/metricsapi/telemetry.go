package metricsapi

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// AnswersTotal counts what was answered to HPAs and to KEDA.
const AnswersTotal = "pdautoscaler_metrics_api_answers_total"

// AnswersHelp is its help text.
const AnswersHelp = "Values that were asked for by an HPA or by KEDA, by how they were answered."

// The values of its labels; its third label is the metric's name, or "other".
const (
	APIExternal = "external"
	APICustom   = "custom"
	APIKEDA     = "keda"

	ResultKnown    = "known"
	ResultRepeated = "repeated" // spec.metrics.whenUnknown LastSafe
	ResultUnknown  = "unknown"
	ResultRefused  = "refused"

	otherMetric = "other"
)

// AnswerLabels are its labels, in order.
var AnswerLabels = []string{"api", "metric", "result"}

// Telemetry counts answers.
type Telemetry struct{ answers *prometheus.CounterVec }

// NewTelemetry registers the counter, or takes the one that is registered already.
func NewTelemetry(registry prometheus.Registerer) (*Telemetry, error) {
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{Name: AnswersTotal, Help: AnswersHelp}, AnswerLabels)
	if err := registry.Register(answers); err != nil {
		already := new(prometheus.AlreadyRegisteredError)
		if !errors.As(err, already) {
			return nil, err
		}
		existing, same := already.ExistingCollector.(*prometheus.CounterVec)
		if !same {
			return nil, err
		}
		answers = existing
	}
	return &Telemetry{answers}, nil
}
