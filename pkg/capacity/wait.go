package capacity

import "math"

// wait is the distribution of a wait: zero but for a share probability of the requests, whose wait exceeds t with
// probability weight*exp(-t/first) + (1-weight)*exp(-t/second). The two terms give those who wait the first three
// moments that theory does.
type wait struct {
	probability float64
	weight      float64
	first       float64 // ms
	second      float64 // ms
}

// waitShape are the second and the third moment of a wait that is not zero, its mean being 1, over those of an
// exponential one: 1 and 1 for an exponential.
type waitShape struct{ second, third float64 }

// shapeOfWait is that of M/G/1 at a load (Takacs' recursion; exact), from the moments of service. Of c servers, each c times
// as slow, the wait has the same shape (Tijms). With service of mean 1 and moments s2, s3, s4, and of the wait w1, w2, w3:
//
//	w1 = load/(1-load) * s2/2,   w2 = 2*w1^2 + load/(1-load) * s3/3,   w3 = load/(1-load) * (3*s2*w2/2 + s3*w1 + s4/4)
//
// of which the share load waits.
func shapeOfWait(load, s2, s3, s4 float64) waitShape {
	odds := load / (1 - load)
	w1 := odds * s2 / 2
	w2 := 2*w1*w1 + odds*s3/3
	w3 := odds * (3*s2*w2/2 + s3*w1 + s4/4)
	mean := w1 / load
	return waitShape{second: w2 / load / (2 * mean * mean), third: w3 / load / (6 * mean * mean * mean)}
}

// leastWaitSCV is the least of a sum of two exponentials, 0.5, but far enough off that its terms do not cancel.
const leastWaitSCV = 0.52

// newWait has the given mean over all requests, zero waits included, and the shape of those that are not.
func newWait(probability, meanMs float64, shape waitShape) wait {
	if !(probability > 0) || meanMs <= negligibleMs {
		return wait{weight: 1}
	}
	m := meanMs / probability
	w := wait{probability: probability, weight: 1, first: m, second: m}
	a, b := shape.second-1, shape.third-shape.second
	switch {
	case a > 1e-9 && b > 0 && shape.third > shape.second*shape.second:
		// The means of the terms are the roots of a*x^2 - b*x + (third - second^2).
		root := math.Sqrt(max(0, b*b-4*a*(shape.third-shape.second*shape.second)))
		long := (b + root) / (2 * a)
		short := (shape.third - shape.second*shape.second) / (a * long)
		if long > short {
			w.weight, w.first, w.second = (long-1)/(long-short), m*short, m*long
		}
	case a < -1e-9:
		// Less spread than exponential: a sum of two exponentials with the first two moments.
		apart := math.Sqrt(2*max(2*shape.second-1, leastWaitSCV) - 1)
		w.first, w.second = m/2*(1+apart), m/2*(1-apart)
		if apart > 1e-6 {
			w.weight = w.first / (w.first - w.second)
		}
	}
	return w
}

// busyCorrection is Kraemer and Langenbach-Belz's share of requests that wait in GI/G/1 over that of M/G/1, rho: arrivals that
// keep a distance find the server free more often. It is 1 for Poisson arrivals.
func busyCorrection(load, arrivalSCV, serviceSCV float64) float64 {
	off := arrivalSCV - 1
	h := 4 * load / (arrivalSCV + load*load*(4*arrivalSCV+serviceSCV))
	if off < 0 {
		h = (1 + arrivalSCV + load*serviceSCV) / (1 + load*(serviceSCV-1) + load*load*(4*arrivalSCV+serviceSCV))
	}
	return max(0.05, 1+off*(1-load)*h)
}
