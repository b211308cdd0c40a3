package agent

import (
	"errors"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// Engine is DCGM as the agent needs it. It is used by one goroutine. Before
// Connect has succeeded, and after Disconnect, the other methods return an error.
type Engine interface {
	// Connect loads the library and connects, or starts the engine in this process.
	Connect() error
	// Disconnect lets go of all that the connection holds. It may be called at any time.
	Disconnect()
	// Devices lists the GPUs and their instances.
	Devices() ([]gpu.Device, error)
	// Watch has DCGM update the fields of the entities at a period. It replaces the set's former watch.
	Watch(set gpu.Set, entities []gpu.Entity, fields []gpu.FieldID, every time.Duration) error
	// Unwatch ends a set's watch, if there is one.
	Unwatch(set gpu.Set)
	// Latest returns the newest value of each field of each entity.
	Latest(entities []gpu.Entity, fields []gpu.FieldID) ([]gpu.Value, error)
	// Describe names the engine for people: "libdcgm in this process", "the host engine at tcp://localhost:5555".
	Describe() string
}

// Error is a failure of an engine with its cause in one word.
type Error struct {
	Reason condition.Reason
	// Text is one sentence: what failed, and what would help.
	Text string
}

func (e *Error) Error() string { return e.Text }

// reasonOf returns the cause that an error names.
func reasonOf(err error) condition.Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return condition.CallFailed
}
