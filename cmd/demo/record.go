package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/demo/internal/chart"
	"github.com/pdautoscaler/pdautoscaler/cmd/demo/internal/live"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/test/gpuwatch"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

// record collects a run while it plays.
type record struct {
	stage *stage.Stage
	story story.Story

	start   time.Time
	loadAt  time.Duration // of the engine, when the load began
	atStart gpuwatch.Totals
	points  []chart.Point
	news    []string
	last    *planner.Record // the newest decision
}

// result is what was collected.
type result struct {
	start     time.Time
	loadAt    time.Duration // of the requests' clock
	points    []chart.Point
	requests  []engine.Record
	decisions []planner.Record
	pods      gpuwatch.Totals // over the whole history
	hole      string          // why the history is not whole
	gpuHours  float64         // while the load played
}

func newRecord(s *stage.Stage, told story.Story) *record { return &record{stage: s, story: told} }

// begin notes that the load has begun.
func (r *record) begin(now time.Time) {
	r.start = now
	seen := r.stage.Emulator.Snapshot()
	r.loadAt = seen.At - seen.Played
	r.atStart = r.stage.Pods.Ledger.Totals(now)
}

// sample adds a point to the curves, and returns the decisions made since the last sample, oldest first.
func (r *record) sample(ctx context.Context, now time.Time) ([]planner.Record, error) {
	const enough = 10 // more decisions than one sample can have missed
	records, err := r.stage.Decisions(ctx, enough)
	if err != nil {
		if r.stage.Err() != nil {
			return nil, r.stage.Err()
		}
		return nil, fmt.Errorf("read the autoscaler's decisions: %w", err)
	}
	var fresh []planner.Record
	for _, d := range records {
		if d.Input.Now.After(r.start) && (r.last == nil || d.Input.Now.After(r.last.Input.Now)) {
			fresh = append(fresh, d)
		}
	}
	if len(records) > 0 {
		r.last = &records[len(records)-1]
	}
	r.points = append(r.points, r.point(now))
	return fresh, nil
}

// point is one sample of the curves.
func (r *record) point(now time.Time) chart.Point {
	at := now.Sub(r.start)
	shape := r.story.Load.ShapeAt(at.Seconds())
	totals, seen := r.stage.Pods.Ledger.Totals(now), r.stage.Emulator.Snapshot()
	p := chart.Point{
		At: at.Seconds(), HeldGPUs: totals.Held, Queued: seen.ByState[engine.Queued],
		RequestsPS: shape.RequestsPerSecond, PromptTokensPS: shape.RequestsPerSecond * shape.InputTokens, OutputTokensPS: shape.RequestsPerSecond * shape.OutputTokens,
		Prefill: chartRole(totals.Roles[rbgfake.RolePrefill]), Decode: chartRole(totals.Roles[rbgfake.RoleDecode]),
	}
	if seen.Recent.FirstTokens > 0 {
		p.TTFTMs = seen.Recent.TTFTp95Ms
	}
	if seen.Recent.Finished > 0 {
		p.TPOTMs = seen.Recent.TPOTp95Ms
	}
	if r.last != nil {
		d := &r.last.Decision
		p.Prefill.Desired, p.Decode.Desired = d.Prefill.To, d.Decode.To
		p.PrefillLoadPerc, p.DecodeLoadPerc = loadPercent(&d.Prefill), loadPercent(&d.Decode)
	}
	return p
}

func chartRole(c gpuwatch.Count) chart.Role {
	return chart.Role{Ready: c.Ready, Starting: c.Starting, Terminating: c.Terminating, GPUs: c.GPUs}
}

// loadPercent is the load that a decision saw, nil where the demand was not known.
func loadPercent(d *planner.RoleDecision) *int32 {
	if !d.Demand.Known {
		return nil
	}
	return new(int32(math.Round(100 * min(d.Load, 100))))
}

// frame is what the terminal shows now.
func (r *record) frame(now time.Time) live.Frame {
	at := min(now.Sub(r.start), r.story.Load.Duration())
	act, judged := r.story.ActAt(at)
	shape := r.story.Load.ShapeAt(min(at, r.story.Load.Duration()-1).Seconds()) // at its very end the load is no more
	totals, seen := r.stage.Pods.Ledger.Totals(now), r.stage.Emulator.Snapshot()
	f := live.Frame{
		Title: title, At: at, Length: r.story.Load.Duration(), Acts: r.story.ActNames(), Act: act, WarmUp: !judged,
		Load: live.Load{RequestsPerSecond: shape.RequestsPerSecond, InputTokens: shape.InputTokens, OutputTokens: shape.OutputTokens, Queued: seen.ByState[engine.Queued]},
		GPUs: live.GPUs{Held: totals.Held, Budget: stage.BudgetGPUs, Peak: totals.Peak},
		News: r.news,
	}
	f.TTFT, f.TPOT = latencies(&seen)
	for i, name := range []string{rbgfake.RolePrefill, rbgfake.RoleDecode} {
		c := totals.Roles[name]
		f.Roles[i] = live.Role{Name: name, Ready: c.Ready, Starting: c.Starting, Terminating: c.Terminating, GPUs: c.GPUs, Desired: c.Ready + c.Starting, LoadPercent: -1}
	}
	if r.last != nil {
		d := &r.last.Decision
		for i, role := range []*planner.RoleDecision{&d.Prefill, &d.Decode} {
			f.Roles[i].Desired = role.To
			if percent := loadPercent(role); percent != nil {
				f.Roles[i].LoadPercent = int(*percent)
			}
		}
		if m := d.Move; m != nil {
			f.Move = fmt.Sprintf("%d GPUs from %s to %s, %s: %s", m.GPUs, m.From, m.To, phases[m.Phase], m.Reason)
		}
	}
	return f
}

// phases are the phases of a move in words.
var phases = map[planner.MovePhase]string{
	planner.Draining:   "waiting for the donor's pods to be gone",
	planner.StartingUp: "the receiver is starting",
	planner.Returning:  "on the way back",
}

// latencies are what clients saw in the last seconds.
func latencies(s *emulator.Snapshot) (ttft, tpot live.Latency) {
	o := stage.Objectives
	ttft = live.Latency{Ms: s.Recent.TTFTp95Ms, Known: s.Recent.FirstTokens > 0, ObjectiveMs: o.TTFT.Ms, Percentile: 95}
	tpot = live.Latency{Ms: s.Recent.TPOTp95Ms, Known: s.Recent.Finished > 0, ObjectiveMs: o.TPOT.Ms, Percentile: 95}
	return ttft, tpot
}

// drainTime is how long after the load's end requests under way may still end.
const drainTime = 5 * time.Second

// end closes the record: GPU-hours up to now, then the requests that are under way.
func (r *record) end(ctx context.Context) (*result, error) {
	now := time.Now()
	gpuSeconds := r.stage.Pods.Ledger.Totals(now).GPUSeconds - r.atStart.GPUSeconds
	for r.stage.Emulator.Snapshot().InFlight > 0 && time.Since(now) < drainTime {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	const all = 100000
	decisions, err := r.stage.Decisions(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("read the autoscaler's decisions: %w", err)
	}
	res := &result{
		start: r.start, loadAt: r.loadAt, points: r.points, requests: r.stage.Emulator.Records(), decisions: decisions, gpuHours: gpuSeconds / 3600,
	}
	// Two ways to know what is held must agree, and the history must be whole.
	check, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := r.stage.Pods.Check(check); err != nil {
		res.hole = err.Error()
	}
	if err := r.stage.Pods.Stop(); err != nil {
		res.hole = err.Error()
	}
	res.pods = r.stage.Pods.Ledger.Totals(time.Now())
	return res, nil
}
