package signals

// Requests that are turned away (429, 503, 529) are demand: a service that sheds
// its load looks calm, and needs replicas for what it sheds. Who counts them:
//
//   - Dynamo's frontend counts them among those started and, as errors, among
//     those finished. They are in demand already, and only shown.
//   - vLLM and SGLang count them apart from all else, where the version does:
//     they are added. A request that a router offers to several pods counts at each.
//   - TensorRT-LLM and older versions count them nowhere, and a gateway before the
//     service turns requests away unseen: their number is unknown, not zero.

// rejectedApart returns the requests that a pod turned away and that are in no
// other counter of its page: since the pod was first seen, and in all.
func (v *vocabulary) rejectedApart(s *sample, p *pod) (grown, ever float64) {
	for _, w := range v.words {
		if w.what == requestsRejected && w.apart {
			return p.grown[requestsRejected], s.measured[requestsRejected].total()
		}
	}
	return 0, 0
}

// rejected are the readings of requests turned away, one of each kind of pod that may tell.
func (v *view) rejected() []Reading {
	kinds := []Kind{KindPrefill, KindDecode}
	if v.hasFrontend() {
		kinds = []Kind{KindFrontend, KindPrefill, KindDecode}
	}
	var out []Reading
	for _, kind := range kinds {
		out = append(out, Reading{RequestsRejected, kind, "requests/s", v.growth(kind, requestsRejected)})
	}
	return out
}
