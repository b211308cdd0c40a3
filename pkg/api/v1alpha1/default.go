package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Default fills what was left out, with the values that the API server fills
// in from the CRD. Calling it twice changes nothing.
func (in *PDAutoscaler) Default() {
	s := &in.Spec
	set(&s.Mode, ModeRecommend)
	set(&s.Roles.Prefill.Name, "prefill")
	set(&s.Roles.Prefill.Min, 1)
	set(&s.Roles.Decode.Name, "decode")
	set(&s.Roles.Decode.Min, 1)
	set(&s.Roles.Decode.MaxSequences, 256)
	set(&s.Model.MemoryPercent, 90)
	set(&s.Model.KVCacheDtype, DtypeAuto)
	set(&s.Model.WeightDtype, DtypeAuto)
	for _, p := range []*Parallelism{s.Roles.Prefill.Parallelism, s.Roles.Decode.Parallelism} {
		if p != nil {
			set(&p.Data, 1)
			set(&p.Pipeline, 1)
		}
	}
	set(&s.Model.Calibration, CalibrationOn)
	if s.Model.ConfigMapRef != nil {
		set(&s.Model.ConfigMapRef.Key, "config.json")
	}
	set(&s.SLO.TTFT.Percentile, 95)
	set(&s.SLO.TPOT.Percentile, 95)
	set(&s.SLO.TTFTEndsAt, TTFTEndsAtPrefill)
	s.Signals.fillDefaults()
	s.Behavior.fillDefaults()
	s.Rebalance.fillDefaults()
	s.Metrics.fillDefaults()
}

func (s *Signals) fillDefaults() {
	set(&s.Engine, EngineDynamoVLLM)
	set(&s.Window, Every(time.Minute))
	set(&s.Direct.Ports.Frontend, 8000)
	set(&s.Direct.Ports.Prefill, 8000)
	set(&s.Direct.Ports.Decode, 8000)
	set(&s.Direct.Timeout, Every(2*time.Second))
	set(&s.Direct.Scheme, SchemeHTTP)
	if p := s.Prometheus; p != nil {
		set(&p.PodLabel, "pod")
		set(&p.NamespaceLabel, "namespace")
		set(&p.Timeout, Every(4*time.Second))
	}
	if s.NATS != nil {
		set(&s.NATS.Stream, "dynamo_prefill_queue")
		set(&s.NATS.Consumer, "worker-group")
	}
	if s.DCGM != nil {
		set(&s.DCGM.Namespace, "gpu-operator")
		set(&s.DCGM.Port, 9400)
		set(&s.DCGM.Scheme, SchemeHTTP)
		if s.DCGM.Selector == nil {
			s.DCGM.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "nvidia-dcgm-exporter"}}
		}
	}
}

func (b *Behavior) fillDefaults() {
	set(&b.Interval, Every(10*time.Second))
	set(&b.ScaleDownWindow, Every(time.Minute))
	if b.HeadroomPercent == nil {
		b.HeadroomPercent = new(int32(10))
	}
	set(&b.TolerancePercent, 10)
	set(&b.MaxAge, Every(time.Minute))
	set(&b.StartupTime, Every(2*time.Minute))
	set(&b.StartTimeout, Every(15*time.Minute))
	set(&b.BreachTime, Every(time.Minute))
	if b.Drain != nil {
		b.Drain.fillDefaults()
	}
}

func (d *Drain) fillDefaults() {
	set(&d.Deadline, Every(30*time.Second))
	if d.HTTP != nil {
		set(&d.HTTP.Method, "POST")
	}
	for _, mark := range []*PodMark{d.Label, d.Annotation} {
		if mark != nil {
			set(&mark.Value, "true")
		}
	}
}

func (r *Rebalance) fillDefaults() {
	if r.Enabled == nil {
		r.Enabled = new(true)
	}
	set(&r.Window, Every(time.Minute))
	set(&r.DrainTimeout, Every(10*time.Minute))
	set(&r.StartTimeout, Every(15*time.Minute))
	set(&r.Cooldown, Every(10*time.Minute))
}

// set gives a field its default where it holds none.
func set[T comparable](field *T, value T) {
	var none T
	if *field == none {
		*field = value
	}
}
