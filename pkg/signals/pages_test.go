package signals

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawnPod is a pod whose page rapid makes up: any of what its engine exports,
// in any state, that of the page before or not.
type drawnPod struct {
	*pod
	words    *vocabulary
	bounds   []float64
	counters map[quantity][]float64 // a counter's value, or a histogram's buckets, count and sum
}

var drawnBounds = [][]float64{{}, {1}, {0, 1}, {0.1, 1, 10}, {0.1, 0.5, 1, 10}}

func drawPod(t *rapid.T, engine, name string) *drawnPod {
	kind := rapid.SampledFrom([]Kind{KindFrontend, KindPrefill, KindPrefill, KindDecode, KindDecode}).Draw(t, "kind")
	r := readerOf(engine, kind)
	if r == nil {
		kind = KindPrefill
		r = readerOf(engine, kind)
	}
	return &drawnPod{
		pod:      newPod(Target{Kind: kind, Namespace: "default", Pod: name, UID: name, URL: "http://" + name}),
		words:    r.words[rapid.IntRange(0, len(r.words)-1).Draw(t, "vocabulary")],
		bounds:   rapid.SampledFrom(drawnBounds).Draw(t, "bounds"),
		counters: map[quantity][]float64{},
	}
}

// page draws the next page.
func (p *drawnPod) page(t *rapid.T) string {
	var b strings.Builder
	written := map[string]bool{}
	rare := func(what string) bool { return rapid.IntRange(0, 19).Draw(t, what) == 0 }
	if rare("new bounds") {
		p.bounds = rapid.SampledFrom(drawnBounds).Draw(t, "bounds")
	}
	if rare("restart") {
		clear(p.counters)
	}
	for _, w := range p.words.words {
		if rare("missing") {
			continue
		}
		name := w.names[0]
		if rare("another spelling") {
			name = w.names[rapid.IntRange(0, len(w.names)-1).Draw(t, "spelling")]
		}
		if written[name.metric] {
			continue // a name stands on a page once, in one form
		}
		written[name.metric] = true
		labels := ""
		if name.label != "" {
			labels = fmt.Sprintf("%s=%q", name.label, name.value)
		}
		grow := rapid.SampledFrom([]float64{0, 0, 1, 3, 1000}).Draw(t, "growth")
		switch w.form {
		case gauge:
			value := rapid.SampledFrom([]float64{0, 0.5, 1, 7, 1e12, math.NaN(), -1}).Draw(t, "gauge")
			fmt.Fprintf(&b, "# TYPE %s gauge\n%s{%s} %v\n", name.metric, name.metric, labels, value)
		case counter:
			if len(p.counters[w.what]) != 1 {
				p.counters[w.what] = []float64{0}
			}
			p.counters[w.what][0] += grow
			fmt.Fprintf(&b, "# TYPE %s counter\n%s{%s} %v\n", name.metric, name.metric, labels, p.counters[w.what][0])
		case histogram:
			n := len(p.bounds)
			h := p.counters[w.what]
			if len(h) != n+2 {
				h = make([]float64, n+2)
				p.counters[w.what] = h
			}
			from := rapid.IntRange(0, n).Draw(t, "bucket")
			for i := from; i <= n; i++ {
				h[i] += grow
			}
			h[n+1] += grow * rapid.SampledFrom([]float64{0, 0.3, 50}).Draw(t, "each")
			fmt.Fprintf(&b, "# TYPE %s histogram\n", name.metric)
			for i, bound := range p.bounds {
				fmt.Fprintf(&b, "%s_bucket{le=\"%v\"} %v\n", name.metric, bound, h[i])
			}
			fmt.Fprintf(&b, "%s_bucket{le=\"+Inf\"} %v\n%s_sum %v\n%s_count %v\n", name.metric, h[n], name.metric, h[n+1], name.metric, h[n])
		}
	}
	return b.String()
}

// Whatever the pages of several pods hold, and however they fit each other,
// what comes out is sound: nothing panics, and every number is one.
func TestPagesOfAnyPodsGiveSoundReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		engine := rapid.SampledFrom(Engines()).Draw(t, "engine")
		c, err := New(Config{Engine: engine, TTFTPercentile: 0.9, TPOTPercentile: 0.99})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var pods []*drawnPod
		for i := range rapid.IntRange(1, 5).Draw(t, "pods") {
			pods = append(pods, drawPod(t, engine, fmt.Sprint(i)))
		}
		now := epoch
		for range rapid.IntRange(2, 6).Draw(t, "collections") {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, interval, interval, time.Minute, -time.Second}).Draw(t, "later"))
			v := view{cfg: &c.cfg, now: now}
			for _, p := range pods {
				if rapid.IntRange(0, 9).Draw(t, "gone") == 0 {
					v.gone = append(v.gone, p.pod)
					continue
				}
				v.listed = append(v.listed, p.pod)
				p.target.Ready = rapid.IntRange(0, 4).Draw(t, "ready") > 0
				p.answered, p.spoke = false, false
				if rapid.IntRange(0, 9).Draw(t, "silent") == 0 {
					continue
				}
				r := readerOf(engine, p.target.Kind)
				read, err := parsePage(strings.NewReader(p.page(t)), "", r.wanted, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				c.take(p.pod, r, read, now, now)
			}
			s := c.signals(&v)
			soundReadings(t, &s)
			others := c.others(&v, &s)
			prefill, decode := v.intervals(&s, false)
			for what, value := range map[string]any{"signals": s, "other readings": others, "prefill interval": prefill, "decode interval": decode} {
				if _, err := json.Marshal(value); err != nil {
					t.Fatalf("%s: %+v: %v", what, value, err)
				}
			}
			if all := c.reports(v.listed, nil, now); len(all) != len(v.listed) {
				t.Fatalf("%d reports of %d pods", len(all), len(v.listed))
			}
		}
	})
}
