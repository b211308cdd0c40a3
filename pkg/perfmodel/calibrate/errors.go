package calibrate

import "math"

// Errors says how far predictions are from readings.
type Errors struct {
	Rows int `json:"rows"`
	// Mean and Worst are absolute and relative: 0.05 is 5 %.
	Mean  float64 `json:"mean"`
	Worst float64 `json:"worst"`
	// Covered is the share of rows within two stated standard deviations.
	Covered float64 `json:"covered"`
}

// PredictMs is the time that c expects of o's work. o.Ms is not read.
func (c *Calibration) PredictMs(o Observation) float64 {
	p, s := c.phases[o.Kind], c.States[o.Kind]
	if p == nil {
		return math.NaN()
	}
	return p.gradient(c.coefficients(o.Kind), padded([]Observation{o}, s.PadTokens)[0], make([]float64, len(p.prior)))
}

// Errors compares c with the usable rows of one kind.
func (c *Calibration) Errors(kind Kind, rows []Observation) (e Errors) {
	for _, o := range rows {
		if o.Kind != kind || o.check() != "" {
			continue
		}
		off := math.Abs(c.PredictMs(o)/o.Ms - 1)
		e.Rows++
		e.Mean += off
		e.Worst = max(e.Worst, off)
		if off <= 2*c.Uncertainty(o) {
			e.Covered++
		}
	}
	if e.Rows > 0 {
		e.Mean /= float64(e.Rows)
		e.Covered /= float64(e.Rows)
	}
	return e
}
