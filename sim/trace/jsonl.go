package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

// mooncakeRow is one line of a Mooncake trace. Other fields are passed over:
// Qwen-Bailian's published traces have the same four and more.
type mooncakeRow struct {
	Timestamp *float64 `json:"timestamp"` // ms
	Input     *int64   `json:"input_length"`
	Output    *int64   `json:"output_length"`
	Blocks    []uint64 `json:"hash_ids"`
}

// jsonKinds are the types of the fields in words.
var jsonKinds = map[reflect.Kind]string{
	reflect.Float64: "a number", reflect.Int64: "a whole number", reflect.Uint64: "a list of whole numbers of 0 or more",
	reflect.Slice: "a list of whole numbers of 0 or more", reflect.Struct: "an object",
}

func readMooncake(line []byte) (r Request, skip string, err error) {
	var row mooncakeRow
	if err := json.Unmarshal(line, &row); err != nil {
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return r, "", fmt.Errorf("%s is a %s; allowed is %s", wrong.Field, wrong.Value, jsonKinds[wrong.Type.Kind()])
		}
		return r, "", fmt.Errorf("this is no JSON object in one line: %w", err)
	}
	switch {
	case row.Timestamp == nil || row.Input == nil || row.Output == nil:
		return r, "", errors.New("timestamp (ms), input_length and output_length must all be there")
	case !(*row.Timestamp >= 0 && *row.Timestamp <= float64(math.MaxInt32)*1000):
		return r, "", fmt.Errorf("timestamp is %v; allowed are milliseconds from 0 to %d", *row.Timestamp, int64(math.MaxInt32)*1000)
	case *row.Input < 0 || *row.Input > MaxTokens || *row.Output < 0 || *row.Output > MaxTokens:
		return r, "", fmt.Errorf("input_length is %d and output_length %d; allowed is 1 to %d", *row.Input, *row.Output, MaxTokens)
	case *row.Output == 0:
		return r, "have no output (failed requests)", nil
	case int64(len(row.Blocks)) > *row.Input/BlockTokens+1:
		return r, "", fmt.Errorf("%d hash_ids for %d tokens; a block has %d", len(row.Blocks), *row.Input, BlockTokens)
	}
	for _, id := range row.Blocks {
		if id >= 1<<40 {
			return r, "", fmt.Errorf("hash id %d; allowed is below 2^40", id)
		}
	}
	return Request{
		At:          time.Duration(*row.Timestamp * float64(time.Millisecond)),
		InputTokens: int32(*row.Input), OutputTokens: int32(*row.Output), Blocks: row.Blocks,
	}, "", nil
}
