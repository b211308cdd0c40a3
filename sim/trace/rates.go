package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// Rates says how requests are drawn from a file of rates.
type Rates struct {
	// From and To cut the time; To 0 is the end. Scale multiplies every rate; 0 is 1.
	From, To time.Duration
	Scale    float64
	// Lengths are those of clients whose own are not known; nil where such a client is an error.
	Lengths *Shape
	Seed    uint64
}

const (
	tracePart   = "-trace.csv"
	datasetPart = "-dataset.json"
)

// LooksLikeRates says whether a path is a folder, or a file whose first line is one of rates.
func LooksLikeRates(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if info.IsDir() {
		return true
	}
	raw, err := readFile(path, 1<<10)
	if err != nil && len(raw) == 0 {
		return false
	}
	first, _, _ := bytes.Cut(raw, []byte("\n"))
	var c rateColumns
	if c.header(string(first)) {
		return true
	}
	_, err = c.row(string(first))
	return err == nil
}

// OpenRates reads rates as ServeGen publishes them, a file NAME-trace.csv for each client or a folder of them, and draws the
// requests:
//
//	t, rate, CV, pattern, shape, scale     seconds, requests/s, and the times between arrivals in the window from t on
//
// without a header, or with one, in any order and with a column client too. Each client is a renewal process in operational
// time: the pattern gives the steps (Gamma or Weibull of that shape, or of that CV where there is no shape; Poisson without a
// pattern) and the rate their mean. Lengths come from NAME-dataset.json beside it: by window, the share of each length. Where
// a window has none, the client's window before has, or after, or Rates.Lengths.
func OpenRates(path string, r Rates) (*Trace, error) {
	if !(r.Scale >= 0 && r.Scale <= 1e6) {
		return nil, fmt.Errorf("trace: rate scale is %v; it must be above 0 and at most 1e6", r.Scale)
	}
	if r.Scale == 0 {
		r.Scale = 1
	}
	files := []string{path}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	} else if info.IsDir() {
		files = files[:0]
		for _, ending := range []string{tracePart, tracePart + ".gz"} {
			found, err := filepath.Glob(filepath.Join(path, "*"+ending))
			if err != nil {
				return nil, fmt.Errorf("trace: %w", err)
			}
			files = append(files, found...)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("trace: %s holds no file of rates; allowed are those named NAME%s", path, tracePart)
		}
		slices.Sort(files)
	}
	var clients []client
	for _, file := range files {
		some, err := openClients(file)
		if err != nil {
			return nil, err
		}
		clients = append(clients, some...)
	}
	return draw(clients, r)
}

// client is one client's rates and lengths.
type client struct {
	file    string
	windows []window
	lengths []lengths
}

// window is a stretch of one rate.
type window struct {
	from, to time.Duration
	rate     float64 // requests/s
	pattern  Arrivals
	scv      float64 // of the steps of a gamma process
	shape    float64 // of those of a Weibull process
}

func openClients(file string) ([]client, error) {
	raw, err := readFile(file, 1<<30)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	clients, err := parseRates(raw, file)
	if err != nil {
		return nil, err
	}
	base, ok := strings.CutSuffix(strings.TrimSuffix(file, ".gz"), tracePart)
	if !ok {
		return clients, nil
	}
	dataset := base + datasetPart
	raw, err = readFile(dataset, 1<<30)
	if errors.Is(err, os.ErrNotExist) {
		return clients, nil
	} else if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	all, err := parseDataset(raw, dataset)
	for i := range clients {
		clients[i].lengths = all
	}
	return clients, err
}

// readFile reads a file, unzipped where it is zipped, up to so many bytes.
func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	in := bufio.NewReader(file)
	var from io.Reader = in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if from, err = gzip.NewReader(in); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(from, most))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return raw, err
}

// draw plays all clients from r.From to r.To.
func draw(clients []client, r Rates) (*Trace, error) {
	end, expected := time.Duration(0), 0.0
	for i := range clients {
		for _, w := range clients[i].windows {
			if r.To > 0 {
				w.to = min(w.to, r.To)
			}
			end = max(end, w.to)
			expected += w.rate * r.Scale * max(0, (w.to-max(w.from, r.From)).Seconds())
		}
	}
	if end <= r.From {
		return nil, fmt.Errorf("trace: the rates end at %v; the cut from %v to %v leaves nothing", end, r.From, r.To)
	}
	if expected > maxRequests {
		return nil, fmt.Errorf("trace: the rates make about %.0f requests; at most %d are allowed: cut the time or scale the rate", expected, maxRequests)
	}
	t := &Trace{rows: make([]row, 0, int(expected*1.1)+16)}
	for i := range clients {
		if err := clients[i].draw(t, r, uint64(i)); err != nil {
			return nil, err
		}
	}
	t.sort()
	t.length = end - r.From
	return t, nil
}

// draw adds one client's requests.
func (c *client) draw(t *Trace, r Rates, number uint64) error {
	arrivals, sizes := rand.New(rand.NewPCG(r.Seed, 4*number+101)), rand.New(rand.NewPCG(r.Seed, 4*number+102))
	for _, w := range c.windows {
		from, to := max(w.from, r.From), w.to
		if r.To > 0 {
			to = min(to, r.To)
		}
		if w.rate <= 0 || to <= from {
			continue
		}
		l, err := c.lengthsAt(w.from, r.Lengths)
		if err != nil {
			return err
		}
		step, rest := w.draw(arrivals)
		perSecond := w.rate * r.Scale
		for at := rest() / perSecond; ; at += step() / perSecond {
			when := from + time.Duration(at*float64(time.Second))
			if when >= to || at > to.Seconds() {
				break
			}
			in, out := l.draw(sizes)
			t.rows = append(t.rows, row{at: when - r.From, input: in, output: out})
			if len(t.rows) > maxRequests {
				return fmt.Errorf("trace: %s: more than %d requests; cut the time or scale the rate", c.file, maxRequests)
			}
		}
	}
	return nil
}

// draw returns a draw of steps of mean 1, and one of what is left of a step at a moment that has nothing to do with arrivals:
// a window's first arrival. A long step covers more such moments than a short one, so that is a uniform part of a step drawn by
// its length. Without it, clumped arrivals would be far more than the rate says.
func (w *window) draw(random *rand.Rand) (step, rest func() float64) {
	switch w.pattern {
	case Gamma:
		long := distuv.Gamma{Alpha: 1/w.scv + 1, Beta: 1 / w.scv, Src: random}
		return distuv.Gamma{Alpha: 1 / w.scv, Beta: 1 / w.scv, Src: random}.Rand, func() float64 { return random.Float64() * long.Rand() }
	case Weibull:
		scale := 1 / math.Gamma(1+1/w.shape)
		long := distuv.Gamma{Alpha: 1 + 1/w.shape, Beta: 1, Src: random} // of (step/scale)^shape
		return distuv.Weibull{K: w.shape, Lambda: scale, Src: random}.Rand, func() float64 { return random.Float64() * scale * math.Pow(long.Rand(), 1/w.shape) }
	}
	return random.ExpFloat64, random.ExpFloat64
}
