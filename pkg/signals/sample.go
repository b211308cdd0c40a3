package signals

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// sample is what one page told at one time.
type sample struct {
	at       time.Time
	measured map[quantity]measured
	// notes say what was left out and why.
	notes []string
}

// measured is one quantity on one page: its series under the spelling that matched.
type measured struct {
	name   string
	series []series
}

// total is the sum over the series of a gauge or counter.
func (m measured) total() float64 {
	sum := 0.0
	for _, s := range m.series {
		sum += s.value
	}
	return sum
}

// read finds a vocabulary's quantities on a page. A quantity with a series
// that cannot be used is left out: the rest of its series would be a part
// taken for the whole.
func (v *vocabulary) read(p page, model string, now time.Time, maxAge time.Duration) sample {
	out := sample{at: now, measured: map[quantity]measured{}}
	for _, w := range v.words {
		for _, name := range w.names {
			f, found := p.find(w, name)
			if f == nil {
				continue
			}
			if (f.form == histogram) != (w.form == histogram) {
				out.notes = append(out.notes, fmt.Sprintf("%s is not a %s", found, w.form))
				continue
			}
			m, notes := v.choose(f, w, name, found, model, now, maxAge)
			out.notes = append(out.notes, notes...)
			if len(m.series) == 0 {
				continue
			}
			out.measured[w.what] = m
			for _, s := range m.series {
				if !s.at.IsZero() && s.at.Before(out.at) {
					out.at = s.at
				}
			}
			break
		}
	}
	return out
}

// choose keeps the series of one family that belong to the word.
func (v *vocabulary) choose(f *family, w word, name spelling, found, model string, now time.Time, maxAge time.Duration) (measured, []string) {
	m := measured{name: found}
	var notes, others []string
	bad := false
	for _, s := range f.series {
		if name.label != "" && s.label(name.label) != name.value {
			continue
		}
		if v.modelLabel != "" && model != "" {
			// Dynamo's frontend writes the model's name in lower case.
			if served := s.label(v.modelLabel); served != "" && !strings.EqualFold(served, model) {
				others = append(others, served)
				continue
			}
		}
		if s.wrong == "" && w.share && s.value > 1 {
			s.wrong = fmt.Sprintf("is %v, but a share lies in 0..1", s.value)
		}
		if s.wrong == "" && !s.at.IsZero() && now.Sub(s.at) > maxAge {
			s.wrong = fmt.Sprintf("is %v old", now.Sub(s.at).Round(time.Second))
		}
		if s.wrong != "" {
			notes = append(notes, found+" "+s.wrong)
			bad = true
			continue
		}
		m.series = append(m.series, s)
	}
	if len(m.series) == 0 && len(others) > 0 {
		slices.Sort(others)
		notes = append(notes, fmt.Sprintf("%s has no model %q, only %s", found, model, strings.Join(slices.Compact(others), ", ")))
	}
	if bad && !w.each {
		m.series = nil
	}
	return m, notes
}
