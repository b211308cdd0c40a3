package trace

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// csvReader reads the rows of a CSV file whose header was understood.
type csvReader struct {
	fields  [][]byte
	columns int
	// The places of the columns; cached is -1 where there is none.
	at, input, output, cached int
	time                      func(string) (time.Duration, error)
	emptyMeans                string // what an output of 0 stands for; empty is an error
}

// columnNames are the headers of each format, in lower case.
var columnNames = map[Format]struct{ at, input, output, cached string }{
	Plain:    {"arrival_s", "input", "output", "cached"},
	Azure:    {"timestamp", "contexttokens", "generatedtokens", ""},
	BurstGPT: {"timestamp", "request tokens", "response tokens", ""},
}

func newCSV(header string, format Format) (*csvReader, error) {
	names := strings.Split(header, ",")
	place := func(want string) int {
		for i, name := range names {
			if want != "" && strings.EqualFold(strings.Trim(strings.TrimSpace(name), `"`), want) {
				return i
			}
		}
		return -1
	}
	for _, f := range []Format{Plain, Azure, BurstGPT} {
		if format != Auto && format != f {
			continue
		}
		want := columnNames[f]
		c := &csvReader{columns: len(names), at: place(want.at), input: place(want.input), output: place(want.output), cached: place(want.cached)}
		if c.at < 0 || c.input < 0 || c.output < 0 {
			continue
		}
		c.time = secondsOf
		if f == Azure {
			c.time = timestampOf
		}
		if f != Plain {
			c.emptyMeans = "have no output (failed requests)"
		}
		return c, nil
	}
	if len(header) > 80 {
		header = header[:80] + "…"
	}
	return nil, fmt.Errorf("the first line %q names no columns that are known; allowed are %s, or JSON lines (mooncake)", header, allowedColumns())
}

func (c *csvReader) row(line []byte) (r Request, skip string, err error) {
	if err := c.split(line); err != nil {
		return r, "", err
	}
	if r.At, err = c.time(string(c.fields[c.at])); err != nil {
		return r, "", err
	}
	if r.InputTokens, err = tokensOf("input", c.fields[c.input]); err != nil {
		return r, "", err
	}
	if r.OutputTokens, err = tokensOf("output", c.fields[c.output]); err != nil {
		return r, "", err
	}
	if c.cached >= 0 {
		if r.CachedTokens, err = tokensOf("cached", c.fields[c.cached]); err != nil {
			return r, "", err
		}
	}
	if r.OutputTokens == 0 && c.emptyMeans != "" {
		return r, c.emptyMeans, nil
	}
	if r.InputTokens == 0 && c.emptyMeans != "" {
		return r, "have no input", nil
	}
	return r, "", nil
}

// split cuts a line into its fields. Only lines with quotes take the slow way.
func (c *csvReader) split(line []byte) error {
	c.fields = c.fields[:0]
	if bytes.IndexByte(line, '"') >= 0 {
		texts, err := csv.NewReader(bytes.NewReader(line)).Read()
		if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
			return parse.Err
		} else if err != nil {
			return err
		}
		for _, text := range texts {
			c.fields = append(c.fields, []byte(text))
		}
	} else {
		for rest, more := line, true; more; {
			var field []byte
			field, rest, more = bytes.Cut(rest, []byte{','})
			c.fields = append(c.fields, bytes.TrimSpace(field))
		}
	}
	if len(c.fields) != c.columns {
		return fmt.Errorf("%d columns; the first line has %d", len(c.fields), c.columns)
	}
	return nil
}

func tokensOf(what string, field []byte) (int32, error) {
	n := int64(0)
	for _, digit := range field {
		if digit < '0' || digit > '9' || n > MaxTokens {
			n = -1
			break
		}
		n = 10*n + int64(digit-'0')
	}
	if len(field) > 0 && n >= 0 && n <= MaxTokens {
		return int32(n), nil
	}
	// Some tools write whole numbers as 12.0.
	if v, err := strconv.ParseFloat(string(field), 64); err == nil && v == math.Trunc(v) && v >= 0 && v <= MaxTokens {
		return int32(v), nil
	}
	return 0, fmt.Errorf("%s is %q; allowed is a whole number up to %d", what, shorten(field), MaxTokens)
}

func secondsOf(text string) (time.Duration, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= math.MaxInt32) {
		return 0, fmt.Errorf("the arrival is %q; allowed are seconds from 0 to %d", shorten([]byte(text)), math.MaxInt32)
	}
	return time.Duration(math.Round(v * float64(time.Second))), nil
}

// timestampOf reads 2023-11-16 18:15:46.6805900 and the same with a zone.
func timestampOf(text string) (time.Duration, error) {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05-07:00", time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil && at.Year() > 1970 && at.Year() < 2200 {
			return time.Duration(at.UnixNano()), nil
		}
	}
	return 0, fmt.Errorf("TIMESTAMP is %q; allowed is a time such as 2023-11-16 18:15:46.68", shorten([]byte(text)))
}

func shorten(text []byte) string {
	if len(text) > 40 {
		return string(text[:40]) + "…"
	}
	return string(text)
}
