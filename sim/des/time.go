package des

import (
	"math"
	"time"
)

// Time is a time or a length of time in picoseconds. It holds 106 days.
type Time int64

const (
	picosecondsPerNs     = 1000
	picosecondsPerMs     = 1e9
	picosecondsPerSecond = 1e12
	// noTime is before every time.
	noTime Time = -1
	// forever is after every time.
	forever Time = math.MaxInt64
)

// longest is the latest time that can be played to; what is later is never reached.
const longest = 104 * 24 * time.Hour

func timeOf(d time.Duration) Time { return Time(min(d, longest)) * picosecondsPerNs }

// milliseconds rounds to picoseconds; nothing takes no time at all, or more than eleven days.
func milliseconds(ms float64) Time { return max(1, Time(math.Round(min(ms, 1e9)*picosecondsPerMs))) }

// plus adds two times; what is too late to hold is as late as can be.
func (t Time) plus(d Time) Time {
	if t > forever-1-d {
		return forever - 1
	}
	return t + d
}

// Duration is the time in nanoseconds, rounded down.
func (t Time) Duration() time.Duration { return time.Duration(t / picosecondsPerNs) }

// Ms is the time in milliseconds.
func (t Time) Ms() float64 { return float64(t) / picosecondsPerMs }

// Seconds is the time in seconds.
func (t Time) Seconds() float64 { return float64(t) / picosecondsPerSecond }
