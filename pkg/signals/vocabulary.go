package signals

import (
	"fmt"
	"strings"
)

// quantity is one thing that a metrics page can tell, whatever the engine calls it.
type quantity string

const (
	requestsStarted  quantity = "requests started"
	requestsFinished quantity = "requests finished"
	requestsRejected quantity = "requests turned away"
	requestsRunning  quantity = "requests running"
	requestsWaiting  quantity = "requests waiting"
	prefillQueued    quantity = "requests held back for prefill"
	decodeQueued     quantity = "requests held back for decode"
	ttft             quantity = "time to first token"
	tpot             quantity = "time per output token"
	inputTokens      quantity = "prompt tokens of a request"
	outputTokens     quantity = "output tokens of a request"
	kvUse            quantity = "share of KV cache in use"
	promptTokens     quantity = "prompt tokens processed"
	generatedTokens  quantity = "tokens generated"
	cacheLookups     quantity = "prompt tokens looked up in the prefix cache"
	cacheHits        quantity = "prompt tokens found in the prefix cache"
	cachedTokens     quantity = "cached prompt tokens of a request"
	cacheHitShare    quantity = "share of prompt tokens found in the prefix cache"
	queueTime        quantity = "time in the engine's queue"
	tokenGap         quantity = "time between two tokens"
	prefillTime      quantity = "time from the start of a prompt's prefill to its first token"
	prefillChunks    quantity = "time of a part of a prompt"
	computedTokens   quantity = "prompt tokens computed of a request"
	contextTokens    quantity = "context of the running sequences"
	draftLength      quantity = "tokens of a step with speculative decoding"
	drafts           quantity = "drafts of speculative decoding"
	draftsAccepted   quantity = "draft tokens accepted"
	kvHandedOver     quantity = "requests computed whose KV cache is not yet handed over"
	kvHandshake      quantity = "requests that wait for decode before prefill"
	kvAllocating     quantity = "requests that wait for room in the KV cache of decode"
	kvArriving       quantity = "requests whose KV cache is on its way to decode"
	kvTransferMs     quantity = "time of the latest KV cache transfer"
	kvTransferTime   quantity = "time of a KV cache transfer"
	kvTransferFailed quantity = "KV cache transfers that failed"
	gpuBusy          quantity = "share of time the GPU runs any kernel"
	tensorActive     quantity = "share of time the tensor pipes are active"
	dramActive       quantity = "share of time the GPU memory is active"

	// arrivals is worked out from the others: requests started, or finished
	// plus the growth of those in flight.
	arrivals quantity = "requests arrived"
)

// form is how a quantity is exported.
type form string

const (
	counter   form = "counter"
	gauge     form = "gauge"
	histogram form = "histogram"
)

// word says how one quantity is exported: in which form, and under which
// names, the newest first. Where a page holds several, the first is read.
type word struct {
	what  quantity
	form  form
	unit  string
	names []spelling
	// share marks a gauge that must lie in 0..1.
	share bool
	// perStep is the name whose observations are of engine steps and not of tokens:
	// with speculative decoding a step makes several.
	perStep string
	// late marks a counter that comes up with its first event on a page whose others do not.
	late bool
	// apart marks a counter of requests that are in none of the page's others: they add to what arrived.
	apart bool
	// each marks a quantity whose series are read one by one: a series that
	// cannot be used does not spoil the others.
	each bool
}

// spelling is one name of a quantity, with the label that selects its series
// where one name serves several quantities.
type spelling struct {
	metric string
	label  string
	value  string
}

func (s spelling) String() string {
	if s.label == "" {
		return s.metric
	}
	return fmt.Sprintf("%s{%s=%q}", s.metric, s.label, s.value)
}

// vocabulary is all that one kind of page can tell.
type vocabulary struct {
	// engine is whose names these are, for people.
	engine string
	words  []word
	// inFlight are the gauges that together hold every request that has
	// started and not finished.
	inFlight []quantity
	// perhapsInFlight are gauges that hold such requests too, where they are exported.
	perhapsInFlight []quantity
	// ranks are the labels of processes that all export the same thing; the
	// lowest of each is read.
	ranks []string
	// parts is a label of series that split up one which stands beside them
	// without it; only that one is read.
	parts string
	// lazy says that a counter or histogram is on the page from its first event
	// on: where it comes up on a page seen before, it began at zero.
	lazy bool
	// modelLabel is the label that names the served model, empty where pods serve one.
	modelLabel string

	// wanted are the sample and family names that a page is searched for.
	wanted map[string]bool
}

// compile fills in wanted. A counter is known with and without "_total": the
// text format of older exporters leaves it out, and OpenMetrics leaves it out of the family's name.
func (v vocabulary) compile() *vocabulary {
	v.wanted = map[string]bool{}
	for _, w := range v.words {
		for _, s := range w.names {
			v.wanted[s.metric] = true
			switch w.form {
			case counter:
				v.wanted[strings.TrimSuffix(s.metric, "_total")] = true
			case histogram:
				for _, part := range []string{"_bucket", "_sum", "_count"} {
					v.wanted[s.metric+part] = true
				}
			}
		}
	}
	return &v
}

// find returns the family that exports a word under one spelling.
func (p page) find(w word, s spelling) (*family, string) {
	if f := p.families[s.metric]; f != nil {
		return f, s.metric
	}
	if w.form == counter {
		short := strings.TrimSuffix(s.metric, "_total")
		if f := p.families[short]; f != nil {
			return f, short
		}
	}
	return nil, ""
}

// preferred is the first name of a quantity.
func (v *vocabulary) preferred(what quantity) string {
	for _, w := range v.words {
		if w.what == what {
			return w.names[0].metric
		}
	}
	return ""
}

func names(metrics ...string) []spelling {
	out := make([]spelling, len(metrics))
	for i, m := range metrics {
		out[i].metric = m
	}
	return out
}
