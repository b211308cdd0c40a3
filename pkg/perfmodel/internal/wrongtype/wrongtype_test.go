package wrongtype

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestExplainNamesTheFieldWithoutGo(t *testing.T) {
	type inner struct {
		Bits *int `json:"bits"`
	}
	type file struct {
		Layers int      `json:"layers"`
		Tied   bool     `json:"tied"`
		Ratio  float64  `json:"ratio"`
		Kinds  []string `json:"kinds"`
		Inner  inner    `json:"inner"`
	}
	for text, want := range map[string]string{
		`{"layers": "64"}`:         "layers is a JSON string: allowed is a whole number",
		`{"layers": 6.5}`:          "layers is a JSON number 6.5: allowed is a whole number",
		`{"tied": 1}`:              "tied is a JSON number: allowed is true or false",
		`{"ratio": 1e999}`:         "ratio is a JSON number 1e999: allowed is a number that a float64 holds",
		`{"kinds": {}}`:            "kinds is a JSON object: allowed is a list",
		`{"kinds": [7]}`:           "kinds is a JSON number: allowed is a text in quotes",
		`{"inner": []}`:            "inner is a JSON array: allowed is an object",
		`{"inner": {"bits": "4"}}`: "inner.bits is a JSON string: allowed is a whole number",
		`[]`:                       "the file is a JSON array: allowed is an object",
	} {
		if err := Explain(json.Unmarshal([]byte(text), new(file))); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	other := errors.New("something else")
	if got := Explain(other); !errors.Is(got, other) {
		t.Errorf("an error of another kind becomes %v", got)
	}
}
