package signals

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
)

// promValue is a sample: [1435781430.781, "1"].
type promValue struct {
	at    time.Time
	value float64
}

// UnmarshalJSON reads the pair without going through reflection: an answer has
// some hundred thousand of them.
func (v *promValue) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	seconds, rest, ok := bytes.Cut(bytes.Trim(data, "[]"), []byte(","))
	rest = bytes.TrimSpace(rest)
	if ok && string(rest) == "null" { // VictoriaMetrics writes what is not a number so
		rest = []byte(`"NaN"`)
	}
	if !ok || len(rest) < 2 || rest[0] != '"' || rest[len(rest)-1] != '"' {
		return errors.New("a sample is not a time and a value")
	}
	var err error
	if v.at, err = promTime(seconds); err != nil {
		return err
	}
	v.value, err = strconv.ParseFloat(string(rest[1:len(rest)-1]), 64)
	return err
}

// promTime reads seconds with a fraction. Prometheus knows milliseconds.
func promTime(seconds []byte) (time.Time, error) {
	s, err := strconv.ParseFloat(string(bytes.TrimSpace(seconds)), 64)
	if err != nil || math.Abs(s) > 1e12 || math.IsNaN(s) {
		return time.Time{}, errors.New("a sample has no valid time")
	}
	return time.UnixMilli(int64(math.Round(s * 1000))).UTC(), nil
}

// promHistogram is a sample of a native histogram:
// [1435781430.781, {"count": "5", "sum": "1.5", "buckets": [[0, "0.5", "1", "3"], …]}].
// A bucket is how its bounds are included, the bounds, and how many lie in it.
type promHistogram struct {
	at   time.Time
	hist *buckets
	// wrong says why it cannot be used.
	wrong string
}

// UnmarshalJSON reads the pair.
func (h *promHistogram) UnmarshalJSON(data []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	var err error
	if h.at, err = promTime(pair[0]); err != nil {
		return err
	}
	var got struct {
		Count   string               `json:"count"`
		Sum     string               `json:"sum"`
		Buckets [][4]json.RawMessage `json:"buckets"`
	}
	if err := json.Unmarshal(pair[1], &got); err != nil {
		return err
	}
	native := make([]nativeBucket, len(got.Buckets))
	for i, b := range got.Buckets {
		for j, to := range []*float64{&native[i].low, &native[i].high, &native[i].count} {
			if *to, err = strconv.ParseFloat(string(bytes.Trim(b[j+1], `"`)), 64); err != nil {
				return errors.New("a bucket of a native histogram is not a number")
			}
		}
	}
	count, errCount := strconv.ParseFloat(got.Count, 64)
	sum, errSum := strconv.ParseFloat(got.Sum, 64)
	if errCount != nil || errSum != nil {
		return errors.New("a native histogram has no valid count or sum")
	}
	h.hist, h.wrong = nativeBuckets(native, count, sum)
	return nil
}
