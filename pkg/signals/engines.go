package signals

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// EngineAuto is the engine that is not chosen but detected, page by page.
const EngineAuto = "auto"

// reader is what the pages of one kind of pod are read with: the vocabularies
// that they may speak, in order of preference.
type reader struct {
	words []*vocabulary
	// wanted are the names of all of them.
	wanted map[string]bool
}

func reads(words ...*vocabulary) *reader {
	r := &reader{words: words, wanted: map[string]bool{}}
	for _, v := range words {
		maps.Copy(r.wanted, v.wanted)
	}
	return r
}

// engines is engine -> kind of pod -> how its pages are read. A Dynamo worker
// exports its engine's names beside Dynamo's own; the engine's tell more.
var engines = map[string]map[Kind]*reader{
	"vllm":   {KindPrefill: reads(vllmPrefill), KindDecode: reads(vllmDecode)},
	"sglang": {KindPrefill: reads(sglangPrefill), KindDecode: reads(sglangDecode)},
	"trtllm": {KindPrefill: reads(trtllmPrefill), KindDecode: reads(trtllmDecode)},
	"dynamo-vllm": {
		KindFrontend: reads(dynamoFrontend, dynamoRouter),
		KindPrefill:  reads(vllmPrefill, dynamoPrefill), KindDecode: reads(vllmDecode, dynamoDecode),
	},
	"dynamo-sglang": {
		KindFrontend: reads(dynamoFrontend, dynamoRouter),
		KindPrefill:  reads(sglangPrefill, dynamoPrefill), KindDecode: reads(sglangDecode, dynamoDecode),
	},
	"dynamo-trtllm": {
		KindFrontend: reads(dynamoFrontend, dynamoRouter),
		KindPrefill:  reads(trtllmPrefill, dynamoPrefill), KindDecode: reads(trtllmDecode, dynamoDecode),
	},
	EngineAuto: {
		KindFrontend: reads(dynamoFrontend, dynamoRouter),
		KindPrefill:  reads(vllmPrefill, sglangPrefill, trtllmPrefill, dynamoPrefill),
		KindDecode:   reads(vllmDecode, sglangDecode, trtllmDecode, dynamoDecode),
	},
}

// exporters is how the pages of GPU exporters are read, whatever the engine.
var exporters = reads(dcgmExporter)

// Engines lists the engines whose metric names are known, and EngineAuto.
func Engines() []string { return slices.Sorted(maps.Keys(engines)) }

// readerOf returns how one kind of page is read, nil where the engine has no such page.
func readerOf(engine string, kind Kind) *reader {
	if kind == KindExporter {
		return exporters
	}
	return engines[engine][kind]
}

// choose returns the vocabulary that a page speaks: the one with the most words
// on it, the preferred one where there are several or none.
func (r *reader) choose(p page) *vocabulary {
	best, most := r.words[0], 0
	if len(r.words) == 1 {
		return best
	}
	for _, v := range r.words {
		n := 0
		for _, w := range v.words {
			if slices.ContainsFunc(w.names, func(s spelling) bool { f, _ := p.find(w, s); return f != nil }) {
				n++
			}
		}
		if n > most {
			best, most = v, n
		}
	}
	return best
}

// names lists what a person would search for on the page, for messages: all
// words of the preferred vocabulary, and the first of each other.
func (r *reader) names() string {
	var all []string
	for _, w := range r.words[0].words {
		all = append(all, w.names[0].metric)
	}
	slices.Sort(all)
	for _, v := range r.words[1:] {
		all = append(all, v.words[0].names[0].metric)
	}
	return strings.Join(slices.Compact(all), ", ")
}

// spellings are all names of a quantity, the preferred first; none for a nil reader.
func (r *reader) spellings(what quantity) []spelling {
	var all []spelling
	if r != nil {
		for _, v := range r.words {
			for _, w := range v.words {
				if w.what == what {
					all = append(all, w.names...)
				}
			}
		}
	}
	return all
}

// Word is one reading of an engine's vocabulary, for people.
type Word struct {
	// Engine is whose names these are: a Dynamo worker speaks its engine's and Dynamo's.
	Engine  string `json:"engine"`
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
	if engines[engine] == nil {
		return nil, unknownEngine(engine)
	}
	var out []Word
	for _, kind := range []Kind{KindFrontend, KindPrefill, KindDecode, KindExporter} {
		r := readerOf(engine, kind)
		if r == nil {
			continue
		}
		for _, v := range r.words {
			for _, w := range v.words {
				said := Word{Engine: v.engine, Kind: kind, Reading: string(w.what), Form: string(w.form), Unit: w.unit}
				for _, s := range w.names {
					said.Spellings = append(said.Spellings, s.String())
				}
				out = append(out, said)
			}
		}
	}
	return out, nil
}

func unknownEngine(engine string) error {
	return fmt.Errorf("signals: engine %q is not known: use one of %s", engine, strings.Join(Engines(), ", "))
}
