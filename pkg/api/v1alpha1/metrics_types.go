package v1alpha1

import "time"

// UnknownPolicy says what the metrics server answers while the plan is not known.
// +kubebuilder:validation:Enum=Error;LastSafe
type UnknownPolicy string

// The policies. Neither ever answers zero for what is not known.
const (
	// UnknownError answers with an error: an HPA then holds its replicas and says so.
	UnknownError UnknownPolicy = "Error"
	// UnknownLastSafe answers counts with the last ones that were decided. A
	// load or a latency has no safe last value: an HPA multiplies its replicas
	// by it again and again. These stay an error.
	UnknownLastSafe UnknownPolicy = "LastSafe"
)

// MetricsOffer says how mode Metrics offers the plan to an HPA or to KEDA.
type MetricsOffer struct {
	// whenUnknown is what is answered while the demand is unknown or the last
	// decision is too old: Error makes an HPA hold, LastSafe repeats the counts
	// that were decided last. Loads, queues and latencies are an error then either way.
	// +optional
	// +kubebuilder:default=Error
	WhenUnknown UnknownPolicy `json:"whenUnknown,omitempty"`
	// staleAfterIntervals is the age, in intervals of behavior.interval, at which
	// the last decision no longer counts. The status is written anew after half
	// of it, also when nothing changed.
	// +optional
	// +kubebuilder:default=6
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1000
	StaleAfterIntervals int32 `json:"staleAfterIntervals,omitempty"`
}

func (m *MetricsOffer) fillDefaults() {
	set(&m.WhenUnknown, UnknownError)
	set(&m.StaleAfterIntervals, 6)
}

// StaleAfter is the age at which the last decision no longer counts as one.
func (s *PDAutoscalerSpec) StaleAfter() time.Duration {
	return time.Duration(s.Metrics.StaleAfterIntervals) * s.Behavior.Interval.Duration
}
