package calibrate

import (
	"fmt"
	"math"
)

// tpDeviation is how far a ratio learnt at one TP may be off at twice or half of it: weight reads at TP 4 spread over
// 0.53..0.80 of peak bandwidth in kernel tables, 0.67..0.86 at TP 1, which leaves about 5 % per doubling.
const tpDeviation = 0.05

// rescale carries what was learnt over to another TP: the new roofline, with
//
//   - the ratios of what GPUs share in proportion (weight read, matrix products, attention, KV read, bytes transferred);
//   - the milliseconds by which a step's and a transfer's overhead was off, as the engine's own time knows no TP;
//   - the milliseconds by which the work per token was off, divided by the GPUs it is split over; what the all-reduces add
//     at the new TP stays the roofline's.
func (c *Calibration) rescale(tp int) (*Calibration, error) {
	o := c.options
	from := float64(max(c.options.TP, 1))
	o.TP = tp
	to, err := New(c.model, c.gpu, o)
	if err != nil {
		return nil, err
	}
	to.Keep, to.Frozen, to.Image, to.Counts = c.Keep, c.Frozen, c.Image, c.Counts
	for kind, p := range to.phases {
		learnt, old := c.States[kind], c.phases[kind]
		s := to.States[kind]
		gain := make([]float64, len(p.names)) // of the new ratio's distance from 1 over the old one's
		for i, name := range p.names {
			switch name {
			case "overheadMs", "latencyMs":
				gain[i] = old.prior[i] / p.prior[i]
			case "perTokenMs", "perSequenceMs":
				gain[i] = old.prior[i] / p.prior[i] * from / float64(tp)
			default:
				gain[i] = 1
			}
			s.Ratios[i] = min(max(1+gain[i]*(learnt.Ratios[i]-1), p.spread.Low[i]), p.spread.High[i])
		}
		covariance, err := learnt.covariance()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		doublings := math.Log2(float64(tp) / from)
		for i, row := range covariance {
			for j := range row {
				row[j] *= gain[i] * gain[j]
			}
			row[i] += tpDeviation * tpDeviation * doublings * doublings
		}
		if err := s.set(covariance); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		s.Residual, s.PadTokens, s.Weight = learnt.Residual, learnt.PadTokens, learnt.Weight
		to.States[kind] = s
	}
	return to, nil
}
