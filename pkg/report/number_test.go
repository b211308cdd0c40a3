package report

import "testing"

func TestDigits(t *testing.T) {
	for _, c := range []struct {
		x    float64
		n    int
		want string
	}{
		{0, 3, "0"}, {2000, 3, "2000"}, {12345.6, 3, "12346"}, {1.5, 3, "1.5"}, {22.346, 3, "22.3"}, {0.04567, 3, "0.0457"},
		{9.999, 3, "10"}, {99.96, 3, "100"}, {1e9, 3, "1000000000"}, {0.5, 2, "0.5"}, {-3.14159, 3, "-3.14"},
	} {
		if got := digits(c.x, c.n); got != c.want {
			t.Errorf("digits(%v, %d) is %q and should be %q", c.x, c.n, got, c.want)
		}
	}
}
