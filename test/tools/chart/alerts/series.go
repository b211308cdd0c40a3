package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// series holds all samples in memory. It is a storage.Queryable.
type series struct {
	byLabels map[string]*one
}

// one is one time series.
type one struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// scrape adds the pages of all targets at one moment. A series that a target had before and has no more becomes stale.
func (s *series) scrape(pages map[string]string, at time.Time) error {
	found := map[string]float64{}
	if s.byLabels == nil {
		s.byLabels = map[string]*one{}
	}
	for target, page := range pages {
		if err := s.parse(target, page, found); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	for id, o := range s.byLabels {
		v, there := found[id]
		switch n := len(o.samples); {
		case there:
			o.samples = append(o.samples, sample{at.UnixMilli(), v})
		case n > 0 && !value.IsStaleNaN(o.samples[n-1].F()):
			o.samples = append(o.samples, sample{at.UnixMilli(), math.Float64frombits(value.StaleNaN)})
		}
	}
	return nil
}

// parse reads a page as Prometheus does. The page's labels win over the target's (honorLabels, as the chart's ServiceMonitor says).
func (s *series) parse(target, page string, found map[string]float64) error {
	p := textparse.NewPromParser([]byte(page), labels.NewSymbolTable(), false)
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var own labels.Labels
		p.Labels(&own)
		of := labels.NewBuilder(own)
		for name, text := range map[string]string{"job": "pdautoscaler", "instance": target, "pod": target, "namespace": "pdautoscaler-system"} {
			if !own.Has(name) {
				of.Set(name, text)
			}
		}
		all := of.Labels()
		_, _, v := p.Series()
		id := all.String()
		if s.byLabels[id] == nil {
			s.byLabels[id] = &one{labels: all}
		}
		found[id] = v
	}
}

// Querier is of all samples; the engine picks those of its time.
func (s *series) Querier(_, _ int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: s.find}, nil
}

func (s *series) find(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var out []storage.Series
	for _, id := range slices.Sorted(maps.Keys(s.byLabels)) {
		o := s.byLabels[id]
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(o.labels.Get(m.Name)) }) {
			out = append(out, storage.NewListSeries(o.labels, o.samples))
		}
	}
	return &set{series: out, at: -1}
}

// set goes through series.
type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool                               { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                       { return s.series[s.at] }
func (s *set) Err() error                               { return nil }
func (s *set) Warnings() (none annotations.Annotations) { return none }

// sample is a number at a moment, in milliseconds.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

var _ storage.Queryable = (*series)(nil)
