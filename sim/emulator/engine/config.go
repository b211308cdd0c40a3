package engine

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// Config is one service and how faithfully its noise is played.
type Config struct {
	// Service is what one prefill and one decode replica can do.
	Service capacity.Service
	// Seed makes the noise of step times repeatable.
	Seed uint64
	// StepNoise is the relative standard deviation of step times; a lean engine
	// on an H200 showed about 0.02. 0 is none.
	StepNoise float64
	// QueueMaxAge is when a message that nobody took expires; its request fails.
	// Default 10 minutes, the age Dynamo sets on its stream.
	QueueMaxAge time.Duration
	// Queue is the prefill queue; nil is a queue in memory.
	Queue Queue
	// Buckets are those of the workers' histograms; the zero value is vLLM's.
	Buckets Buckets
}

const (
	defaultMaxSequences = 256
	defaultQueueMaxAge  = 10 * time.Minute
	// kvWatermark is the share of the KV cache that admission keeps free, so that
	// running sequences can grow (vLLM's default).
	kvWatermark = 0.01
	maxNoise    = 0.5
)

func (c *Config) setDefaults() error {
	var errs []error
	for role, kv := range map[Role]float64{
		Prefill: c.Service.Prefill.KVCapacityTokens,
		Decode:  c.Service.Decode.KVCapacityTokens,
	} {
		if !(kv >= 1 && kv < math.MaxInt32) {
			errs = append(errs, fmt.Errorf("engine: kvCapacityTokens of the %s replica is %v; it must be from 1 to %d tokens", role, kv, math.MaxInt32))
		}
	}
	switch c.Service.TTFTEndsAt {
	case "":
		c.Service.TTFTEndsAt = capacity.EndsAtPrefill
	case capacity.EndsAtPrefill, capacity.EndsAtDecode:
	default:
		errs = append(errs, fmt.Errorf("engine: ttftEndsAt is %q; allowed are %q and %q", c.Service.TTFTEndsAt, capacity.EndsAtPrefill, capacity.EndsAtDecode))
	}
	if !(c.StepNoise >= 0 && c.StepNoise <= maxNoise) {
		errs = append(errs, fmt.Errorf("engine: StepNoise is %v; it must be from 0 to %v", c.StepNoise, maxNoise))
	}
	if c.Service.MaxSequences < 0 || c.Service.PadTokens < 0 {
		errs = append(errs, errors.New("engine: maxSequences and padTokens must be 0 (the default) or more"))
	}
	if c.Service.MaxSequences == 0 {
		c.Service.MaxSequences = defaultMaxSequences
	}
	c.Service.PadTokens = max(1, c.Service.PadTokens)
	if c.QueueMaxAge <= 0 {
		c.QueueMaxAge = defaultQueueMaxAge
	}
	if c.Buckets.TTFTSeconds == nil {
		c.Buckets = VLLMBuckets
	}
	if c.Queue == nil {
		c.Queue = NewMemoryQueue()
	}
	return errors.Join(errs...)
}
