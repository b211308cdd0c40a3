package controller

import (
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Each resource has times of its own, an interval apart, at which its rounds are
// due: a controller that starts sees all resources at once, and without such
// times they would come back together in every interval. A round that begins
// late does not put off the next one, so that rounds are as many as promised.

// dueAfter is the next time of a resource that is half an interval away or
// more: a round that came early, for an edit, or late is not followed by one at once.
func dueAfter(uid types.UID, now time.Time, interval time.Duration) time.Time {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(uid)) // never fails
	phase := time.Duration(hash.Sum64() % uint64(interval))
	earliest := now.Add(interval / 2)
	into := time.Duration((earliest.UnixNano() - int64(phase)) % int64(interval))
	if into <= 0 {
		return earliest.Add(-into)
	}
	return earliest.Add(interval - into)
}

// late is how long after it was due a round began; false for one that came
// before, and for the first.
func (s *service) late(now time.Time) (time.Duration, bool) {
	if s.due.IsZero() || now.Before(s.due) {
		return 0, false
	}
	return now.Sub(s.due), true
}
