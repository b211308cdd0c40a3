package calibrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/internal/wrongtype"
)

// FitVersion is the version of the fit file that is written, and the only one that is read.
const FitVersion = 1

// Fit is the file of a calibration: all that is needed to predict with it, to go on learning, and to see what was learnt.
type Fit struct {
	Version int    `json:"version"`
	Model   string `json:"model"`
	GPU     string `json:"gpu"`
	TP      int    `json:"tp"`
	// Image is the engine's image and version that was measured; empty where nobody said.
	Image string `json:"image,omitempty"`
	// DP and PP are as of perfmodel.Options.
	DP int `json:"dp"`
	PP int `json:"pp"`
	// Shape tells models of one name apart, and finds one again that goes by another.
	Shape                 perfmodel.Model `json:"shape"`
	WeightBytesPerElement float64         `json:"weightBytesPerElement"`
	KVBytesPerElement     float64         `json:"kvBytesPerElement"`
	// Prior is what the roofline believed, Posterior what the observations made of it.
	Prior     Phases[Estimates] `json:"prior"`
	Posterior Phases[Estimates] `json:"posterior"`
	// Covariance is of the ratios of the posterior's values to the prior's.
	Covariance Phases[Covariance] `json:"covariance"`
	// Prefill, Decode and KVTransfer are the posterior as predictions use it.
	Prefill      PrefillFit         `json:"prefill"`
	Decode       DecodeFit          `json:"decode"`
	KVTransfer   KVTransferFit      `json:"kvTransfer"`
	Observations Phases[FitReading] `json:"observations"`
}

// Phases holds one of each kind.
type Phases[T any] struct {
	Prefill    T `json:"prefill"`
	Decode     T `json:"decode"`
	KVTransfer T `json:"kvTransfer"`
}

func (p *Phases[T]) of(kind Kind) *T {
	switch kind {
	case Prefill:
		return &p.Prefill
	case Decode:
		return &p.Decode
	}
	return &p.KVTransfer
}

// Estimates are by the coefficient's name.
type Estimates map[string]Estimate

// Estimate is a value with its standard deviation, in the unit that the coefficient's name says.
type Estimate struct {
	Value float64 `json:"value"`
	SD    float64 `json:"sd"`
}

// Covariance is a square matrix and the names of its rows.
type Covariance struct {
	Names  []string    `json:"names"`
	Matrix [][]float64 `json:"matrix"`
}

// PrefillFit is the posterior of prefill.
type PrefillFit struct {
	perfmodel.Prefill
	// PadTokens is the multiple that prompts are padded up to; 1 is none.
	PadTokens int `json:"padTokens"`
	// Residual is the relative standard deviation of single readings around the formula.
	Residual float64 `json:"residual"`
}

// DecodeFit is the posterior of decode.
type DecodeFit struct {
	perfmodel.Decode
	Residual float64 `json:"residual"`
}

// KVTransferFit is the posterior of the KV transfer.
type KVTransferFit struct {
	perfmodel.Transfer
	Residual float64 `json:"residual"`
}

// FitReading says what a phase was learnt from.
type FitReading struct {
	Counts
	// Weight is how many readings are behind it, faded ones in part.
	Weight float64 `json:"weight"`
}

// Fit is c's file.
func (c *Calibration) Fit() (Fit, error) {
	if !printable(c.Image) {
		return Fit{}, errImage(c.Image)
	}
	weights, kv := c.options.ElementBytes(c.model)
	f := Fit{
		Version: FitVersion, Model: c.model.Name, GPU: c.gpu.Name, Image: c.Image, TP: max(c.options.TP, 1),
		DP: max(c.options.DP, 1), PP: max(c.options.PP, 1), Shape: c.model,
		WeightBytesPerElement: weights, KVBytesPerElement: kv,
	}
	for kind, p := range c.phases {
		s := c.States[kind]
		covariance, err := s.covariance()
		if err != nil {
			return Fit{}, fmt.Errorf("%s: %w", kind, err)
		}
		*f.Covariance.of(kind) = Covariance{p.names, covariance}
		prior, posterior := Estimates{}, Estimates{}
		for i, name := range p.names {
			prior[name] = Estimate{p.prior[i], p.prior[i] * math.Sqrt(p.spread.Covariance[i][i])}
			posterior[name] = Estimate{p.prior[i] * s.Ratios[i], p.prior[i] * math.Sqrt(max(0, covariance[i][i]))}
		}
		*f.Prior.of(kind), *f.Posterior.of(kind) = prior, posterior
		counts := *c.Counts[kind]
		counts.Ignored = maps.Clone(counts.Ignored)
		*f.Observations.of(kind) = FitReading{counts, s.Weight}
	}
	r := c.Replica()
	f.Prefill = PrefillFit{r.Prefill, c.States[Prefill].PadTokens, c.States[Prefill].Residual}
	f.Decode = DecodeFit{r.Decode, c.States[Decode].Residual}
	f.KVTransfer = KVTransferFit{r.Transfer, c.States[KVTransfer].Residual}
	return f, nil
}

// ParseFit reads a fit file. It refuses what no calibration has written.
func ParseFit(raw []byte) (Fit, error) {
	f, err := parseFit(raw)
	if err != nil {
		return Fit{}, fmt.Errorf("fit file: %w", err)
	}
	return f, nil
}

// maxFitBytes is far above any fit file.
const maxFitBytes = 1 << 20

func parseFit(raw []byte) (f Fit, err error) {
	if len(raw) > maxFitBytes {
		return f, fmt.Errorf("%d bytes: allowed is up to %d", len(raw), maxFitBytes)
	}
	var version struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return f, fmt.Errorf("not a JSON object: %w", wrongtype.Explain(err))
	}
	if version.Version == nil || *version.Version != FitVersion {
		got := "missing"
		if version.Version != nil {
			got = fmt.Sprint(*version.Version)
		}
		return f, fmt.Errorf("version is %s: allowed is %d", got, FitVersion)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, wrongtype.Explain(err)
	}
	return f, f.validate()
}

func (f *Fit) validate() error {
	switch {
	case f.Model == "" || f.GPU == "":
		return errors.New("model or gpu is missing")
	case !printable(f.Image):
		return errImage(f.Image)
	case f.TP < 1 || f.TP > 1024:
		return fmt.Errorf("tp is %d: allowed is 1 to 1024", f.TP)
	case f.DP < 1 || f.DP > 1024 || f.PP < 1 || f.PP > 1024:
		return fmt.Errorf("dp is %d and pp is %d: allowed is 1 to 1024", f.DP, f.PP)
	case f.Prefill.PadTokens < 1 || f.Prefill.PadTokens > 1<<16:
		return fmt.Errorf("prefill.padTokens is %d: allowed is 1 to %d", f.Prefill.PadTokens, 1<<16)
	}
	used := Phases[[]float64]{f.Prefill.Coefficients(), f.Decode.Coefficients(), f.KVTransfer.Coefficients()}
	residual := Phases[float64]{f.Prefill.Residual, f.Decode.Residual, f.KVTransfer.Residual}
	names := Phases[[]string]{perfmodel.PrefillNames[:], perfmodel.DecodeNames[:], perfmodel.TransferNames[:]}
	for _, kind := range Kinds() {
		if r := *residual.of(kind); !(r > 0 && r <= 1) {
			return fmt.Errorf("%s.residual is %v: allowed is above 0 up to 1", kind, r)
		}
		if err := f.validatePhase(kind, *names.of(kind), *used.of(kind)); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// maxImage is above any image with its digest.
const maxImage = 512

func errImage(image string) error {
	return fmt.Errorf("image is %.50q: allowed are up to %d printable characters", image, maxImage)
}

func printable(image string) bool {
	return len(image) <= maxImage && !strings.ContainsFunc(image, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (f *Fit) validatePhase(kind Kind, names []string, used []float64) error {
	prior, posterior, covariance := *f.Prior.of(kind), *f.Posterior.of(kind), f.Covariance.of(kind)
	if len(prior) != len(names) || len(posterior) != len(names) || !slices.Equal(covariance.Names, names) || len(covariance.Matrix) != len(names) {
		return fmt.Errorf("prior, posterior and covariance must each hold the %d coefficients %v", len(names), names)
	}
	for i, name := range names {
		before, ok := prior[name]
		after, alsoOK := posterior[name]
		switch {
		case !ok || !alsoOK:
			return fmt.Errorf("coefficient %s is missing", name)
		case !(before.Value > 0 && before.Value <= 1e9 || before.Value == 0 && after.Value == 0 && mayBeAbsent(name)):
			return fmt.Errorf("the prior of %s is %v: allowed is above 0 up to 1e9", name, before.Value)
		case !(after.Value >= 0 && after.Value <= 1e9):
			return fmt.Errorf("the posterior of %s is %v: allowed is 0 to 1e9", name, after.Value)
		case math.Abs(used[i]-after.Value) > 1e-6*after.Value:
			return fmt.Errorf("%s is %v, but its posterior is %v: they must be the same", name, used[i], after.Value)
		case len(covariance.Matrix[i]) != len(names):
			return fmt.Errorf("row %d of the covariance has %d numbers: allowed is %d", i, len(covariance.Matrix[i]), len(names))
		}
		for j, v := range covariance.Matrix[i] {
			if !(math.Abs(v) <= 1e6) || math.Abs(v-covariance.Matrix[j][i]) > 1e-9+1e-6*math.Abs(v) {
				return fmt.Errorf("the covariance is not a symmetric matrix of numbers at row %d, column %d", i, j)
			}
		}
	}
	if _, err := inverse(covariance.Matrix); err != nil {
		return err
	}
	return nil
}

// mayBeAbsent tells the coefficients that some models do not have.
func mayBeAbsent(name string) bool { return name == "expertReadMs" }

// Restore is the calibration that f is the file of, for the TP of o: another TP than f's is rescaled. It refuses another
// model, GPU, or type of weights or KV cache.
func Restore(f Fit, m perfmodel.Model, g perfmodel.GPU, o perfmodel.Options) (*Calibration, error) {
	shape := f.Shape
	shape.Name = m.Name
	weights, kv := o.ElementBytes(m)
	switch {
	case shape != m:
		return nil, fmt.Errorf("the fit is of model %q, not of %q: fit that one, or go without a fit", f.Model, m.Name)
	case f.GPU != g.Name:
		return nil, fmt.Errorf("the fit is of GPU %q, not of %q: fit that one, or go without a fit", f.GPU, g.Name)
	case f.DP != max(o.DP, 1) || f.PP != max(o.PP, 1):
		return nil, fmt.Errorf("the fit is of dp %d and pp %d, not of %d and %d: only another tp is rescaled", f.DP, f.PP, max(o.DP, 1), max(o.PP, 1))
	case f.WeightBytesPerElement != weights || f.KVBytesPerElement != kv:
		return nil, fmt.Errorf("the fit is of %v bytes per weight and %v per KV element, not of %v and %v: fit those, or go without a fit",
			f.WeightBytesPerElement, f.KVBytesPerElement, weights, kv)
	}
	same := o
	same.TP = f.TP
	c, err := New(m, g, same)
	if err != nil {
		return nil, err
	}
	residuals := Phases[float64]{f.Prefill.Residual, f.Decode.Residual, f.KVTransfer.Residual}
	for kind, p := range c.phases {
		s := c.States[kind]
		// What was learnt is relative to the prior of its day.
		p.prior = make([]float64, len(p.names))
		for i, name := range p.names {
			p.prior[i] = (*f.Prior.of(kind))[name].Value
			if p.prior[i] == 0 {
				continue
			}
			s.Ratios[i] = min(max((*f.Posterior.of(kind))[name].Value/p.prior[i], p.spread.Low[i]), p.spread.High[i])
		}
		if err := s.set(f.Covariance.of(kind).Matrix); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		s.Weight, s.Residual, s.PadTokens = f.Observations.of(kind).Weight, *residuals.of(kind), 1
		if kind == Prefill {
			s.PadTokens = f.Prefill.PadTokens
		}
		counts := f.Observations.of(kind).Counts
		counts.Ignored = maps.Clone(counts.Ignored)
		c.Counts[kind] = &counts
		c.States[kind] = s
	}
	c.Image = f.Image
	if tp := max(o.TP, 1); tp != f.TP {
		return c.rescale(tp)
	}
	return c, nil
}

// set makes s know its ratios with the given covariance.
func (s *State) set(covariance [][]float64) error {
	precision, err := inverse(covariance)
	if err != nil {
		return err
	}
	s.regression = regression{Precision: precision, Shift: make([]float64, len(precision))}
	for i, row := range precision {
		s.Shift[i] = dot(row, s.Ratios)
	}
	return nil
}
