package signals

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator"
)

// kinds are the services that are read.
var kinds = []Kind{
	{Name: "vllm", Workers: emulator.VLLM, Engine: "vllm"},
	{Name: "sglang", Workers: emulator.SGLang, Engine: signals.EngineAuto},
	{Name: "dynamo-2025", Workers: emulator.VLLM, Frontend: emulator.Dynamo2025, ReadFrontend: true, Engine: "dynamo-vllm"},
	{Name: "dynamo-1", Workers: emulator.SGLang, Frontend: emulator.Dynamo1, ReadFrontend: true, Engine: "dynamo-sglang"},
}

// How the services are read. What grows is compared over a window that begins
// before the load and ends after it: both ways then see the same growth, and differ
// in the time that it is divided by, by at most the time between two samples as the window
// begins. On a slow machine Prometheus misses a scrape here or there: two in a row are a second and a
// half, which is as much of this window as the two ways may be apart with some to spare.
const (
	scrapeEvery = 500 * time.Millisecond
	pageEvery   = time.Second
	window      = 80 * time.Second
	// After the start: when the load begins, and when what grew is compared, with
	// the load over by then and the window beginning before it, 4 s after the start or up to
	// 16 s later where a page takes long. Until gaugesUntil the window has not let go of anything.
	loadFrom, loadTime, growthAt, gaugesUntil = 20 * time.Second, 20 * time.Second, 84 * time.Second, 55 * time.Second
	// countEvery is how close the pods' samples are while nothing happens, which is
	// where the window begins.
	countEvery = 200 * time.Millisecond
	// fewestPages is at how many moments under load the gauges have to be compared.
	fewestPages = 6
	// tries is how often a moment is looked at where a source does not tell.
	tries = 5
	// within is how far the two ways may be apart.
	within = 0.02
)

// startPrometheus starts a real one, or skips the test.
func startPrometheus(t *testing.T, config string, flags ...string) *Prometheus {
	t.Helper()
	return start(t, Options{Config: config, Flags: flags})
}

func start(t *testing.T, o Options) *Prometheus {
	t.Helper()
	p, err := Start(t.Context(), o)
	if errors.Is(err, ErrNoPrometheus) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func collector(t *testing.T, cfg signals.Config) *signals.Collector {
	t.Helper()
	c, err := signals.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// watched is one service and the collectors that read it.
type watched struct {
	*Service
	// counting and direct ask the pods, whenever Prometheus does and once for
	// each page; through asks Prometheus once for each page.
	counting, direct, through *signals.Collector
	// counted, said and heard are their latest readings.
	counted, said, heard planner.Signals
	reports              []signals.SourceReport
	// since is when the latest page was there.
	since time.Time
	// compared is at how many moments the gauges were.
	compared int
}

// The two ways say the same of every service, at every moment that is compared,
// and a collector that has just started knows it at once from what Prometheus kept.
func TestBothWaysSayTheSame(t *testing.T) {
	if os.Getenv("PDAUTOSCALER_E2E") == "" {
		t.Skip("in real time, on a machine that does nothing else: `make e2e-signals`")
	}
	if _, err := Binary(); err != nil {
		t.Skip(err)
	}
	frozen := &Frozen{}
	t.Cleanup(frozen.Close)
	all := startServices(t, frozen)
	var services []*Service
	for _, w := range all {
		services = append(services, w.Service)
	}
	warmUp(t, frozen, all)
	prometheus := startPrometheus(t, ScrapeConfig(scrapeEvery, services...))
	for _, w := range all {
		w.counting, w.direct, w.through = collector(t, w.Config(window, "")), collector(t, w.Config(window, "")), collector(t, w.Config(window, prometheus.URL))
	}
	pages := 0
	for _, s := range services {
		pages += len(s.Targets)
	}
	// A Prometheus begins to read some seconds after it answers.
	counted := readPage(t, prometheus, pages, all, time.Now(), true)
	began, plays := time.Now(), false
	for time.Since(began) < growthAt {
		if !plays && time.Since(began) >= loadFrom {
			plays = true
			for _, w := range all {
				if err := w.Play(loadTime); err != nil {
					t.Fatal(err)
				}
			}
		}
		frozen.Thaw()
		for _, w := range all {
			w.since = time.Now()
		}
		for try := 1; ; try++ {
			counted = readPage(t, prometheus, pages, all, counted, !plays)
			if collectAll(t, all) || try == tries {
				break
			}
		}
		for _, w := range all {
			if plays && time.Since(began) < gaugesUntil {
				w.sameGauges(t)
			}
		}
	}
	for _, w := range all {
		if w.compared < fewestPages {
			t.Errorf("%s: the gauges could be compared at %d moments, %d are needed", w.Kind.Name, w.compared, fewestPages)
		}
		t.Logf("%s: the gauges were compared at %d moments", w.Kind.Name, w.compared)
		w.sameGrowth(t)
		w.describe(t)
		fresh := w.Config(window, prometheus.URL)
		fresh.NATS = nil
		at := time.Now()
		now, _ := w.through.Collect(t.Context(), w.Targets, at)
		heard, _ := collector(t, fresh).Collect(t.Context(), w.Targets, at)
		if off := apart(now.RequestsPerSecond.Value, heard.RequestsPerSecond.Value); !heard.RequestsPerSecond.Ok() || off > 0.05 {
			t.Errorf("%s: a collector that has just started reads a demand of %+v, want %.2f", w.Kind.Name, heard.RequestsPerSecond, now.RequestsPerSecond.Value)
		}
	}
}

// warmUp lets every service have some requests: a Dynamo frontend's page is empty
// before the first, and what it counted would then be compared from that moment on, in the middle of the load.
func warmUp(t *testing.T, frozen *Frozen, all []*watched) {
	t.Helper()
	for _, w := range all {
		if err := w.Play(time.Second); err != nil {
			t.Fatal(err)
		}
		c := collector(t, w.Config(window, ""))
		for deadline, told := time.Now().Add(time.Minute), false; !told; {
			frozen.Thaw()
			s, reports := c.Collect(t.Context(), w.Targets, time.Now())
			told = s.DecodeRunning.State == planner.StateZero && !slices.ContainsFunc(reports, func(r signals.SourceReport) bool { return !r.OK })
			if !told && time.Now().After(deadline) {
				t.Fatalf("%s: after a minute not every source has told something and nothing runs any more: %+v", w.Kind.Name, reports)
			}
			if !told {
				time.Sleep(200 * time.Millisecond)
			}
		}
	}
}

// collectAll asks both ways for all services at this moment. It is false where a
// source does not tell: one scrape of a pod that took too long is enough for that.
func collectAll(t *testing.T, all []*watched) bool {
	t.Helper()
	whole := true
	for _, w := range all {
		w.heard, w.reports = w.through.Collect(t.Context(), w.Targets, time.Now())
		w.said, _ = w.direct.Collect(t.Context(), w.Targets, time.Now())
		whole = whole && !slices.ContainsFunc(w.reports, func(r signals.SourceReport) bool { return !r.OK })
	}
	return whole
}

// readPage lets a page stand until its time is over and Prometheus has read all
// of it, and asks the pods each time that Prometheus did, as of that time; with
// idle, where nothing moves, as of closer times too. counted is the last of these times.
func readPage(t *testing.T, prometheus *Prometheus, pages int, all []*watched, counted time.Time, idle bool) time.Time {
	t.Helper()
	began := time.Now()
	last := began
	count := func(at time.Time) {
		for _, w := range all {
			w.counted, _ = w.counting.Collect(t.Context(), w.Targets, at)
		}
		counted = at
	}
	for again := time.NewTicker(scrapeEvery / 6); ; <-again.C {
		read, oldest, err := prometheus.Scraped(t.Context(), began)
		switch {
		case err != nil:
			t.Fatal(err)
		case time.Since(began) > time.Minute:
			t.Fatalf("after a minute Prometheus has read %d of %d pages", read, pages)
		case read == pages && oldest.After(last):
			for at := counted.Add(countEvery); idle && at.Before(oldest); at = at.Add(countEvery) {
				count(at)
			}
			last = oldest
			count(oldest)
			if time.Since(began) >= pageEvery {
				again.Stop()
				return counted
			}
		}
	}
}

func startServices(t *testing.T, frozen *Frozen) []*watched {
	t.Helper()
	var all []*watched
	for i, kind := range kinds {
		s, err := StartService(t.Context(), i+1, kind, frozen)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Emulator.Stop(); err != nil {
				t.Error(err)
			}
		})
		all = append(all, &watched{Service: s})
	}
	return all
}

// sameGauges compares what the pods hold at this moment.
func (w *watched) sameGauges(t *testing.T) {
	t.Helper()
	w.compared++
	for _, r := range w.reports {
		if !r.OK {
			t.Errorf("%s: %s: %s", w.Kind.Name, r.Source, r.Error)
		}
	}
	of := func(s *planner.Signals) map[string]planner.Reading {
		return map[string]planner.Reading{"decode running": s.DecodeRunning, "decode waiting": s.DecodeWaiting, "KV use": s.DecodeKVUse, "fullest": s.DecodeKVUseMax,
			"tensor": s.PrefillTensorActive, "DRAM": s.DecodeDRAMActive}
	}
	w.same(t, of(&w.said), of(&w.heard), "KV use", "DRAM", "decode running")
}

// sameGrowth compares what came and went over the window.
func (w *watched) sameGrowth(t *testing.T) {
	t.Helper()
	w.same(t, growth(&w.counted), growth(&w.heard), "demand", "TTFT", "TPOT", "input tokens", "output tokens")
}

func growth(s *planner.Signals) map[string]planner.Reading {
	meanOf := func(q planner.Quantile) planner.Reading { q.Reading.Value = q.MeanMs; return q.Reading }
	return map[string]planner.Reading{
		"demand": s.RequestsPerSecond, "input tokens": s.InputTokens, "input SCV": s.InputSCV, "output tokens": s.OutputTokens, "output SCV": s.OutputSCV,
		"cached share": s.CachedShare, "TTFT": s.TTFTMs.Reading, "TTFT mean": meanOf(s.TTFTMs), "TPOT": s.TPOTMs.Reading, "TPOT mean": meanOf(s.TPOTMs),
	}
}

// same fails where the two ways are apart, or where one of the musts is unknown.
func (w *watched) same(t *testing.T, said, heard map[string]planner.Reading, musts ...string) {
	t.Helper()
	for name, a := range said {
		b := heard[name]
		switch {
		case a.Ok() != b.Ok():
			t.Errorf("%s: %s is %+v of the pods and %+v of Prometheus", w.Kind.Name, name, a, b)
		case a.Ok() && apart(a.Or(0), b.Or(0)) > within:
			t.Errorf("%s: %s is %v of the pods and %v of Prometheus: %.1f %% apart", w.Kind.Name, name, a.Or(0), b.Or(0), 100*apart(a.Or(0), b.Or(0)))
		}
	}
	for _, must := range musts {
		if b := heard[must]; !b.Ok() || b.At.Before(w.since) {
			t.Errorf("%s: %s is %+v, want it known and of the page that stands since %s", w.Kind.Name, must, b, w.since.Format(time.TimeOnly))
		}
	}
}

// describe logs what was compared.
func (w *watched) describe(t *testing.T) {
	t.Helper()
	said, heard := growth(&w.counted), growth(&w.heard)
	for _, name := range []string{"demand", "input tokens", "output tokens", "cached share", "TTFT", "TTFT mean", "TPOT", "TPOT mean"} {
		t.Logf("%-12s %-14s pods %10.4f, Prometheus %10.4f, apart %5.2f %%", w.Kind.Name, name, said[name].Or(math.NaN()), heard[name].Or(math.NaN()),
			100*apart(said[name].Or(0), heard[name].Or(0)))
	}
	for _, r := range w.reports {
		if r.Engine != "" {
			t.Logf("%-12s %s speaks %s", w.Kind.Name, r.Source, r.Engine)
		}
		if len(r.Queries) > 12 {
			t.Errorf("%d queries, at most 12 are allowed", len(r.Queries))
		}
	}
}

func apart(a, b float64) float64 {
	if a == b {
		return 0
	}
	return math.Abs(a-b) / max(math.Abs(a), math.Abs(b))
}

// What a person is told where there is no Prometheus.
func TestWithoutPrometheus(t *testing.T) {
	t.Setenv("PATH", "")
	t.Setenv(BinaryVariable, "")
	if _, err := StartPrometheus(t.Context(), ""); !errors.Is(err, ErrNoPrometheus) || !strings.Contains(err.Error(), "install the package prometheus") {
		t.Errorf("error = %v", err)
	}
}
