package controller

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

func fetch(t *testing.T, w *world, method, path string) (int, []byte) {
	t.Helper()
	response := httptest.NewRecorder()
	w.controller.DecisionsHandler().ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return response.Code, response.Body.Bytes()
}

// Every record that is served replays to its own decision, bit for bit: through
// a surge, a move and a lull, with a restart in between.
func TestRecordsReplay(t *testing.T) {
	w := newWorld(t, example())
	changes, moves := 0, 0
	for i := range 150 {
		switch i {
		case 10:
			w.service.traffic(25, 3000, 200)
		case 40:
			w.service.traffic(30, 300, 1500)
		case 60:
			w.restart()
		case 90:
			w.service.traffic(0.2, 300, 100)
		}
		w.rounds(1)
		w.service.settle()
		code, body := fetch(t, w, http.MethodGet, DecisionsPath+"default/qwen?last=1")
		if code != http.StatusOK {
			t.Fatalf("round %d: %d %s", i, code, body)
		}
		var records []planner.Record
		if err := json.Unmarshal(body, &records); err != nil || len(records) != 1 {
			t.Fatalf("round %d: %d records, %v", i, len(records), err)
		}
		d := records[0].Decision
		if d.Prefill.From != d.Prefill.To || d.Decode.From != d.Decode.To {
			changes++
		}
		if d.Ended != nil {
			moves++
		}
		replayed, err := json.Marshal(planner.Replay(records[0]))
		if err != nil {
			t.Fatal(err)
		}
		served, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(served), string(replayed)); diff != "" {
			t.Fatalf("round %d: the record does not replay (-served +replayed):\n%s", i, diff)
		}
	}
	if changes < 4 || moves < 1 {
		t.Errorf("only %d of the decisions changed something, and %d moves ended: the test has no subject", changes, moves)
	}
}

// A decision's time has nothing that JSON or the status would lose.
func TestTimeOfADecisionSurvivesJSON(t *testing.T) {
	w := newWorld(t, example())
	w.clock.SetTime(time.Now().In(time.FixedZone("somewhere", 3600)))
	w.round()
	now := w.controller.store.get(w.key).records.last(1)[0].Input.Now
	text, err := json.Marshal(now)
	if err != nil {
		t.Fatal(err)
	}
	var again time.Time
	if err := json.Unmarshal(text, &again); err != nil || again != now || now.Nanosecond()%1000 != 0 {
		t.Errorf("the time %#v is %#v after JSON (%v), or has more than microseconds", now, again, err)
	}
}

func TestDecisionsHandler(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(2, 1)
	w.rounds(12) // the ring of the test holds 8
	count := func(body []byte) (n int, sorted bool) {
		var records []planner.Record
		if err := json.Unmarshal(body, &records); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		sorted = true
		for i := 1; i < len(records); i++ {
			sorted = sorted && records[i].Input.Now.Equal(records[i-1].Input.Now.Add(10*time.Second))
		}
		if len(records) > 0 && !records[len(records)-1].Input.Now.Equal(start.Add(110*time.Second)) {
			t.Errorf("the last record is of %s, want the newest", records[len(records)-1].Input.Now)
		}
		return len(records), sorted
	}
	for path, want := range map[string]int{"": 8, "?last=1": 1, "?last=5": 5, "?last=99": 8} {
		code, body := fetch(t, w, http.MethodGet, DecisionsPath+"default/qwen"+path)
		if n, sorted := count(body); code != http.StatusOK || n != want || !sorted {
			t.Errorf("%q: code %d, %d records (in order: %t), want %d", path, code, n, sorted, want)
		}
	}
	for path, want := range map[string]struct {
		code int
		says string
	}{
		"default/other":       {http.StatusNotFound, "no decisions of PDAutoscaler default/other"},
		"default":             {http.StatusBadRequest, "NAMESPACE/NAME"},
		"default/qwen/x":      {http.StatusBadRequest, "NAMESPACE/NAME"},
		"/qwen":               {http.StatusBadRequest, "NAMESPACE/NAME"},
		"default/qwen?last=0": {http.StatusBadRequest, `last is "0"`},
		"default/qwen?last=x": {http.StatusBadRequest, `last is "x"`},
	} {
		code, body := fetch(t, w, http.MethodGet, DecisionsPath+path)
		if code != want.code || !strings.Contains(string(body), want.says) {
			t.Errorf("%q: %d %s, want %d and %q", path, code, body, want.code, want.says)
		}
	}
	if code, _ := fetch(t, w, http.MethodPost, DecisionsPath+"default/qwen"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %d", code)
	}
}
