package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A round that has begun goes on when its manager stops, but not beyond the lease of a leader that could not renew it.
func TestRoundOfAManagerThatStops(t *testing.T) {
	for name, c := range map[string]struct {
		election LeaderElection
		want     time.Duration
	}{
		"no leader election": {LeaderElection{}, 20 * time.Second},
		"lease of 15 s":      {LeaderElection{Enabled: true}, 3*time.Second + 4*time.Second},
		"lease of a minute":  {LeaderElection{Enabled: true, LeaseDuration: time.Minute}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				manager, stop := context.WithCancel(t.Context())
				ctx, cancel := roundContext(manager, 20*time.Second, c.election.afterStop())
				defer cancel()
				began := time.Now()
				time.AfterFunc(3*time.Second, stop)
				<-ctx.Done()
				if took := time.Since(began); took != c.want {
					t.Errorf("the round was cut after %v, want %v", took, c.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // what has ended leaves nothing that waits
		manager, stop := context.WithCancel(t.Context())
		_, cancel := roundContext(manager, 20*time.Second, time.Second)
		cancel()
		stop()
		manager, stop = context.WithCancel(t.Context())
		ctx, cancel := roundContext(manager, 20*time.Second, time.Hour)
		stop()
		synctest.Wait()
		if ctx.Err() != nil {
			t.Error("the round is cut as soon as the manager stops")
		}
		cancel()
	})
}
