package trace

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// rateColumns are the places of the columns.
type rateColumns struct{ client, t, rate, cv, pattern, shape int }

// header takes the names of a first line, or the published order.
func (c *rateColumns) header(line string) bool {
	*c = rateColumns{-1, 0, 1, 2, 3, 4}
	named := rateColumns{-1, -1, -1, -1, -1, -1}
	for i, name := range strings.Split(line, ",") {
		switch strings.ToLower(strings.Trim(strings.TrimSpace(name), `"`)) {
		case "client", "client_id":
			named.client = i
		case "t", "time", "timestamp", "start":
			named.t = i
		case "rate":
			named.rate = i
		case "cv":
			named.cv = i
		case "pattern":
			named.pattern = i
		case "shape":
			named.shape = i
		}
	}
	if named.t < 0 || named.rate < 0 {
		return false
	}
	*c = named
	return true
}

// rateRow is one row as it is written.
type rateRow struct {
	client string
	window
}

func (c *rateColumns) row(line string) (r rateRow, err error) {
	fields := strings.Split(line, ",")
	number := func(what string, at int) float64 {
		if at < 0 || err != nil {
			return 0
		}
		if at >= len(fields) {
			err = fmt.Errorf("%d columns; %s is column %d", len(fields), what, at+1)
			return 0
		}
		text := strings.TrimSpace(fields[at])
		if text == "" && (what == "CV" || what == "shape") {
			return 0 // either of them says it
		}
		v, wrong := strconv.ParseFloat(text, 64)
		if wrong != nil || !(v >= 0 && v <= math.MaxInt32) {
			err = fmt.Errorf("%s is %q; allowed is a number from 0 to %d", what, shorten([]byte(text)), math.MaxInt32)
		}
		return v
	}
	t := number("t", c.t)
	r.rate = number("rate", c.rate)
	cv, shape := number("CV", c.cv), number("shape", c.shape)
	if err != nil {
		return r, err
	}
	r.from = time.Duration(t * float64(time.Second))
	if c.client >= 0 && c.client < len(fields) {
		r.client = strings.TrimSpace(fields[c.client])
	}
	if r.rate > maxPerSecond {
		return r, fmt.Errorf("rate is %v requests/s; allowed is up to %v", r.rate, maxPerSecond)
	}
	pattern := ""
	if c.pattern >= 0 && c.pattern < len(fields) {
		pattern = strings.TrimSpace(fields[c.pattern])
	}
	r.pattern = Arrivals(strings.ToLower(pattern))
	return r, r.steps(pattern, cv, shape)
}

// steps works out the distribution of the steps between arrivals, by its shape where that is given, else by its CV.
func (w *window) steps(pattern string, cv, shape float64) error {
	switch w.pattern {
	case "":
		w.pattern = Poisson
	case Poisson:
	case Gamma:
		const least, most = 0.01, 1e4
		if w.scv = cv * cv; shape > 0 {
			w.scv = 1 / shape
		}
		if !(w.scv >= least && w.scv <= most) && w.rate > 0 {
			return fmt.Errorf("CV is %v and shape %v; allowed for Gamma is a squared CV (1/shape) of %v to %v", cv, shape, least, most)
		}
	case Weibull:
		const least, most = 0.1, 50
		if w.shape = shape; shape == 0 && cv > 0 {
			w.shape = weibullShape(cv * cv)
		}
		if !(w.shape >= least && w.shape <= most) && w.rate > 0 {
			return fmt.Errorf("CV is %v and shape %v; allowed for Weibull is a shape of %v to %v", cv, shape, least, most)
		}
	default:
		return fmt.Errorf("pattern is %q; allowed are Gamma, Weibull, Poisson and none", shorten([]byte(pattern)))
	}
	return nil
}

// parseRates reads the clients of one file.
func parseRates(raw []byte, name string) ([]client, error) {
	var columns rateColumns
	var order []string
	byClient := map[string]*client{}
	var errs []error
	line, more := 0, 0
	for text := range strings.Lines(strings.TrimPrefix(string(raw), "\ufeff")) {
		line++
		if text = strings.TrimSpace(text); text == "" || line == 1 && columns.header(text) {
			continue
		}
		r, err := columns.row(text)
		if c := byClient[r.client]; err == nil && c != nil && r.from <= c.windows[len(c.windows)-1].from {
			err = fmt.Errorf("t is %v and %v in the row before; allowed is a later one", r.from.Seconds(), c.windows[len(c.windows)-1].from.Seconds())
		}
		switch {
		case err != nil && len(errs) < maxErrors:
			errs = append(errs, fmt.Errorf("trace: %s line %d: %w", name, line, err))
		case err != nil:
			more++
		default:
			if byClient[r.client] == nil {
				byClient[r.client] = &client{file: name}
				order = append(order, r.client)
			}
			c := byClient[r.client]
			c.windows = append(c.windows, r.window)
		}
	}
	if more > 0 {
		errs = append(errs, fmt.Errorf("trace: %s: %d more rows like these", name, more))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("trace: %s holds no rate", name)
	}
	var all []client
	for _, id := range order {
		c := byClient[id]
		width := 10 * time.Minute // of a single window, as ServeGen has them
		for i := range c.windows {
			if i+1 < len(c.windows) {
				width = c.windows[i+1].from - c.windows[i].from
			}
			c.windows[i].to = c.windows[i].from + width
		}
		if last := c.windows[len(c.windows)-1].to; last > MaxDuration {
			return nil, fmt.Errorf("trace: %s covers %v; allowed is up to %v", name, last.Round(time.Second), MaxDuration)
		}
		all = append(all, *c)
	}
	return all, nil
}
