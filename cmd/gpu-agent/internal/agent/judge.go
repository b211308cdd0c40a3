package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// settleRounds is how many intervals a new watch is given before values that are
// missing count as missing: the first activity needs a whole interval to be measured over.
const settleRounds = 3

// notWatched reports that DCGM knows none of the watches any more.
func notWatched(values []gpu.Value) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(v gpu.Value) bool { return v.Status != statusNotWatched })
}

// statusNotWatched is DCGM's code for a field that nobody has asked it to update.
const statusNotWatched = -16

// judge sets the conditions of the two sets from one round's values.
func (a *Agent) judge(now time.Time, s *gpu.Sample) {
	a.judgeDevice(now, s)
	a.judgeProfiling(now, s)
}

// judgeDevice asks of each GPU for any one of the device fields: no GPU has all
// of them, and an instance of one need not have any.
func (a *Agent) judgeDevice(now time.Time, s *gpu.Sample) {
	without := map[gpu.Why][]string{}
	whole := 0
	for _, d := range s.Devices {
		if d.Entity.Kind != gpu.WholeGPU {
			continue
		}
		whole++
		whys := a.whys(now, s.Of[d.Entity], gpu.DeviceFields)
		if !slices.Contains(whys, gpu.Good) {
			without[whys[0]] = append(without[whys[0]], d.String())
		}
	}
	a.set(now, condition.DeviceFields, whole, without, "device fields")
}

// judgeProfiling asks for both of the essential fields.
func (a *Agent) judgeProfiling(now time.Time, s *gpu.Sample) {
	if a.profiling == nil {
		a.board.Set(now, condition.ProfilingFields, false, reasonOf(a.refusal),
			fmt.Sprintf("DCGM refuses the profiling fields, so tensor and DRAM activity are unknown; it is asked again every %v: %v", profilingRetry, a.refusal))
		return
	}
	without := map[gpu.Why][]string{}
	profiled := 0
	for _, d := range s.Devices {
		if d.Divided {
			continue
		}
		profiled++
		for _, why := range a.whys(now, s.Of[d.Entity], gpu.EssentialFields()) {
			if why != gpu.Good {
				without[why] = append(without[why], d.String())
				break
			}
		}
	}
	switch {
	case len(without) > 0 && now.Sub(a.profilingAt) < settleRounds*a.cfg.Interval:
	case len(without) == 0 && a.essentialOnly:
		a.board.Set(now, condition.ProfilingFields, true, condition.EssentialOnly,
			fmt.Sprintf("only tensor and DRAM activity are read: DCGM refuses the whole set of profiling fields: %v", a.refusal))
	default:
		a.set(now, condition.ProfilingFields, profiled, without, "profiling fields")
	}
}

// whys returns for each field why its value must be left out.
func (a *Agent) whys(now time.Time, values gpu.Readings, fields []gpu.Field) []gpu.Why {
	out := make([]gpu.Why, len(fields))
	for i, f := range fields {
		out[i] = gpu.NoData
		if v, ok := values[f.ID]; ok {
			_, out[i] = v.Number(f, now, a.cfg.MaxAge)
		}
	}
	return out
}

// set sets a condition from the devices that lack values, by cause.
func (a *Agent) set(now time.Time, name condition.Name, devices int, without map[gpu.Why][]string, what string) {
	lacking := 0
	var causes []string
	for _, why := range slices.Sorted(maps.Keys(without)) {
		lacking += len(without[why])
		causes = append(causes, fmt.Sprintf("%s: %s", strings.Join(without[why], ", "), explain(why)))
	}
	switch {
	case lacking == 0:
		a.board.Set(now, name, true, condition.Works, fmt.Sprintf("the %s of %d GPUs and instances are read", what, devices))
	case lacking < devices:
		a.board.Set(now, name, false, condition.SomeGPUs, fmt.Sprintf("%d of %d GPUs and instances have no %s: %s", lacking, devices, what, strings.Join(causes, "; ")))
	default:
		reason := condition.NoValues
		if len(without) == 1 {
			reason = reasonOfWhy(slices.Collect(maps.Keys(without))[0])
		}
		a.board.Set(now, name, false, reason, fmt.Sprintf("no GPU has %s: %s", what, strings.Join(causes, "; ")))
	}
}

// reasonOfWhy is the reason of a condition that all GPUs miss for one cause.
func reasonOfWhy(why gpu.Why) condition.Reason {
	switch why {
	case gpu.NotSupported:
		return condition.NotSupported
	case gpu.NotPermitted:
		return condition.NotPermitted
	case gpu.Paused:
		return condition.InUse
	}
	return condition.NoValues
}

// explain says what a person may do about a cause.
func explain(why gpu.Why) string {
	switch why {
	case gpu.NotPermitted:
		return "not permitted (GPUs before Hopper need the capability SYS_ADMIN for them)"
	case gpu.Paused, gpu.Blank:
		return string(why) + " (another profiler, such as Nsight or a second DCGM, may hold the counters)"
	case gpu.Stale:
		return "stale (DCGM serves an old value and no longer updates it)"
	}
	return string(why)
}
