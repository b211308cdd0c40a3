package forecast

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAzureConversation compares the forecast with the last value on the Azure
// LLM inference trace 2023 (conversation). What counts for an autoscaler is
// how much too low the larger of both is one horizon later.
func TestAzureConversation(t *testing.T) {
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: the trace is not here")
	}
	arrivals := readArrivals(t, filepath.Join(dir, "traces", "AzureLLMInferenceTrace_conv.csv"))
	// The rate over the last 60 s, every 10 s, as the controller measures it.
	rate := func(at time.Duration) float64 {
		n := 0
		for _, a := range arrivals {
			if a > at-time.Minute && a <= at {
				n++
			}
		}
		return float64(n) / 60
	}
	var samples []Sample
	for at := time.Minute; at < arrivals[len(arrivals)-1]; at += 10 * time.Second {
		samples = append(samples, Sample{At: now.Add(at), Value: rate(at)})
	}
	for _, horizon := range []time.Duration{40 * time.Second, 110 * time.Second} {
		steps := int(horizon / (10 * time.Second))
		var errAhead, errLast, lowAhead, lowLast, n float64
		for i := 6; i+steps < len(samples); i++ {
			last, truth := samples[i].Value, samples[i+steps].Value
			ahead, _ := Ahead(samples[:i+1], samples[i].At, horizon)
			errAhead += math.Abs(ahead - truth)
			errLast += math.Abs(last - truth)
			lowAhead += max(0, truth-max(ahead, last))
			lowLast += max(0, truth-last)
			n++
		}
		t.Logf("%4s ahead: mean error %.3f/s (last value %.3f/s); mean shortfall %.3f/s (last value %.3f/s)",
			horizon, errAhead/n, errLast/n, lowAhead/n, lowLast/n)
		if lowAhead > lowLast {
			t.Errorf("%s ahead the forecast is short by more than the last value", horizon)
		}
		if errAhead > 1.25*errLast {
			t.Errorf("%s ahead the forecast's mean error is %.0f %% of the last value's", horizon, 100*errAhead/errLast)
		}
	}
}

func readArrivals(t *testing.T, path string) []time.Duration {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var arrivals []time.Duration
	var first time.Time
	for _, row := range rows[1:] {
		at, err := time.Parse("2006-01-02 15:04:05.9999999", row[0])
		if err != nil {
			t.Fatal(err)
		}
		if first.IsZero() {
			first = at
		}
		arrivals = append(arrivals, at.Sub(first))
	}
	return arrivals
}
