package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// How a prefill replica takes its prompts, and how their KV cache leaves it: the words of a scenario.
const (
	batchingSingle     = "single"
	batchingBudget     = "tokenBudget"
	transferOverlapped = "overlapped"
	transferBlocking   = "blocking"
)

// engineOptions are plan's flags on how the engines work, named after the keys of a scenario.
type engineOptions struct {
	batching, kvTransfer              string
	padTokens                         int
	offloadedShare, localPrefillShare *number
	offloadGBps                       *number
}

func (o *engineOptions) add(cmd *cobra.Command) {
	o.offloadedShare, o.localPrefillShare = shareBelow1(0), shareBelow1(0)
	o.offloadGBps = &number{high: 1e6, allowed: "allowed is a number from 0 (no such tier) to 1e6"}
	f := cmd.Flags()
	// A scenario's word for the budget of a step.
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "max-batch-tokens" {
			name = "max-batched-tokens"
		}
		return pflag.NormalizedName(name)
	})
	f.StringVar(&o.batching, "batching", batchingSingle, "single: a prefill step computes one whole prompt; tokenBudget: at most --max-batched-tokens of it")
	f.StringVar(&o.kvTransfer, "prefill-kv-transfer", transferOverlapped, "overlapped, or blocking: a prefill replica starts its next prompt when the last one's KV cache has left")
	f.IntVar(&o.padTokens, "pad-tokens", 0, "multiple that prompts are padded up to; 0 is the fit's, or none")
	f.Var(o.offloadedShare, "offloaded-share", "share of prompt tokens, beside --cached-share, whose KV cache is reloaded from a tier below GPU memory")
	f.Var(o.offloadGBps, "offload-bandwidth", "rate at which a replica reloads that KV cache in 10^9 bytes/s")
	f.Var(o.localPrefillShare, "local-prefill-share", "share of requests that the decode replicas prefill themselves")
}

// apply puts into s what the flags say of its engines.
func (o *engineOptions) apply(s *capacity.Service, budgetTokens int) error {
	switch o.batching {
	case batchingSingle:
	case batchingBudget:
		s.ChunkTokens = budgetTokens
	default:
		return usageError("--batching is %q: allowed is %s or %s", o.batching, batchingSingle, batchingBudget)
	}
	switch o.kvTransfer {
	case transferOverlapped:
	case transferBlocking:
		s.TransferBlocksPrefill = true
	default:
		return usageError("--prefill-kv-transfer is %q: allowed is %s or %s", o.kvTransfer, transferOverlapped, transferBlocking)
	}
	if o.padTokens < 0 || o.padTokens > maxTokens {
		return usageError("--pad-tokens is %d: allowed is 0 to %d", o.padTokens, maxTokens)
	}
	if o.padTokens > 0 {
		s.PadTokens = o.padTokens
	}
	if (o.offloadedShare.value > 0) != (o.offloadGBps.value > 0) {
		return usageError("--offloaded-share and --offload-bandwidth go together: one says how much is reloaded, the other how fast")
	}
	return nil
}

// load puts into t what the flags say of its requests.
func (o *engineOptions) load(t *capacity.Traffic) {
	if o.offloadedShare != nil {
		t.OffloadedShare, t.LocalPrefillShare = o.offloadedShare.value, o.localPrefillShare.value
	}
}
