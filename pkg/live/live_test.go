package live

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// roundOf is the n-th round of a service whose prefill goes to a count for a reason.
func roundOf(n, from, to int, reason planner.Reason) Round {
	at := noon.Add(time.Duration(n) * 10 * time.Second)
	role := func(r planner.Role, from, to int, why planner.Reason) report.RoleExplanation {
		return report.RoleExplanation{Role: r, From: from, To: to, Ready: from, Binding: why, BindingMeans: report.Meaning(why), Sentence: fmt.Sprintf("%s is <%s>.", r, why)}
	}
	return Round{
		Namespace: "team", Name: "qwen", At: at, Interval: 10 * time.Second, Mode: "Auto", SLO: "Met", HeldGPUs: 2*from + 2, BudgetGPUs: 12,
		Prefill: Role{Seen: true, Desired: to, Ready: from, ReadyGPUs: 2 * from, GPUsPerReplica: 2, Load: new(0.5)},
		Decode:  Role{Seen: true, Desired: 1, Ready: 1, ReadyGPUs: 2, GPUsPerReplica: 2},
		TTFT:    Latency{Name: "p95 TTFT", ObjectiveMs: 2000, ObservedMs: new(700.0)}, TPOT: Latency{Name: "p95 TPOT", ObjectiveMs: 40},
		Decided: &report.Explanation{At: at, Summary: "it is so.", Roles: []report.RoleExplanation{role(planner.Prefill, from, to, reason), role(planner.Decode, 1, 1, planner.ReasonSteady)}},
		Reason:  string(reason), Message: "it is so.", Written: true,
	}
}

// What is kept is bounded, and the newest of it.
func TestWhatIsKeptIsBounded(t *testing.T) {
	b := NewBoard()
	const rounds = 3 * Samples
	for i := range rounds {
		b.Add(roundOf(i, 1+i%2, 2-i%2, planner.ReasonObjective)) // each changes something
	}
	v, found := b.one("team", "qwen")
	if !found || len(v.samples) != Samples || len(v.events) != Events || len(v.decisions) != Decisions {
		t.Fatalf("%d samples, %d events and %d decisions are kept, want %d, %d and %d", len(v.samples), len(v.events), len(v.decisions), Samples, Events, Decisions)
	}
	newest := noon.Add((rounds - 1) * 10 * time.Second)
	if !v.samples[Samples-1].at.Equal(newest) || !v.samples[0].at.Equal(newest.Add(-(Samples-1)*10*time.Second)) || !v.decisions[0].at.Equal(newest) || !v.events[Events-1].at.Equal(newest) {
		t.Error("what is kept is not the newest, in order")
	}
	b.Forget("team", "qwen")
	if _, found := b.one("team", "qwen"); found || len(b.all()) != 0 {
		t.Error("what was forgotten is still there")
	}
}

// A service may hold all the GPUs that a budget can be of.
func TestManyGPUsAreDrawn(t *testing.T) {
	b := NewBoard()
	r := roundOf(0, 2, 2, planner.ReasonObjective)
	r.Prefill.ReadyGPUs, r.Decode.ReadyGPUs, r.Decode.StartingGPUs = 50_000, 30_000, 20_000
	b.Add(r)
	v, _ := b.one("team", "qwen")
	want := [4]float64{50_000, 50_000, 80_000, 100_000}
	for i, edge := range newLine(&v).stack() {
		if got := edge[0].V; got != want[i] {
			t.Errorf("edge %d is at %v GPUs, want %v", i, got, want[i])
		}
	}
}

// A reason that comes and goes is told once between two changes, and each change is told.
func TestWhatIsTold(t *testing.T) {
	b := NewBoard()
	moving := func(r Round, phase planner.MovePhase) Round {
		r.Decided.Move = &report.Move{Move: planner.Move{From: planner.Prefill, To: planner.Decode, GPUs: 2, Phase: phase}, Sentence: "It moves."}
		return r
	}
	ended := roundOf(9, 2, 2, planner.ReasonSteady)
	ended.Decided.Ended = &report.Move{Move: planner.Move{From: planner.Prefill, To: planner.Decode, GPUs: 2, Phase: planner.MoveDone}}
	recommended := roundOf(12, 2, 3, planner.ReasonObjective)
	recommended.Written = false
	again := recommended
	again.At = again.At.Add(10 * time.Second)
	anew := roundOf(15, 2, 3, planner.ReasonObjective)
	anew.Written = false
	refused := roundOf(16, 2, 2, "ModelUnknown")
	refused.Decided, refused.Message = nil, "no such model."
	for _, r := range []Round{
		roundOf(0, 3, 3, planner.ReasonSteady), roundOf(1, 3, 3, planner.ReasonWindow), roundOf(2, 3, 3, planner.ReasonSteady), roundOf(3, 3, 3, planner.ReasonWindow),
		roundOf(4, 3, 2, planner.ReasonObjective), roundOf(5, 2, 2, planner.ReasonWindow),
		moving(roundOf(6, 2, 2, planner.ReasonWindow), planner.Draining), moving(roundOf(7, 2, 2, planner.ReasonWindow), planner.Draining), moving(roundOf(8, 2, 2, planner.ReasonWindow), planner.StartingUp),
		ended, recommended, again, roundOf(14, 3, 3, planner.ReasonSteady), anew, refused, refused, // someone did it, and took it back
	} {
		b.Add(r)
	}
	v, _ := b.one("team", "qwen")
	var got []string
	for _, e := range v.events {
		got = append(got, fmt.Sprintf("%.0f %s: %s", e.at.Sub(noon).Seconds()/10, e.lane, e.what))
	}
	want := []string{
		"0 prefill: steady at 3", "0 decode: steady at 1", "1 prefill: held at 3", "4 prefill: down from 3 to 2", "5 prefill: held at 2",
		"6 moves: a move of 2 GPUs from prefill to decode begins", "8 moves: the move of 2 GPUs from prefill to decode goes on: Starting",
		"9 prefill: steady at 2", "9 moves: the move of 2 GPUs from prefill to decode ends",
		"12 prefill: up from 2 to 3, not written", "14 prefill: steady at 3", "15 prefill: up from 2 to 3, not written",
		"16 prefill: nothing is decided", "16 decode: nothing is decided",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if n := len(v.decisions); n != 10 || v.decisions[0].written {
		t.Errorf("%d decisions are kept with their reasons, the newest written: %t", n, v.decisions[0].written)
	}
}

// TestAMoveAfterAMove: one may begin in the round in which another ends.
func TestAMoveAfterAMove(t *testing.T) {
	b := NewBoard()
	var first, second Round
	for i, r := range []*Round{&first, &second} {
		*r = roundOf(i, 2, 2, planner.ReasonSteady)
		r.Decided.Move = &report.Move{Move: planner.Move{From: planner.Prefill, To: planner.Decode, GPUs: 2, Phase: planner.Draining, StartedAt: r.At}}
	}
	second.Decided.Ended = &report.Move{Move: planner.Move{From: planner.Prefill, To: planner.Decode, GPUs: 2, Phase: planner.MoveDone, StartedAt: first.At}}
	b.Add(first)
	b.Add(second)
	v, _ := b.one("team", "qwen")
	begins := 0
	for _, e := range v.events {
		if strings.HasSuffix(e.what, "begins") {
			begins++
		}
	}
	if begins != 2 {
		t.Errorf("%d moves are said to begin, want 2: %+v", begins, v.events)
	}
}

// A time without rounds, and what is not known, are gaps in the lines.
func TestGaps(t *testing.T) {
	b := NewBoard()
	for _, i := range []int{0, 1, 2, 40, 41} {
		r := roundOf(i, 2, 2, planner.ReasonSteady)
		if i == 1 {
			r.TTFT.ObservedMs, r.Prefill = nil, Role{}
		}
		b.Add(r)
	}
	v, _ := b.one("team", "qwen")
	l := newLine(&v)
	known := func(p []bool) string { return fmt.Sprint(p) }
	for name, got := range map[string][]bool{"TTFT": nil, "ready": nil} {
		series := l.series(func(s *sample) float64 { return float64(s.ttft.observed) })
		if name == "ready" {
			series = l.role(planner.Prefill, func(r *roleSample) float64 { return float64(r.ready) })
		}
		for _, at := range series {
			got = append(got, at.Known)
		}
		if want := []bool{true, false, true, false, true, true}; known(got) != known(want) {
			t.Errorf("%s is known at %v, want %v", name, got, want)
		}
	}
}

func get(t *testing.T, h http.Handler, method, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "https://page.example"+path, nil)
	r.Header = header
	if header == nil {
		r.Header = http.Header{}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	b := NewBoard()
	h := b.Handler(Options{Nobody: func() string { return "This one stands by." }})
	if r := get(t, h, "GET", "/page/", nil); !strings.Contains(r.Body.String(), "This one stands by.") {
		t.Error("the page of nothing does not say why")
	}
	b.Add(roundOf(1, 2, 3, planner.ReasonObjective))
	for _, c := range []struct {
		method, path string
		code         int
		says         string
	}{
		{"GET", "/", http.StatusFound, ""},
		{"GET", "/page/", http.StatusOK, `<a href="/page/team/qwen">team/qwen</a>`},
		{"GET", "/page/team/qwen", http.StatusOK, "prefill is &lt;Objective&gt;."},
		{"GET", "/page/team/other", http.StatusNotFound, "no PDAutoscaler team/other is looked at here"},
		{"GET", "/page/team/qwen/more", http.StatusNotFound, ""},
		{"POST", "/page/team/qwen", http.StatusMethodNotAllowed, ""},
		{"DELETE", "/page/", http.StatusMethodNotAllowed, ""},
	} {
		r := get(t, h, c.method, c.path, nil)
		body := r.Body.String()
		if r.Code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d, want %d and %q in:\n%s", c.method, c.path, r.Code, c.code, c.says, body)
		}
		if c.code == http.StatusOK && (strings.Contains(body, "<Objective>") || strings.Contains(body, "ZgotmplZ")) {
			t.Errorf("%s: a reason became markup", c.path)
		}
	}
	whole, part := get(t, h, "GET", "/page/team/qwen", nil), get(t, h, "GET", "/page/team/qwen?part=body", nil)
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "X-As-Of": "12:00:10"} {
		if got := whole.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if policy := whole.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "script-src 'unsafe-inline'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("the policy is %q", policy)
	}
	if body := part.Body.String(); strings.Contains(body, "<html") || !strings.Contains(whole.Body.String(), body) {
		t.Error("the part is not what the whole page holds")
	}
}
