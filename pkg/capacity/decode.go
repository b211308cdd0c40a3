package capacity

// Bound names what limits a decode pool.
type Bound string

const (
	BoundBandwidth Bound = "bandwidth"
	BoundKV        Bound = "kv"
	BoundSequences Bound = "sequences"
)

// DecodePool is what a number of decode replicas does under a traffic.
type DecodePool struct {
	Stable bool
	// Sequences is the mean number of running sequences per replica.
	Sequences float64
	// StepMs is the mean decode step that a running sequence sees.
	StepMs float64
	// BandwidthLoad is the share of the largest token rate that any batch size reaches.
	BandwidthLoad float64
	// KVLoad is the mean occupied share of the KV cache.
	KVLoad float64
	// SequenceLoad is the mean occupied share of the sequence slots.
	SequenceLoad float64
	// Bound is the largest of the three loads.
	Bound Bound
}

// DecodePool evaluates replicas decode replicas under t.
func (s Service) DecodePool(replicas int, t Traffic) DecodePool { panic("not written yet") }

// LoadFor is rho_d: the rate over the rate at which the mean step meets the objective.
func (d DecodePool) LoadFor(o Objective) float64 { panic("not written yet") }

// TPOTQuantileMs is the time per output token that a share q of the requests stays within; +Inf when not stable.
func (d DecodePool) TPOTQuantileMs(q float64) float64 { panic("not written yet") }

// FloorMs is TPOTQuantileMs of a request alone on its replica.
func (d DecodePool) FloorMs(q float64) float64 { panic("not written yet") }

// HandoverMs is the mean time from the end of prefill to the end of the first decode step.
func (d DecodePool) HandoverMs() float64 { panic("not written yet") }
