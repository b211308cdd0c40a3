package calibrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/internal/wrongtype"
)

// packVersion is of the packed form; another one is not read, and learning starts from the prior.
const packVersion = 1

// MaxPacked is more bytes than a packed Online takes.
const MaxPacked = 2048

// packed is Online in few bytes: seven digits of each number, the half of the symmetric precision, no counts of refusals.
type packed struct {
	Version     int       `json:"v"`
	Of          string    `json:"of"`
	Precision   []digits  `json:"p"`
	Shift       []digits  `json:"s"`
	Ratios      []digits  `json:"r"`
	Weight      digits    `json:"w"`
	Used        int       `json:"n"`
	Work        [5]digits `json:"k"`
	PriorError  digits    `json:"ep"`
	LearntError digits    `json:"el"`
	Batches     bool      `json:"b,omitempty"`
	InUse       []digits  `json:"u,omitempty"`
	UsedThen    int       `json:"un,omitempty"`
	Then        [4]digits `json:"t"`
}

// digits is a number that is written with seven of them.
type digits float64

// MarshalJSON writes seven significant digits.
func (d digits) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(d)) || math.IsInf(float64(d), 0) {
		return nil, errors.New("not a number")
	}
	return strconv.AppendFloat(nil, float64(d), 'g', 7, 64), nil
}

// Pack writes what survives a restart, in at most MaxPacked bytes.
func (o Online) Pack() (string, error) {
	p := packed{
		Version: packVersion, Of: o.Of, Shift: short(o.Shift), Ratios: short(o.Ratios), Weight: digits(o.Weight), Used: o.Used, Batches: o.Batches,
		Work:       [5]digits{digits(o.Work.Tokens), digits(o.Work.CachedTokens), digits(o.Work.LengthSCV), digits(o.Work.Sequences), digits(o.Work.ContextTokens)},
		PriorError: digits(o.PriorError), LearntError: digits(o.LearntError), InUse: short(o.InUse.Ratios), UsedThen: o.InUse.Observations,
		Then: [4]digits{digits(o.InUse.PriorError), digits(o.InUse.LearntError), digits(o.InUse.StepRatio), digits(o.InUse.Uncertainty)},
	}
	for i, row := range o.Precision {
		p.Precision = append(p.Precision, short(row[i:])...)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("what was learnt could not be written: %w", err)
	}
	if len(text) > MaxPacked {
		return "", fmt.Errorf("what was learnt takes %d bytes: allowed is up to %d", len(text), MaxPacked)
	}
	return string(text), nil
}

// Unpack reads what Pack wrote of one role. An error means that learning has to start from the prior.
func Unpack(kind Kind, text string) (Online, error) {
	if len(text) > MaxPacked {
		return Online{}, fmt.Errorf("%d bytes: allowed is up to %d", len(text), MaxPacked)
	}
	var p packed
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return Online{}, wrongtype.Explain(err)
	}
	n := len(p.Ratios)
	switch {
	case p.Version != packVersion:
		return Online{}, fmt.Errorf("version is %d: allowed is %d", p.Version, packVersion)
	case kind != Prefill && kind != Decode:
		return Online{}, fmt.Errorf("kind is %q: allowed is %s or %s", kind, Prefill, Decode)
	case n == 0 || len(p.Shift) != n || len(p.Precision) != n*(n+1)/2 || len(p.InUse) != 0 && len(p.InUse) != n:
		return Online{}, fmt.Errorf("%d ratios, %d in use, %d shifts and a precision of %d numbers: they are not of one model", n, len(p.InUse), len(p.Shift), len(p.Precision))
	case p.Used < 0 || p.UsedThen < 0 || p.Weight < 0:
		return Online{}, errors.New("a count is negative")
	}
	o := Online{
		Of: p.Of, Used: p.Used, Batches: p.Batches, PriorError: float64(p.PriorError), LearntError: float64(p.LearntError),
		State: State{
			regression: regression{Precision: make([][]float64, n), Shift: long(p.Shift)}, Ratios: long(p.Ratios), Residual: intervalNoise,
			Weight: float64(p.Weight), PadTokens: 1,
		},
		Work: Observation{Kind: kind, Tokens: float64(p.Work[0]), CachedTokens: float64(p.Work[1]), LengthSCV: float64(p.Work[2]),
			Sequences: float64(p.Work[3]), ContextTokens: float64(p.Work[4])},
		InUse: InUse{Ratios: long(p.InUse), Observations: p.UsedThen, PriorError: float64(p.Then[0]), LearntError: float64(p.Then[1]),
			StepRatio: float64(p.Then[2]), Uncertainty: float64(p.Then[3])},
	}
	at := 0
	for i := range n {
		o.Precision[i] = make([]float64, n)
		for j := i; j < n; j++ {
			o.Precision[i][j] = float64(p.Precision[at])
			at++
		}
		for j := range i {
			o.Precision[i][j] = o.Precision[j][i]
		}
	}
	if _, err := o.covariance(); err != nil {
		return Online{}, err
	}
	for _, x := range append(o.Ratios, o.InUse.Ratios...) {
		if !(x >= 0 && x <= MostRatio*(1+1e-6)) {
			return Online{}, fmt.Errorf("a ratio to the prior is %v: allowed is 0 to %v", x, MostRatio)
		}
	}
	return o, nil
}

func short(values []float64) (out []digits) {
	for _, v := range values {
		out = append(out, digits(v))
	}
	return out
}

func long(values []digits) (out []float64) {
	for _, v := range values {
		out = append(out, float64(v))
	}
	return out
}
