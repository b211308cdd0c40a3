package charts

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/controller"
	"github.com/pdautoscaler/pdautoscaler/test/install"
)

// recordedPage is /metrics of a running controller whose service is well: make e2e-install holds its series against a live one.
const recordedPage = "alerts/metrics.prom"

// own is the PDAutoscaler on the recorded page.
const own = `name="dynamo-pd",namespace="default"`

// Every alert fires in a situation that it is for, and no other one does; in the twin of each situation, which is just short of it,
// nothing fires. The pages are the recorded one with some series changed.
func TestAlerts(t *testing.T) {
	if testing.Short() {
		t.Skip("a tool may have to be built: not under -short")
	}
	var histories []install.History
	for i := range situations {
		histories = append(histories, situations[i].history(t))
	}
	results, err := install.Alerts(t.Context(), "..", histories...)
	if err != nil {
		t.Fatal(err)
	}
	fired := map[string]bool{}
	for i := range situations {
		s := &situations[i]
		t.Run(s.name, func(t *testing.T) {
			got := map[string]bool{}
			for _, a := range results[i] {
				if a.FiringAt == nil {
					continue
				}
				t.Logf("after %4.1f min %s: %s. %s", *a.FiringAt/60, a.Name, a.Summary, a.Description)
				got[strings.TrimSpace(a.Name+" "+a.Labels["role"]+a.Labels["step"]+a.Labels["source"]+a.Labels["objective"])] = true
				fired[a.Name] = true
				if text := a.Summary + a.Description; strings.Contains(text, "no value") || strings.Contains(text, "{{") {
					t.Errorf("the text has a hole: %s", text)
				}
				if a.Name != "PDAutoscalerNoLeader" && !strings.Contains(a.Summary, "default/dynamo-pd") {
					t.Errorf("%s does not say of what: %s", a.Name, a.Summary)
				}
			}
			if diff := cmp.Diff(s.fires, slices.Sorted(maps.Keys(got))); diff != "" && len(s.fires)+len(got) > 0 {
				t.Errorf("fired (-want +got):\n%s", diff)
			}
		})
	}
	for _, name := range alertNames(t) {
		if !fired[name] {
			t.Errorf("%s fires in no situation: is it good for anything?", name)
		}
	}
}

// alertNames are those of the chart.
func alertNames(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("pdautoscaler", "files", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, name, found := strings.Cut(line, "- alert: "); found {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// A situation is what the pages of two replicas of the controller show over some time.
type situation struct {
	name    string
	minutes float64
	// at changes the pages of a moment, in minutes from the start. A page that it takes away is that of a pod that does not answer.
	at    func(minutes float64, pods *pods)
	fires []string // alerts, each with the label that tells it from others of its name
}

// pods are the pages of the two replicas.
type pods struct{ leader, standby page }

const (
	startSeconds  = 1_700_000_000
	scrapeSeconds = 30
)

func (s *situation) history(t *testing.T) install.History {
	t.Helper()
	h := install.History{StartSeconds: startSeconds, EverySeconds: scrapeSeconds}
	recorded := readPage(t)
	for at := 0.0; at <= s.minutes*60; at += scrapeSeconds {
		now := pods{recorded.clone(t), page{t: t, values: map[string]float64{leading: 0}}}
		now.leader.decided(at / 60)
		s.at(at/60, &now)
		scrape := map[string]string{}
		for name, p := range map[string]page{"pdautoscaler-a": now.leader, "pdautoscaler-b": now.standby} {
			if p.values != nil {
				scrape[name] = p.String()
			}
		}
		h.Scrapes = append(h.Scrapes, scrape)
	}
	return h
}

// A page is the series of /metrics that alerts ask for, by name and labels.
type page struct {
	t      *testing.T
	values map[string]float64
}

// leading says which replica of the controller works.
const leading = `leader_election_master_status{name="pdautoscaler.pdautoscaler.io"}`

func readPage(t *testing.T) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", recordedPage))
	if err != nil {
		t.Fatal(err)
	}
	p := page{t, map[string]float64{}}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndex(strings.TrimSpace(line), " ")
		v, err := strconv.ParseFloat(strings.TrimSpace(line[end:]), 64)
		if err != nil {
			t.Fatal(err)
		}
		p.values[line[:end]] = v
	}
	if p.values[leading] != 1 || len(p.values) < 60 {
		t.Fatalf("%s has %d series and is not a leader's", recordedPage, len(p.values))
	}
	return p
}

func (p page) clone(t *testing.T) page { return page{t, maps.Clone(p.values)} }

func (p page) String() string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(p.values)) {
		fmt.Fprintf(&b, "%s %v\n", id, p.values[id])
	}
	return b.String()
}

// id is the name of a series of the PDAutoscaler, from what it is called without the words that all have in common: it must be on
// the recorded page, so that nothing is asked for that no controller shows.
func (p page) id(short string) string {
	p.t.Helper()
	name, labels, _ := strings.Cut(strings.TrimSuffix(short, "}"), "{")
	all := []string{own}
	if labels != "" {
		all = append(all, labels)
	}
	list := strings.Split(strings.Join(all, ","), ",")
	slices.Sort(list)
	id := "pdautoscaler_" + name + "{" + strings.Join(list, ",") + "}"
	if _, there := readPage(p.t).values[id]; !there {
		p.t.Fatalf("%s is not on the recorded page", id)
	}
	return id
}

func (p page) set(short string, value float64) { p.values[p.id(short)] = value }

func (p page) drop(short string) { delete(p.values, p.id(short)) }

// decided says when the last decision was made.
func (p page) decided(minutes float64) {
	p.set("last_decision_timestamp_seconds", startSeconds+60*minutes)
}

// The recorded page has every series of the table that a service in good order has, and none that the table does not know.
func TestRecordedPageIsOfThisController(t *testing.T) {
	tables := map[string]bool{}
	for _, s := range controller.Table() {
		tables[s.Name] = true
	}
	for id := range readPage(t).values {
		name, _, _ := strings.Cut(id, "{")
		if !tables[name] && id != leading {
			t.Errorf("%s is on the recorded page and not in the controller's table", name)
		}
	}
}
