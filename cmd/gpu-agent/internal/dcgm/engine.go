//go:build cgo && linux

package dcgm

import (
	"fmt"
	"strings"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/agent"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// Engine is DCGM, in this process or behind a host engine's socket.
type Engine struct {
	address   Address
	connected bool
	watches   map[gpu.Set]watch
}

// watch is what DCGM keeps for one set until it is told to let go.
type watch struct {
	group  dcgm.GroupHandle
	fields dcgm.FieldHandle
}

// New returns an engine that is not connected. There must be no other in this process.
func New(address Address) *Engine {
	return &Engine{address: address, watches: map[gpu.Set]watch{}}
}

// Describe names the engine for people.
func (e *Engine) Describe() string { return e.address.String() }

// Connect implements agent.Engine.
func (e *Engine) Connect() error {
	if e.connected {
		return nil
	}
	var err error
	if e.address.embedded() {
		_, err = dcgm.Init(dcgm.Embedded)
	} else {
		// The form with a flag works with every DCGM 4; the one with a scheme needs 4.5.
		_, err = dcgm.Init(dcgm.Standalone, e.address.target, e.address.socketFlag())
	}
	if err != nil {
		return e.refused(err)
	}
	e.connected = true
	return nil
}

// refused says why there is no connection.
func (e *Engine) refused(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "libdcgm.so.4 not found"):
		return &agent.Error{Reason: condition.LibraryMissing,
			Text: "libdcgm.so.4 is not found: install DCGM 4 in the agent's image, or put its folder into LD_LIBRARY_PATH"}
	case e.address.embedded():
		return &agent.Error{Reason: condition.CallFailed, Text: fmt.Sprintf("DCGM does not start in this process: %s", text)}
	}
	return &agent.Error{Reason: condition.Unreachable, Text: fmt.Sprintf("%s does not answer: %s", e.address, text)}
}

// Disconnect implements agent.Engine. What fails on the way is of no use to
// anyone: the engine drops all that a connection held when it ends.
func (e *Engine) Disconnect() {
	if !e.connected {
		return
	}
	for set := range e.watches {
		e.Unwatch(set)
	}
	_ = dcgm.Shutdown()
	e.connected = false
}

// Watch implements agent.Engine.
func (e *Engine) Watch(set gpu.Set, entities []gpu.Entity, fields []gpu.FieldID, every time.Duration) error {
	if !e.connected {
		return errNotConnected
	}
	e.Unwatch(set)
	name := fmt.Sprintf("pdautoscaler-%s", set)
	group, err := dcgm.CreateGroup(name)
	if err != nil {
		return failed("a group of GPUs cannot be made", err)
	}
	for _, entity := range entities {
		if err := dcgm.AddEntityToGroup(group, entityGroup(entity.Kind), entity.ID); err != nil {
			_ = dcgm.DestroyGroup(group)
			return failed(fmt.Sprintf("%s cannot be watched", entity), err)
		}
	}
	ids, err := dcgm.FieldGroupCreate(name, shorts(fields))
	if err != nil {
		_ = dcgm.DestroyGroup(group)
		return failed("a group of fields cannot be made", err)
	}
	// One sample is kept: each is read once, and only the newest.
	if err := dcgm.WatchFieldsWithGroupEx(ids, group, every.Microseconds(), 0, 1); err != nil {
		_ = dcgm.FieldGroupDestroy(ids)
		_ = dcgm.DestroyGroup(group)
		return failed("the fields cannot be watched", err)
	}
	e.watches[set] = watch{group, ids}
	return nil
}

// Unwatch implements agent.Engine.
func (e *Engine) Unwatch(set gpu.Set) {
	w, ok := e.watches[set]
	if !ok || !e.connected {
		return
	}
	_ = dcgm.UnwatchFields(w.fields, w.group)
	_ = dcgm.FieldGroupDestroy(w.fields)
	_ = dcgm.DestroyGroup(w.group)
	delete(e.watches, set)
}

// Latest implements agent.Engine.
func (e *Engine) Latest(entities []gpu.Entity, fields []gpu.FieldID) ([]gpu.Value, error) {
	return e.values(entities, fields, 0)
}

// values reads fields of entities; with DCGM_FV_FLAG_LIVE_DATA they need no watch.
func (e *Engine) values(entities []gpu.Entity, fields []gpu.FieldID, flags uint) ([]gpu.Value, error) {
	if !e.connected {
		return nil, errNotConnected
	}
	if len(entities) == 0 || len(fields) == 0 {
		return nil, nil
	}
	pairs := make([]dcgm.GroupEntityPair, len(entities))
	for i, entity := range entities {
		pairs[i] = dcgm.GroupEntityPair{EntityGroupId: entityGroup(entity.Kind), EntityId: entity.ID}
	}
	raw, err := dcgm.EntitiesGetLatestValues(pairs, shorts(fields), flags)
	if err != nil {
		return nil, failed("the GPUs cannot be read", err)
	}
	out := make([]gpu.Value, len(raw))
	for i := range raw {
		out[i] = valueOf(&raw[i])
	}
	return out, nil
}

// valueOf copies what is needed of a value: go-dcgm's own holds 4 KiB.
func valueOf(raw *dcgm.FieldValue_v2) gpu.Value {
	v := gpu.Value{
		Entity: gpu.Entity{Kind: kindOf(raw.EntityGroupId), ID: raw.EntityID},
		Field:  gpu.FieldID(raw.FieldID),
		Status: raw.Status,
		Type:   gpu.Type(raw.FieldType),
		At:     time.UnixMicro(raw.TS),
	}
	switch v.Type {
	case gpu.TypeInt64:
		v.Int = raw.Int64()
	case gpu.TypeDouble:
		v.Double = raw.Float64()
	case gpu.TypeString:
		if raw.StringValue != nil {
			v.Text = *raw.StringValue
		}
	}
	return v
}

func entityGroup(k gpu.Kind) dcgm.Field_Entity_Group {
	if k == gpu.Instance {
		return dcgm.FE_GPU_I
	}
	return dcgm.FE_GPU
}

func kindOf(g dcgm.Field_Entity_Group) gpu.Kind {
	if g == dcgm.FE_GPU_I {
		return gpu.Instance
	}
	return gpu.WholeGPU
}

func shorts(fields []gpu.FieldID) []dcgm.Short {
	out := make([]dcgm.Short, len(fields))
	for i, f := range fields {
		out[i] = dcgm.Short(f)
	}
	return out
}
