package signals

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// page is what was wanted of one metrics page.
type page struct {
	families map[string]*family // by name
	// samples counts all samples on the page, wanted or not.
	samples int
}

// family is all series of one name.
type family struct {
	form   form // histogram, or else anything with one value
	series []series
}

// series is one line of a gauge or counter, or one whole histogram.
type series struct {
	labels []*dto.LabelPair
	key    string // tells it apart within its family
	value  float64
	hist   *buckets
	// at is the time that the page itself gives, zero where it gives none.
	at time.Time
	// wrong says why the series cannot be used; empty when it can.
	wrong string
}

// label returns the value of the first of the labels that the series has.
func (s *series) label(names ...string) string {
	for _, name := range names {
		for _, l := range s.labels {
			if l.GetName() == name && l.GetValue() != "" {
				return l.GetValue()
			}
		}
	}
	return ""
}

// keyOf tells series apart by their labels, in whatever order they come.
func keyOf(labels []*dto.LabelPair) string {
	pairs := make([]string, len(labels))
	for i, l := range labels {
		pairs[i] = l.GetName() + "\x00" + l.GetValue()
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "\x01")
}

// maxLine bounds one line of a page.
const maxLine = 64 << 10

// pageReader is what reading one page takes. It is used again: with many
// services hundreds of pages are read a second.
type pageReader struct {
	lines  *bufio.Reader
	kept   []byte
	parser expfmt.TextParser
}

var pageReaders = sync.Pool{New: func() any {
	return &pageReader{lines: bufio.NewReaderSize(nil, maxLine), parser: expfmt.NewTextParser(model.LegacyValidation)}
}}

// parsePage reads a page in the text format or in OpenMetrics, as its content
// type says; no content type is the text format. Only wanted families are
// parsed: what an engine exports besides costs nothing and cannot spoil the
// page. A page over maxBytes, or one that ends early, is an error: half a page is no page.
func parsePage(body io.Reader, contentType string, wanted map[string]bool, maxBytes int64) (page, error) {
	open, err := isOpenMetrics(contentType)
	if err != nil {
		return page{}, err
	}
	r := pageReaders.Get().(*pageReader)
	samples, err := r.keepWanted(body, wanted, maxBytes, open)
	if err != nil {
		return page{}, err
	}
	families, err := r.parser.TextToMetricFamilies(bytes.NewReader(r.kept))
	if err != nil {
		return page{}, fmt.Errorf("the page is not valid: %w", err)
	}
	pageReaders.Put(r) // only after a good page, so that nothing of a bad one is left; families hold nothing of it
	out := page{families: map[string]*family{}, samples: samples}
	for name, mf := range families {
		out.families[name] = familyOf(mf)
	}
	return out, nil
}

// isOpenMetrics tells the two formats apart. Versions of the text format are
// not: they differ in what names may hold, and the names looked for are plain.
func isOpenMetrics(contentType string) (bool, error) {
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "", err == nil && media == "text/plain":
		return false, nil
	case err == nil && media == expfmt.OpenMetricsType:
		return true, nil
	}
	return false, fmt.Errorf("the answer is %.80q, not metrics: text/plain or %s is needed", contentType, expfmt.OpenMetricsType)
}

// keepWanted reads a whole page and keeps its wanted lines in the text
// format. The other lines stay as empty ones, so that line numbers in errors
// are those of the page. samples counts the samples of all names.
func (r *pageReader) keepWanted(body io.Reader, wanted map[string]bool, maxBytes int64, open bool) (samples int, err error) {
	r.kept = r.kept[:0]
	limited := &io.LimitedReader{R: body, N: maxBytes + 1}
	lines := r.lines
	lines.Reset(limited)
	defer lines.Reset(nil)
	for ended := false; ; {
		line, err := lines.ReadSlice('\n')
		switch {
		case limited.N <= 0:
			return 0, fmt.Errorf("the page is larger than %d bytes", maxBytes)
		case errors.Is(err, bufio.ErrBufferFull):
			return 0, fmt.Errorf("the page has a line longer than %d bytes", maxLine)
		case err != nil && !errors.Is(err, io.EOF):
			return 0, fmt.Errorf("the page was cut off: %w", err)
		}
		if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' {
			samples++
		}
		switch name := nameIn(line); {
		case !wanted[string(name)]:
			r.kept = append(r.kept, '\n')
		case open:
			r.kept = appendAsText(r.kept, line, name)
		default:
			r.kept = append(r.kept, line...)
		}
		ended = bytes.HasPrefix(line, []byte("# EOF")) || ended && len(line) == 0
		if err != nil {
			if open && !ended {
				return 0, errors.New("the page ends early: an OpenMetrics page must end with # EOF")
			}
			return samples, nil
		}
	}
}

// nameIn returns the metric name of a sample or TYPE line, nil of any other.
func nameIn(line []byte) []byte {
	line = bytes.TrimLeft(line, " \t")
	if rest, ok := bytes.CutPrefix(line, []byte("# TYPE ")); ok {
		line = bytes.TrimLeft(rest, " \t")
	} else if len(line) > 0 && line[0] == '#' {
		return nil
	}
	if end := bytes.IndexAny(line, "{ \t\r\n"); end >= 0 {
		return line[:end]
	}
	return line
}

// largest is the most that a value may be. Nothing that is read here comes
// near it; DCGM's blanks of whole numbers lie above, and so does all that could overflow.
const largest = 1e18

// plausible reports whether a value can be a count, a sum or a gauge of what is read here.
func plausible(value float64) bool { return value >= 0 && value <= largest }

// mark says what is wrong with a value that nothing here can have.
func (s *series) mark() {
	if !plausible(s.value) {
		s.wrong = fmt.Sprintf("is %v", s.value)
	}
}

// valueSeries returns a series of one value.
func valueSeries(labels []*dto.LabelPair, value float64) series {
	s := series{labels: labels, key: keyOf(labels), value: value}
	s.mark()
	return s
}

// familyOf takes over one parsed family. Two series with the same labels count
// once where they agree; where they do not, neither can be believed.
func familyOf(mf *dto.MetricFamily) *family {
	f := &family{}
	seen := map[string]int{}
	for _, m := range mf.GetMetric() {
		s := series{labels: m.GetLabel(), key: keyOf(m.GetLabel())}
		if m.TimestampMs != nil {
			s.at = time.UnixMilli(m.GetTimestampMs())
		}
		switch {
		case m.GetHistogram() != nil:
			f.form = histogram
			s.hist, s.wrong = bucketsOf(m.GetHistogram())
		case m.GetCounter() != nil:
			s.value = m.GetCounter().GetValue()
		case m.GetGauge() != nil:
			s.value = m.GetGauge().GetValue()
		case m.GetUntyped() != nil:
			s.value = m.GetUntyped().GetValue()
		default:
			continue // a summary: nothing here is read from one
		}
		s.mark()
		if i, ok := seen[s.key]; ok {
			if f.series[i].value != s.value {
				f.series[i].wrong = fmt.Sprintf("is there twice, as %v and as %v", f.series[i].value, s.value)
			}
			continue
		}
		seen[s.key] = len(f.series)
		f.series = append(f.series, s)
	}
	return f
}

// bucketsOf takes over one parsed histogram. A histogram that is there twice
// comes merged from the parser: its bounds then repeat.
func bucketsOf(h *dto.Histogram) (*buckets, string) {
	type bucket struct{ bound, upTo float64 }
	all := make([]bucket, 0, len(h.GetBucket()))
	for _, b := range h.GetBucket() {
		all = append(all, bucket{b.GetUpperBound(), max(float64(b.GetCumulativeCount()), b.GetCumulativeCountFloat())})
	}
	out := &buckets{count: max(float64(h.GetSampleCount()), h.GetSampleCountFloat()), sum: h.GetSampleSum(),
		bounds: make([]float64, 0, len(all)), upTo: make([]float64, 0, len(all))}
	slices.SortStableFunc(all, func(a, b bucket) int {
		switch {
		case a.bound < b.bound:
			return -1
		case a.bound > b.bound:
			return 1
		}
		return 0
	})
	before := math.Inf(-1)
	for _, b := range all {
		switch {
		case !plausible(b.upTo):
			return nil, fmt.Sprintf("has a bucket %v with %v observations", b.bound, b.upTo)
		case b.bound == before:
			if last := len(out.upTo) - 1; last >= 0 && out.upTo[last] != b.upTo {
				return nil, fmt.Sprintf("has the bucket %v twice", b.bound)
			}
			continue
		case b.bound > largest:
			out.count = max(out.count, b.upTo)
			continue
		case b.bound < -largest:
			continue
		}
		if n := len(out.upTo); n > 0 && b.upTo < out.upTo[n-1] {
			return nil, fmt.Sprintf("has fewer observations up to %v than up to %v", b.bound, out.bounds[n-1])
		}
		before = b.bound
		out.bounds, out.upTo = append(out.bounds, b.bound), append(out.upTo, b.upTo)
	}
	switch {
	case h.SampleSum == nil:
		return nil, "has no sum"
	case !plausible(out.sum):
		return nil, fmt.Sprintf("has the sum %v", out.sum)
	case !plausible(out.count):
		return nil, fmt.Sprintf("has the count %v", out.count)
	}
	if n := len(out.upTo); n > 0 {
		out.count = max(out.count, out.upTo[n-1])
	}
	return out, ""
}
