package metricsapi

import (
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// The labels of every series.
const (
	LabelAutoscaler = "pdautoscaler"
	LabelRole       = "role"
)

// The roles as labels name them. RoleNone is that of a series about the whole service.
const (
	RolePrefill = "prefill"
	RoleDecode  = "decode"
	RoleNone    = ""
)

// The names of the metrics.
const (
	DesiredReplicas      = "pdautoscaler_desired_replicas"
	DesiredGPUs          = "pdautoscaler_desired_gpus"
	HeldGPUs             = "pdautoscaler_held_gpus"
	PrefillComputeLoad   = "pdautoscaler_prefill_compute_load"
	DecodeBandwidthLoad  = "pdautoscaler_decode_bandwidth_load"
	QueueSeconds         = "pdautoscaler_queue_seconds"
	PredictedTTFTSeconds = "pdautoscaler_predicted_ttft_seconds"
	PredictedTPOTSeconds = "pdautoscaler_predicted_tpot_seconds"
)

// Metric is one kind of series that is offered.
type Metric struct {
	Name string
	Unit string
	Help string
	// Roles are those for which there is a series each; RoleNone stands for one
	// series of the whole service.
	Roles []string
	// Count is true for numbers that mean the same whatever the replicas are now,
	// so that the last one that was decided may be repeated.
	Count bool

	// demand is true where the number follows from the demand.
	demand bool
	value  func(pda *v1alpha1.PDAutoscaler, role string) (value, bool)
}

// value is n times 10 to the power of scale.
type value struct {
	n     int64
	scale resource.Scale
}

func (v value) quantity() resource.Quantity { return *resource.NewScaledQuantity(v.n, v.scale) }

// number is the float next to a quantity; the quantity's own method is a bit or two off.
func number(q resource.Quantity) float64 {
	f, err := strconv.ParseFloat(q.AsDec().String(), 64)
	if err != nil { // no decimal of a quantity is beyond a float
		return q.AsApproximateFloat64()
	}
	return f
}

var (
	bothRoles = []string{RolePrefill, RoleDecode}
	noRole    = []string{RoleNone}
)

// Metrics is the table of all that is offered.
func Metrics() []Metric { return slices.Clone(metrics) }

var metrics = []Metric{
	{
		Name: DesiredReplicas, Unit: "replicas", Roles: bothRoles, Count: true, demand: true,
		Help: "Replicas that the plan asks for. With averageValue 1 and tolerance 0 an HPA sets exactly these.",
		value: func(p *v1alpha1.PDAutoscaler, role string) (value, bool) {
			return whole(int64(roleStatus(p, role).Desired))
		},
	},
	{
		Name: DesiredGPUs, Unit: "GPUs", Roles: bothRoles, Count: true, demand: true,
		Help: "GPUs of the replicas that the plan asks for.",
		value: func(p *v1alpha1.PDAutoscaler, role string) (value, bool) {
			s := roleStatus(p, role)
			v, _ := whole(int64(s.Desired) * int64(s.GPUsPerReplica))
			return v, s.GPUsPerReplica > 0
		},
	},
	{
		Name: HeldGPUs, Unit: "GPUs", Roles: bothRoles,
		Help: "GPUs of the ready, starting and terminating replicas.",
		value: func(p *v1alpha1.PDAutoscaler, role string) (value, bool) {
			s := roleStatus(p, role)
			v, _ := whole((int64(s.Ready) + int64(s.Starting) + int64(s.Terminating)) * int64(s.GPUsPerReplica))
			return v, s.GPUsPerReplica > 0
		},
	},
	{
		Name: PrefillComputeLoad, Unit: "1 (share)", Roles: []string{RolePrefill}, demand: true,
		Help:  "Share of the ready prefill replicas' compute that the demand takes. Over 1 is overload.",
		value: load,
	},
	{
		Name: DecodeBandwidthLoad, Unit: "1 (share)", Roles: []string{RoleDecode}, demand: true,
		Help:  "Share of the ready decode replicas' memory bandwidth that the demand takes within the TPOT objective. Over 1 is overload.",
		value: load,
	},
	{
		Name: QueueSeconds, Unit: "seconds", Roles: bothRoles, demand: true,
		Help: "Time that the ready replicas need for the requests that wait for them.",
		value: func(p *v1alpha1.PDAutoscaler, role string) (value, bool) {
			return known(roleStatus(p, role).QueueMilliseconds, resource.Milli)
		},
	},
	{
		Name: PredictedTTFTSeconds, Unit: "seconds", Roles: noRole, demand: true,
		Help: "TTFT that the model expects after the last decision, at the percentile of the objective.",
		value: func(p *v1alpha1.PDAutoscaler, _ string) (value, bool) {
			return known(p.Status.SLO.TTFT.PredictedMicroseconds, resource.Micro)
		},
	},
	{
		Name: PredictedTPOTSeconds, Unit: "seconds", Roles: noRole, demand: true,
		Help: "TPOT that the model expects after the last decision, at the percentile of the objective.",
		value: func(p *v1alpha1.PDAutoscaler, _ string) (value, bool) {
			return known(p.Status.SLO.TPOT.PredictedMicroseconds, resource.Micro)
		},
	},
}

// Lookup returns the metric of a name, nil where there is none.
func Lookup(name string) *Metric {
	i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &metrics[i]
}

// names lists the metrics for a sentence that says what is allowed.
func names() []string {
	all := make([]string, len(metrics))
	for i := range metrics {
		all[i] = metrics[i].Name
	}
	return all
}

func load(p *v1alpha1.PDAutoscaler, role string) (value, bool) {
	percent := roleStatus(p, role).LoadPercent
	if percent == nil {
		return value{}, false
	}
	return value{10 * int64(*percent), resource.Milli}, true
}

func whole(n int64) (value, bool) { return value{n, 0}, true }

func known(n *int64, scale resource.Scale) (value, bool) {
	if n == nil {
		return value{}, false
	}
	return value{*n, scale}, true
}

func roleStatus(p *v1alpha1.PDAutoscaler, role string) *v1alpha1.RoleStatus {
	if role == RoleDecode {
		return &p.Status.Roles.Decode
	}
	return &p.Status.Roles.Prefill
}
