package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// objective is a latency objective as a flag: p95=2s.
type objective struct{ capacity.Objective }

func (o *objective) String() string {
	if o.Ms == 0 {
		return ""
	}
	return fmt.Sprintf("p%.6g=%s", 100*o.Quantile, time.Duration(o.Ms*float64(time.Millisecond)))
}
func (o *objective) Type() string { return "pNN=DURATION" }
func (o *objective) Set(s string) error {
	wrong := errors.New("allowed is a percentile above 0 and below 100 and a duration, such as p95=2s or p99=40ms")
	percentile, latency, ok := strings.Cut(s, "=")
	number, isPercentile := strings.CutPrefix(percentile, "p")
	if !ok || !isPercentile {
		return wrong
	}
	p, err := strconv.ParseFloat(number, 64)
	if err != nil || !(p > 0 && p < 100) {
		return wrong
	}
	d, err := time.ParseDuration(latency)
	if err != nil || d <= 0 {
		return wrong
	}
	o.Quantile, o.Ms = p/100, float64(d)/float64(time.Millisecond)
	return nil
}

// maxTokens bounds a prompt or a context given by hand.
const maxTokens = 100_000_000

// tokenCounts is a list of prompt lengths: 64,512,8192.
type tokenCounts []int

func (t *tokenCounts) String() string {
	var parts []string
	for _, n := range *t {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}
func (t *tokenCounts) Type() string { return "TOKENS,..." }
func (t *tokenCounts) Set(s string) error {
	*t = nil
	for part := range strings.SplitSeq(s, ",") {
		n, err := count(part)
		if err != nil {
			return err
		}
		*t = append(*t, n)
	}
	return nil
}

// batch is a decode step: sequences, each with so many tokens of context.
type batch struct{ sequences, context int }

// batches is a list of decode steps: 1x512,64x2048.
type batches []batch

func (b *batches) String() string {
	var parts []string
	for _, v := range *b {
		parts = append(parts, fmt.Sprintf("%dx%d", v.sequences, v.context))
	}
	return strings.Join(parts, ",")
}
func (b *batches) Type() string { return "SEQUENCESxCONTEXT,..." }
func (b *batches) Set(s string) error {
	*b = nil
	for part := range strings.SplitSeq(s, ",") {
		sequences, context, ok := strings.Cut(part, "x")
		if !ok {
			return fmt.Errorf("%q: allowed is SEQUENCESxCONTEXT, such as 64x2048", part)
		}
		n, err := count(sequences)
		if err != nil {
			return err
		}
		c, err := count(context)
		if err != nil {
			return err
		}
		*b = append(*b, batch{n, c})
	}
	return nil
}

func count(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 1 || n > maxTokens {
		return 0, fmt.Errorf("%q: allowed are whole numbers from 1 to %d", s, maxTokens)
	}
	return n, nil
}

// number is a number within bounds, as a flag. What is not a number is refused.
type number struct {
	value   float64
	low     float64
	open    bool // low itself is not allowed
	high    float64
	allowed string
}

// above0 is up to what the planner takes for true of any service.
func above0(value float64) *number {
	return &number{value: value, open: true, high: 1e7, allowed: "allowed is a number above 0 and up to 1e7"}
}

func atLeast0(value float64) *number {
	return &number{value: value, high: 1e6, allowed: "allowed is a number from 0 to 1e6"}
}

func shareBelow1(value float64) *number {
	return &number{value: value, high: math.Nextafter(1, 0), allowed: "allowed is a share from 0 to below 1"}
}

func (n *number) String() string {
	if n.value == 0 && n.open {
		return ""
	}
	return strconv.FormatFloat(n.value, 'g', -1, 64)
}
func (n *number) Type() string { return "NUMBER" }
func (n *number) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= n.low && v <= n.high) || n.open && v == n.low {
		return errors.New(n.allowed)
	}
	n.value = v
	return nil
}
