package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pdautoscaler/pdautoscaler/cmd/demo/internal/chart"
	"github.com/pdautoscaler/pdautoscaler/cmd/demo/internal/verdict"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

// Files that a run keeps in its folder. The stage adds controller.log.
const (
	logName       = "demo.log"
	stageLogName  = "stage.log"
	watchName     = "watch.jsonl"
	decisionsName = "decisions.json"
	timelineName  = "timeline.json"
	summaryName   = "summary.json"
	pictureName   = "demo.svg"

	controllerLogName = "controller.log"
)

// files are those that are written while the demo runs.
type files struct {
	dir string
	// log is what people read, stage what the parts in this process say, watch the pod events.
	log, stage, watch *os.File
}

// openFiles makes the folder ready: what an earlier run has left in it is replaced, and nothing else is touched.
func openFiles(dir string) (*files, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, name := range []string{decisionsName, timelineName, summaryName, pictureName, controllerLogName} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	f := &files{dir: dir}
	for name, file := range map[string]**os.File{logName: &f.log, stageLogName: &f.stage, watchName: &f.watch} {
		var err error
		if *file, err = os.Create(filepath.Join(dir, name)); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *files) close() error {
	var errs []error
	for _, file := range []*os.File{f.log, f.stage, f.watch} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

// logger keeps what libraries and the stage say out of the picture.
func (f *files) logger() *slog.Logger {
	logger := slog.New(slog.NewTextHandler(f.stage, &slog.HandlerOptions{Level: slog.LevelInfo}))
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
	return logger
}

// names lists what there is to look at.
func (f *files) names() string {
	return strings.Join([]string{summaryName, pictureName, decisionsName, logName, controllerLogName, stageLogName, watchName, timelineName}, ", ")
}

// create writes one file with what fill writes.
func (f *files) create(name string, fill func(*os.File) error) error {
	file, err := os.Create(filepath.Join(f.dir, name))
	if err != nil {
		return err
	}
	return errors.Join(fill(file), file.Close())
}

// json writes a value, indented for people.
func (f *files) json(name string, v any) error {
	return f.create(name, func(file *os.File) error {
		enc := json.NewEncoder(file)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	})
}

// lines writes decision records as a JSON array, one a line: as the autoscaler serves them, and as pdctl reads them.
func (f *files) lines(name string, records []planner.Record) error {
	return f.create(name, func(file *os.File) error {
		text := []byte("[")
		for i := range records {
			one, err := json.Marshal(&records[i])
			if err != nil {
				return err
			}
			if i > 0 {
				text = append(text, ',')
			}
			text = append(append(text, '\n'), one...)
		}
		_, err := file.Write(append(text, "\n]\n"...))
		return err
	})
}

// judge says how the run went.
func (d *demo) judge(r *result) (verdict.Summary, error) {
	const fixedGPUs = 2 * stage.BudgetGPUs // how far to look for fixed counts
	cfg, err := stage.Engine(d.seed)
	if err != nil {
		return verdict.Summary{}, err
	}
	fixed, err := verdict.CheapestFixed(cfg, d.story, d.seed, fixedGPUs, stage.Objectives)
	if err != nil {
		return verdict.Summary{}, fmt.Errorf("look for the cheapest fixed counts: %w", err)
	}
	return verdict.Of(verdict.Run{
		Story: d.story, Objectives: stage.Objectives, Start: r.start, Requests: r.requests, Decisions: r.decisions,
		Budget: verdict.Budget{
			GPUs: stage.BudgetGPUs, Peak: r.pods.Peak, PeakAtSeconds: r.pods.PeakAt.Sub(r.start).Seconds(), Events: r.pods.Events, Hole: r.hole,
		},
		GPUHours: r.gpuHours, Fixed: fixed, WantMove: d.load == "",
	}), nil
}

// keep writes what was collected.
func (d *demo) keep(r *result, s verdict.Summary) error {
	return errors.Join(
		d.files.lines(decisionsName, r.decisions),
		d.files.json(timelineName, r.points),
		d.files.json(summaryName, s),
		d.files.create(pictureName, func(file *os.File) error { return chart.Write(file, d.picture(r, s)) }),
	)
}

// picture is the run as the chart wants it.
func (d *demo) picture(r *result, s verdict.Summary) chart.Run {
	run := chart.Run{
		Title: fmt.Sprintf("%s, at most %d GPUs", title, stage.BudgetGPUs), LengthSeconds: s.LengthSeconds, Points: r.points,
		BudgetGPUs: stage.BudgetGPUs,
		TTFT:       chart.Objective{Ms: s.Objectives.TTFT.Ms, Percentile: 95},
		TPOT:       chart.Objective{Ms: s.Objectives.TPOT.Ms, Percentile: 95},
	}
	if s.Fixed.Found {
		run.FixedGPUs = s.Fixed.GPUs
	}
	for _, a := range s.Acts {
		run.Acts = append(run.Acts, chart.Act{Name: a.Name, From: a.FromSeconds, JudgedFrom: a.JudgedFromSeconds, To: a.ToSeconds})
	}
	run.Moves = bands(s.Moves)
	run.Latencies = d.latencies(r)
	return run
}

// latencyBin is over how long the picture puts requests together.
const latencyBin = 5 * time.Second

// latencies are those of the requests that arrived in each bin, as they are judged: at the objective's percentile.
func (d *demo) latencies(r *result) []chart.Latency {
	var all []chart.Latency
	for from := time.Duration(0); from < d.story.Load.Duration(); from += latencyBin {
		to := min(from+latencyBin, d.story.Load.Duration())
		a := engine.Attain("", r.requests, stage.Objectives, func(q *engine.Record) bool {
			at := q.Arrived - r.loadAt
			return at >= from && at < to
		})
		all = append(all, chart.Latency{From: from.Seconds(), To: to.Seconds(), TTFTMs: a.TTFT.QuantileMs, TPOTMs: a.TPOT.QuantileMs})
	}
	return all
}

// bands are the moves as the chart shows them. Of moves that follow one another at once only the first carries a label, for
// all of them: there is no room for more.
func bands(moves []verdict.Move) []chart.Move {
	var all []chart.Move
	for i := 0; i < len(moves); {
		next, gpus := i, []string{}
		for ; next < len(moves) && moves[next].To == moves[i].To && (next == i || moves[next].AtSeconds-moves[next-1].EndedAtSeconds < 1); next++ {
			gpus = append(gpus, strconv.Itoa(moves[next].GPUs))
			all = append(all, chart.Move{From: moves[next].AtSeconds, To: moves[next].EndedAtSeconds})
		}
		all[i].Label = strings.Join(gpus, " + ") + " GPUs to " + string(moves[i].To)
		i = next
	}
	return all
}
