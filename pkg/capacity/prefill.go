package capacity

// PrefillPool is what a number of prefill replicas does under a traffic.
type PrefillPool struct {
	// Load is rho_p: the share of time that a replica is busy; above 1 the queue grows without end.
	Load            float64
	Stable          bool
	MeanServiceMs   float64
	WaitProbability float64
	MeanWaitMs      float64
}

// PrefillPool evaluates replicas prefill replicas under t.
func (s Service) PrefillPool(replicas int, t Traffic) PrefillPool { panic("not written yet") }

// TTFTQuantileMs is the time to first token that a share q of the requests stays within; +Inf when the pool is not stable.
func (p PrefillPool) TTFTQuantileMs(q float64) float64 { panic("not written yet") }

// FloorMs is TTFTQuantileMs when nothing waits: what no number of replicas improves on.
func (p PrefillPool) FloorMs(q float64) float64 { panic("not written yet") }
