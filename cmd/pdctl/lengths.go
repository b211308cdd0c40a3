package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// countedLengths are the lengths of a file's requests.
type countedLengths struct {
	input, output capacity.Lengths
	// cachedShare is of the input tokens; 0 where the file does not say.
	cachedShare float64
}

// readLengths reads --lengths. What the file says of reused tokens stands unless --cached-share says otherwise.
func (o *planOptions) readLengths(cmd *cobra.Command) error {
	if o.lengths == "" {
		return nil
	}
	file, err := os.Open(o.lengths)
	if err != nil {
		return usageError("--lengths: %w", err)
	}
	defer file.Close()
	if o.counted, err = countLengths(file); err != nil {
		return usageError("--lengths %s: %w", o.lengths, err)
	}
	o.input.value, o.output.value = o.counted.input.Mean, o.counted.output.Mean
	o.inputSCV.value, o.outputSCV.value = o.counted.input.SCV, o.counted.output.SCV
	if !cmd.Flags().Changed("cached-share") {
		o.cachedShare.value = o.counted.cachedShare
	}
	return nil
}

// maxLengths keeps a wrong file from being read at length: some weeks of a busy service.
const maxLengths = 20_000_000

// countLengths reads a CSV file with the columns input and output in tokens, and cached where there is one; others are passed
// over. A row that is no request is refused by its line.
func countLengths(r io.Reader) (*countedLengths, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord, rows.FieldsPerRecord, rows.TrimLeadingSpace = true, 0, true
	header, err := rows.Read()
	if err != nil {
		return nil, csvError(err)
	}
	columns := map[string]int{"input": -1, "output": -1, "cached": -1}
	for name := range columns {
		columns[name] = slices.IndexFunc(header, func(h string) bool {
			return strings.EqualFold(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")), name)
		})
	}
	for _, name := range []string{"input", "output"} {
		if columns[name] < 0 {
			return nil, fmt.Errorf("the header has no column %q: needed are input and output, in tokens", name)
		}
	}
	var input, output []float64
	var asked, reused float64
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, csvError(err)
		}
		line, _ := rows.FieldPos(0)
		in, err := tokensAt(row, columns["input"], "input", 1, line)
		if err != nil {
			return nil, err
		}
		out, err := tokensAt(row, columns["output"], "output", 1, line)
		if err != nil {
			return nil, err
		}
		if columns["cached"] >= 0 {
			cached, err := tokensAt(row, columns["cached"], "cached", 0, line)
			if err != nil {
				return nil, err
			}
			if cached > in {
				return nil, fmt.Errorf("line %d: cached is %v of %v input tokens: allowed is up to all of them", line, cached, in)
			}
			reused += cached
		}
		asked += in
		input, output = append(input, in), append(output, out)
		if len(input) > maxLengths {
			return nil, fmt.Errorf("more than %d requests: give a part of them", maxLengths)
		}
	}
	if len(input) < 2 {
		return nil, fmt.Errorf("it holds %d requests: allowed are 2 or more", len(input))
	}
	return &countedLengths{input: counted(input), output: counted(output), cachedShare: min(reused/asked, 0.999)}, nil
}

// tokensAt is a count of tokens in a row.
func tokensAt(row []string, column int, name string, least float64, line int) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(row[column]), 64)
	if err != nil || !(v >= least && v <= maxTokens) {
		return 0, fmt.Errorf("line %d: %s is %q: allowed is a number of tokens from %g to %d", line, name, row[column], least, int(maxTokens))
	}
	return v, nil
}

// counted is the distribution of lengths, with the mean and the variation that they have themselves.
func counted(lengths []float64) capacity.Lengths {
	mean, second := 0.0, 0.0
	for _, n := range lengths {
		mean += n / float64(len(lengths))
		second += n * n / float64(len(lengths))
	}
	return capacity.Lengths{Mean: mean, SCV: max(0, second/(mean*mean)-1), Histogram: capacity.NewHistogram(lengths)}
}

func csvError(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it is empty: needed is a header with input and output")
	}
	return fmt.Errorf("not a CSV file: %w", err)
}
