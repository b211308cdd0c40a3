package forecast

import "time"

// Sample is one reading of a demand, such as requests per second.
type Sample struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// Ahead is the demand expected horizon after now. It is false when no sample can be used.
func Ahead(samples []Sample, now time.Time, horizon time.Duration) (float64, bool) {
	panic("not written yet")
}
