package signals

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// observeText feeds a page to a pod.
func observeText(t interface{ Fatal(...any) }, p *pod, v *vocabulary, at time.Time, page ...string) {
	parsed, err := parsePage(strings.NewReader(strings.Join(page, "\n")+"\n"), "", v.wanted, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	p.observe(v.read(parsed, "", at, at, DefaultMaxAge), v, time.Hour)
}

// Whatever a process does between two samples, no request is counted that did
// not come, and while it does not restart every one is counted.
func TestGrowthNeverInventsRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPod(Target{Kind: KindFrontend})
		finished := rapid.IntRange(0, 1000).Draw(t, "finished before")
		inFlight := rapid.IntRange(0, 50).Draw(t, "in flight before")
		observeText(t, p, dynamoFrontend, epoch, frontend2025(float64(finished), float64(inFlight))...)
		truth, restarts := 0, 0
		for i := range rapid.IntRange(1, 12).Draw(t, "samples") {
			come := rapid.IntRange(0, 100).Draw(t, "come")
			truth += come
			if rapid.IntRange(0, 4).Draw(t, "restart") == 0 {
				restarts++
				finished, inFlight, come = 0, 0, rapid.IntRange(0, come).Draw(t, "come after the restart")
			}
			leave := rapid.IntRange(0, inFlight+come).Draw(t, "finish")
			inFlight, finished = inFlight+come-leave, finished+leave
			if rapid.IntRange(0, 4).Draw(t, "lost") == 0 {
				continue // this sample fails
			}
			observeText(t, p, dynamoFrontend, epoch.Add(time.Duration(i+1)*time.Second), frontend2025(float64(finished), float64(inFlight))...)
		}
		base, last := p.points[0], p.points[len(p.points)-1]
		got := last.tally(arrivals).grown - base.tally(arrivals).grown
		if got > float64(truth) {
			t.Fatalf("%v requests counted, %d came (%d restarts)", got, truth, restarts)
		}
		if restarts == 0 && len(p.points) > 1 {
			observeText(t, p, dynamoFrontend, epoch.Add(time.Hour), frontend2025(float64(finished), float64(inFlight))...)
			if got := p.points[len(p.points)-1].tally(arrivals).grown - base.tally(arrivals).grown; got != float64(truth) {
				t.Fatalf("%v requests counted, %d came", got, truth)
			}
		}
	})
}

// A series that drops off the page and comes back is not traffic.
func TestGapInASeriesIsNotTraffic(t *testing.T) {
	p := newPod(Target{Kind: KindFrontend})
	line := func(status string, n int) string {
		return fmt.Sprintf(`nv_llm_http_service_requests_total{status=%q} %d`, status, n)
	}
	const inFlight = "nv_llm_http_service_inflight_requests 0"
	for i, page := range [][]string{
		{line("success", 5000), line("error", 100), inFlight},
		{line("success", 5010), inFlight},
		{line("success", 5020), line("error", 101), inFlight},
	} {
		observeText(t, p, dynamoFrontend, epoch.Add(time.Duration(i)*interval), page...)
	}
	if got := p.points[2].tally(arrivals).grown - p.points[0].tally(arrivals).grown; got != 21 {
		t.Errorf("%v requests counted, 21 came", got)
	}
}

// Labels that change on every page must not fill the memory.
func TestSeriesThatAreGoneAreBounded(t *testing.T) {
	p := newPod(Target{Kind: KindFrontend})
	for i := range 500 {
		observeText(t, p, dynamoFrontend, epoch.Add(time.Duration(i)*interval), fmt.Sprintf(`nv_llm_http_service_requests_total{id="%d"} 1`, i))
	}
	if n := len(p.raw[requestsFinished].series); n > maxGone+1 {
		t.Errorf("%d series are remembered, want at most %d", n, maxGone+1)
	}
}

// A name that changes is another counter: its growth begins again.
func TestGrowthDoesNotCrossNames(t *testing.T) {
	p := newPod(Target{Kind: KindDecode})
	for i, page := range []string{"vllm:request_success_total 10", "vllm:request_success_total 20", "vllm:request_success 900", "vllm:request_success 930"} {
		observeText(t, p, vllmDecode, epoch.Add(time.Duration(i)*interval), page)
	}
	base, last := p.span(requestsFinished, time.Minute)
	if base == nil || last.tally(requestsFinished).grown-base.tally(requestsFinished).grown != 30 || base.at != epoch.Add(2*interval) {
		t.Errorf("growth from %+v to %+v, want 30 since the third sample", base, last)
	}
}
