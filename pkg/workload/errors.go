package workload

import "fmt"

// MissingError says that the target does not exist, or no longer.
type MissingError struct {
	What string // kind, namespace and name
	Why  string
}

func (e *MissingError) Error() string { return e.What + " " + e.Why }

// NotBoundError says that a role's scaling adapter exists and is not bound
// yet: a count written now would be overwritten when it binds.
type NotBoundError struct {
	Adapter string // namespace/name
	Role    string
	Phase   string
}

func (e *NotBoundError) Error() string {
	phase := e.Phase
	if phase == "" {
		phase = "empty"
	}
	return fmt.Sprintf("scaling adapter %s of role %s is not bound (phase %s): nothing is written until its phase is Bound", e.Adapter, e.Role, phase)
}

// ConflictError says that the role's count is no longer the one that the
// decision was made from; nothing was written.
type ConflictError struct {
	What string // the object that was to be written
	Role string
	From int // the count that the decision was made from
	// Err is the API server's answer, nil where the change was seen before writing.
	Err error
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("replicas of role %s in %s are no longer %d: someone else changed them, nothing was written", e.Role, e.What, e.From)
}

func (e *ConflictError) Unwrap() error { return e.Err }

// NotTakenBackError says that a pod which was told to drain cannot be told that
// it stays; to ask again is of no use.
type NotTakenBackError struct{ Pod, Path, Status string }

func (e *NotTakenBackError) Error() string {
	return fmt.Sprintf("drain hook of pod %s: %s answered %s, so that the pod may go on draining although it stays; allowed is any 2xx", e.Pod, e.Path, e.Status)
}
