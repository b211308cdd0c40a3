package controller

import "github.com/prometheus/client_golang/prometheus"

// Names of the controller's series.
const (
	metricDesired         = "pdautoscaler_desired_replicas"
	metricTarget          = "pdautoscaler_target_replicas"
	metricReady           = "pdautoscaler_ready_replicas"
	metricLoad            = "pdautoscaler_role_load"
	metricDemand          = "pdautoscaler_demand_requests_per_second"
	metricQueue           = "pdautoscaler_queue_seconds"
	metricPredicted       = "pdautoscaler_predicted_latency_seconds"
	metricObserved        = "pdautoscaler_observed_latency_seconds"
	metricError           = "pdautoscaler_model_error_ratio"
	metricPrefillSpeed    = "pdautoscaler_model_prefill_tokens_per_second"
	metricDecodeAlpha     = "pdautoscaler_model_decode_step_seconds"
	metricDecodeBeta      = "pdautoscaler_model_decode_seconds_per_sequence"
	metricDecodeKappa     = "pdautoscaler_model_decode_seconds_per_context_token"
	metricKVCapacity      = "pdautoscaler_model_kv_capacity_tokens"
	metricStepRatio       = "pdautoscaler_model_step_ratio"
	metricStepUncertainty = "pdautoscaler_model_step_uncertainty_ratio"
	metricStepError       = "pdautoscaler_model_step_error_ratio"
	metricIntervals       = "pdautoscaler_model_intervals_total"
	metricGPUsHeld        = "pdautoscaler_gpus_held"
	metricGPUsBudget      = "pdautoscaler_gpus_budget"
	metricGPUSeconds      = "pdautoscaler_gpu_seconds_total"
	metricSignalAge       = "pdautoscaler_signal_age_seconds"
	metricSources         = "pdautoscaler_signal_sources"
	metricTokenRate       = "pdautoscaler_tokens_per_second"
	metricRequests        = "pdautoscaler_requests"
	metricEngineQueue     = "pdautoscaler_engine_queue_seconds"
	metricKVUse           = "pdautoscaler_kv_cache_usage_ratio"
	metricKVTransfer      = "pdautoscaler_kv_transfer_seconds"
	metricQueueTokens     = "pdautoscaler_queue_tokens"
	metricUnacknowledged  = "pdautoscaler_queue_unacknowledged_messages"
	metricRegistered      = "pdautoscaler_registered_workers"
	metricRejected        = "pdautoscaler_rejected_requests_per_second"
	metricLastDecision    = "pdautoscaler_last_decision_timestamp_seconds"
	metricDecisions       = "pdautoscaler_decisions_total"
	metricMoves           = "pdautoscaler_moves_total"
	metricReconcileFail   = "pdautoscaler_reconcile_errors_total"
)

// RoundsLate is a histogram of all rounds together, of no resource. It says how
// far the controller is behind the intervals that resources ask for.
const (
	RoundsLate     = "pdautoscaler_round_late_seconds"
	RoundsLateHelp = "How long after it was due a round of a PDAutoscaler began. A controller that has too much to do is late."
)

// lateBuckets are finer than those of controller-runtime's queue, which are a decade apart.
var lateBuckets = []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30}

// SeriesType is what Prometheus calls the type of a metric.
type SeriesType string

// The types that are used.
const (
	Gauge   SeriesType = "gauge"
	Counter SeriesType = "counter"
)

// Label is one label of a series besides those that name the resource.
type Label struct {
	Name string
	// Values are all that it takes; where they are many, Of says what they are
	// and Most how many there can be.
	Values []string
	Of     string
	Most   int
}

// most is how many values the label takes at most.
func (l Label) most() int { return max(len(l.Values), l.Most) }

// Series is one metric of the controller. All carry the labels namespace and
// name, of the PDAutoscaler, besides their own.
type Series struct {
	Name   string
	Type   SeriesType
	Help   string
	Labels []Label
}

// Most is how many series of the metric one PDAutoscaler has at most.
func (s *Series) Most() int {
	n := 1
	for _, l := range s.Labels {
		n *= l.most()
	}
	return n
}

// maxReasons bounds the reasons that there are; a test counts them.
const maxReasons = 64

var (
	labelRole      = Label{Name: "role", Values: []string{"prefill", "decode"}}
	labelPods      = Label{Name: "role", Values: []string{"frontend", "prefill", "decode"}}
	labelObjective = Label{Name: "objective", Values: []string{"ttft", "tpot"}}
	labelSource    = Label{Name: "source", Values: []string{"frontend", "prefill", "decode", "exporter", "prometheus", "etcd", "queue"}}
	labelWhere     = Label{Name: "state", Values: []string{"running", "held_for_decode", "handing_over", "allocating", "arriving"}}
	labelState     = Label{Name: "state", Values: []string{"ok", "failed"}}
	labelDirection = Label{Name: "direction", Values: []string{"up", "down", "none"}}
	labelReason    = Label{Name: "reason", Of: "a reason of reasons.md", Most: maxReasons}
	labelResult    = Label{Name: "result", Values: []string{"Started", "Done", "GivenUp", "Returned", "Abandoned"}}
	labelBy        = Label{Name: "model", Values: []string{"prior", "learnt"}}
	labelTaught    = Label{Name: "result", Values: intervalResults()}
	labelStep      = Label{Name: "step", Values: []string{"observe", "collect", "spec", "status", "apply"}}
)

// Table is all that the controller exports about a PDAutoscaler; docs/metrics.md
// is made from it.
func Table() []Series { return table }

var table = []Series{
	{metricDesired, Gauge, "Replicas that the last decision asks for.", []Label{labelRole}},
	{metricTarget, Gauge, "Replicas that the target asks for, whoever wrote them.", []Label{labelRole}},
	{metricReady, Gauge, "Replicas that serve.", []Label{labelRole}},
	{metricLoad, Gauge, "Share of the ready replicas' capacity that the demand takes: compute for prefill, memory bandwidth for decode. Over 1 is overload.", []Label{labelRole}},
	{metricDemand, Gauge, "Requests per second that the role was sized for.", []Label{labelRole}},
	{metricQueue, Gauge, "Time that the ready replicas need for the requests that wait for them.", []Label{labelRole}},
	{metricPredicted, Gauge, "Latency that the model expects after the last decision, at the percentile of its objective.", []Label{labelObjective}},
	{metricObserved, Gauge, "Latency that the service's metrics show, at the percentile of its objective.", []Label{labelObjective}},
	{metricError, Gauge, "Observed latency over what the model expects of the present replicas, less 1: above 0 the service is slower than the model.", []Label{labelObjective}},
	{metricPrefillSpeed, Gauge, "Prompt tokens that a busy prefill replica is taken to compute, for prompts of 2048 tokens.", nil},
	{metricDecodeAlpha, Gauge, "Time that a decode step of few sequences without context is taken to need.", nil},
	{metricDecodeBeta, Gauge, "Time that each sequence is taken to add to a decode step.", nil},
	{metricDecodeKappa, Gauge, "Time that each token of context is taken to add to a decode step.", nil},
	{metricKVCapacity, Gauge, "Tokens of context that the KV cache of a decode replica is taken to hold.", nil},
	{metricStepRatio, Gauge, "Time of a step by what the service has taught over that of the model without it, for the work of late; 1.3 is slower by 30 %. None while nothing is in use.", []Label{labelRole}},
	{metricStepUncertainty, Gauge, "Standard deviation of a step's time by what the service has taught, as a share of it.", []Label{labelRole}},
	{metricStepError, Gauge, "Mean absolute relative error of late of a step's time against what the replicas show, without and with what the service has taught.", []Label{labelRole, labelBy}},
	{metricIntervals, Counter, "Intervals between two readings of a role's replicas, by whether they taught something or why not.", []Label{labelRole, labelTaught}},
	{metricGPUsHeld, Gauge, "GPUs of ready, starting and terminating replicas.", nil},
	{metricGPUsBudget, Gauge, "GPUs that both roles together may hold.", nil},
	{metricGPUSeconds, Counter, "GPU-seconds that the role's replicas held while this controller looked; 3600 are a GPU-hour.", []Label{labelRole}},
	{metricSignalAge, Gauge, "Age of the oldest last reading among the sources of a kind.", []Label{labelSource}},
	{metricSources, Gauge, "Sources of a kind, by whether they could be read.", []Label{labelSource, labelState}},
	{metricTokenRate, Gauge, "Prompt tokens that prefill computes, and tokens that decode generates, per second.", []Label{labelRole}},
	{metricRequests, Gauge, "Requests by where they are: run, held before prefill until decode has room, computed and not yet handed over, waiting for room in decode's KV cache, or on their way into it.", []Label{labelRole, labelWhere}},
	{metricEngineQueue, Gauge, "Mean time of a request in the engine's own queue.", []Label{labelRole}},
	{metricKVUse, Gauge, "Mean share of the KV cache in use.", []Label{labelRole}},
	{metricKVTransfer, Gauge, "Mean time of a transfer of a KV cache to decode.", nil},
	{metricQueueTokens, Gauge, "Prompt tokens, less those found in the prefix cache, of the requests that wait for prefill.", nil},
	{metricUnacknowledged, Gauge, "Messages of the prefill queue that were delivered and not acknowledged.", nil},
	{metricRegistered, Gauge, "Workers that are registered in etcd.", []Label{labelRole}},
	{metricRejected, Gauge, "Requests per second that a kind of pod turned away for overload, where it counts them. They are part of the demand.", []Label{labelPods}},
	{metricLastDecision, Gauge, "When the last decision was made.", nil},
	{metricDecisions, Counter, "Decisions for a role, by direction and by what bound the count.", []Label{labelRole, labelDirection, labelReason}},
	{metricMoves, Counter, "Moves of GPUs from one role to the other, by result; Started counts their beginnings.", []Label{labelResult}},
	{metricReconcileFail, Counter, "Rounds that could not do one of their steps.", []Label{labelStep}},
}

// labels are the names of all labels of a series.
func (s *Series) labels() []string {
	names := []string{labelNamespace, labelName}
	for _, l := range s.Labels {
		names = append(names, l.Name)
	}
	return names
}

// register makes the series of the table known to a registry, or takes those
// that it knows already.
func (m *Metrics) register(registry prometheus.Registerer) (failed []error) {
	for i := range table {
		s := &table[i]
		switch s.Type {
		case Gauge:
			m.gauges[s.Name] = registered(registry, &failed, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: s.Name, Help: s.Help}, s.labels()))
		case Counter:
			m.counters[s.Name] = registered(registry, &failed, prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.Name, Help: s.Help}, s.labels()))
		}
	}
	m.late = registered(registry, &failed, prometheus.NewHistogram(prometheus.HistogramOpts{Name: RoundsLate, Help: RoundsLateHelp, Buckets: lateBuckets}))
	return failed
}
