package calibrate

import (
	"math"
	"slices"
)

// Interval is what the replicas of one role showed between two readings of their counters: sums over those that were read
// at both ends and served all the time between. What its role does not use, or nobody tells, stays zero.
type Interval struct {
	// Doubt is why whoever read it knows that it says nothing of a step's time; empty where nothing spoke against it.
	Doubt Refusal `json:"doubt,omitempty"`
	// Replicas are how many it is of, Seconds the mean time between their two readings.
	Replicas float64 `json:"replicas"`
	Seconds  float64 `json:"seconds"`

	// Gaps between two tokens of a sequence ended, GapSeconds is their sum, and LateShare the share of them that took more
	// than LateGap times their mean.
	Gaps       float64 `json:"gaps,omitempty"`
	GapSeconds float64 `json:"gapSeconds,omitempty"`
	LateShare  float64 `json:"lateShare,omitempty"`
	// Running sequences and the shares of KV cache in use at the same moments: means of both ends, summed over all replicas.
	// HeldTokens are those shares in tokens, where somebody knows better than the model how many the cache holds.
	Running    float64 `json:"running,omitempty"`
	HeldShares float64 `json:"heldShares,omitempty"`
	HeldTokens float64 `json:"heldTokens,omitempty"`
	// ContextTokens of the running sequences, where the engine itself tells, as of HeldTokens.
	ContextTokens float64 `json:"contextTokens,omitempty"`
	// KVUseMax is the fullest replica's share of KV cache in use.
	KVUseMax float64 `json:"kvUseMax,omitempty"`
	// InputTokens and OutputTokens are of the mean request, OutputSCV their outputs' squared coefficient of variation.
	InputTokens  float64 `json:"inputTokens,omitempty"`
	OutputTokens float64 `json:"outputTokens,omitempty"`
	OutputSCV    float64 `json:"outputSCV,omitempty"`

	// Prompts were computed in PrefillSeconds together, each from its start to its first token. They have PromptTokens, of
	// which CachedTokens were reused; LengthSCV is as of Observation.
	Prompts        float64 `json:"prompts,omitempty"`
	PrefillSeconds float64 `json:"prefillSeconds,omitempty"`
	PromptTokens   float64 `json:"promptTokens,omitempty"`
	CachedTokens   float64 `json:"cachedTokens,omitempty"`
	LengthSCV      float64 `json:"lengthSCV,omitempty"`
	// MostRunning prompts were computed at once by one replica, at either end.
	MostRunning float64 `json:"mostRunning,omitempty"`
	// Batches is set where the engine may compute prompts together without MostRunning showing it.
	Batches bool `json:"batches,omitempty"`
	// GeneratedTokens came out of the replicas that prefill: more than one per prompt are decode's work.
	GeneratedTokens float64 `json:"generatedTokens,omitempty"`
}

// Refusal is why an interval taught nothing: a stable name.
type Refusal string

// The refusals.
const (
	// RefusedChanging: replicas of the role start, go or are rolled out, so that what they show is of neither state.
	RefusedChanging Refusal = "ReplicasChanging"
	// RefusedMixed: replicas of the role are not alike, or do the other role's work.
	RefusedMixed Refusal = "MixedReplicas"
	// RefusedUnread: no ready replica was read at both ends of the interval.
	RefusedUnread Refusal = "NotRead"
	// RefusedStale: nothing newer than the last interval was read, or it is too old.
	RefusedStale Refusal = "Stale"
	// RefusedReset: a counter fell, or the clock went back.
	RefusedReset Refusal = "CounterReset"
	// RefusedNotExported: the engine does not tell what is needed.
	RefusedNotExported Refusal = "NotExported"
	// RefusedIdle: nothing was done.
	RefusedIdle Refusal = "Idle"
	// RefusedFew: too few tokens or prompts for a mean.
	RefusedFew Refusal = "TooFewTokens"
	// RefusedTogether: prompts were computed together or in turns, so that each one's time holds others' work.
	RefusedTogether Refusal = "PromptsTogether"
	// RefusedPrefillOnDecode: some gaps are far longer than the mean, as when a prompt is computed between decode steps.
	RefusedPrefillOnDecode Refusal = "PrefillOnDecode"
	// RefusedSpeculative: a step gives several tokens of a sequence, which the model does not know.
	RefusedSpeculative Refusal = "SpeculativeDecoding"
	// RefusedFull: the KV cache is full, so that sequences are preempted and computed again.
	RefusedFull Refusal = "KVCacheFull"
	// RefusedContradictory: readings that must agree do not.
	RefusedContradictory Refusal = "Contradictory"
	// RefusedImplausible: no engine of this model on this GPU is so fast or so slow.
	RefusedImplausible Refusal = "Implausible"
	// RefusedNotNumbers: a reading is negative or not a number.
	RefusedNotNumbers Refusal = "NotNumbers"
	// RefusedFrozen: what was learnt is kept as it is.
	RefusedFrozen Refusal = "Frozen"
)

// Refusals lists all of them.
func Refusals() []Refusal {
	return []Refusal{
		RefusedChanging, RefusedMixed, RefusedUnread, RefusedStale, RefusedReset, RefusedNotExported, RefusedIdle, RefusedFew, RefusedTogether,
		RefusedPrefillOnDecode, RefusedSpeculative, RefusedFull, RefusedContradictory, RefusedImplausible, RefusedNotNumbers, RefusedFrozen,
	}
}

const (
	// LateGap is how many mean gaps a gap takes that holds more than a decode step.
	LateGap = 2.5
	// mostLate is the share of such gaps that the start of a stream or a pause of the scraper explains.
	mostLate = 0.02
	// fewestGaps, fewestPrompts and fewestTokens make a mean.
	fewestGaps    = 200
	fewestPrompts = 3
	fewestTokens  = 1000
	// fullestKV is the share of KV cache in use from which sequences may be preempted.
	fullestKV = 0.95
	// mostTogether is how many prompts at once a replica may have on average: one, and what the ends of an interval cut.
	mostTogether = 1.05
	// mostBatched is the same where prompts that come together are computed together: so few at once that they seldom do.
	mostBatched = 0.3
	// mostGenerated is how many tokens a prompt gives where it is computed: the first, and a few warm-ups.
	mostGenerated = 1.5
	// disagree is by how many times two readings of one thing may differ.
	disagree = 3.0
)

// observation is what the interval says of its role's step times, or why it says nothing.
func (i Interval) observation(kind Kind) (Observation, Refusal) {
	for _, v := range []float64{i.Replicas, i.Seconds, i.Gaps, i.GapSeconds, i.LateShare, i.Running, i.HeldShares, i.HeldTokens, i.ContextTokens, i.KVUseMax, i.InputTokens,
		i.OutputTokens, i.OutputSCV, i.Prompts, i.PrefillSeconds, i.PromptTokens, i.CachedTokens, i.LengthSCV, i.MostRunning, i.GeneratedTokens} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return Observation{}, RefusedNotNumbers
		}
	}
	switch {
	case i.Doubt != "" && slices.Contains(Refusals(), i.Doubt):
		return Observation{}, i.Doubt
	case i.Doubt != "": // a record that someone wrote by hand
		return Observation{}, RefusedContradictory
	case i.Replicas == 0 || i.Seconds == 0:
		return Observation{}, RefusedUnread
	case kind == Prefill:
		return i.prefill()
	case kind == Decode:
		return i.decode()
	}
	return Observation{}, RefusedNotExported
}

func (i Interval) prefill() (Observation, Refusal) {
	fresh := i.PromptTokens - i.CachedTokens
	together := mostTogether
	if i.Batches {
		together = mostBatched
	}
	switch {
	case i.Prompts == 0 && i.PrefillSeconds == 0:
		return Observation{}, RefusedIdle
	case i.Prompts == 0 || i.PrefillSeconds == 0 || fresh < 0:
		return Observation{}, RefusedContradictory
	case i.GeneratedTokens > mostGenerated*i.Prompts+fewestPrompts:
		return Observation{}, RefusedMixed
	case i.MostRunning > 1 || i.PrefillSeconds > together*i.Seconds*i.Replicas:
		return Observation{}, RefusedTogether
	case i.Prompts < fewestPrompts || fresh < fewestTokens:
		return Observation{}, RefusedFew
	}
	return Observation{Kind: Prefill, Ms: 1000 * i.PrefillSeconds, Tokens: fresh, CachedTokens: i.CachedTokens, Prompts: i.Prompts, LengthSCV: i.LengthSCV}, ""
}

func (i Interval) decode() (Observation, Refusal) {
	if i.Gaps == 0 && i.GapSeconds == 0 {
		return Observation{}, RefusedIdle
	}
	// Each running sequence is in one gap all the time, so the gaps that ended are the running sequences times the time:
	// Little's law, and far surer than the gauge, which is of two moments.
	atOnce, running := i.GapSeconds/(i.Seconds*i.Replicas), i.Running/i.Replicas
	switch {
	case i.Gaps == 0 || i.GapSeconds == 0 || apart(atOnce, running) && math.Abs(atOnce-running) > 4:
		return Observation{}, RefusedContradictory
	case i.KVUseMax > fullestKV:
		return Observation{}, RefusedFull
	case i.LateShare > mostLate:
		return Observation{}, RefusedPrefillOnDecode
	case i.Gaps < fewestGaps:
		return Observation{}, RefusedFew
	}
	context, why := i.contextPerSequence()
	if why != "" {
		return Observation{}, why
	}
	// A step has a sequence at least, whatever part of the time there was none.
	sequences := max(1, atOnce)
	return Observation{Kind: Decode, Ms: 1000 * i.GapSeconds / i.Gaps, Sequences: sequences, ContextTokens: sequences * context, Steps: i.Gaps / sequences}, ""
}

// contextPerSequence is the mean context of a running sequence: as the engine says, else the lesser of what the KV cache
// holds for each (it also holds prompts that are still on their way) and of what the lengths of requests make of it.
func (i Interval) contextPerSequence() (tokens float64, why Refusal) {
	if i.ContextTokens > 0 && i.Running > 0 {
		return i.ContextTokens / i.Running, ""
	}
	held := math.Inf(1)
	if i.HeldTokens > 0 && i.Running > 0 {
		held = i.HeldTokens / i.Running
	}
	lengths := math.Inf(1)
	if i.InputTokens > 0 && i.OutputTokens > 0 {
		lengths = i.InputTokens + i.OutputTokens/2*(1+i.OutputSCV)
	}
	switch {
	case math.IsInf(held, 0) && math.IsInf(lengths, 0):
		return 0, RefusedNotExported
	case !math.IsInf(lengths, 0) && held < lengths/disagree:
		return 0, RefusedContradictory
	}
	return min(held, lengths), ""
}

// apart reports whether two readings of one thing, both over zero, differ too much.
func apart(a, b float64) bool { return a > 0 && b > 0 && (a > disagree*b || b > disagree*a) }
