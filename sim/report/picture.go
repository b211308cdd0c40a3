package report

import (
	"fmt"
	"io"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

// Picture draws demand and one policy's panels as one SVG file, for documents. The name is the policy's.
func Picture(w io.Writer, in Input, name string) error {
	for i := range in.Report.Policies {
		if p := &in.Report.Policies[i]; p.Name == name && p.Timeline != nil {
			return picture(w, in, p)
		}
	}
	return fmt.Errorf("report: there is no time line of %q", name)
}

func picture(w io.Writer, in Input, p *scenario.PolicyReport) error {
	r, demand := newRun(in.Scenario, p), demandOf(in.Scenario)
	panels := append([]chart.Panel{demand.panel()}, r.panels()...)
	for i := range panels {
		panels[i].Span = r.span
		panels[i].HeightPx = 60
	}
	title := fmt.Sprintf("%s: %s, %s", HeadingOf(in.Text, in.Scenario.Name).Title, p.Name, summary(p))
	all := chart.Picture{Title: title, Says: lead(in.Scenario), Panels: panels}
	return all.Write(w)
}
