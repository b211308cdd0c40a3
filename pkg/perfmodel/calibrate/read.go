package calibrate

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/internal/wrongtype"
)

// Readings are what a file held.
type Readings struct {
	Observations []Observation
	// Ignored counts rows by the reason they were left out for.
	Ignored map[string]int
	// Model, GPU and TP are what the file says it was measured on; empty where it does not.
	Model, GPU string
	TP         int
}

func (r *Readings) ignore(why string) {
	if r.Ignored == nil {
		r.Ignored = map[string]int{}
	}
	r.Ignored[why]++
}

const (
	// maxFileBytes is far above a day of steps and keeps a wrong file from being read at length.
	maxFileBytes = 256 << 20
	// idleMs and idleGaps: a pause after a step that is longer than this, plus so many usual pauses, was idle time and not the
	// engine's own.
	idleMs   = 3.0
	idleGaps = 5.0
)

// ReadRequests reads a CSV file of requests, times in seconds since any start: prefill_start_s, prefill_end_s and input
// (tokens) make prefills; with kv_done_s also KV transfers; cached (tokens, of input) is optional. Columns it does
// not use are left alone.
func ReadRequests(file io.Reader) (Readings, error) {
	var out Readings
	err := readTable(file, "requests", []string{"input", "prefill_start_s", "prefill_end_s"},
		[]string{"arrival_s", "output", "kv_done_s", "first_decode_s", "end_s", "cached"}, &out, func(row tableRow) {
			input, start, end, cached := row.at("input"), row.at("prefill_start_s"), row.at("prefill_end_s"), row.at("cached")
			if math.IsNaN(cached) {
				cached = 0
			}
			if math.IsNaN(input + start + end) {
				out.ignore(IgnoredNotNumbers)
				return
			}
			if !inOrder(row.at("arrival_s"), start, end, row.at("kv_done_s"), row.at("first_decode_s"), row.at("end_s")) {
				out.ignore(IgnoredOutOfOrder)
				return
			}
			if !(input > 0 && cached >= 0 && cached < input && end > start) {
				out.ignore(IgnoredNotPositive)
				return
			}
			out.Observations = append(out.Observations, Observation{Kind: Prefill, Tokens: input - cached, CachedTokens: cached, Ms: 1000 * (end - start)})
			if done := row.at("kv_done_s"); done > end {
				out.Observations = append(out.Observations, Observation{Kind: KVTransfer, Tokens: input, Ms: 1000 * (done - end)})
			}
		})
	return out, err
}

// inOrder passes over times that are not given.
func inOrder(times ...float64) bool {
	last := math.Inf(-1)
	for _, t := range times {
		if t < last {
			return false
		}
		if !math.IsNaN(t) {
			last = t
		}
	}
	return true
}

// ReadSteps reads a CSV file of decode steps: batch (sequences), context_tokens (summed) and ms (on the GPU). With t_s, the
// start in seconds, a step's time is the wall time to the next step's start, the engine's pause included; steps
// that are followed by idle time are left out.
func ReadSteps(file io.Reader) (Readings, error) {
	var out Readings
	type step struct {
		start, batch, context, ms float64
		usable                    bool
	}
	var steps []step
	err := readTable(file, "steps", []string{"batch", "context_tokens", "ms"}, []string{"t_s", "graph_batch"}, &out, func(row tableRow) {
		s := step{row.at("t_s"), row.at("batch"), row.at("context_tokens"), row.at("ms"), false}
		switch {
		case math.IsNaN(s.batch + s.context + s.ms):
			out.ignore(IgnoredNotNumbers)
		case !(s.batch > 0 && s.context > 0 && s.ms > 0):
			out.ignore(IgnoredNotPositive)
		default:
			s.usable = true
		}
		steps = append(steps, s) // the step before ends where even an unusable one starts
	})
	if err != nil {
		return out, err
	}
	var pauses []float64
	for i := range steps[:max(len(steps)-1, 0)] {
		if pause := 1000*(steps[i+1].start-steps[i].start) - steps[i].ms; pause >= 0 {
			pauses = append(pauses, pause)
		}
	}
	if len(pauses) == 0 && len(steps) > 1 && !math.IsNaN(steps[0].start) {
		return out, errors.New("steps: no step starts after the one before has ended: allowed are t_s in seconds, in order, and ms in milliseconds")
	}
	usual := math.Inf(1)
	if len(pauses) > 0 {
		usual = idleMs + idleGaps*median(pauses)
	}
	for i, s := range steps {
		if !s.usable {
			continue
		}
		wall := s.ms
		if !math.IsNaN(s.start) {
			if i+1 == len(steps) || math.IsNaN(steps[i+1].start) {
				continue // what follows is not known
			}
			wall = 1000 * (steps[i+1].start - s.start)
			if wall < 0.98*s.ms-0.02 {
				out.ignore(IgnoredOutOfOrder)
				continue
			}
			if wall-s.ms > usual {
				out.ignore(IgnoredIdle)
				continue
			}
		}
		out.Observations = append(out.Observations, Observation{Kind: Decode, Sequences: s.batch, ContextTokens: s.context, Ms: wall})
	}
	return out, nil
}

// gridFile is a JSON file of measured steps: prefill of one prompt, and decode at a batch of sequences of equal context.
type gridFile struct {
	Model   string `json:"model"`
	GPU     string `json:"gpu"`
	TP      int    `json:"tp"`
	Prefill []struct {
		Tokens float64 `json:"tokens"`
		Cached float64 `json:"cached"`
		Ms     float64 `json:"ms"`
	} `json:"prefill"`
	Decode []struct {
		Batch   float64 `json:"batch"`
		Context float64 `json:"context"`
		Ms      float64 `json:"ms"`
	} `json:"decode"`
}

// notJSON tells a file that is no JSON from one whose values are of the wrong type.
func notJSON(err error) error {
	if syntax := new(json.SyntaxError); errors.As(err, &syntax) {
		return fmt.Errorf("not JSON: %w", err)
	}
	return wrongtype.Explain(err)
}

// ReadGrid reads a JSON file of measured steps, times in ms: prefill[] of tokens, decode[] of batch and context (of each).
func ReadGrid(file io.Reader) (Readings, error) {
	raw, err := readAll(file)
	if err != nil {
		return Readings{}, fmt.Errorf("grid: %w", err)
	}
	var g gridFile
	if err := json.Unmarshal(raw, &g); err != nil {
		return Readings{}, fmt.Errorf("grid: %w", notJSON(err))
	}
	out := Readings{Model: g.Model, GPU: g.GPU, TP: g.TP}
	add := func(o Observation) {
		if why := o.check(); why != "" {
			out.ignore(why)
			return
		}
		out.Observations = append(out.Observations, o)
	}
	for _, p := range g.Prefill {
		add(Observation{Kind: Prefill, Tokens: p.Tokens, CachedTokens: p.Cached, Ms: p.Ms})
	}
	for _, d := range g.Decode {
		add(Observation{Kind: Decode, Sequences: d.Batch, ContextTokens: d.Batch * d.Context, Ms: d.Ms})
	}
	if len(out.Observations) == 0 {
		return Readings{}, fmt.Errorf("grid: no usable step: allowed are prefill[] with tokens and ms, and decode[] with batch, context and ms, all above 0")
	}
	return out, nil
}

func readAll(file io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(raw) > maxFileBytes {
		err = fmt.Errorf("more than %d bytes: allowed is up to that", maxFileBytes)
	}
	return raw, err
}

// tableRow is one row of a CSV file.
type tableRow struct {
	columns map[string]int
	fields  []string
}

// at is the number in a column, NaN where the file has no such column, or no finite number there.
func (r tableRow) at(column string) float64 {
	i, ok := r.columns[column]
	if !ok {
		return math.NaN()
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(r.fields[i]), 64)
	if err != nil || math.IsInf(v, 0) || math.Abs(v) > 1e12 {
		return math.NaN()
	}
	return v
}

// readTable reads a CSV file with a header. It fails where a needed column is missing, where a name looks like a column of
// ours in another unit, and where most rows could not be used.
func readTable(file io.Reader, what string, needed, optional []string, out *Readings, each func(tableRow)) error {
	limited := &io.LimitedReader{R: file, N: maxFileBytes + 1}
	r := csv.NewReader(bufio.NewReader(limited))
	r.ReuseRecord = true
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("%s: no CSV header: %w", what, err)
	}
	columns := map[string]int{}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if _, twice := columns[name]; twice {
			return fmt.Errorf("%s: column %q is there twice", what, name)
		}
		columns[name] = i
	}
	for _, name := range needed {
		if _, ok := columns[name]; !ok {
			return fmt.Errorf("%s: column %q is missing: needed are %s; also read are %s", what, name, strings.Join(needed, ", "), strings.Join(optional, ", "))
		}
	}
	for name := range columns {
		stem := strings.TrimSuffix(strings.TrimSuffix(name, "_ms"), "_us")
		if stem != name && (slices.Contains(needed, stem+"_s") || slices.Contains(optional, stem+"_s")) {
			return fmt.Errorf("%s: column %q: allowed is %q, in seconds", what, name, stem+"_s")
		}
	}
	width, rows := len(header), 0
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		rows++
		if parse := new(csv.ParseError); errors.As(err, &parse) {
			out.ignore(IgnoredUnreadable)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if len(fields) != width {
			out.ignore(IgnoredUnreadable)
			continue
		}
		each(tableRow{columns, fields})
	}
	if limited.N <= 0 {
		return fmt.Errorf("%s: more than %d bytes: allowed is up to that", what, maxFileBytes)
	}
	left := 0
	for _, n := range out.Ignored {
		left += n
	}
	if rows == 0 || 2*left > rows {
		return fmt.Errorf("%s: %d of %d rows cannot be used%s: allowed are rows of numbers under the columns %s",
			what, left, rows, reasons(out.Ignored), strings.Join(needed, ", "))
	}
	return nil
}

func reasons(ignored map[string]int) string {
	var parts []string
	for why, n := range ignored {
		parts = append(parts, fmt.Sprintf("%d %s", n, why))
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return " (" + strings.Join(parts, ", ") + ")"
}
