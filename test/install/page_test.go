package install

import (
	"flag"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

var update = flag.Bool("update", false, "record the page of metrics anew for the tests of charts/")

// page reads what a person sees through kubectl port-forward: plain HTTP, on a loopback address of the pod.
func (c *chart) page(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.offer.page+"/page/"+stage.Namespace+"/"+stage.Name, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s (%v)", response.Status, err)
	}
	for _, want := range []string{stage.Namespace + "/" + stage.Name, "Both roles together hold at most 12 GPUs.", "up from 2 to ", "held of a budget of 12."} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%q is not on the page", want)
		}
	}
}

// metrics holds the page of the running controller against the recorded one, over which the tests of charts/ evaluate the alerts:
// they have the same series, once all that a service under load shows has been read.
func (c *chart) metrics(t *testing.T) {
	recorded := filepath.Join(repository, "charts", "testdata", "alerts", "metrics.prom")
	text, err := os.ReadFile(recorded)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := slices.Sorted(maps.Keys(alertable(string(text))))
	var diff string
	wait := patience
	if *update { // what is there then is recorded
		wait = 20 * time.Second
	}
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); time.Sleep(time.Second) {
		page, err := c.stage.Page(t.Context(), "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		live := alertable(string(page))
		if diff = cmp.Diff(want, slices.Sorted(maps.Keys(live))); diff == "" {
			return
		}
		text = []byte(strings.Join(slices.Sorted(maps.Values(live)), "\n") + "\n")
	}
	if !*update {
		t.Fatalf("go test ./test/install -update records the page anew (-recorded +live):\n%s", diff)
	}
	if err := os.WriteFile(recorded, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// alertable are the lines of a page that alerts may ask for, by series. What depends on what was decided, and what the model has
// learnt so far, is left out.
func alertable(page string) map[string]string {
	lines := map[string]string{}
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		id, _, _ := strings.Cut(line, "} ")
		ours := strings.HasPrefix(line, "pdautoscaler_") && strings.Contains(line, `namespace="`) || strings.HasPrefix(line, "leader_election_master_status{")
		passing := strings.HasPrefix(line, "pdautoscaler_decisions_total") || strings.HasPrefix(line, "pdautoscaler_model_intervals_total") || strings.HasPrefix(line, "pdautoscaler_model_step")
		if ours && !passing {
			lines[id+"}"] = line
		}
	}
	return lines
}
