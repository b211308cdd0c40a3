package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// maxRecordBytes bounds a file of records: a record is some ten kilobytes, so that this is days of decisions.
const maxRecordBytes = 256 << 20

// ReadRecords reads decision records: one, a list of them, or several one after another (JSON lines). name is what r is
// called in errors. Every record must be of planner.RecordVersion or older and must hold nothing that this program does not know:
// what is not understood cannot be replayed. Each error is one sentence that names the place, as name:line:column.
func ReadRecords(r io.Reader, name string) ([]planner.Record, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRecordBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s could not be read: %w", name, err)
	}
	if len(data) > maxRecordBytes {
		return nil, fmt.Errorf("%s is larger than %d MiB: save fewer decisions in one file", name, maxRecordBytes>>20)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // editors of another system begin files with it
	records, err := parseRecords(data)
	if fault, ok := errors.AsType[*jsonError](err); ok {
		line, column := position(data, fault.offset)
		return nil, fmt.Errorf("%s:%d:%d: %s", name, line, column, oneLine(fault.message))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return records, nil
}

// oneLine shows control characters of a file's own words as what they are: a
// key may hold a line break.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func parseRecords(data []byte) ([]planner.Record, error) {
	start := skipSpace(data, 0)
	if start == len(data) {
		return nil, &jsonError{start, "no decision record in here: it is empty"}
	}
	var records []planner.Record
	one := func(at int) (end int, err error) {
		record, end, err := parseRecord(data, at, len(records)+1)
		records = append(records, record)
		return end, err
	}
	if data[start] != '[' {
		for at := start; at < len(data); at = skipSpace(data, at) {
			end, err := one(at)
			if err != nil {
				return nil, err
			}
			at = end
		}
		return records, nil
	}
	at := skipSpace(data, start+1)
	if at < len(data) && data[at] == ']' {
		return nil, &jsonError{start, "no decision record in here: the list is empty"}
	}
	for {
		end, err := one(at)
		if err != nil {
			return nil, err
		}
		at = skipSpace(data, end)
		switch {
		case at == len(data):
			return nil, &jsonError{at, "the JSON ends in the middle: it was cut off"}
		case data[at] == ',':
			at = skipSpace(data, at+1)
		case data[at] == ']':
			return records, newTail(data, at+1)
		default:
			return nil, &jsonError{at, "not JSON: a comma or ] was expected after a record"}
		}
	}
}

// parseRecord reads the record that begins at an offset, the n-th of its file.
func parseRecord(data []byte, at, n int) (record planner.Record, end int, err error) {
	which := fmt.Sprintf("record %d", n)
	named := func(err error) error {
		if fault, ok := errors.AsType[*jsonError](err); ok {
			return &jsonError{fault.offset, which + ": " + fault.message}
		}
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data[at:]))
	var outline struct {
		Version  json.RawMessage `json:"version"`
		Input    json.RawMessage `json:"input"`
		Decision json.RawMessage `json:"decision"`
	}
	if err := dec.Decode(&outline); err == nil {
		if message := wrongOutline(outline.Version, outline.Input, outline.Decision); message != "" {
			return record, 0, &jsonError{at, which + " " + message}
		}
	}
	c := newChecker(data, at)
	if err := c.value(reflect.TypeFor[planner.Record](), ""); err != nil {
		return record, 0, named(err)
	}
	end = at + int(c.dec.InputOffset())
	if err := json.Unmarshal(data[at:end], &record); err != nil {
		return record, 0, named(&jsonError{at, "not JSON: " + err.Error()})
	}
	return record, end, nil
}

// wrongOutline says what keeps an object from being a record of this version, or nothing. It is asked before the fields
// are looked at: a newer record may well have fields that are unknown here, and its version is the true reason.
func wrongOutline(version, input, decision json.RawMessage) string {
	form := fmt.Sprintf(`a decision record is {"version": %d, "input": {...}, "decision": {...}}`, planner.RecordVersion)
	switch {
	case version == nil:
		return "has no version: " + form
	case input == nil:
		return "has no input: " + form
	case decision == nil:
		return "has no decision: " + form
	}
	var v int
	if err := json.Unmarshal(version, &v); err != nil || v < 1 {
		return fmt.Sprintf("has version %s: allowed is 1 to %d", strings.TrimSpace(string(version)), planner.RecordVersion)
	}
	if v > planner.RecordVersion {
		return fmt.Sprintf("has version %d and this program reads version %d: use the pdctl of the release that wrote it", v, planner.RecordVersion)
	}
	return ""
}

func newTail(data []byte, at int) error {
	if rest := skipSpace(data, at); rest < len(data) {
		return &jsonError{rest, "more text follows after the list of records"}
	}
	return nil
}

func skipSpace(data []byte, at int) int {
	for at < len(data) && strings.IndexByte(" \t\r\n", data[at]) >= 0 {
		at++
	}
	return at
}

// position turns an offset into a line and a column, both from 1; the column counts bytes.
func position(data []byte, offset int) (line, column int) {
	before := data[:min(offset, len(data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}
