package controller

import (
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/live"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/test/browser"
)

// withPage gives a world's controller a page.
func withPage(w *world) *live.Board {
	board := live.NewBoard()
	w.controller.page = board
	return board
}

// scene is some minutes of traffic.
type scene struct {
	minutes             int
	rate, input, output float64
}

// story is three quarters of an hour of a service that may hold 12 GPUs: quiet, long prompts, long answers that need the GPUs
// of prefill, and a lull.
var story = []scene{{6, 3, 2000, 200}, {14, 13, 3000, 180}, {16, 17, 400, 1100}, {8, 2, 1200, 200}}

// play plays scenes, a round every 10 s; replicas take a minute to come and half of one to go. What the clients see follows
// from what the planner's model says of the replicas that are ready, with some noise.
func (w *world) play(scenes []scene) {
	w.t.Helper()
	w.playUntil(scenes, func() bool { return false })
}

// playUntil is the same until something is so after a round; false where it never was.
func (w *world) playUntil(scenes []scene, stop func() bool) bool {
	w.t.Helper()
	round := 0
	for _, s := range scenes {
		for range 6 * s.minutes {
			round++
			noise := func(k float64) float64 {
				return 1 + 0.06*math.Sin(k*float64(round)) + 0.03*math.Sin(3.7*k*float64(round)+k)
			}
			rate := s.rate * noise(0.9)
			w.service.traffic(rate, s.input*noise(0.4), s.output*noise(0.6))
			if svc := w.controller.store.get(w.key); svc != nil {
				if last := svc.records.last(1); len(last) == 1 {
					w.service.feel(&last[0].Decision, noise)
				}
			}
			w.round()
			w.pass(10e9)
			w.service.age()
			if stop() {
				return true
			}
		}
	}
	return false
}

// feel sets what the clients see.
func (s *fakeService) feel(d *planner.Decision, noise func(float64) float64) {
	ms := func(r *planner.RoleDecision, k float64) float64 {
		if r.Ready < r.From || r.BeforeMs == nil {
			return r.ObjectiveMs * math.Min(3, math.Max(0.6, r.Load)) * noise(k)
		}
		return *r.BeforeMs * noise(k)
	}
	ttft, tpot := ms(&d.Prefill, 1.3), ms(&d.Decode, 0.7)
	s.signals.TTFTMs.Value, s.signals.TTFTMs.MeanMs, s.signals.TTFTMs.LowMs, s.signals.TTFTMs.HighMs = ttft, ttft*0.6, ttft*0.8, ttft*1.2
	s.signals.TPOTMs.Value, s.signals.TPOTMs.MeanMs, s.signals.TPOTMs.LowMs, s.signals.TPOTMs.HighMs = tpot, tpot*0.9, tpot*0.9, tpot*1.1
	s.signals.PrefillWaiting.Value = math.Round(12 * math.Max(0, d.Prefill.Load-0.5) * noise(0.8))
	s.signals.DecodeWaiting.Value = math.Round(30 * math.Max(0, d.Decode.Load-0.95))
}

// age lets replicas that started a minute ago be ready, and those that ended half of one ago be gone.
func (s *fakeService) age() {
	now := s.w.clock.Now()
	for _, p := range s.pools {
		var kept []planner.Replica
		for _, r := range p.Replicas {
			switch since := now.Sub(r.Since).Seconds(); {
			case r.State == planner.Terminating && since >= 30:
				continue
			case r.State == planner.Starting && since >= 60:
				r.State, r.Since = planner.Ready, now.UTC()
			}
			kept = append(kept, r)
		}
		p.Replicas = kept
	}
}

// The page shows what the controller saw and decided, in the very words of the decision records.
func TestThePageShowsTheRounds(t *testing.T) {
	w := newWorld(t, example())
	board := withPage(w)
	w.play(story)
	body := func(path string) string {
		r := httptest.NewRecorder()
		board.Handler(live.Options{}).ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		if r.Code != 200 {
			t.Fatalf("%s: %d %s", path, r.Code, r.Body)
		}
		return r.Body.String()
	}
	d := w.controller.store.get(w.key).records.last(1)[0].Decision
	escaped := strings.NewReplacer(">", "&gt;", "'", "&#39;", `"`, "&#34;", "+", "&#43;")
	page := body("/page/default/qwen")
	for _, want := range []string{d.Prefill.Because[1:], d.Decode.Because[1:], "Qwen3-32B", "2 × H200", "Both roles together hold at most 12 GPUs.", "budget 12", "a move of ", "begins",
		fmt.Sprintf("%d of 12", d.GPUs.Held), "p95 TTFT within 2 s", "up from 2 to "} {
		if !strings.Contains(page, escaped.Replace(want)) {
			t.Errorf("%q is not in the page", want)
		}
	}
	if overview := body("/page/"); !strings.Contains(overview, "default/qwen") || !strings.Contains(overview, fmt.Sprintf("1 service on %d GPUs.", d.GPUs.Held)) {
		t.Errorf("the overview does not tell of the service:\n%s", overview)
	}
	// What cannot be decided is shown as well, and what is gone is not.
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Name = "qwen9" })
	w.round()
	if page = body("/page/default/qwen"); !strings.Contains(page, "ModelUnknown") || !strings.Contains(page, "nothing is decided") {
		t.Error("the page does not say why nothing is decided")
	}
	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		_, _ = w.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: w.key})
		w.pass(10e9)
		w.service.settle()
	}
	if overview := body("/page/"); strings.Contains(overview, "default/qwen") {
		t.Error("a PDAutoscaler that is gone is still shown")
	}
}

// The page is looked at in a real browser, as wide as a desk's and a telephone's, light and dark, and goes on by itself.
func TestThePageInABrowser(t *testing.T) {
	b := browser.Start(t)
	w := newWorld(t, example())
	board := withPage(w)
	w.play(story[:3])
	server := httptest.NewServer(board.Handler(live.Options{}))
	defer server.Close()
	for name, page := range map[string]struct {
		path   string
		charts int
	}{"page": {"/page/default/qwen", 7}, "pages": {"/page/", 1}} {
		for _, scheme := range []browser.Scheme{browser.Light, browser.Dark} {
			for _, width := range []int{browser.Desk, browser.Telephone} {
				b.Open(server.URL+page.path, width, scheme)
				seen := b.Look()
				if seen.Charts != page.charts {
					t.Errorf("%s, %s, %d px: %d charts, want %d", name, scheme, width, seen.Charts, page.charts)
				}
				for _, fault := range seen.Faults() {
					t.Errorf("%s, %s, %d px: %s", name, scheme, width, fault)
				}
				b.Keep(fmt.Sprintf("%s-%s-%d.png", name, scheme, width))
			}
		}
	}
	checkReading(t, b, server.URL+"/page/default/qwen")
	checkNews(t, b, w)
	if complaints := b.Complaints(); len(complaints) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(complaints, "\n"))
	}
}

// checkReading goes over the page by keys: a decision tells its reason, the slider reads off a moment.
func checkReading(t *testing.T, b *browser.Browser, address string) {
	t.Helper()
	b.Open(address, browser.Desk, browser.Light)
	const why = `document.querySelector(".why").textContent`
	b.Focus(".lane .event")
	first := browser.Eval[string](b, why)
	b.Press(kb.ArrowRight)
	if second := browser.Eval[string](b, why); first == "" || first == second {
		t.Errorf("the first decision says %q and the next %q", first, second)
	}
	b.Focus(".scrub input")
	b.Press(kb.End)
	if spoken := browser.Eval[string](b, `document.activeElement.getAttribute("aria-valuetext")`); !strings.Contains(spoken, "prefill ready") || !strings.HasPrefix(spoken, "12:") {
		t.Errorf("the slider says %q", spoken)
	}
}

// checkNews lets rounds pass: the page follows by itself, keeps open what is open and the focus where it is, leaves alone what is
// being read, and stands still while it is paused.
func checkNews(t *testing.T, b *browser.Browser, w *world) {
	t.Helper()
	const ask, asOf, points = `document.dispatchEvent(new Event("visibilitychange"))`, `document.querySelector(".as-of").textContent`, `document.querySelector("table.samples").rows.length`
	until := func(what, expression string) {
		t.Helper()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			if browser.Eval[bool](b, expression) {
				return
			}
			browser.Eval[bool](b, ask)
			select {
			case <-t.Context().Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
		t.Errorf("%s: %s is still false; the page says %q", what, expression, browser.Eval[string](b, asOf))
	}
	rows := browser.Eval[int](b, points)
	w.play([]scene{{1, 20, 400, 1100}})
	// The slider has the focus: the time line waits, and the rest goes on.
	until("while someone reads", `document.querySelector(".as-of").textContent.startsWith("Waiting while you read")`)
	if now := browser.Eval[int](b, points); now != rows {
		t.Errorf("the time line went on from %d to %d rows while it was read", rows, now)
	}
	browser.Eval[bool](b, `(document.querySelector("details.decision").open = true)`)
	key := browser.Eval[string](b, `document.querySelector("details.decision").dataset.key`)
	b.Focus("details.decision summary")
	w.play([]scene{{3, 2, 1200, 200}})
	until("news", fmt.Sprintf(`%s > %d && document.querySelector(".as-of").textContent.includes(%q)`, points, rows+20, w.clock.Now().Add(-10e9).Format("15:04:05")))
	if open := browser.Eval[string](b, `document.activeElement.closest("details.decision[open]")?.dataset.key ?? ""`); open != key {
		t.Errorf("the decision of %s was open and had the focus; now it is %q", key, open)
	}
	if first := browser.Eval[string](b, `document.querySelector("details.decision").dataset.key`); first == key {
		t.Error("no newer decision is shown: nothing was put to the test")
	}
	browser.Eval[bool](b, `(document.querySelector(".live button").click(), true)`)
	w.play([]scene{{1, 2, 1200, 200}})
	browser.Eval[bool](b, ask)
	if text := browser.Eval[string](b, asOf); !strings.Contains(text, "Paused") {
		t.Errorf("the page that was paused says %q", text)
	}
}
