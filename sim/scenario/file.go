package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// File is a scenario as it is written. docs/scenario.md explains each key.
type File struct {
	Model    string    `yaml:"model"`
	GPU      string    `yaml:"gpu"`
	Fit      string    `yaml:"fit"`
	Prefill  Prefill   `yaml:"prefill"`
	Decode   Decode    `yaml:"decode"`
	Link     *Link     `yaml:"link"`
	Routing  string    `yaml:"routing"`
	Traffic  Traffic   `yaml:"traffic"`
	SLO      SLO       `yaml:"slo"`
	Budget   Budget    `yaml:"budget"`
	Startup  ByRole    `yaml:"startup"`
	Drain    ByRole    `yaml:"drain"`
	Readings Readings  `yaml:"readings"`
	Faults   []Fault   `yaml:"faults"`
	Interval *Duration `yaml:"interval"`
	Planner  Planner   `yaml:"planner"`
	Policies []string  `yaml:"policies"`
	Seed     *uint64   `yaml:"seed"`
}

// Role is what both roles have.
type Role struct {
	GPU      string `yaml:"gpu"`
	TP       *int   `yaml:"tp"`
	Replicas *int   `yaml:"replicas"`
	Min      *int   `yaml:"min"`
	Max      *int   `yaml:"max"`
	KVTokens int    `yaml:"kvTokens"`
}

// Prefill is the prefill role.
type Prefill struct {
	Role           `yaml:",inline"`
	Batching       string `yaml:"batching"`
	MaxBatchTokens int    `yaml:"maxBatchTokens"`
	PadTokens      int    `yaml:"padTokens"`
	KVTransfer     string `yaml:"kvTransfer"`
	// CacheTokens is what a replica keeps of prefix blocks.
	CacheTokens int `yaml:"cacheTokens"`
}

// Decode is the decode role.
type Decode struct {
	Role    `yaml:",inline"`
	MaxSeqs int `yaml:"maxSeqs"`
}

// Link carries KV caches from one replica to another.
type Link struct {
	Gbps    float64  `yaml:"gbps"` // 10^9 bits per second
	Latency Duration `yaml:"latency"`
}

// Traffic is a trace file or a generator, and others that play with it and after it.
type Traffic struct {
	Part `yaml:",inline"`
	With []Part `yaml:"with"`
	Then []Part `yaml:"then"`
}

// Part is one trace file or generator.
type Part struct {
	Trace     string     `yaml:"trace"`
	Format    string     `yaml:"format"`
	RateScale *float64   `yaml:"rateScale"`
	Speed     *float64   `yaml:"speed"`
	Start     Duration   `yaml:"start"`
	Duration  Duration   `yaml:"duration"`
	Repeat    *int       `yaml:"repeat"`
	Generator *Generator `yaml:"generator"`
	// Lengths are those of clients whose rates come without.
	Lengths *Shape `yaml:"lengths"`
}

// Generator is synthetic traffic.
type Generator struct {
	Duration    Duration `yaml:"duration"`
	Curve       string   `yaml:"curve"`
	Rate        float64  `yaml:"rate"`
	Amplitude   float64  `yaml:"amplitude"`
	Period      Duration `yaml:"period"`
	Steps       []Step   `yaml:"steps"`
	Arrivals    string   `yaml:"arrivals"`
	ArrivalSCV  float64  `yaml:"arrivalSCV"`
	Shape       `yaml:",inline"`
	Other       *Shape   `yaml:"other"`
	SwingPeriod Duration `yaml:"swingPeriod"`
}

// Step is a rate from a time on.
type Step struct {
	At   Duration `yaml:"at"`
	Rate float64  `yaml:"rate"`
}

// Shape is one kind of request.
type Shape struct {
	Input       Tokens  `yaml:"input"`
	Output      Tokens  `yaml:"output"`
	CachedShare float64 `yaml:"cachedShare"`
}

// Tokens is a distribution of lengths.
type Tokens struct {
	Mean float64 `yaml:"mean"`
	SCV  float64 `yaml:"scv"`
	Max  int     `yaml:"max"`
}

// SLO is what the service promises, each as one percentile.
type SLO struct {
	TTFT       map[string]Duration `yaml:"ttft"`
	TPOT       map[string]Duration `yaml:"tpot"`
	TTFTEndsAt string              `yaml:"ttftEndsAt"`
}

// Budget bounds what is held.
type Budget struct {
	GPUs int `yaml:"gpus"`
}

// ByRole is a time for each role.
type ByRole struct {
	Prefill *Duration `yaml:"prefill"`
	Decode  *Duration `yaml:"decode"`
}

// Readings says how the service is read.
type Readings struct {
	Scrape  *Duration `yaml:"scrape"`
	Window  *Duration `yaml:"window"`
	MaxAge  *Duration `yaml:"maxAge"`
	Noise   float64   `yaml:"noise"`
	Outages []Outage  `yaml:"outages"`
}

// Outage is a time without readings.
type Outage struct {
	At  Duration `yaml:"at"`
	For Duration `yaml:"for"`
}

// Fault is one thing that goes wrong.
type Fault struct {
	Kind     string   `yaml:"kind"`
	Role     string   `yaml:"role"`
	At       Duration `yaml:"at"`
	For      Duration `yaml:"for"`
	Replicas int      `yaml:"replicas"`
}

// Planner changes how the project's planner behaves, as the resource's spec.behavior does.
type Planner struct {
	DownWindow *Duration `yaml:"downWindow"`
	Headroom   *float64  `yaml:"headroom"`
	Tolerance  *float64  `yaml:"tolerance"`
	Startup    *Duration `yaml:"startup"`
	Rebalance  *bool     `yaml:"rebalance"`
}

// Duration is a Go duration: 90s, 15m, 1h30m.
type Duration struct{ time.Duration }

// UnmarshalYAML reads a duration. It must not be negative.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	v, err := time.ParseDuration(node.Value)
	if node.Value == "0" {
		v, err = 0, nil
	}
	if err != nil || v < 0 || node.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: %q is no duration; allowed is a Go duration of 0s or more, such as 90s or 1h30m", node.Line, node.Value)
	}
	d.Duration = v
	return nil
}

func (d *Duration) or(otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

// unknownKey is how the YAML library words a key that no field has.
var unknownKey = regexp.MustCompile(`line (\d+): field (\S+) not found in type \S+`)

// wrongType is how the YAML library words a value that its key does not take.
var wrongType = regexp.MustCompile("cannot unmarshal !!\\w+ (?:`(.*)` )?into (\\S+)")

// kinds are the types of keys in words.
var kinds = map[string]string{
	"int": "a whole number", "*int": "a whole number", "uint64": "a whole number of 0 or more", "float64": "a number", "bool": "true or false",
	"string": "a word", "[]string": "a list of words",
}

// reword says of a value what its key takes.
func reword(line string) string {
	return wrongType.ReplaceAllStringFunc(line, func(found string) string {
		parts := wrongType.FindStringSubmatch(found)
		value, kind := "this", kinds[parts[2]]
		if parts[1] != "" {
			value = strconv.Quote(parts[1])
		}
		switch {
		case kind != "":
		case strings.HasPrefix(parts[2], "[]"):
			kind = "a list"
		default:
			kind = "keys and values in braces or on lines of their own"
		}
		return value + " is not what the key takes; allowed is " + kind
	})
}

// Parse reads a scenario; name stands for it in errors.
func Parse(data []byte, name string) (*File, error) {
	var f File
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&f); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is empty; model, gpu, traffic and slo are needed", name)
	} else if err != nil {
		return nil, worded(name, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s holds more than one document; allowed is one", name)
	}
	if err := wholeNumbers(data, reflect.TypeFor[File]()); err != nil {
		return nil, worded(name, err)
	}
	return &f, nil
}

// worded turns the library's errors into a sentence each, with file and line.
func worded(name string, err error) error {
	var all []error
	lines := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if wrong := (*yaml.TypeError)(nil); errors.As(err, &wrong) {
		lines = wrong.Errors
	}
	for _, line := range lines {
		line = unknownKey.ReplaceAllString(line, "line $1: key $2 is unknown; docs/scenario.md lists those that are allowed")
		line = reword(line)
		if place, rest, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(place, "line ") {
			all = append(all, fmt.Errorf("%s %s: %s", name, place, rest))
			continue
		}
		all = append(all, fmt.Errorf("%s: %s", name, line))
	}
	return errors.Join(all...)
}

// percentile reads the one objective of a map such as {p95: 2s}.
func percentile(key string, m map[string]Duration) (quantile, ms float64, err error) {
	wrong := fmt.Errorf("slo.%s: allowed is one percentile above p0 and below p100 with a time above 0s, such as {p95: 2s}", key)
	if len(m) != 1 {
		return 0, 0, wrong
	}
	for name, d := range m {
		p, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
		if err != nil || !strings.HasPrefix(name, "p") || !(p > 0 && p < 100) || d.Duration <= 0 {
			return 0, 0, wrong
		}
		quantile, ms = math.Round(p*1e9)/1e11, float64(d.Duration)/float64(time.Millisecond)
	}
	return quantile, ms, nil
}
