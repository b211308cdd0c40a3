package signals

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// steady collects over and over while a frontend takes perSecond requests, and returns the last reading.
func (r *rig) steady(p *fakePod, collections int, finished *float64, perSecond float64) planner.Signals {
	r.t.Helper()
	var s planner.Signals
	for range collections {
		p.set(frontend2025(*finished, 0)...)
		s = r.collect()
		*finished += perSecond * interval.Seconds()
	}
	return s
}

func TestDemandNeedsTwoSamples(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	p.set(frontend2025(1000, 3)...)
	wantUnknown(t, "demand", r.collect().RequestsPerSecond, "was not read for long enough yet")
	p.set(frontend2025(1030, 3)...)
	wantKnown(t, "demand", r.collect().RequestsPerSecond, 2)
}

// F1: a failed or empty query is never zero demand.
func TestF1FailureIsNotZeroDemand(t *testing.T) {
	for name, fail := range map[string]func(p *fakePod){
		"error":         func(p *fakePod) { p.status = 503 },
		"empty page":    func(p *fakePod) { p.body = "" },
		"other metrics": func(p *fakePod) { p.body = "go_goroutines 5\n" },
		"html":          func(p *fakePod) { p.contentType, p.body = "text/html", "<html/>" },
		"redirect":      func(p *fakePod) { p.status = 302 },
		"NaN": func(p *fakePod) {
			p.body = strings.Join(frontend2025(0, 0), "\n") + "\n"
			p.body = strings.ReplaceAll(p.body, "} 0", "} NaN")
		},
		"half the page":  func(p *fakePod) { p.body = strings.Join(frontend2025(500, 0)[:2], "\n") + "\n" },
		"cut in a value": func(p *fakePod) { p.body = strings.Join(frontend2025(500, 0), "\n") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			p := r.pod(KindFrontend, "f")
			finished := 500.0
			wantZero(t, "demand while nothing comes", r.steady(p, 6, &finished, 0).RequestsPerSecond)
			p.change(fail)
			for range 6 {
				s := r.collect()
				if s.RequestsPerSecond.Ok() && s.RequestsPerSecond.At.After(epoch.Add(5*interval)) {
					t.Fatalf("demand = %+v from a page that could not be read", s.RequestsPerSecond)
				}
			}
			s := r.collect()
			wantUnknown(t, "demand after the last sample is old", s.RequestsPerSecond, "frontend pod f gave no count of requests")
			// It comes back, and the first new sample is not taken for a burst.
			p.change(func(p *fakePod) { p.status, p.contentType = 200, "" })
			finished = 560
			if s := r.steady(p, 1, &finished, 0).RequestsPerSecond; s.Ok() && s.Value > 1 {
				t.Errorf("demand after the gap = %+v", s)
			}
		})
	}
}

// F2: idle is a confirmed zero, not a NaN that holds the replicas for ever.
func TestF2IdleIsAConfirmedZero(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	latencies := bucketsFrom(dynamoITL, .02, .02)
	page := lines(frontend2025(12, 0), exported("nv_llm_http_service_time_to_first_token_seconds", latencies))
	for i := range 5 {
		p.set(page...)
		s := r.collect()
		if i == 0 {
			wantUnknown(t, "demand of one sample", s.RequestsPerSecond, "long enough")
			continue
		}
		if i < 4 {
			wantUnknown(t, "demand before a whole window", s.RequestsPerSecond, "zero is confirmed after 1m0s")
			continue
		}
		wantZero(t, "demand", s.RequestsPerSecond)
		wantUnknown(t, "TTFT", s.TTFTMs.Reading, "no request finished in the window")
	}
}

// F3: with a frontend, the workers' counters of the same requests are left out;
// without one, only prefill pods are counted.
func TestF3RequestsAreCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		kinds []Kind
		want  float64
	}{
		"frontend and workers": {[]Kind{KindFrontend, KindPrefill, KindPrefill, KindDecode}, 1},
		"workers alone":        {[]Kind{KindPrefill, KindPrefill, KindDecode}, 4},
		"decode alone":         {[]Kind{KindDecode}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			var pods []*fakePod
			for i, kind := range c.kinds {
				pods = append(pods, r.pod(kind, fmt.Sprintf("pod-%d", i)))
			}
			var s planner.Signals
			for i := range 3 {
				seconds := float64(i) * interval.Seconds()
				for _, p := range pods {
					switch p.target.Kind {
					case KindFrontend:
						p.set(frontend2025(1*seconds, 4)...)
					case KindPrefill:
						p.set(worker(2*seconds, 1, 0)...)
					case KindDecode:
						p.set(worker(5*seconds, 1, 0)...)
					}
				}
				s = r.collect()
			}
			wantKnown(t, "demand", s.RequestsPerSecond, c.want)
		})
	}
}

// A service that is stuck finishes nothing: what arrives is still seen.
func TestDemandIsWhatArrivesNotWhatIsFinished(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	var s planner.Signals
	for i := range 5 {
		p.set(frontend2025(100, 10+float64(i)*30)...)
		s = r.collect()
	}
	wantKnown(t, "demand of a stuck service", s.RequestsPerSecond, 2)
	// It works off what it has and nothing new comes.
	for i := range 6 {
		p.set(frontend2025(100+float64(i)*10, 130-float64(i)*10)...)
		s = r.collect()
	}
	wantZero(t, "demand while the rest is worked off", s.RequestsPerSecond)
}

func TestDemandPrefersStarted(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	var s planner.Signals
	for i := range 3 {
		p.set("# TYPE dynamo_frontend_requests_started_total counter",
			fmt.Sprintf(`dynamo_frontend_requests_started_total{model="m"} %d`, 45*i),
			"# TYPE dynamo_frontend_requests_total counter",
			fmt.Sprintf(`dynamo_frontend_requests_total{model="m"} %d`, 15*i),
			"# TYPE dynamo_frontend_inflight_requests gauge", `dynamo_frontend_inflight_requests{model="m"} 0`)
		s = r.collect()
	}
	wantKnown(t, "demand", s.RequestsPerSecond, 3)
}

// More leave than are counted: the rate is not below zero, and no zero is confirmed by it.
func TestDemandIsNeverNegative(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	var s planner.Signals
	for i := range 6 {
		p.set(frontend2025(100, 100-float64(i))...)
		s = r.collect()
	}
	wantUnknown(t, "demand", s.RequestsPerSecond, "more requests left 1 frontend pod than were counted as finished")
}

// A counter that fell is a restart: its new value is what came since, and what
// was in flight before is lost, not negative demand.
func TestDemandOverARestart(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	for _, at := range []struct{ finished, inFlight float64 }{{1000, 40}, {1030, 40}, {6, 9}} {
		p.set(frontend2025(at.finished, at.inFlight)...)
		r.collect()
	}
	if got := r.report(p); !got.OK || !strings.Contains(got.Detail, "restarted") {
		t.Errorf("report = %+v, want a restart in it", got)
	}
	p.set(frontend2025(21, 9)...)
	s := r.collect()
	wantKnown(t, "demand", s.RequestsPerSecond, (30.+6+9+15)/45)
	if strings.Contains(r.report(p).Detail, "restarted") {
		t.Error("the restart is reported twice")
	}
}

// A label set appears with its first request: on a page seen before it began at zero.
func TestDemandCountsTheFirstRequestOfANewSeries(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	p.set(frontend2025(10, 0)...)
	r.collect()
	p.set(append(frontend2025(10, 0),
		`nv_llm_http_service_requests_total{endpoint="completions",model="qwen3-32b",request_type="unary",status="error"} 30`)...)
	wantKnown(t, "demand", r.collect().RequestsPerSecond, 2)
}

// The same pod name with another UID is another pod, whose counters are its own.
func TestDemandTellsPodsByUID(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	finished := 1e6
	r.steady(p, 5, &finished, 2)
	p.target.UID = "uid-2"
	p.set(frontend2025(2e6, 0)...)
	wantUnknown(t, "demand of a pod seen once", r.collect().RequestsPerSecond, "long enough")
	for _, one := range r.reports {
		if strings.Contains(one.Detail, "restarted") {
			t.Errorf("report = %+v: another pod taken for a restart", one)
		}
	}
}

// What a pod took before it went did arrive, and leaves the window bit by bit.
func TestDemandOfAFrontendThatGoes(t *testing.T) {
	r := newRig(t, Config{})
	a, b := r.pod(KindFrontend, "a"), r.pod(KindFrontend, "b")
	finishedA, finishedB := 0.0, 0.0
	var s planner.Signals
	for range 6 {
		finishedA, finishedB = finishedA+45, finishedB+45
		a.set(frontend2025(finishedA, 0)...)
		b.set(frontend2025(finishedB, 0)...)
		s = r.collect()
	}
	wantKnown(t, "demand of both", s.RequestsPerSecond, 6)
	r.remove(b)
	for range 6 {
		finishedA += 90 // a takes it all from here
		a.set(frontend2025(finishedA, 0)...)
		wantKnown(t, "demand after one went", r.collect().RequestsPerSecond, 6)
	}
}

// F12: one pod without metrics does not take the readings of the others away;
// but a sum that lacks a part is not called demand.
func TestF12OnePodWithoutMetrics(t *testing.T) {
	t.Run("a frontend", func(t *testing.T) {
		r := newRig(t, Config{})
		a, b := r.pod(KindFrontend, "a"), r.pod(KindFrontend, "b")
		d := r.pod(KindDecode, "d")
		d.set(worker(5, 7, 2)...)
		var s planner.Signals
		for i := range 3 {
			a.set(frontend2025(float64(30*i), 0)...)
			b.change(func(p *fakePod) { p.body = "" })
			s = r.collect()
		}
		wantKnown(t, "demand while b was not used yet", s.RequestsPerSecond, 2)
		b.set("a_new_name_of_requests_total 100")
		a.set(frontend2025(75, 0)...)
		wantUnknown(t, "demand while b calls it otherwise", r.collect().RequestsPerSecond, "frontend pod b gave no count of requests")
		b.change(func(p *fakePod) { p.status = 500 })
		a.set(frontend2025(90, 0)...)
		s = r.collect()
		wantUnknown(t, "demand while b fails", s.RequestsPerSecond, "frontend pod b gave no count of requests")
		wantKnown(t, "decode running", s.DecodeRunning, 7)
	})
	t.Run("a worker, with a frontend", func(t *testing.T) {
		r := newRig(t, Config{})
		f, a, b := r.pod(KindFrontend, "f"), r.pod(KindDecode, "a"), r.pod(KindDecode, "b")
		b.change(func(p *fakePod) { p.status = 500 })
		var s planner.Signals
		for i := range 3 {
			f.set(frontend2025(float64(30*i), 0)...)
			a.set(append(worker(float64(i), 5, 0), "vllm:kv_cache_usage_perc 0.9")...)
			s = r.collect()
		}
		wantKnown(t, "demand", s.RequestsPerSecond, 2)
		wantKnown(t, "decode running", s.DecodeRunning, 5)
		if !strings.HasPrefix(s.DecodeRunning.Source, "at least") {
			t.Errorf("source = %q, want it to say that the sum is too low", s.DecodeRunning.Source)
		}
		wantUnknown(t, "decode waiting", s.DecodeWaiting, "1 of 2 decode pods gave no requests waiting")
		wantKnown(t, "fullest KV cache", s.DecodeKVUseMax, 0.9)
		if s.DecodeSilent != 1 || s.PrefillSilent != 0 {
			t.Errorf("silent = %d decode, %d prefill, want 1 and 0", s.DecodeSilent, s.PrefillSilent)
		}
	})
	t.Run("a worker, without a frontend", func(t *testing.T) {
		r := newRig(t, Config{Engine: "vllm"})
		a, b := r.pod(KindPrefill, "a"), r.pod(KindPrefill, "b")
		b.change(func(p *fakePod) { p.status = 500 })
		var s planner.Signals
		for i := range 3 {
			a.set(worker(float64(30*i), 5, 0)...)
			s = r.collect()
		}
		wantUnknown(t, "demand", s.RequestsPerSecond, "prefill pod b gave no count of requests")
		// A pod that is not ready need not answer.
		b.target.Ready = false
		a.set(worker(90, 5, 0)...)
		s = r.collect()
		wantKnown(t, "demand of the ready pods", s.RequestsPerSecond, 2)
		if s.PrefillSilent != 0 {
			t.Errorf("silent = %d, want 0: the pod is not ready", s.PrefillSilent)
		}
	})
}

// F27: a name that the engine does not export is said to be missing, never read as zero.
func TestF27NamesThatAreNotExported(t *testing.T) {
	r := newRig(t, Config{})
	f, d := r.pod(KindFrontend, "f"), r.pod(KindDecode, "d")
	var s planner.Signals
	for i := range 6 {
		f.set(fmt.Sprintf("sglang_num_requests_total %d", i))
		d.set(fmt.Sprintf("vllm:num_requests_total %d", i))
		s = r.collect()
	}
	wantUnknown(t, "demand", s.RequestsPerSecond, "has none of dynamo_frontend_")
	wantUnknown(t, "decode running", s.DecodeRunning, "has none of vllm:")
	if s.DecodeSilent != 1 {
		t.Errorf("silent = %d, want 1: the pod answers with nothing that is known", s.DecodeSilent)
	}
	if got := r.report(d); got.OK || got.Age != 75*time.Second && got.Age != 0 {
		t.Errorf("report = %+v, want it not OK", got)
	}
}

// Only the named model's requests are this service's, whatever case the frontend writes it in.
func TestDemandOfOneModel(t *testing.T) {
	r := newRig(t, Config{Model: "Qwen3-32B"})
	p := r.pod(KindFrontend, "f")
	var s planner.Signals
	for i := range 3 {
		p.set(append(frontend2025(float64(30*i), 0),
			fmt.Sprintf(`nv_llm_http_service_requests_total{model="other"} %d`, 900*i))...)
		s = r.collect()
	}
	wantKnown(t, "demand", s.RequestsPerSecond, 2)
	r = newRig(t, Config{Model: "llama"})
	p = r.pod(KindFrontend, "f")
	p.set(frontend2025(1, 0)...)
	r.collect()
	if got := r.report(p); got.OK || !strings.Contains(got.Detail, `no model "llama", only qwen3-32b`) {
		t.Errorf("report = %+v, want it to name the model that is there", got)
	}
}

// TensorRT-LLM's gauges come with the first report of its loop, and may come after the first request is finished: what was
// in flight before a restart is lost all the same.
func TestDemandOverARestartWithoutGaugesAtFirst(t *testing.T) {
	r := newRig(t, Config{Engine: "trtllm"})
	p := r.pod(KindPrefill, "p")
	page := func(finished, running float64) []string {
		out := []string{fmt.Sprintf("trtllm_request_success_total %v", finished)}
		if running < 0 {
			return out
		}
		return append(out, fmt.Sprintf("trtllm_num_requests_running %v", running), "trtllm_num_requests_waiting 0")
	}
	var s planner.Signals
	for _, at := range [][2]float64{{1000, 60}, {1030, 60}, {1060, 60}, {4, -1}, {20, 14}} { // the last two after a restart
		p.set(page(at[0], at[1])...)
		s = r.collect()
	}
	wantKnown(t, "demand", s.RequestsPerSecond, (30+30+20+14)/60.)
}
