package signals

import (
	"bytes"
	"math"
	"strconv"
)

// appendAsText appends one sample or TYPE line of an OpenMetrics page in the
// text format, for the text parser. The two differ in few things: a counter's
// family is named without "_total", some types have other names, a sample may
// end with an exemplar, and its time is in seconds, not milliseconds.
//
// The OpenMetrics decoder of expfmt is not used: it matches each line against a grammar
// in time that grows faster than the square of the line (0.66 s for a label of 800
// characters, measured with v0.73.1), so one page could hold up all others.
func appendAsText(kept, line, name []byte) []byte {
	if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("#")) {
		return appendType(kept, line, name)
	}
	line = bytes.Trim(line, " \t\r\n")
	end := endOfLabels(line, len(name))
	rest, _, _ := bytes.Cut(line[end:], []byte(" # "))
	kept = append(kept, line[:end]...)
	for i, field := range bytes.Fields(rest) {
		kept = append(kept, ' ')
		if seconds, err := strconv.ParseFloat(string(field), 64); i == 1 && err == nil && math.Abs(seconds) < 1e12 {
			kept = strconv.AppendInt(kept, int64(seconds*1000), 10)
			continue
		}
		kept = append(kept, field...) // what is wrong with it, the parser says
	}
	return append(kept, '\n')
}

// appendType appends a TYPE line. Types that the text format does not have are
// left out: their samples are then untyped.
func appendType(kept, line, name []byte) []byte {
	_, kind, _ := bytes.Cut(line, name)
	switch kind = bytes.TrimSpace(kind); string(kind) {
	case "counter":
		kept = append(append(kept, "# TYPE "...), bytes.TrimSuffix(name, []byte("_total"))...)
		return append(kept, "_total counter\n"...)
	case "gauge", "histogram", "summary":
		kept = append(append(append(kept, "# TYPE "...), name...), ' ')
		return append(append(kept, kind...), '\n')
	}
	return append(kept, '\n')
}

// endOfLabels returns where the labels that may begin at start end. A brace in
// a quoted value does not end them.
func endOfLabels(line []byte, start int) int {
	if start >= len(line) || line[start] != '{' {
		return start
	}
	quoted := false
	for i := start; i < len(line); i++ {
		switch {
		case line[i] == '\\' && quoted:
			i++
		case line[i] == '"':
			quoted = !quoted
		case line[i] == '}' && !quoted:
			return i + 1
		}
	}
	return len(line)
}
