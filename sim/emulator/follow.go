package emulator

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// follow takes over what the source says about pods: workers join when their
// pod is ready, drain while it terminates and leave when it is gone or not ready
// any more.
func (e *Emulator) follow() {
	pods := e.cfg.Pods.Pods()
	slices.SortFunc(pods, func(a, b Pod) int {
		// The same order each time, so that GPUs are given out alike.
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	serving := map[string]Pod{}

	e.mu.Lock()
	e.advance()
	e.gpuHours.count(e.engine.Now(), e.pods)
	e.pods = pods
	clear(e.problems)
	present := map[string]bool{}
	for _, p := range pods {
		present[p.UID] = true
		if e.admit(p) {
			serving[p.UID] = p
		}
	}
	for uid := range maps.Keys(e.ready) {
		if !present[uid] {
			e.leave(uid)
		}
	}
	for _, problem := range e.gpus.assign(pods) {
		e.problems[problem.uid] = problem.text
	}
	e.mu.Unlock()

	e.serve(serving)
}

// admit brings the engine's view of one pod up to date and reports whether the
// pod answers requests.
func (e *Emulator) admit(p Pod) bool {
	if !p.Ready && !p.Terminating || p.IP == "" {
		e.leave(p.UID)
		return false
	}
	if ip, err := netip.ParseAddr(p.IP); err != nil || !ip.IsLoopback() {
		e.leave(p.UID)
		e.problems[p.UID] = fmt.Sprintf("pod %s/%s has the address %s; only loopback addresses (127.0.0.0/8) are served", p.Namespace, p.Name, p.IP)
		return false
	}
	known := e.ready[p.UID]
	if !known && p.Terminating {
		return false // it ends before it ever worked
	}
	if !known {
		e.ready[p.UID] = true
		if p.Role != RoleExporter {
			e.engine.Join(worker(p))
		}
	}
	if p.Terminating && p.Role != RoleExporter {
		e.engine.Terminate(p.UID, p.EndsBy.Sub(e.start))
	}
	return true
}

func (e *Emulator) leave(uid string) {
	if e.ready[uid] {
		delete(e.ready, uid)
		e.engine.Leave(uid)
		e.gpus.forget(uid)
	}
}

func (e *Emulator) hasProblems() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.problems)+len(e.unserved) > 0
}
