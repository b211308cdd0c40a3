package controller

import (
	"github.com/prometheus/client_golang/prometheus"

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

// observeReadings exports what was read of the way of the requests.
func (m *Metrics) observeReadings(r *round, of series) {
	maxAge := seconds(r.pda.Spec.Behavior.MaxAge)
	for _, shown := range shownReadings { // a source that is not read any more leaves nothing behind
		m.gauges[shown.series].DeletePartialMatch(prometheus.Labels{labelNamespace: of.namespace, labelName: of.name})
	}
	if use := r.signals.DecodeKVUse.Fresh(r.now, maxAge); use.Ok() {
		of.set(m.gauges[metricKVUse], new(use.Or(0)), "decode")
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
		of.set(m.gauges[shown.series], value, labels...)
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
