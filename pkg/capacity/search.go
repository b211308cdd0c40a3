package capacity

// PrefillReplicas is the smallest number of prefill replicas, 1..limit, that keeps TTFT within o; limit and false if none does.
func (s Service) PrefillReplicas(t Traffic, o Objective, limit int) (replicas int, ok bool) {
	panic("not written yet")
}

// DecodeReplicas is the smallest number of decode replicas, 1..limit, that keeps TPOT within o; limit and false if none does.
func (s Service) DecodeReplicas(t Traffic, o Objective, limit int) (replicas int, ok bool) {
	panic("not written yet")
}

// MaxRatePrefill is the largest rate in requests/s, of t's shape, at which n prefill replicas keep TTFT within o.
func (s Service) MaxRatePrefill(n int, t Traffic, o Objective) float64 { panic("not written yet") }

// MaxRateDecode is the largest rate in requests/s, of t's shape, at which n decode replicas keep TPOT within o.
func (s Service) MaxRateDecode(n int, t Traffic, o Objective) float64 { panic("not written yet") }
