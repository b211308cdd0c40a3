package controller

import (
	"math"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// What is read of the way of the requests is exported in base units; what is not
// known, or too old, has no series.
func TestMetricsOfOtherReadings(t *testing.T) {
	w := newWorld(t, example())
	known := func(x float64) planner.Reading { return planner.Known(x, w.clock.Now().Add(10*time.Minute), "test") }
	w.service.signals.DecodeKVUse = planner.Known(0.5, start, "test")
	w.service.readings = []signals.Reading{
		{Name: signals.PromptTokensPerSecond, Role: signals.KindPrefill, Reading: known(1600)},
		{Name: signals.GeneratedTokensPerSecond, Role: signals.KindDecode, Reading: planner.Unknown("nobody tells")},
		{Name: signals.QueueTimeMs, Role: signals.KindPrefill, Reading: known(250)},
		{Name: signals.KVUse, Role: signals.KindPrefill, Reading: known(0.25)},
		{Name: signals.RequestsRunning, Role: signals.KindPrefill, Reading: planner.Zero(start.Add(time.Minute), "test")},
		{Name: signals.Allocating, Role: signals.KindDecode, Reading: known(6)},
		{Name: signals.KVTransferMs, Role: signals.KindPrefill, Reading: known(12)},
		{Name: signals.QueueTokens, Role: signals.KindPrefill, Reading: known(2400)},
		{Name: signals.Unacknowledged, Role: signals.KindPrefill, Reading: planner.Known(3, start.Add(-time.Hour), "test")},
		{Name: signals.Registered, Role: signals.KindDecode, Reading: known(2)},
		{Name: signals.RequestsRejected, Role: signals.KindFrontend, Reading: known(4)},
		{Name: "something newer", Reading: known(1)},
	}
	w.rounds(1)
	values := w.values()
	for name, want := range map[string]float64{
		`tokens_per_second{role="prefill"}`:             1600,
		`engine_queue_seconds{role="prefill"}`:          0.25,
		`kv_cache_usage_ratio{role="prefill"}`:          0.25,
		`kv_cache_usage_ratio{role="decode"}`:           0.5,
		`requests{role="prefill",state="running"}`:      0,
		`requests{role="decode",state="allocating"}`:    6,
		`kv_transfer_seconds{}`:                         0.012,
		`queue_tokens{}`:                                2400,
		`registered_workers{role="decode"}`:             2,
		`rejected_requests_per_second{role="frontend"}`: 4,
		`tokens_per_second{role="decode"}`:              math.NaN(),
		`queue_unacknowledged_messages{}`:               math.NaN(),
		`requests{role="prefill",state="allocating"}`:   math.NaN(),
	} {
		got, ok := values[name]
		if ok == math.IsNaN(want) || ok && math.Abs(got-want) > 1e-9 {
			t.Errorf("%s = %v, %v; want %v", name, got, ok, want)
		}
	}
	w.service.readings = nil
	w.rounds(1)
	if got, ok := w.values()[`queue_tokens{}`]; ok {
		t.Errorf("queue_tokens = %v of a source that is not read any more", got)
	}
}
