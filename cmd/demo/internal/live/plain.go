package live

import (
	"fmt"
	"strings"
)

// Line returns a frame as one line of text.
func Line(f Frame) string {
	var b strings.Builder
	act := f.Acts[f.Act]
	if f.WarmUp {
		act += " (warm-up)"
	}
	fmt.Fprintf(&b, "%5s  %-25s %5.1f req/s", clock(f.At), act, f.Load.RequestsPerSecond)
	for _, r := range f.Roles {
		fmt.Fprintf(&b, "  %s %d", r.Name, r.Ready)
		if r.Starting > 0 {
			fmt.Fprintf(&b, "+%d starting", r.Starting)
		}
		if r.Terminating > 0 {
			fmt.Fprintf(&b, "-%d ending", r.Terminating)
		}
		if r.LoadPercent >= 0 {
			fmt.Fprintf(&b, " (load %d %%)", r.LoadPercent)
		}
	}
	fmt.Fprintf(&b, "  GPUs %d/%d", f.GPUs.Held, f.GPUs.Budget)
	for _, v := range []struct {
		name string
		Latency
	}{{"TTFT", f.TTFT}, {"TPOT", f.TPOT}} {
		if v.Known {
			fmt.Fprintf(&b, "  %s p%d %s", v.name, v.Percentile, milliseconds(v.Ms))
		}
	}
	return b.String()
}
