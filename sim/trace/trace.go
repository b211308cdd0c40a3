package trace

import (
	"cmp"
	"slices"
	"time"
)

// BlockTokens is how many tokens of prompt one block id stands for.
const BlockTokens = 512

// Limits of what a trace may hold, so that a slip of a unit is refused instead of
// filling the memory.
const (
	MaxTokens   = 10_000_000
	MaxDuration = 100 * 24 * time.Hour
	maxRequests = 200_000_000
	// maxFile is what a file may cover: BurstGPT's has more days than can be simulated at once, and is cut after reading.
	maxFile = 10 * 365 * 24 * time.Hour
)

// Request is one request as a client sends it.
type Request struct {
	// At is the arrival, from the start of the trace.
	At           time.Duration
	InputTokens  int32
	OutputTokens int32
	// CachedTokens of the prompt need no prefill wherever it is served. Where there are Blocks it is 0 and the caches decide.
	CachedTokens int32
	// Blocks are the ids of the prompt's prefix blocks, nil where the trace has none. They must not be changed.
	Blocks []uint64
}

// Source gives requests in order of arrival, false after the last.
type Source interface {
	Next() (Request, bool)
}

// Trace is a list of requests in order of arrival. The zero Trace is empty.
type Trace struct {
	// Notes say what was left out or put in order while reading.
	Notes []string

	rows   []row
	blocks []uint64
	length time.Duration
}

// row is a request as it is kept: 32 bytes, so that a day of a million stays small.
type row struct {
	at                    time.Duration
	input, output, cached int32
	blocks                uint32 // how many
	from                  int    // in Trace.blocks
}

// New makes a trace of requests in any order; the earliest becomes time zero. The lengths must be within 1 and MaxTokens.
func New(requests []Request) *Trace {
	t := &Trace{}
	for i := range requests {
		t.add(requests[i])
	}
	t.settle()
	return t
}

func (t *Trace) add(r Request) {
	t.rows = append(t.rows, row{at: r.At, input: r.InputTokens, output: r.OutputTokens, cached: r.CachedTokens,
		from: len(t.blocks), blocks: uint32(len(r.Blocks))})
	t.blocks = append(t.blocks, r.Blocks...)
}

// settle puts the rows in order, starts them at zero and sets the length to the last arrival.
func (t *Trace) settle() {
	if t.sort() {
		t.Notes = append(t.Notes, "arrivals were not in order and were sorted")
	}
	if len(t.rows) == 0 {
		return
	}
	first := t.rows[0].at
	for i := range t.rows {
		t.rows[i].at -= first
	}
	t.length = t.rows[len(t.rows)-1].at
}

func (t *Trace) sort() (changed bool) {
	byTime := func(a, b row) int { return cmp.Compare(a.at, b.at) }
	if slices.IsSortedFunc(t.rows, byTime) {
		return false
	}
	slices.SortStableFunc(t.rows, byTime)
	return true
}

// Len is the number of requests.
func (t *Trace) Len() int { return len(t.rows) }

// Duration is the length of the trace: that of its generator, or the last arrival.
func (t *Trace) Duration() time.Duration { return t.length }

// At returns request i, 0 <= i < Len.
func (t *Trace) At(i int) Request {
	r := &t.rows[i]
	q := Request{At: r.at, InputTokens: r.input, OutputTokens: r.output, CachedTokens: r.cached}
	if r.blocks > 0 {
		q.Blocks = t.blocks[r.from : r.from+int(r.blocks) : r.from+int(r.blocks)]
	}
	return q
}

// Source plays the trace from its start. Sources of one trace are independent.
func (t *Trace) Source() Source { return &player{trace: t} }

type player struct {
	trace *Trace
	next  int
}

func (p *player) Next() (Request, bool) {
	if p.next >= len(p.trace.rows) {
		return Request{}, false
	}
	p.next++
	return p.trace.At(p.next - 1), true
}

// Summary says what a trace holds.
type Summary struct {
	Requests          int     `json:"requests"`
	DurationSeconds   float64 `json:"durationSeconds"`
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	InputTokensMean   float64 `json:"inputTokensMean"`
	InputSCV          float64 `json:"inputSCV"`
	OutputTokensMean  float64 `json:"outputTokensMean"`
	OutputSCV         float64 `json:"outputSCV"`
}

// Summary works the summary out.
func (t *Trace) Summary() Summary {
	s := Summary{Requests: len(t.rows), DurationSeconds: t.length.Seconds()}
	var in, inSquare, out, outSquare float64
	for i := range t.rows {
		a, b := float64(t.rows[i].input), float64(t.rows[i].output)
		in, inSquare, out, outSquare = in+a, inSquare+a*a, out+b, outSquare+b*b
	}
	if n := float64(len(t.rows)); n > 0 {
		s.InputTokensMean, s.OutputTokensMean = in/n, out/n
		s.InputSCV, s.OutputSCV = n*inSquare/(in*in)-1, n*outSquare/(out*out)-1
	}
	if s.DurationSeconds > 0 {
		s.RequestsPerSecond = float64(s.Requests) / s.DurationSeconds
	}
	return s
}
