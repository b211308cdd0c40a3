package signals

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// sample is what one page told at one time.
type sample struct {
	at       time.Time
	measured map[quantity]measured
	// empty is a page without any sample at all.
	empty bool
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
//
// at is when the page was as it is; now is the time that ages are measured at.
func (v *vocabulary) read(p page, model string, at, now time.Time, maxAge time.Duration) sample {
	out := sample{at: at, measured: map[quantity]measured{}}
	for _, w := range v.words {
		for _, name := range w.names {
			f, found := p.find(w, name)
			if f == nil {
				continue
			}
			if (f.form == histogram) != (w.form == histogram) {
				if v.has(found, f.form) {
					continue // another word is the one for this form of it
				}
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
	for _, s := range v.once(f.series) {
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
		if !w.each {
			s.labels = nil // they chose it, and its key tells it apart
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

// has reports whether some word reads this name in this form.
func (v *vocabulary) has(name string, f form) bool {
	for _, w := range v.words {
		for _, s := range w.names {
			if s.metric == name && (w.form == histogram) == (f == histogram) {
				return true
			}
		}
	}
	return false
}

// once keeps one of the series that all say the same: the lowest rank of those
// that differ by the rank of their process alone, and the total of those that stand beside their total.
func (v *vocabulary) once(all []series) []series {
	if len(all) < 2 || len(v.ranks) == 0 && v.parts == "" {
		return all
	}
	at, whole := map[string]int{}, map[string]bool{}
	var out []series
	for _, s := range all {
		key := keyWithout(s.labels, v.ranks...)
		i, seen := at[key]
		switch {
		case !seen:
			at[key] = len(out)
			out = append(out, s)
		case v.lower(&s, &out[i]):
			out[i] = s
		}
	}
	for i := range out {
		if out[i].label(v.parts) == "" {
			whole[keyWithout(out[i].labels, append(v.ranks, v.parts)...)] = true
		}
	}
	return slices.DeleteFunc(out, func(s series) bool {
		return s.label(v.parts) != "" && whole[keyWithout(s.labels, append(v.ranks, v.parts)...)]
	})
}

// keyWithout is the key of a series without some labels, and without empty ones.
func keyWithout(labels []*dto.LabelPair, names ...string) string {
	return keyOf(slices.DeleteFunc(slices.Clone(labels), func(l *dto.LabelPair) bool {
		return l.GetValue() == "" || slices.Contains(names, l.GetName())
	}))
}

// lower orders the processes of one engine.
func (v *vocabulary) lower(a, b *series) bool {
	for _, rank := range v.ranks {
		x, _ := strconv.Atoi(a.label(rank))
		y, _ := strconv.Atoi(b.label(rank))
		if x != y {
			return x < y
		}
	}
	return false
}
