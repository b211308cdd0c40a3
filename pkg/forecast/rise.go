package forecast

import (
	"math"
	"slices"
	"time"
)

// Rise is by how much a demand came to exceed what was expected of it, the most in one horizon of time. Amount is in the unit
// of the samples, and Share is of what was expected.
type Rise struct {
	From   time.Time `json:"from"`
	Amount float64   `json:"amount"`
	Share  float64   `json:"share"`
}

const (
	// MaxRises bounds what is remembered: so many horizons, two hours where a replica takes 100 s.
	MaxRises = 64
	// ordinary is the share by which a demand may exceed what was expected without having risen: noise of readings and of arrivals.
	ordinary = 0.05
	// usual is the share of all horizons whose rise a Surge covers: of ten horizons or fewer all of them.
	usual = 0.9
	// mostSurge bounds a Surge, as a share of the demand: what doubled once need not be held double.
	mostSurge = 0.5
)

// Sustained is the least constant rate that would have served the samples while nothing waited longer than patience: the
// largest of work/(time + patience) over all stretches of them. Each sample holds for the time since the one before it; the first
// is only where time begins. It is 0 of fewer than two samples.
func Sustained(samples []Sample, patience time.Duration) (rate float64) {
	for first := range samples {
		work := 0.0
		for i := first + 1; i < len(samples); i++ {
			work += samples[i].Value * samples[i].At.Sub(samples[i-1].At).Seconds()
			over := (samples[i].At.Sub(samples[first].At) + max(patience, 0)).Seconds()
			if over > 0 {
				rate = max(rate, work/over)
			}
		}
	}
	return rate
}

// Risen is by how much the demand of the last horizon exceeded what Ahead, or the last value, gave at its beginning, beyond
// what is ordinary. It is false where no sample is of that time, within gap, and where a float64 does not hold the rise. Samples are finite, not negative and in order of time.
func Risen(samples []Sample, now time.Time, horizon, patience, gap time.Duration) (Rise, bool) {
	then := now.Add(-horizon)
	first := -1
	for first+1 < len(samples) && !samples[first+1].At.After(then) {
		first++
	}
	if first < 0 || then.Sub(samples[first].At) > gap {
		return Rise{}, false
	}
	expected, ok := Ahead(samples[:first+1], samples[first].At, horizon)
	if !ok {
		return Rise{}, false
	}
	expected = max(expected, samples[first].Value)
	amount := Sustained(samples[first:], patience) - (1+ordinary)*expected
	if !(amount > 0) || !(expected > 0) {
		return Rise{From: now}, true // nothing can be a share of no demand
	}
	share := amount / expected
	if math.IsInf(amount, 0) || math.IsInf(share, 0) {
		return Rise{}, false // no service had such samples, finite as each of them is
	}
	return Rise{From: now, Amount: amount, Share: share}, true
}

// Remember adds a rise to those of the past, of which it keeps the most in each horizon and the last MaxRises. It may change
// the slice that it is given.
func Remember(rises []Rise, r Rise, horizon time.Duration) []Rise {
	if n := len(rises); n > 0 && r.From.Sub(rises[n-1].From) < horizon {
		last := &rises[n-1]
		last.Amount, last.Share = max(last.Amount, r.Amount), max(last.Share, r.Share)
		return rises
	}
	rises = append(rises, r)
	return rises[max(0, len(rises)-MaxRises):]
}

// Surge is what to be ready for on top of a demand: what nine in ten horizons of the past did not exceed, as an amount or
// as a share of the demand, whichever is less, and no more than half of the demand. A demand that falls back rises again in shares,
// and one that is high already does not rise by the same share once more; so each alone asks for too much at one end.
func Surge(rises []Rise, demand float64) float64 {
	if len(rises) == 0 || !(demand > 0) {
		return 0
	}
	amount, share := Usual(rises)
	return max(0, min(amount, share*demand, mostSurge*demand))
}

// Usual is the amount and the share that nine in ten of the rises do not exceed.
func Usual(rises []Rise) (amount, share float64) {
	return usually(rises, func(r Rise) float64 { return r.Amount }), usually(rises, func(r Rise) float64 { return r.Share })
}

// usually is the value that so many of the rises do not exceed.
func usually(rises []Rise, of func(Rise) float64) float64 {
	values := make([]float64, 0, len(rises))
	for _, r := range rises {
		if v := of(r); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(usual*float64(len(values))))]
}
