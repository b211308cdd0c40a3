package policy

import (
	"fmt"
	"time"
)

// sageServe is SageServe: every hour a forecast of the traffic, 10 % more than that as the number of instances to come to, and
// in between one instance at a time towards it, as memory says:
//
//	memory use > 0.70   one more, up to the plan
//	memory use < 0.30   one less, down to the plan
//
// beyond the plan only where the traffic is over 5 times or under half of the forecast. The paper's integer programme places
// many models on many kinds of GPU; of one model on one kind it leaves ceil(demand/what one instance serves). The forecast is
// ARIMA(1,1,0) fitted on what each minute brought, and the most that it expects within the hour. Prefill has no memory
// to speak of here: its use is the share of time that it computes. The knob multiplies the forecast.
type sageServe struct {
	profile
	every    time.Duration
	minutes  []float64 // requests/s
	nextPlan time.Duration
	forecast float64 // requests/s, most of the hour
	plan     Counts
}

const (
	sageHour   = time.Hour
	sageBuffer = 1.1
	sageOut    = 0.70
	sageIn     = 0.30
	sageMuch   = 5
	sageLittle = 0.5
)

func newSageServe(s *Setup) Policy { return &sageServe{profile: newProfile(s), every: interval(s)} }

func (p *sageServe) Interval() time.Duration { return p.every }

func (p *sageServe) Decide(in *Input) (Counts, string) {
	s := &in.Seen
	if !s.Fresh || s.OutputTokens == 0 {
		return in.Desired, "no metrics: held"
	}
	if minute := int(in.At / time.Minute); minute > len(p.minutes) || len(p.minutes) == 0 {
		p.minutes = append(p.minutes, s.RequestsPerSecond)
	}
	if in.At >= p.nextPlan {
		p.nextPlan = in.At + sageHour
		p.forecast = mostAhead(p.minutes, int(sageHour/time.Minute))
		rate := p.margin * sageBuffer * p.forecast
		p.plan = Counts{
			max(1, ceil(rate*s.InputTokens/p.prefillTokensPerSecond(s.InputTokens, s.CachedShare))),
			max(1, ceil(rate*s.OutputTokens/p.decodeTokensPerSecond(s.InputTokens+s.OutputTokens/2, p.tpot))),
		}
	}
	much, little := s.RequestsPerSecond > sageMuch*p.forecast, s.RequestsPerSecond < sageLittle*p.forecast
	return Counts{
		sageStep(in.Desired.Prefill, p.plan.Prefill, s.PrefillUtil, much, little),
		sageStep(in.Desired.Decode, p.plan.Decode, s.KVUse, much, little),
	}, fmt.Sprintf("planned %d and %d for %.2f requests/s", p.plan.Prefill, p.plan.Decode, p.forecast)
}

// sageStep goes by one towards the plan, or beyond it where the traffic is nothing like the forecast.
func sageStep(now, plan int, use float64, much, little bool) int {
	switch {
	case use > sageOut && (now < plan || much):
		return now + 1
	case use < sageIn && (now > plan || little):
		return max(1, now-1)
	}
	return now
}

// mostAhead is the most that ARIMA(1,1,0), fitted by least squares, expects of the next steps: differences d, each phi times the
// last. Fewer than four values are too few for it; the last value then stands for all.
func mostAhead(values []float64, steps int) float64 {
	last := values[len(values)-1]
	if len(values) < 4 {
		return last
	}
	products, squares := 0.0, 0.0
	for i := 2; i < len(values); i++ {
		before, now := values[i-1]-values[i-2], values[i]-values[i-1]
		products, squares = products+before*now, squares+before*before
	}
	phi := min(0.99, max(-0.99, ratio(products, squares)))
	most, d := last, last-values[len(values)-2]
	for range steps {
		d *= phi
		last += d
		most = max(most, last)
	}
	return most
}
