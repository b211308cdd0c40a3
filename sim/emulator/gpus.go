package emulator

import (
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// gpuBook knows which pod holds which GPU, and what each GPU showed last.
type gpuBook struct {
	kind  GPU
	nodes map[string][]*gpuSlot
	// before is each pod's activity at the last reading, by UID.
	before map[string]engine.Activity
	readAt time.Duration
}

// gpuSlot is one GPU of a node.
type gpuSlot struct {
	pod     Pod // zero: nobody's
	running bool
	last    gpuReading
}

// gpuReading is the mean over an exporter's interval.
type gpuReading struct {
	utilPercent  float64
	tensor, dram float64
	watts        float64
}

// gpuView is a copy of a slot for a scrape.
type gpuView struct {
	pod     Pod
	usedMiB int
	last    gpuReading
}

type podProblem struct{ uid, text string }

var idleGPU = gpuReading{watts: engine.IdleWatts}

func newGPUBook(kind GPU) gpuBook {
	return gpuBook{kind: kind, nodes: map[string][]*gpuSlot{}, before: map[string]engine.Activity{}}
}

// assign gives each pod that is on a node its GPUs, the lowest free ones first,
// and takes back those of pods that are gone. Starting and terminating pods
// hold theirs.
func (b *gpuBook) assign(pods []Pod) (problems []podProblem) {
	now := map[string]Pod{}
	for _, p := range pods {
		if p.Node != "" && (p.GPUs > 0 || p.Role == RoleExporter) {
			now[p.UID] = p
			b.node(p.Node)
		}
	}
	held := map[string]int{}
	for _, slots := range b.nodes {
		for _, s := range slots {
			p, ok := now[s.pod.UID]
			if !ok {
				*s = gpuSlot{last: idleGPU}
				continue
			}
			s.pod, s.running = p, p.Ready || p.Terminating
			held[p.UID]++
		}
	}
	for _, p := range pods {
		if _, ok := now[p.UID]; !ok {
			continue
		}
		for _, s := range b.node(p.Node) {
			if held[p.UID] >= p.GPUs {
				break
			}
			if s.pod.UID == "" {
				s.pod, s.running = p, p.Ready
				held[p.UID]++
			}
		}
		if missing := p.GPUs - held[p.UID]; missing > 0 {
			problems = append(problems, podProblem{p.UID, fmt.Sprintf("pod %s/%s holds %d GPUs, but %d more than node %s with its %d has free", p.Namespace, p.Name, p.GPUs, missing, p.Node, b.kind.PerNode)})
		}
	}
	return problems
}

func (b *gpuBook) node(name string) []*gpuSlot {
	if b.nodes[name] == nil {
		for range b.kind.PerNode {
			b.nodes[name] = append(b.nodes[name], &gpuSlot{last: idleGPU})
		}
	}
	return b.nodes[name]
}

// forget drops the activity of a worker that left: if it comes back, its
// counters start from 0.
func (b *gpuBook) forget(uid string) { delete(b.before, uid) }

// read takes a reading of all GPUs: the mean since the reading before.
func (b *gpuBook) read(now time.Duration, activity func(uid string) (engine.Activity, bool)) {
	seconds := (now - b.readAt).Seconds()
	b.readAt = now
	if seconds <= 0 {
		return
	}
	after := map[string]engine.Activity{}
	for _, slots := range b.nodes {
		for _, s := range slots {
			s.last = idleGPU
			a, ok := activity(s.pod.UID)
			if !ok {
				continue
			}
			after[s.pod.UID] = a
			was := b.before[s.pod.UID]
			mean := func(to, from float64) float64 { return min(1, max(0, to-from)/seconds) }
			s.last = gpuReading{
				utilPercent: math.Round(100 * mean(a.BusySeconds, was.BusySeconds)),
				tensor:      mean(a.TensorSeconds, was.TensorSeconds),
				dram:        mean(a.DRAMSeconds, was.DRAMSeconds),
				watts:       engine.IdleWatts + max(0, a.Joules-was.Joules)/seconds,
			}
		}
	}
	b.before = after
}

func (b *gpuBook) onNode(name string) []gpuView {
	var views []gpuView
	for _, s := range b.nodes[name] {
		v := gpuView{pod: s.pod, last: s.last}
		if s.running {
			v.usedMiB = b.kind.UsedMiB
		}
		views = append(views, v)
	}
	return views
}

func gpuUUID(node string, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", node, index))
	return fmt.Sprintf("GPU-%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// sampleGPUs is what the exporters do at each interval.
func (e *Emulator) sampleGPUs() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance()
	e.gpus.read(e.engine.Now(), func(uid string) (engine.Activity, bool) {
		s, ok := e.engine.Stats(uid)
		return s.Activity, ok
	})
}

// gpuHours adds up the GPUs that pods hold, from the start of the load.
type gpuHours struct {
	since   time.Duration
	seconds float64
}

func (g *gpuHours) restart(now time.Duration) { *g = gpuHours{since: now} }

// count adds the time since the last count, over which the pods were these.
func (g *gpuHours) count(now time.Duration, pods []Pod) {
	g.seconds += float64(heldGPUs(pods)) * (now - g.since).Seconds()
	g.since = now
}

// heldGPUs counts the GPUs of the pods that are on a node, in whatever state.
func heldGPUs(pods []Pod) int {
	n := 0
	for _, p := range pods {
		if p.Node != "" {
			n += p.GPUs
		}
	}
	return n
}
