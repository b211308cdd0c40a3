package controller

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// Limits that the CRD sets to the status of the sources.
const (
	maxSourceNames   = 32
	maxSourceMessage = 1024
	maxQueries       = 16
)

// signalsStatus sums up the reports by kind of source. Ages are left out: they
// change in every round, and the metrics have them.
func (r *round) signalsStatus(was v1alpha1.SignalsStatus) v1alpha1.SignalsStatus {
	if r.reports == nil {
		return was // nothing was asked; the conditions say why
	}
	byKind := map[string]*v1alpha1.SourceStatus{}
	names, engines := map[string]map[string]bool{}, map[string]map[string]bool{}
	var s v1alpha1.SignalsStatus
	for i := range r.reports {
		report := &r.reports[i]
		kind := sourceLabel(report.Kind)
		source := byKind[kind]
		if source == nil {
			source = &v1alpha1.SourceStatus{Kind: kind}
			byKind[kind], names[kind], engines[kind] = source, map[string]bool{}, map[string]bool{}
		}
		if report.OK {
			source.Read++
		} else {
			source.Failed++
		}
		for _, name := range report.Names {
			names[kind][name] = true
		}
		if report.Engine != "" {
			engines[kind][report.Engine] = true
		}
		if text := problem(report); text != "" && source.Message == "" {
			source.Message = truncate(text, maxSourceMessage)
		}
		s.Queries = append(s.Queries, report.Queries...)
	}
	for kind, source := range byKind {
		source.Names = first(slices.Sorted(maps.Keys(names[kind])), maxSourceNames)
		source.Engine = strings.Join(slices.Sorted(maps.Keys(engines[kind])), ", ")
		s.Sources = append(s.Sources, *source)
	}
	slices.SortFunc(s.Sources, func(a, b v1alpha1.SourceStatus) int { return cmp.Compare(a.Kind, b.Kind) })
	s.Queries = first(s.Queries, maxQueries)
	return s
}

// problem is what a person should know of one source; empty where all is well.
func problem(report *signals.SourceReport) string {
	switch {
	case report.Error != "":
		return report.Source + ": " + report.Error
	case report.Degraded != "":
		return report.Degraded
	case report.Kind == signals.KindPrometheus && report.Detail != "":
		return report.Detail
	}
	return ""
}

func first(texts []string, n int) []string {
	if len(texts) == 0 {
		return nil
	}
	return texts[:min(len(texts), n)]
}

// gpuActivityKnown judges what the GPU exporters told. Without it the load that
// the model expects is not checked against the GPUs', and nothing else changes.
func (r *round) gpuActivityKnown() verdict {
	if r.seen == nil {
		return unknown(r.unseen.reason, "nothing was read: "+r.unseen.message)
	}
	for i := range r.reports {
		if r.reports[i].Kind == signals.KindExporter && r.reports[i].Degraded != "" {
			return unwell(ReasonProfilingMissing, r.reports[i].Degraded)
		}
	}
	tensor, dram := r.signals.PrefillTensorActive, r.signals.DecodeDRAMActive
	for _, reading := range []planner.Reading{tensor, dram} {
		if !reading.Ok() {
			return unwell(ReasonActivityUnknown, fmt.Sprintf("the GPUs' activity is not known: %s", cmp.Or(reading.Why, "nothing was read")))
		}
	}
	return well("Known", "the GPUs of both roles show their activity")
}
