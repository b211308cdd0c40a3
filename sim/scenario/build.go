package scenario

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/des"
	"github.com/pdautoscaler/pdautoscaler/sim/policy"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// Scenario is a file made ready to be simulated.
type Scenario struct {
	Name     string
	File     *File
	Traffic  *trace.Trace
	Engine   des.Config
	Setup    policy.Setup
	Readings policy.Readings
	Policies []string
	// Timelines says that reports are to have time lines.
	Timelines bool
	// OnProgress is told how far it is, many times a second, one call at a time. It may be nil.
	OnProgress func(Progress)
}

// Options change a file from outside.
type Options struct {
	// Dir is where relative paths in the file start.
	Dir string
	// Trace replaces the file's traffic by this trace file, relative to where the program runs.
	Trace    string
	Policies []string
	Stepwise bool
	Stdin    io.Reader
}

// Defaults of the keys that may be left out.
const (
	defaultMaxReplicas    = 16
	defaultMaxSequences   = 256
	defaultMaxBatchTokens = 8192 // as of the engine
	defaultInterval       = 15 * time.Second
	defaultPrefillStartup = 100 * time.Second
	defaultDecodeStartup  = 120 * time.Second
	defaultDrain          = 180 * time.Second
	maxReplicas           = 4096
)

// Build makes a file ready: it looks names up, reads the files that it names and checks every value.
func Build(f *File, name string, o Options) (*Scenario, error) {
	b := builder{file: f, options: o, out: &Scenario{Name: name, File: f}}
	for _, part := range []func() error{b.service, b.objectives, b.roles, b.behaviour, b.readings, b.faults, b.policies, b.traffic} {
		if err := part(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return b.out, nil
}

type builder struct {
	file    *File
	options Options
	out     *Scenario
}

func (b *builder) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(b.options.Dir, p)
}

// service finds out what a replica of each role can do.
func (b *builder) service() error {
	f := b.file
	if f.Model == "" {
		return errors.New("model is missing; allowed is a name of the catalogue (pdctl models) or the path of a config.json")
	}
	model, err := b.model()
	if err != nil {
		return err
	}
	var fit *calibrate.Fit
	if f.Fit != "" {
		raw, err := os.ReadFile(b.path(f.Fit))
		if err != nil {
			return fmt.Errorf("fit: %w", err)
		}
		parsed, err := calibrate.ParseFit(raw)
		if err != nil {
			return fmt.Errorf("fit %s: %w", f.Fit, err)
		}
		fit = &parsed
	}
	s := &b.out.Engine.Service
	if s.Prefill, err = b.replica("prefill", &f.Prefill.Role, model, fit); err != nil {
		return err
	}
	if s.Decode, err = b.replica("decode", &f.Decode.Role, model, fit); err != nil {
		return err
	}
	s.PadTokens = f.Prefill.PadTokens
	if s.PadTokens == 0 && fit != nil {
		s.PadTokens = fit.Prefill.PadTokens
	}
	s.PadTokens = max(1, s.PadTokens)
	if s.MaxSequences = f.Decode.MaxSeqs; s.MaxSequences == 0 {
		s.MaxSequences = defaultMaxSequences
	}
	switch f.Prefill.KVTransfer {
	case "", "overlapped":
	case "blocking":
		s.TransferBlocksPrefill = true
	default:
		return fmt.Errorf("prefill.kvTransfer is %q; allowed are blocking and overlapped", f.Prefill.KVTransfer)
	}
	if err := oneOf("prefill.batching", f.Prefill.Batching, des.Single, des.TokenBudget); err != nil {
		return err
	}
	if err := oneOf("routing", f.Routing, des.LeastLoaded, des.RoundRobin, des.KVAware); err != nil {
		return err
	}
	if f.Decode.MaxSeqs < 0 || f.Prefill.PadTokens < 0 || f.Prefill.MaxBatchTokens < 0 || f.Prefill.CacheTokens < 0 {
		return errors.New("decode.maxSeqs, prefill.padTokens, prefill.maxBatchTokens and prefill.cacheTokens must be 0 (the default) or more")
	}
	b.out.Engine.Batching, b.out.Engine.Routing = des.Batching(f.Prefill.Batching), des.Routing(f.Routing)
	b.out.Engine.MaxBatchTokens, b.out.Engine.PrefixCacheTokens = f.Prefill.MaxBatchTokens, f.Prefill.CacheTokens
	if b.out.Engine.Batching == des.TokenBudget { // the planner is told, as a resource's prefill.maxBatchedTokens tells it
		if b.out.Engine.MaxBatchTokens == 0 {
			b.out.Engine.MaxBatchTokens = defaultMaxBatchTokens
		}
		b.out.Engine.Service.ChunkTokens = b.out.Engine.MaxBatchTokens
	}
	b.out.Engine.Stepwise = b.options.Stepwise
	return b.link()
}

// oneOf refuses a word that is none of those allowed. Nothing is the default.
func oneOf[T ~string](key, word string, allowed ...T) error {
	if word == "" || slices.Contains(allowed, T(word)) {
		return nil
	}
	return fmt.Errorf("%s is %q; allowed are %q", key, word, allowed)
}

func (b *builder) model() (perfmodel.Model, error) {
	name := b.file.Model
	if !strings.HasSuffix(name, ".json") {
		m, err := perfmodel.LookupModel(name)
		if err != nil {
			return m, fmt.Errorf("model: %w", err)
		}
		return m, nil
	}
	raw, err := os.ReadFile(b.path(name))
	if err != nil {
		return perfmodel.Model{}, fmt.Errorf("model: %w", err)
	}
	m, err := perfmodel.ParseConfig(raw)
	if err != nil {
		return m, fmt.Errorf("model %s: %w", name, err)
	}
	return m, nil
}

func (b *builder) replica(role string, r *Role, m perfmodel.Model, fit *calibrate.Fit) (perfmodel.Replica, error) {
	name := r.GPU
	if name == "" {
		name = b.file.GPU
	}
	if name == "" {
		return perfmodel.Replica{}, fmt.Errorf("gpu is missing; allowed is a name of the catalogue (pdctl gpus) for all, or %s.gpu", role)
	}
	g, err := perfmodel.LookupGPU(name)
	if err != nil {
		return perfmodel.Replica{}, fmt.Errorf("gpu of %s: %w", role, err)
	}
	options := perfmodel.Options{TP: 1}
	if r.TP != nil {
		if options.TP = *r.TP; options.TP < 1 {
			return perfmodel.Replica{}, fmt.Errorf("%s.tp is %d; allowed is 1 or more", role, options.TP)
		}
	}
	var replica perfmodel.Replica
	if fit != nil {
		c, err := calibrate.Restore(*fit, m, g, options)
		if err != nil {
			return perfmodel.Replica{}, fmt.Errorf("fit for %s: %w", role, err)
		}
		replica = c.Replica()
	} else if replica, err = perfmodel.NewReplica(m, g, options); err != nil {
		return perfmodel.Replica{}, fmt.Errorf("%s: %w", role, err)
	}
	switch {
	case r.KVTokens < 0:
		return perfmodel.Replica{}, fmt.Errorf("%s.kvTokens is %d; allowed is 0 (what the memory holds) or more", role, r.KVTokens)
	case r.KVTokens > 0:
		replica.KVCapacityTokens = float64(r.KVTokens)
	}
	return replica, nil
}

// link replaces the transfer of both roles where the file says how fast it is.
func (b *builder) link() error {
	l := b.file.Link
	if l == nil {
		return nil
	}
	if !(l.Gbps > 0 && l.Gbps <= 1e6) {
		return fmt.Errorf("link.gbps is %v; allowed is above 0 and up to 1e6 (10^9 bits per second of a replica)", l.Gbps)
	}
	for _, r := range []*perfmodel.Replica{&b.out.Engine.Service.Prefill, &b.out.Engine.Service.Decode} {
		r.Transfer = perfmodel.Transfer{LatencyMs: ms(l.Latency.Duration), MsPerToken: r.KVBytesPerToken * 8 / (l.Gbps * 1e9) * 1000}
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (b *builder) objectives() (err error) {
	spec, engine := &b.out.Setup.Spec, &b.out.Engine
	if spec.TTFT.Quantile, spec.TTFT.Ms, err = percentile("ttft", b.file.SLO.TTFT); err != nil {
		return err
	}
	if spec.TPOT.Quantile, spec.TPOT.Ms, err = percentile("tpot", b.file.SLO.TPOT); err != nil {
		return err
	}
	engine.Objectives = des.Objectives{TTFTMs: spec.TTFT.Ms, TPOTMs: spec.TPOT.Ms}
	switch end := capacity.TTFTEnd(b.file.SLO.TTFTEndsAt); end {
	case "":
		engine.Service.TTFTEndsAt = capacity.EndsAtPrefill
	case capacity.EndsAtPrefill, capacity.EndsAtDecode:
		engine.Service.TTFTEndsAt = end
	default:
		return fmt.Errorf("slo.ttftEndsAt is %q; allowed are %s and %s", end, capacity.EndsAtPrefill, capacity.EndsAtDecode)
	}
	spec.Service = engine.Service
	return nil
}

func (b *builder) roles() error {
	f, s := b.file, b.out
	startup := func(given *Duration, otherwise time.Duration) time.Duration { return given.or(otherwise) }
	s.Setup.PrefillStartup = startup(f.Startup.Prefill, defaultPrefillStartup)
	s.Setup.DecodeStartup = startup(f.Startup.Decode, defaultDecodeStartup)
	for _, r := range []struct {
		name    string
		file    *Role
		gpus    int
		spec    *planner.RoleSpec
		pool    *des.Pool
		count   *int
		startup time.Duration
		drain   *Duration
	}{
		{"prefill", &f.Prefill.Role, s.Engine.Service.Prefill.GPUs, &s.Setup.Spec.Prefill, &s.Engine.Prefill, &s.Setup.Start.Prefill, s.Setup.PrefillStartup, f.Drain.Prefill},
		{"decode", &f.Decode.Role, s.Engine.Service.Decode.GPUs, &s.Setup.Spec.Decode, &s.Engine.Decode, &s.Setup.Start.Decode, s.Setup.DecodeStartup, f.Drain.Decode},
	} {
		r.spec.Min, r.spec.Max, *r.count = or(r.file.Min, 1), or(r.file.Max, defaultMaxReplicas), or(r.file.Replicas, 1)
		r.spec.GPUsPerReplica = r.gpus
		if r.spec.Min < 0 || r.spec.Max < 1 || r.spec.Min > r.spec.Max || r.spec.Max > maxReplicas {
			return fmt.Errorf("%s: min is %d and max is %d; allowed is 0 <= min <= max and 1 <= max <= %d", r.name, r.spec.Min, r.spec.Max, maxReplicas)
		}
		if *r.count < r.spec.Min || *r.count > r.spec.Max {
			return fmt.Errorf("%s.replicas is %d; allowed is from min (%d) to max (%d)", r.name, *r.count, r.spec.Min, r.spec.Max)
		}
		*r.pool = des.Pool{Replicas: *r.count, Startup: r.startup, Grace: r.drain.or(defaultDrain)}
	}
	budget := f.Budget.GPUs
	if held := s.Setup.Start.Prefill*s.Engine.Service.Prefill.GPUs + s.Setup.Start.Decode*s.Engine.Service.Decode.GPUs; budget < 0 || budget > 0 && held > budget {
		return fmt.Errorf("budget.gpus is %d and the replicas at the start take %d; allowed is 0 (no budget), or at least what the start takes", budget, held)
	}
	s.Setup.Spec.BudgetGPUs = budget
	return nil
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// behaviour gives the planner the defaults of the custom resource, and what the file changes.
func (b *builder) behaviour() error {
	p := &b.file.Planner
	every := b.file.Interval.or(defaultInterval)
	if every < time.Second || every > time.Hour {
		return fmt.Errorf("interval is %v; allowed is 1s to 1h", every)
	}
	tolerance, headroom := or(p.Tolerance, 0.1), or(p.Headroom, 0.1)
	if !(tolerance >= 0 && tolerance < 1) {
		return fmt.Errorf("planner.tolerance is %v; allowed is a share from 0 to below 1", tolerance)
	}
	if !(headroom >= -0.5 && headroom <= 4) {
		return fmt.Errorf("planner.headroom is %v; allowed is a share from -0.5 to 4", headroom)
	}
	seconds := func(d time.Duration) planner.Seconds { return planner.Seconds(d.Seconds()) }
	maxAge := b.file.Readings.MaxAge.or(time.Minute)
	if maxAge <= 0 {
		return errors.New("readings.maxAge is 0s; allowed is above 0s")
	}
	b.out.Setup.Spec.Behavior = planner.Behavior{
		IntervalSeconds: seconds(every), DownWindowSeconds: seconds(p.DownWindow.or(time.Minute)), Headroom: headroom, Tolerance: tolerance,
		MaxAgeSeconds: seconds(maxAge), StartupSeconds: seconds(p.Startup.or(2 * time.Minute)), StartTimeoutSeconds: 900, BreachSeconds: 60,
	}
	b.out.Setup.Spec.Rebalance = planner.Rebalance{Enabled: or(p.Rebalance, true), WindowSeconds: 60, DrainTimeoutSeconds: 600,
		StartTimeoutSeconds: 900, CooldownSeconds: 600}
	return nil
}

func (b *builder) readings() error {
	r := &b.file.Readings
	out := &b.out.Readings
	out.Scrape, out.Window, out.Noise, out.Seed = r.Scrape.or(15*time.Second), r.Window.or(time.Minute), r.Noise, b.seed()
	if out.Scrape < time.Second || out.Window < out.Scrape {
		return fmt.Errorf("readings: scrape is %v and window %v; allowed is 1s or more, and a window of a scrape at least", out.Scrape, out.Window)
	}
	if !(r.Noise >= 0 && r.Noise <= 1) {
		return fmt.Errorf("readings.noise is %v; allowed is a relative standard deviation from 0 to 1", r.Noise)
	}
	for _, o := range r.Outages {
		out.Outages = append(out.Outages, policy.Outage{At: o.At.Duration, For: o.For.Duration})
	}
	return nil
}

func (b *builder) seed() uint64 { return or(b.file.Seed, 1) }

func (b *builder) faults() error {
	for i, f := range b.file.Faults {
		role := map[string]des.Role{"prefill": des.Prefill, "decode": des.Decode}
		r, ok := role[f.Role]
		if !ok {
			return fmt.Errorf("faults[%d].role is %q; allowed are prefill and decode", i, f.Role)
		}
		if f.Kind == "" {
			return fmt.Errorf("faults[%d].kind is missing; allowed are %q", i, []des.FaultKind{des.Kill, des.FailStart, des.StuckPending})
		}
		if err := oneOf(fmt.Sprintf("faults[%d].kind", i), f.Kind, des.Kill, des.FailStart, des.StuckPending); err != nil {
			return err
		}
		if f.Replicas < 0 {
			return fmt.Errorf("faults[%d].replicas is %d; allowed is 0 (one) or more", i, f.Replicas)
		}
		b.out.Engine.Faults = append(b.out.Engine.Faults, des.Fault{Kind: des.FaultKind(f.Kind), Role: r, At: f.At.Duration, For: f.For.Duration, Replicas: f.Replicas})
	}
	return nil
}

func (b *builder) policies() error {
	names := policyNames(b.file, b.options)
	for i, name := range names {
		if !slices.Contains(policy.Names(), name) {
			return fmt.Errorf("policy %q is unknown; allowed are %s", name, strings.Join(policy.Names(), ", "))
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("policy %q is named twice; allowed is once", name)
		}
	}
	b.out.Policies = names
	return nil
}

// policyNames are the policies that are asked for, from outside before the file's.
func policyNames(f *File, o Options) []string {
	switch {
	case len(o.Policies) > 0:
		return o.Policies
	case len(f.Policies) > 0:
		return f.Policies
	}
	return []string{"static", "pdautoscaler"}
}
