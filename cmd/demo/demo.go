package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"github.com/pdautoscaler/pdautoscaler/cmd/demo/internal/live"
	"github.com/pdautoscaler/pdautoscaler/cmd/demo/internal/verdict"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

const title = "PDAutoscaler: Qwen3-32B on Dynamo with vLLM, TP 2, emulated NVIDIA H200"

// demo is one run.
type demo struct {
	settings
	story    story.Story
	stdout   *os.File
	terminal bool

	files  *files
	stage  *stage.Stage
	record *record
	screen *live.Screen
}

// run sets up, plays, ends everything and then judges: while it judges nothing runs any more.
func (d *demo) run(ctx context.Context) (err error) {
	if d.files, err = openFiles(d.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.files.close()) }()

	result, err := d.play(ctx)
	if err != nil {
		return err
	}
	summary, err := d.judge(result)
	if err != nil {
		return err
	}
	if err := d.keep(result, summary); err != nil {
		return err
	}
	fmt.Fprintln(d.out())
	if err := summary.Write(d.out()); err != nil {
		return err
	}
	fmt.Fprintf(d.out(), "Kept in %s: %s\n", d.dir, d.files.names())
	fmt.Fprintf(d.out(), "Every decision in full: bin/pdctl explain --snapshot %s\n", filepath.Join(d.dir, decisionsName))
	if !summary.Good {
		return errNotKept
	}
	return nil
}

// out is where lines go that stay: the log, and the terminal or whatever stands in its place.
func (d *demo) out() io.Writer { return io.MultiWriter(d.stdout, d.files.log) }

// play runs the whole example and leaves nothing running.
func (d *demo) play(ctx context.Context) (_ *result, err error) {
	// Binaries are found or built first, with progress that a terminal can redraw.
	if _, err := controlplane.Binaries(ctx, controlplane.NewProgress(d.stdout), controlplane.AllComponents...); err != nil {
		return nil, err
	}
	d.stage, err = stage.Start(ctx, stage.Options{
		Dir: d.dir, Repository: d.repository, Autoscaler: d.autoscaler, Seed: d.seed,
		Progress: d.out(), Events: d.files.watch, Logger: d.files.logger(),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stage.Stop()) }()
	fmt.Fprintf(d.out(), "to look around meanwhile: export KUBECONFIG=%s\n\n", d.stage.ControlPlane.Kubeconfig)

	d.record = newRecord(d.stage, d.story)
	if d.terminal {
		d.screen = live.NewScreen(d.stdout)
		defer d.screen.Close()
	}
	if err := d.stage.Emulator.Play(&d.story.Load, d.seed); err != nil {
		return nil, err
	}
	d.record.begin(time.Now())
	if err := d.watch(ctx); err != nil {
		return nil, err
	}
	return d.record.end(ctx)
}

// How often something is looked at and shown.
const (
	redrawEvery = 250 * time.Millisecond
	sampleEvery = time.Second
	lineEvery   = 5 * time.Second
)

// watch shows the run until the load has ended.
func (d *demo) watch(ctx context.Context) error {
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	sampled, printed := d.record.start, d.record.start // when to next
	for {
		now := time.Now()
		if now.Sub(sampled) >= 0 {
			sampled = d.record.start.Add(now.Sub(d.record.start).Truncate(sampleEvery) + sampleEvery)
			if err := d.sample(ctx, now); err != nil {
				return err
			}
		}
		frame := d.record.frame(now)
		if d.screen != nil {
			width, height, err := term.GetSize(int(d.stdout.Fd()))
			if err != nil {
				width, height = 100, 40
			}
			lines := live.Draw(frame, width, false)
			d.screen.Draw(lines[:min(len(lines), max(1, height-1))])
		}
		if now.Sub(printed) >= 0 { // a late line does not make the next one late
			printed = d.record.start.Add(now.Sub(d.record.start).Truncate(lineEvery) + lineEvery)
			d.line(live.Line(frame))
		}
		if frame.At >= frame.Length {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.stage.Failed():
			return d.stage.Err()
		case <-tick.C:
		}
	}
}

// sample takes one sample of everything and reports new decisions.
func (d *demo) sample(ctx context.Context, now time.Time) error {
	fresh, err := d.record.sample(ctx, now)
	if err != nil {
		return err
	}
	for i := range fresh {
		if decision := &fresh[i].Decision; verdict.Changed(decision) {
			for _, sentence := range verdict.Sentences(decision) {
				news := fmt.Sprintf("%5s  %s", clock(decision.At.Sub(d.record.start)), sentence)
				d.record.news = append(d.record.news, news)
				d.line(news)
			}
		}
	}
	return nil
}

// line writes to the log, and to standard output unless that shows the picture.
func (d *demo) line(text string) {
	fmt.Fprintln(d.files.log, text)
	if d.screen == nil {
		fmt.Fprintln(d.stdout, text)
	}
}

// clock writes a time as minutes and seconds.
func clock(t time.Duration) string {
	s := int(t.Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
