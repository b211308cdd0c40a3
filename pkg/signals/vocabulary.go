package signals

import (
	"fmt"
	"slices"
	"strings"
)

// quantity is one thing that a metrics page can tell, whatever the engine calls it.
type quantity string

const (
	requestsStarted  quantity = "requests started"
	requestsFinished quantity = "requests finished"
	requestsRunning  quantity = "requests running"
	requestsWaiting  quantity = "requests waiting"
	prefillQueued    quantity = "requests held back for prefill"
	decodeQueued     quantity = "requests held back for decode"
	ttft             quantity = "time to first token"
	tpot             quantity = "time per output token"
	inputTokens      quantity = "prompt tokens of a request"
	outputTokens     quantity = "output tokens of a request"
	kvUse            quantity = "share of KV cache in use"
	cacheLookups     quantity = "prompt tokens looked up in the prefix cache"
	cacheHits        quantity = "prompt tokens found in the prefix cache"
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
	words []word
	// inFlight are the gauges that together hold every request that has
	// started and not finished.
	inFlight []quantity
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

// names lists what a person would search for on the page, for messages.
func (v *vocabulary) names() string {
	var all []string
	for _, w := range v.words {
		all = append(all, w.names[0].metric)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
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

// Engines lists the engines whose metric names are known.
func Engines() []string { return []string{"dynamo-vllm", "vllm"} }

// vocabularyOf returns the words of one kind of page, nil where the engine has no such page.
func vocabularyOf(engine string, kind Kind) *vocabulary {
	if kind == KindExporter {
		return dcgmExporter
	}
	return engines[engine][kind]
}

// Word is one reading of an engine's vocabulary, for people.
type Word struct {
	Kind    Kind   `json:"kind"`
	Reading string `json:"reading"`
	// Form is counter, gauge or histogram.
	Form string `json:"form"`
	Unit string `json:"unit"`
	// Spellings are the names searched for, the preferred first.
	Spellings []string `json:"spellings"`
}

// Vocabulary lists what is searched for on the pages of an engine.
func Vocabulary(engine string) ([]Word, error) {
	if !slices.Contains(Engines(), engine) {
		return nil, fmt.Errorf("signals: engine %q is not known: use one of %s", engine, strings.Join(Engines(), ", "))
	}
	var out []Word
	for _, kind := range []Kind{KindFrontend, KindPrefill, KindDecode, KindExporter} {
		v := vocabularyOf(engine, kind)
		if v == nil {
			continue
		}
		for _, w := range v.words {
			said := Word{Kind: kind, Reading: string(w.what), Form: string(w.form), Unit: w.unit}
			for _, s := range w.names {
				said.Spellings = append(said.Spellings, s.String())
			}
			out = append(out, said)
		}
	}
	return out, nil
}
