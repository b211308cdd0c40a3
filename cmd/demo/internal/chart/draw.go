package chart

import (
	"fmt"
	"io"
)

// Sizes in pixels.
const (
	width       = 1000
	left        = 66
	right       = 104
	firstPanel  = 108
	panelHeight = 84
	panelGap    = 40
)

// Write draws a run.
func Write(w io.Writer, r Run) error {
	p := &picture{}
	height := firstPanel + 5*(panelHeight+panelGap) - panelGap + 40
	p.addf(`<rect class="paper" width="%d" height="%d" rx="8"/>`, width, height)
	p.text(left, 30, "title", "start", r.Title)
	bottom := float64(height - 40)
	d := drawing{picture: p, run: r, bottom: bottom}
	d.acts()
	d.load()
	d.replicas()
	d.gpus()
	d.latency("TTFT", r.TTFT, func(v Latency) float64 { return v.TTFTMs })
	d.latency("TPOT", r.TPOT, func(v Latency) float64 { return v.TPOTMs })
	d.timeAxis()
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">
  <style>%s
  </style>
%s</svg>
`, width, height, width, height, "Load, replicas, GPUs, TTFT and TPOT over the time of one run", style, p.b.String())
	return err
}

// drawing is a picture of a run that is being drawn from top to bottom.
type drawing struct {
	*picture
	run    Run
	panels int
	bottom float64
}

// next opens the next panel below the last.
func (d *drawing) next(s scale) *panel {
	top := float64(firstPanel + d.panels*(panelHeight+panelGap))
	d.panels++
	return &panel{picture: d.picture, left: left, top: top, width: width - left - right, height: panelHeight, seconds: d.run.LengthSeconds, scale: s}
}

func (d *drawing) x(seconds float64) float64 {
	return left + (width-left-right)*seconds/d.run.LengthSeconds
}

// values picks one value of every point.
func (d *drawing) values(of func(Point) float64) []at {
	all := make([]at, len(d.run.Points))
	for i, p := range d.run.Points {
		all[i] = at{p.At, of(p), true}
	}
	return all
}

func (d *drawing) most(of ...func(Point) float64) float64 {
	most := 0.0
	for _, p := range d.run.Points {
		for _, f := range of {
			most = max(most, f(p))
		}
	}
	return most
}

// acts draws the parts of the story behind all panels: warm-ups as bands.
func (d *drawing) acts() {
	const top = 52
	for i, a := range d.run.Acts {
		if a.JudgedFrom > a.From {
			d.addf(`<rect class="band" x="%.1f" y="%d" width="%.1f" height="%.1f"/>`, d.x(a.From), top, d.x(a.JudgedFrom)-d.x(a.From), d.bottom-top)
		}
		if i > 0 {
			d.addf(`<path class="grid" d="M%.1f %dV%.1f"/>`, d.x(a.From), top, d.bottom)
		}
		d.text(d.x(a.From)+5, top+15, "name", "start", a.Name)
	}
	for _, m := range d.run.Moves {
		to := m.To
		if to == 0 {
			to = d.run.LengthSeconds
		}
		d.addf(`<rect class="move" x="%.1f" y="%d" width="%.1f" height="%.1f"/>`, d.x(m.From), top+22, d.x(to)-d.x(m.From), d.bottom-top-22)
	}
	d.text(width-right+6, top+15, "soft", "start", "shaded:")
	d.text(width-right+6, top+30, "soft", "start", "warm-up")
}

func (d *drawing) load() {
	prompt := func(p Point) float64 { return p.PromptTokensPS }
	output := func(p Point) float64 { return p.OutputTokensPS }
	p := d.next(newLinear(d.most(prompt, output)))
	p.frame("Offered load, tokens/s", number)
	p.line("line prefill", false, d.values(prompt))
	p.line("line decode", false, d.values(output))
	d.legend(p, "prompt tokens", "output tokens")
}

func (d *drawing) legend(p *panel, prefill, decode string) {
	for i, l := range []struct{ class, words string }{{"prefill", prefill}, {"decode", decode}} {
		y := p.top + 12 + float64(i)*18
		d.addf(`<path class="line %s" d="M%.1f %.1fh14"/>`, l.class, p.left+p.width+6, y-4)
		d.text(p.left+p.width+24, y, "soft", "start", l.words)
	}
}

func (d *drawing) replicas() {
	of := func(pick func(Point) Role, count func(Role) int) func(Point) float64 {
		return func(p Point) float64 { return float64(count(pick(p))) }
	}
	prefill, decode := func(p Point) Role { return p.Prefill }, func(p Point) Role { return p.Decode }
	ready, desired := func(r Role) int { return r.Ready }, func(r Role) int { return r.Desired }
	p := d.next(whole(d.most(of(prefill, ready), of(decode, ready), of(prefill, desired), of(decode, desired))))
	p.frame("Replicas: ready (line), asked for (dotted)", number)
	p.line("thin prefill", true, d.values(of(prefill, desired)))
	p.line("thin decode", true, d.values(of(decode, desired)))
	p.line("line prefill", true, d.values(of(prefill, ready)))
	p.line("line decode", true, d.values(of(decode, ready)))
	d.legend(p, "prefill", "decode")
	for _, m := range d.run.Moves {
		if m.Label != "" {
			d.text(d.x(m.From), p.top-8, "move-text", "start", m.Label)
		}
	}
}

func (d *drawing) gpus() {
	none := func(Point) float64 { return 0 }
	prefill := func(p Point) float64 { return float64(p.Prefill.GPUs) }
	both := func(p Point) float64 { return float64(p.Prefill.GPUs + p.Decode.GPUs) }
	p := d.next(whole(max(d.most(both), float64(d.run.BudgetGPUs), float64(d.run.FixedGPUs))))
	p.frame("GPUs held, starting and terminating replicas included", number)
	p.area("area prefill-fill", d.values(none), d.values(prefill))
	p.area("area decode-fill", d.values(prefill), d.values(both))
	p.limit("limit", float64(d.run.BudgetGPUs), fmt.Sprintf("budget %d", d.run.BudgetGPUs))
	if d.run.FixedGPUs > 0 {
		p.addf(`<path class="fixed" d="M%.1f %.1fH%.1f"/>`, p.left, p.y(float64(d.run.FixedGPUs)), p.left+p.width)
		p.text(p.left+p.width+6, p.y(float64(d.run.FixedGPUs))+4, "tick", "start", fmt.Sprintf("fixed needs %d", d.run.FixedGPUs))
	}
}

func (d *drawing) latency(name string, o Objective, of func(Latency) float64) {
	var values []at
	least, most := o.Ms, o.Ms
	for _, l := range d.run.Latencies {
		v := of(l)
		values = append(values, at{l.From, v, v > 0}, at{l.To, v, v > 0})
		if v > 0 {
			least, most = min(least, v), max(most, v)
		}
	}
	p := d.next(newLogarithmic(least, most))
	p.frame(fmt.Sprintf("%s p%d of the requests that arrived then (logarithmic)", name, o.Percentile), latency)
	p.line("line ink", true, values)
	p.limit("limit", o.Ms, "objective "+latency(o.Ms))
}

// timeAxis writes minutes below the last panel.
func (d *drawing) timeAxis() {
	step := 30.0
	for d.run.LengthSeconds/step > 14 {
		step *= 2
	}
	for s := 0.0; s <= d.run.LengthSeconds; s += step {
		d.text(d.x(s), d.bottom+18, "tick", "middle", fmt.Sprintf("%d:%02d", int(s)/60, int(s)%60))
	}
}
