package scenario

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/pdautoscaler/pdautoscaler/sim/des"
)

// ShardVersion is the version of a shard's form.
const ShardVersion = 1

// Shard is what one machine made of its part of a sweep. Shards of one sweep join into what one machine makes of all of it.
type Shard struct {
	Version int        `json:"version"`
	Sweep   []SweepKey `json:"sweep"`
	// Of is how many shards there are; Index is this one's.
	Index int `json:"index"`
	Of    int `json:"of"`
	// Digest is of everything that shards of one sweep have in common.
	Digest   string   `json:"digest"`
	Policies []string `json:"policies"`
	// Target is the attainment that policies were tuned to; 0 where they were not.
	Target float64 `json:"target,omitempty"`
	Runs   []Run   `json:"runs"`
}

// Run is one policy over one point of a sweep, with its latencies as sketches.
type Run struct {
	Point    int          `json:"point"`
	Report   PolicyReport `json:"report"`
	Attained uint64       `json:"attained"`
	TTFT     []byte       `json:"ttft"`
	TPOT     []byte       `json:"tpot"`
}

// SweepOptions say how a sweep is run.
type SweepOptions struct {
	// Options are those of every point. Standard input cannot be read by many.
	Options
	// Target is what policies are tuned to; 0 tunes none.
	Target float64
	// Index and Of choose a shard; 0 of 1 is all.
	Index, Of int
	// Done is called after each run, from any goroutine, one call at a time. It may be nil.
	Done func(done, of int)
}

// Run simulates a shard of the sweep on all cores.
func (s *Sweep) Run(ctx context.Context, o SweepOptions) (*Shard, error) {
	if o.Of < 1 || o.Index < 0 || o.Index >= o.Of {
		return nil, fmt.Errorf("shard %d of %d; allowed is a shard from 0 to below the number of shards", o.Index, o.Of)
	}
	jobs, shard, err := s.jobs(o)
	if err != nil {
		return nil, err
	}
	shard.Runs = make([]Run, len(jobs))
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, j := range jobs {
		group.Go(func() error {
			r, err := j.run(ctx, o.Target)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			shard.Runs[i] = r
			if done++; o.Done != nil {
				o.Done(done, len(jobs))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return shard, nil
}

// job is one policy over one point.
type job struct {
	point  int
	policy string
	shared *shared
}

// shared is the scenario of a point: built when its first job needs it, and let go with its last, so that a long sweep does
// not hold the traffic of all its points.
type shared struct {
	mu    sync.Mutex
	left  int
	build func() (*Scenario, error)
	built *Scenario
	err   error
}

func (s *shared) take() (*Scenario, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.built == nil && s.err == nil {
		s.built, s.err = s.build()
	}
	return s.built, s.err
}

func (s *shared) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left == 0 {
		s.built = nil
	}
}

// jobs are those of one shard: every Of-th run, points first, so that shards take about as long as each other.
func (s *Sweep) jobs(o SweepOptions) ([]job, *Shard, error) {
	shard := &Shard{Version: ShardVersion, Sweep: s.Keys, Index: o.Index, Of: o.Of, Target: o.Target}
	var all []job
	for point := range s.Points() {
		f, name, err := s.File(point)
		if err != nil {
			return nil, nil, err
		}
		of := &shared{build: func() (*Scenario, error) { return Build(f, name, o.Options) }}
		policies := policyNames(f, o.Options)
		if point == 0 {
			shard.Policies = policies
		} else if !slices.Equal(policies, shard.Policies) {
			return nil, nil, fmt.Errorf("%s: policies cannot be swept; allowed is one list for all", name)
		}
		for _, policy := range policies {
			all = append(all, job{point, policy, of})
		}
	}
	text, err := json.Marshal([]any{s.Keys, shard.Policies, o.Target, o.Trace, o.Stepwise, o.Of})
	if err != nil {
		return nil, nil, err
	}
	whole, err := yaml.Marshal(clone(s.root))
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(append(text, whole...))
	shard.Digest = hex.EncodeToString(sum[:8])
	var mine []job
	for i, j := range all {
		if i%o.Of == o.Index {
			j.shared.left++
			mine = append(mine, j)
		}
	}
	return mine, shard, nil
}

func (j *job) run(ctx context.Context, target float64) (Run, error) {
	if err := ctx.Err(); err != nil {
		return Run{}, err
	}
	defer j.shared.giveBack()
	whole, err := j.shared.take()
	if err != nil {
		return Run{}, err
	}
	s := *whole
	s.Policies = []string{j.policy}
	var report *Report
	if target > 0 {
		report, err = s.Frontier(ctx, time.Now, target)
	} else {
		report, err = s.Run(ctx, time.Now, nil)
	}
	if err != nil {
		return Run{}, err
	}
	p := report.Policies[0]
	p.Regret = nil // the oracle may be another shard's
	r := Run{Point: j.point, Report: p, Attained: p.attained}
	if r.TTFT, err = p.ttft.MarshalBinary(); err != nil {
		return Run{}, err
	}
	r.TPOT, err = p.tpot.MarshalBinary()
	return r, err
}

// ReadShards reads shards, one JSON value after the other.
func ReadShards(r io.Reader, name string) ([]*Shard, error) {
	var all []*Shard
	for d := json.NewDecoder(r); ; {
		var s Shard
		switch err := d.Decode(&s); {
		case errors.Is(err, io.EOF) && len(all) > 0:
			return all, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%s holds no shard", name)
		case err != nil:
			return nil, fmt.Errorf("%s: shard %d: %w", name, len(all)+1, err)
		}
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("%s: shard %d: %w", name, len(all)+1, err)
		}
		all = append(all, &s)
	}
}

func (s *Shard) check() error {
	switch {
	case s.Version != ShardVersion:
		return fmt.Errorf("version is %d; allowed is %d", s.Version, ShardVersion)
	case s.Of < 1 || s.Of > maxPoints || s.Index < 0 || s.Index >= s.Of:
		return fmt.Errorf("it is shard %d of %d; allowed is from 0 to below the number", s.Index, s.Of)
	case len(s.Policies) == 0:
		return errors.New("policies are missing")
	}
	points := 1
	for _, k := range s.Sweep {
		if points *= len(k.Values); points < 1 || points > maxPoints {
			return fmt.Errorf("the sweep has %d points; allowed is 1 to %d", points, maxPoints)
		}
	}
	for i, r := range s.Runs {
		if r.Point < 0 || r.Point >= points || !slices.Contains(s.Policies, r.Report.Name) {
			return fmt.Errorf("runs[%d] is %s over point %d; allowed are %v over 0 to %d", i, r.Report.Name, r.Point, s.Policies, points-1)
		}
		for _, raw := range [][]byte{r.TTFT, r.TPOT} {
			if err := new(des.Latency).UnmarshalBinary(raw); err != nil {
				return fmt.Errorf("runs[%d]: %w", i, err)
			}
		}
	}
	return nil
}

// Join puts the shards of one sweep together. A shard that is there twice must say the same twice.
func Join(shards []*Shard) (*Shard, error) {
	if len(shards) == 0 {
		return nil, errors.New("there is no shard to join")
	}
	first := shards[0]
	byIndex := make([]*Shard, first.Of)
	for _, s := range shards {
		if s.Digest != first.Digest || s.Of != first.Of || s.Target != first.Target {
			return nil, fmt.Errorf("shard %d of %d is of another sweep (%s) than shard %d of %d (%s); allowed are those of one", s.Index, s.Of, s.Digest, first.Index, first.Of, first.Digest)
		}
		if other := byIndex[s.Index]; other != nil && !sameRuns(other, s) {
			return nil, fmt.Errorf("shard %d is there twice and says two things: they were made by different versions", s.Index)
		}
		byIndex[s.Index] = s
	}
	whole := *first
	whole.Index, whole.Of, whole.Runs = 0, 1, nil
	var missing []int
	for i, s := range byIndex {
		if s == nil {
			missing = append(missing, i)
			continue
		}
		whole.Runs = append(whole.Runs, s.Runs...)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("of %d shards these are missing: %v", first.Of, missing)
	}
	place := func(r Run) int { return r.Point*len(first.Policies) + slices.Index(first.Policies, r.Report.Name) }
	slices.SortFunc(whole.Runs, func(a, b Run) int { return cmp.Compare(place(a), place(b)) })
	for i, r := range whole.Runs {
		if place(r) != i {
			return nil, fmt.Errorf("the shards hold %s over point %d where run %d belongs: their runs do not make up the sweep", r.Report.Name, r.Point, i)
		}
	}
	if points := (&Sweep{Keys: whole.Sweep}).Points(); len(whole.Runs) != points*len(whole.Policies) {
		return nil, fmt.Errorf("the shards hold %d runs; the sweep has %d points and %d policies", len(whole.Runs), points, len(whole.Policies))
	}
	return &whole, nil
}

func sameRuns(a, b *Shard) bool {
	one, err := json.Marshal(a.Runs)
	if err != nil {
		return false
	}
	two, err := json.Marshal(b.Runs)
	return err == nil && string(one) == string(two)
}
