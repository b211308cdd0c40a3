package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Format names a kind of trace file.
type Format string

// The formats; Auto tells by the first line.
const (
	Auto     Format = "auto"
	Plain    Format = "plain"
	Azure    Format = "azure"
	BurstGPT Format = "burstgpt"
	Mooncake Format = "mooncake"
	// ServeGen is rates instead of requests: OpenRates draws them.
	ServeGen Format = "servegen"
)

// Formats lists what Open and Read take.
func Formats() []Format { return []Format{Auto, Plain, Azure, BurstGPT, Mooncake} }

const (
	maxLineBytes = 16 << 20 // a prompt of a million blocks
	maxErrors    = 10
)

// Open reads a trace file; "-" is the given standard input.
func Open(path string, format Format, stdin io.Reader) (*Trace, error) {
	if path == "-" {
		return Read(stdin, "standard input", format)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer file.Close()
	return Read(file, path, format)
}

// Read reads a trace; name stands for it in errors.
func Read(r io.Reader, name string, format Format) (*Trace, error) {
	if format == "" {
		format = Auto
	}
	if !slices.Contains(Formats(), format) {
		return nil, fmt.Errorf("trace: format is %q; allowed are %v", format, Formats())
	}
	in := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("trace: %s: %w", name, err)
		}
		in = bufio.NewReaderSize(unzipped, 1<<16)
	}
	f := file{name: name, skipped: map[string]int{}}
	f.lines = bufio.NewScanner(in)
	f.lines.Buffer(make([]byte, 1<<16), maxLineBytes)
	if err := f.read(format); err != nil {
		return nil, err
	}
	return f.trace()
}

// file is one file being read.
type file struct {
	name  string
	lines *bufio.Scanner
	line  int

	rows    Trace
	errs    []error
	more    int // errors beyond those kept
	skipped map[string]int
}

// rowReader takes one line after the header into a request. A nil request and
// no error is a row that stands for no work.
type rowReader func(line []byte) (Request, string, error)

func (f *file) next() ([]byte, bool) {
	for f.lines.Scan() {
		f.line++
		line := bytes.TrimSpace(f.lines.Bytes())
		if f.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(line) > 0 {
			return line, true
		}
	}
	return nil, false
}

func (f *file) read(format Format) error {
	first, ok := f.next()
	if !ok {
		return errors.Join(f.broken(), fmt.Errorf("trace: %s holds no request", f.name))
	}
	isJSON := first[0] == '{'
	if format == Mooncake || format == Auto && isJSON {
		f.take(first, readMooncake)
		f.rest(readMooncake)
		return f.broken()
	}
	reader, err := newCSV(string(first), format)
	if err != nil {
		if broken := f.broken(); broken != nil {
			return broken // what there is of the first line is a part of it
		}
		return fmt.Errorf("trace: %s line %d: %w", f.name, f.line, err)
	}
	f.rest(reader.row)
	return f.broken()
}

// broken is why the file could not be read to its end.
func (f *file) broken() error {
	if err := f.lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("trace: %s line %d is longer than %d bytes", f.name, f.line+1, maxLineBytes)
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("trace: %s after line %d: the compressed file was cut off: %w", f.name, f.line, err)
	} else if err != nil {
		return fmt.Errorf("trace: %s after line %d: %w", f.name, f.line, err)
	}
	return nil
}

func (f *file) rest(read rowReader) {
	for line, ok := f.next(); ok; line, ok = f.next() {
		f.take(line, read)
	}
}

func (f *file) take(line []byte, read rowReader) {
	r, skip, err := read(line)
	if err == nil && skip == "" {
		err = check(&r)
	}
	switch {
	case err != nil && len(f.errs) < maxErrors:
		f.errs = append(f.errs, fmt.Errorf("trace: %s line %d: %w", f.name, f.line, err))
	case err != nil:
		f.more++
	case skip != "":
		f.skipped[skip]++
	case len(f.rows.rows) < maxRequests:
		f.rows.add(r)
	default:
		f.more++
	}
}

// check holds what every request must be.
func check(r *Request) error {
	switch {
	case r.InputTokens < 1 || r.InputTokens > MaxTokens:
		return fmt.Errorf("input is %d tokens; allowed is 1 to %d", r.InputTokens, MaxTokens)
	case r.OutputTokens < 1 || r.OutputTokens > MaxTokens:
		return fmt.Errorf("output is %d tokens; allowed is 1 to %d", r.OutputTokens, MaxTokens)
	case r.CachedTokens < 0 || r.CachedTokens >= r.InputTokens:
		return fmt.Errorf("cached is %d tokens; allowed is 0 to below the input of %d", r.CachedTokens, r.InputTokens)
	}
	return nil
}

func (f *file) trace() (*Trace, error) {
	if f.more > 0 {
		f.errs = append(f.errs, fmt.Errorf("trace: %s: %d more rows like these", f.name, f.more))
	}
	if len(f.errs) > 0 {
		return nil, errors.Join(f.errs...)
	}
	if len(f.rows.rows) == 0 {
		return nil, fmt.Errorf("trace: %s holds no request", f.name)
	}
	t := &f.rows
	t.settle()
	if t.length > maxFile {
		return nil, fmt.Errorf("trace: %s covers %v; allowed is up to %v", f.name, t.length.Round(time.Second), maxFile)
	}
	for why, n := range f.skipped {
		t.Notes = append(t.Notes, fmt.Sprintf("%d rows %s and were left out", n, why))
	}
	slices.Sort(t.Notes)
	return t, nil
}

func allowedColumns() string {
	return strings.Join([]string{"arrival_s,input,output (plain)", "TIMESTAMP,ContextTokens,GeneratedTokens (azure)", "Timestamp,Request tokens,Response tokens (burstgpt)"}, ", ")
}
