package report

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// msText writes a latency with as many digits as a person wants to read.
func msText(ms float64) string { return digits(ms, 3) + " ms" }

// digits writes a number with at least n significant digits, never with an exponent, without zeros at the end.
func digits(x float64, n int) string {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	decimals := max(0, n-1-int(math.Floor(math.Log10(math.Abs(x)))))
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func percentText(share float64) string { return digits(100*share, 2) + " %" }

// timeText writes a moment without the fractions that nobody reads.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// spanText writes a length of time in whole seconds.
func spanText(d time.Duration) string { return d.Round(time.Second).String() }

// counted writes a number with its noun: "1 replica", "3 replicas".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// sentence ends a text with a full stop where it has no end of its own.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".!?") {
		return s
	}
	return s + "."
}
