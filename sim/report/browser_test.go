package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
	"github.com/pdautoscaler/pdautoscaler/test/browser"
)

// The page is looked at in a real browser, as wide as a desk's and a telephone's, light and dark.
func TestThePageInABrowser(t *testing.T) {
	b := browser.Start(t)
	path := filepath.Join(t.TempDir(), "report.html")
	writePage(t, path)
	papers := map[browser.Scheme]string{}
	for _, scheme := range []browser.Scheme{browser.Light, browser.Dark} {
		for _, width := range []int{browser.Desk, browser.Telephone} {
			b.Open("file://"+path, width, scheme)
			seen := b.Look()
			papers[scheme] = seen.Paper
			n := len(pagePolicies)
			// The plane, the demand and a panel for each policy; then for each policy the demand and six panels.
			if want := 1 + 1 + n + n*7; seen.Charts != want {
				t.Errorf("%s, %d px: %d charts, want %d", scheme, width, seen.Charts, want)
			}
			rows, decisions := browser.Eval[int](b, `document.querySelectorAll("table.compare tbody tr").length`), browser.Eval[int](b, `document.querySelectorAll(".event").length`)
			if rows != n || decisions < 4 {
				t.Errorf("%s, %d px: %d policies and %d decisions", scheme, width, rows, decisions)
			}
			for _, fault := range seen.Faults() {
				t.Errorf("%s, %d px: %s", scheme, width, fault)
			}
			b.Keep(fmt.Sprintf("report-%s-%d.png", scheme, width))
		}
	}
	if papers[browser.Light] == papers[browser.Dark] {
		t.Errorf("light and dark have the same paper: %v", papers)
	}
	checkKeys(t, b)
	if complaints := b.Complaints(); len(complaints) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(complaints, "\n"))
	}
}

// checkKeys goes over the page without a pointer: a decision tells its reason, arrows go to the next, the slider reads off a moment.
func checkKeys(t *testing.T, b *browser.Browser) {
	t.Helper()
	const line = "#run-pdautoscaler "
	why := `document.querySelector("` + line + `.why").textContent`
	b.Focus(line + ".event")
	first := browser.Eval[string](b, why)
	b.Press(kb.ArrowRight)
	second, told := browser.Eval[string](b, why), browser.Eval[string](b, `document.activeElement.getAttribute("aria-label")`)
	b.Focus(line + ".scrub input")
	b.Press(kb.End)
	read, spoken := browser.Eval[string](b, `document.querySelector("`+line+`.panel output").textContent`), browser.Eval[string](b, `document.activeElement.getAttribute("aria-valuetext")`)
	if first == "" || first == second || second != told {
		t.Errorf("the first decision says %q, the next %q and is called %q", first, second, told)
	}
	if !strings.Contains(read, "requests/s") || !strings.Contains(spoken, "prefill ready") {
		t.Errorf("the slider reads %q and says %q", read, spoken)
	}
}

// A sweep's page is looked at as well.
func TestTheSweepsPageInABrowser(t *testing.T) {
	b := browser.Start(t)
	keys := []scenario.SweepKey{{Key: "budget.gpus", Values: []string{"12", "16"}}, {Key: "seed", Values: []string{"1", "2"}}}
	short := strings.Replace(text, "duration: 1h", "duration: 10m", 1)
	sweep, err := scenario.NewSweep([]byte(short), "swing.yaml", keys)
	if err != nil {
		t.Fatal(err)
	}
	shard, err := sweep.Run(t.Context(), scenario.SweepOptions{Of: 1, Options: scenario.Options{Policies: []string{"static", "pdautoscaler"}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := shard.Report()
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := WriteSweep(&page, short, "swing.yaml", r); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sweep.html")
	if err := os.WriteFile(path, page.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{browser.Desk, browser.Telephone} {
		b.Open("file://"+path, width, browser.Light)
		seen := b.Look()
		if rows := browser.Eval[int](b, `document.querySelectorAll("table.compare tbody tr").length`); seen.Charts != 2 || rows != 2*2+4*2 {
			t.Errorf("%d px: %d charts and %d rows", width, seen.Charts, rows)
		}
		for _, fault := range append(seen.Faults(), b.Complaints()...) {
			t.Errorf("%d px: %s", width, fault)
		}
		b.Keep(fmt.Sprintf("sweep-%d.png", width))
	}
}
