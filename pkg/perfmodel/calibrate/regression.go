package calibrate

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// huberC is where a residual, in standard deviations, starts to count less than by its square.
const huberC = 2.0

// regression is what is known of a phase's ratios to the prior, in information form.
type regression struct {
	// Precision is V^-1 and Shift V^-1*x, row by row.
	Precision [][]float64 `json:"precision"`
	Shift     []float64   `json:"shift"`
}

// newRegression holds the prior alone: ratios of 1 with the given precision.
func newRegression(precision [][]float64) regression {
	r := regression{Shift: make([]float64, len(precision))}
	for i, row := range precision {
		r.Precision = append(r.Precision, append([]float64(nil), row...))
		for _, v := range row {
			r.Shift[i] += v
		}
	}
	return r
}

// forget fades what was learnt towards the prior; keep is f.
func (r *regression) forget(prior [][]float64, keep float64) {
	for i := range r.Shift {
		sum := 0.0
		for j := range r.Shift {
			r.Precision[i][j] = keep*r.Precision[i][j] + (1-keep)*prior[i][j]
			sum += prior[i][j]
		}
		r.Shift[i] = keep*r.Shift[i] + (1-keep)*sum
	}
}

// add takes one row in: target = jacobian*x with the precision weight.
func (r *regression) add(jacobian []float64, target, weight float64) {
	for i, a := range jacobian {
		for j, b := range jacobian {
			r.Precision[i][j] += weight * a * b
		}
		r.Shift[i] += weight * a * target
	}
}

// solve returns the most likely ratios within the bounds: the unbounded solution and, while it leaves them, again with the
// worst offender held at its bound.
func (r *regression) solve(low, high []float64) ([]float64, error) {
	n := len(r.Shift)
	x, held := make([]float64, n), make([]bool, n)
	for range n + 1 {
		var free []int
		for i := range n {
			if !held[i] {
				free = append(free, i)
			}
		}
		if len(free) == 0 {
			return x, nil
		}
		precision, shift := mat.NewSymDense(len(free), nil), mat.NewVecDense(len(free), nil)
		for a, i := range free {
			s := r.Shift[i]
			for j := range n {
				if held[j] {
					s -= r.Precision[i][j] * x[j]
				}
			}
			shift.SetVec(a, s)
			for b, j := range free[a:] {
				precision.SetSym(a, a+b, r.Precision[i][j])
			}
		}
		var factor mat.Cholesky
		if !factor.Factorize(precision) {
			return nil, errors.New("the precision matrix is not positive definite")
		}
		var solved mat.VecDense
		if err := factor.SolveVecTo(&solved, shift); err != nil && !isCondition(err) {
			return nil, err
		}
		worst, by := -1, 0.0
		for a, i := range free {
			x[i] = solved.AtVec(a)
			if out := max(low[i]-x[i], x[i]-high[i]) / (high[i] - low[i]); out > by {
				worst, by = i, out
			}
		}
		if worst < 0 {
			return x, nil
		}
		held[worst] = true
		x[worst] = min(max(x[worst], low[worst]), high[worst])
	}
	return x, nil
}

// covariance is the inverse of the precision.
func (r *regression) covariance() ([][]float64, error) { return inverse(r.Precision) }

// inverse of a symmetric positive definite matrix.
func inverse(m [][]float64) ([][]float64, error) {
	n := len(m)
	sym := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			sym.SetSym(i, j, m[i][j])
		}
	}
	var factor mat.Cholesky
	if !factor.Factorize(sym) {
		return nil, errors.New("a covariance or precision matrix is not positive definite")
	}
	var out mat.SymDense
	if err := factor.InverseTo(&out); err != nil && !isCondition(err) {
		return nil, err
	}
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = make([]float64, n)
		for j := range rows[i] {
			rows[i][j] = out.At(i, j)
		}
	}
	return rows, nil
}

// isCondition tells gonum's warning of an ill-conditioned, yet solved system.
func isCondition(err error) bool {
	var c mat.Condition
	return errors.As(err, &c)
}

// variance is v' * covariance * v.
func variance(v []float64, covariance [][]float64) float64 {
	sum := 0.0
	for i, row := range covariance {
		for j, c := range row {
			sum += v[i] * c * v[j]
		}
	}
	return max(0, sum)
}

// huber is the weight of a residual of z standard deviations.
func huber(z float64) float64 {
	if z = math.Abs(z); z > huberC {
		return huberC / z
	}
	return 1
}
