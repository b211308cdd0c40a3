package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// observeModel exports what one replica is taken to do, and how far the latency
// that is seen is from what the model expects of the replicas that are there.
func (m *Metrics) observeModel(r *round, of series) {
	var speed, alpha, beta, kappa, capacity *float64
	errors := map[string]*float64{"ttft": nil, "tpot": nil}
	if d := r.decision(); d != nil {
		model := r.modelStatus()
		speed = new(float64(model.Prefill.TokensPerSecond))
		alpha = new(float64(model.Decode.AlphaMicroseconds) / 1e6)
		beta = new(float64(model.Decode.BetaNanosecondsPerSequence) / 1e9)
		kappa = new(float64(model.Decode.KappaPicosecondsPerToken) / 1e12)
		capacity = new(float64(model.Decode.KVTokens))
		maxAge := seconds(r.pda.Spec.Behavior.MaxAge)
		errors["ttft"] = modelError(r.signals.TTFTMs.Fresh(r.now, maxAge), d.Prefill.BeforeMs)
		errors["tpot"] = modelError(r.signals.TPOTMs.Fresh(r.now, maxAge), d.Decode.BeforeMs)
	}
	m.observeCalibration(r, of)
	of.set(m.gauges[metricPrefillSpeed], speed)
	of.set(m.gauges[metricDecodeAlpha], alpha)
	of.set(m.gauges[metricDecodeBeta], beta)
	of.set(m.gauges[metricDecodeKappa], kappa)
	of.set(m.gauges[metricKVCapacity], capacity)
	for objective, e := range errors {
		of.set(m.gauges[metricError], e, objective)
	}
}

// modelError is nil where either side is not known.
func modelError(observedMs planner.Reading, expectedMs *float64) *float64 {
	if !observedMs.Ok() || expectedMs == nil || !(*expectedMs > 0) {
		return nil
	}
	return new(observedMs.Or(0)/(*expectedMs) - 1)
}

// gpuMeter remembers what each resource held at its last round.
type gpuMeter struct {
	mu   sync.Mutex
	held map[types.NamespacedName]gpusAt
}

type gpusAt struct {
	at   time.Time
	gpus map[planner.Role]int
}

// longestGap is how many intervals may lie between two rounds for the time
// between them to count: nobody saw what was held in a longer one.
const longestGap = 3

// since returns the GPU-seconds of each role since the last round, and remembers this one.
func (g *gpuMeter) since(r *round) map[planner.Role]float64 {
	key := types.NamespacedName{Namespace: r.pda.Namespace, Name: r.pda.Name}
	g.mu.Lock()
	defer g.mu.Unlock()
	last, known := g.held[key]
	if r.seen == nil {
		delete(g.held, key)
		return nil
	}
	now := gpusAt{r.now, map[planner.Role]int{}}
	for _, role := range roles {
		now.gpus[role] = pool(r.seen, role).HeldGPUs()
	}
	g.held[key] = now
	elapsed := r.now.Sub(last.at)
	if !known || elapsed <= 0 || elapsed > longestGap*r.interval() {
		return nil
	}
	spent := map[planner.Role]float64{}
	for role, gpus := range last.gpus {
		spent[role] = float64(gpus) * elapsed.Seconds()
	}
	return spent
}

func (g *gpuMeter) forget(key types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.held, key)
}
