package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

const example = `  # about 4 minutes, from the root of the repository
  make demo

  # lines instead of a picture, everything kept in /tmp/run, phases half as long again
  make demo DEMO='--plain --dir /tmp/run --duration-scale 1.5'

  # a load of one's own
  bin/demo --print-load > my.json
  bin/demo --load my.json`

// errNotKept is the error of a run that went to its end and whose verdict is not good.
var errNotKept = errors.New("the objectives and the budget were not all kept")

// settings are the flags.
type settings struct {
	dir        string
	autoscaler string
	repository string
	load       string
	printLoad  bool
	scale      float64
	plain      bool
	seed       uint64
}

func newCommand(stdout *os.File) *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch the autoscaler at work on this machine",
		Long: `demo starts a Kubernetes control plane, an emulated service (Qwen3-32B on Dynamo with vLLM, prefill
and decode workers of two H200 each) and the autoscaler, plays about 4 minutes of traffic, and says
what happened. A budget of 12 GPUs must hold all of it.

Emulated are the engines with their GPUs (a queueing model with the step times of an H200), the kubelets
and the controller of RoleBasedGroups. The API server, the scheduler, NATS, every metrics page and the
autoscaler's process are real, and nothing runs faster than real time. Nothing leaves this machine.

Exit code: 0 if the objectives were kept after each act's warm-up, the budget at every moment, and GPUs
were moved from one role to the other; 1 if not; 2 if it could not be played.`,
		Example:       example,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.printLoad {
				_, err := stdout.Write(story.DemoJSON())
				return err
			}
			d, err := s.demo(stdout)
			if err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.dir, "dir", "demo", "folder for logs, decision records, the summary and the picture")
	f.StringVar(&s.load, "load", "", "play this load (JSON, see --print-load) instead of the demo's own; without a move it is no failure then")
	f.BoolVar(&s.printLoad, "print-load", false, "print the demo's own load and end")
	f.Float64Var(&s.scale, "duration-scale", 1, "make the phases this many times as long; it does not make time run faster")
	f.BoolVar(&s.plain, "plain", false, "plain lines instead of a picture redrawn in place")
	f.Uint64Var(&s.seed, "seed", 1, "seed of the traffic and of the emulated engines' noise")
	f.StringVar(&s.repository, "repository", ".", "root of the checkout, for config/rbac")
	f.StringVar(&s.autoscaler, "autoscaler", "", "the pdautoscaler binary; without it the one beside this program")
	return cmd
}

// demo turns the flags into something to run, or says what is wrong with them.
func (s *settings) demo(stdout *os.File) (*demo, error) {
	told := story.Demo()
	if s.load != "" {
		f, err := os.Open(s.load)
		if err != nil {
			return nil, fmt.Errorf("--load: %w", err)
		}
		defer f.Close()
		if told, err = story.Read(f); err != nil {
			return nil, fmt.Errorf("--load %s: %w", s.load, err)
		}
	}
	told, err := told.Stretched(s.scale)
	if err != nil {
		return nil, fmt.Errorf("--duration-scale: %w", err)
	}
	if s.autoscaler == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		s.autoscaler = filepath.Join(filepath.Dir(self), "pdautoscaler")
	}
	if _, err := os.Stat(s.autoscaler); err != nil {
		return nil, fmt.Errorf("the autoscaler is not there: %w; make demo builds it", err)
	}
	return &demo{
		settings: *s, story: told, stdout: stdout,
		terminal: !s.plain && term.IsTerminal(int(stdout.Fd())),
	}, nil
}
