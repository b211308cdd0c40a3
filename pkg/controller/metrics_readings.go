package controller

import (
	"slices"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// otherReadings are the readings besides the planner's, which a Collector may have.
type otherReadings interface {
	Readings() []signals.Reading
}

var _ otherReadings = (*signals.Collector)(nil)

// shownReading is how one reading is exported.
type shownReading struct {
	series string
	// labels are those besides the resource's, where they are not the role alone.
	labels []string
	// per is what a value is divided by: a thousand for milliseconds.
	per float64
}

// shownReadings are the readings that are exported, by their name. Of those
// with a role as their label the role is the reading's own.
var shownReadings = map[string]shownReading{
	signals.PromptTokensPerSecond:    {series: metricTokenRate},
	signals.GeneratedTokensPerSecond: {series: metricTokenRate},
	signals.QueueTimeMs:              {series: metricEngineQueue, per: 1000},
	signals.KVUse:                    {series: metricKVUse},
	signals.RequestsRunning:          {series: metricRequests, labels: []string{"running"}},
	signals.HeldForDecode:            {series: metricRequests, labels: []string{"held_for_decode"}},
	signals.HandOver:                 {series: metricRequests, labels: []string{"handing_over"}},
	signals.Allocating:               {series: metricRequests, labels: []string{"allocating"}},
	signals.Arriving:                 {series: metricRequests, labels: []string{"arriving"}},
	signals.KVTransferMs:             {series: metricKVTransfer, per: 1000},
	signals.QueueTokens:              {series: metricQueueTokens},
	signals.Unacknowledged:           {series: metricUnacknowledged},
	signals.Registered:               {series: metricRegistered},
	signals.RequestsRejected:         {series: metricRejected},
}

// exported is one series of a reading with its own labels, joined.
type exported struct{ series, labels string }

// allExported are all that there can be of one resource, each with its labels.
var allExported = func() map[exported][]string {
	all := map[exported][]string{}
	for _, shown := range shownReadings {
		at := slices.IndexFunc(table, func(s Series) bool { return s.Name == shown.series })
		combinations := [][]string{nil}
		for _, label := range table[at].Labels {
			var more [][]string
			for _, c := range combinations {
				for _, value := range label.Values {
					more = append(more, append(slices.Clone(c), value))
				}
			}
			combinations = more
		}
		for _, labels := range combinations {
			all[exported{shown.series, strings.Join(labels, ",")}] = labels
		}
	}
	return all
}()

// observeReadings exports what was read of the way of the requests. Each series
// is set or removed by its name: to look for those of a resource among those of
// hundreds takes longer than all the rest.
func (m *Metrics) observeReadings(r *round, of series) {
	maxAge := seconds(r.pda.Spec.Behavior.MaxAge)
	values := map[exported]*float64{}
	if use := r.signals.DecodeKVUse.Fresh(r.now, maxAge); use.Ok() {
		values[exported{metricKVUse, string(planner.Decode)}] = new(use.Or(0))
	}
	for _, reading := range r.readings {
		shown, ok := shownReadings[reading.Name]
		if !ok {
			continue
		}
		var value *float64
		if fresh := reading.Fresh(r.now, maxAge); fresh.Ok() {
			value = new(fresh.Or(0) / max(shown.per, 1))
		}
		labels := shown.labels
		if hasRole(shown.series) {
			labels = append([]string{string(reading.Role)}, labels...)
		}
		values[exported{shown.series, strings.Join(labels, ",")}] = value
	}
	for e, labels := range allExported { // a source that is not read any more leaves nothing behind
		of.set(m.gauges[e.series], values[e], labels...)
	}
}

// hasRole reports whether a series of the table has the label of the role.
func hasRole(name string) bool {
	for i := range table {
		if table[i].Name == name {
			return len(table[i].Labels) > 0 && table[i].Labels[0].Name == labelRole.Name
		}
	}
	return false
}
