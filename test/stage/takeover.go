package stage

import (
	"context"
	"errors"
)

// StandBy starts another autoscaler beside the one that works, as the second replica of a Deployment: the same installation, the
// same rights, addresses of its own. Both must run with leader election. The binary may be of another version; more are more of its flags.
func (s *Stage) StandBy(ctx context.Context, binary string, more ...string) (err error) {
	if s.standby != nil {
		return errors.New("an autoscaler stands by already: there is one at a time")
	}
	s.standby, err = s.run(ctx, binary, "standby.log", more)
	return err
}

// An Ending is how the autoscaler that works comes to its end.
type Ending int

// The endings.
const (
	Ended  Ending = iota // as a kubelet ends a pod that is deleted: it may put things in order
	Killed               // as with the loss of its node: it can do nothing more, and its lease runs out
)

// TakeOver ends the autoscaler that works. The one that stands by is the stage's from now on: its pages, its records.
func (s *Stage) TakeOver(how Ending) error {
	if s.standby == nil {
		return errors.New("no autoscaler stands by: StandBy starts one")
	}
	before := s.controller
	s.controller, s.standby = s.standby, nil
	if how == Killed {
		before.kill()
		return nil
	}
	return before.stop()
}
