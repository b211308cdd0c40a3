package trace

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// spread is by how much a copy of a request may be moved to either side.
const spread = 30 * time.Second

// Scale multiplies the rate by factor and keeps the length: see the package comment. Equal seeds give equal traces.
func (t *Trace) Scale(factor float64, seed uint64) (*Trace, error) {
	if !(factor > 0 && factor <= 1e6) {
		return nil, fmt.Errorf("trace: rate scale is %v; it must be above 0 and at most 1e6", factor)
	}
	if factor*float64(len(t.rows)) > maxRequests {
		return nil, fmt.Errorf("trace: rate scale %v makes %.0f requests of %d; at most %d are allowed", factor, factor*float64(len(t.rows)), len(t.rows), maxRequests)
	}
	if factor == 1 {
		return t, nil
	}
	random := rand.New(rand.NewPCG(seed, 11))
	whole, part := math.Modf(factor)
	out := &Trace{Notes: t.Notes, blocks: slices.Clip(t.blocks), length: t.length}
	for i := range t.rows {
		copies := int(whole)
		if random.Float64() < part {
			copies++
		}
		for c := range copies {
			r := t.rows[i]
			if c > 0 {
				shift := time.Duration((2*random.Float64() - 1) * float64(spread))
				r.at = min(max(r.at+shift, 0), t.length)
				r.from = len(out.blocks)
				for _, id := range t.blocks[t.rows[i].from : t.rows[i].from+int(r.blocks)] {
					out.blocks = append(out.blocks, id+uint64(c)<<40) // no prefix in common with the original
				}
			}
			out.rows = append(out.rows, r)
		}
	}
	out.sort()
	return out, nil
}

// Speed squeezes time by factor: the rate grows and the length shrinks.
func (t *Trace) Speed(factor float64) (*Trace, error) {
	if !(factor > 0 && factor <= 1e6) || float64(t.length)/factor > float64(MaxDuration) {
		return nil, fmt.Errorf("trace: speed is %v; it must be above 0, at most 1e6, and leave at most %v", factor, MaxDuration)
	}
	out := t.clone()
	for i := range out.rows {
		out.rows[i].at = time.Duration(float64(out.rows[i].at) / factor)
	}
	out.length = time.Duration(float64(t.length) / factor)
	return out, nil
}

// Cut keeps the requests from one time up to but not including another, which 0 makes the end, and starts them at zero.
func (t *Trace) Cut(from, to time.Duration) (*Trace, error) {
	if to == 0 {
		to = t.length + 1
	}
	if from < 0 || to <= from {
		return nil, fmt.Errorf("trace: cut from %v to %v; the start must be 0 or later and before the end", from, to)
	}
	out := &Trace{Notes: t.Notes, blocks: t.blocks, length: max(0, min(to, t.length)-from)}
	for _, r := range t.rows {
		if r.at >= from && r.at < to {
			r.at -= from
			out.rows = append(out.rows, r)
		}
	}
	return out, nil
}

// Splice plays other after t.
func (t *Trace) Splice(other *Trace) (*Trace, error) {
	if t.length+other.length > MaxDuration {
		return nil, fmt.Errorf("trace: %v and %v are more than %v", t.length, other.length, MaxDuration)
	}
	out, err := t.join(other, t.length)
	if err != nil {
		return nil, err
	}
	out.length = t.length + other.length
	return out, nil
}

// Merge plays both at once.
func (t *Trace) Merge(other *Trace) (*Trace, error) {
	out, err := t.join(other, 0)
	if err != nil {
		return nil, err
	}
	out.length = max(t.length, other.length)
	out.sort()
	return out, nil
}

// MaxApart is how many traces can be told apart by Apart.
const MaxApart = 15

// Apart gives t prefix blocks of its own, the n-th of up to MaxApart: the ids of
// two files mean different prompts.
func (t *Trace) Apart(n int) *Trace {
	out := t.clone()
	out.blocks = make([]uint64, len(t.blocks))
	for i, id := range t.blocks {
		out.blocks[i] = id + uint64(n)<<60 // ids of a file are below 2^40, of its scaled copies below 2^60
	}
	return out
}

// Repeat plays t the given number of times, one after the other.
func (t *Trace) Repeat(times int) (*Trace, error) {
	if times < 1 || float64(times)*float64(max(t.length, 1)) > float64(MaxDuration) || times*len(t.rows) > maxRequests {
		return nil, fmt.Errorf("trace: repeat is %d; it must be 1 or more and leave at most %v and %d requests", times, MaxDuration, maxRequests)
	}
	out := &Trace{Notes: t.Notes, blocks: t.blocks, length: t.length * time.Duration(times)}
	for n := range times {
		for _, r := range t.rows {
			r.at += time.Duration(n) * t.length
			out.rows = append(out.rows, r)
		}
	}
	return out, nil
}

func (t *Trace) clone() *Trace {
	return &Trace{Notes: t.Notes, rows: append([]row(nil), t.rows...), blocks: t.blocks, length: t.length}
}

func (t *Trace) join(other *Trace, shift time.Duration) (*Trace, error) {
	if n := len(t.rows) + len(other.rows); n > maxRequests {
		return nil, fmt.Errorf("trace: %d requests are there together; at most %d are allowed", n, maxRequests)
	}
	out := t.clone()
	out.blocks = append(slices.Clip(out.blocks), other.blocks...)
	out.Notes = append(slices.Clip(out.Notes), other.Notes...)
	for _, r := range other.rows {
		r.at += shift
		r.from += len(t.blocks)
		out.rows = append(out.rows, r)
	}
	return out, nil
}
