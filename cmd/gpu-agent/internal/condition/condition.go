// Package condition keeps what works and what does not, with the cause: for the
// log when it changes, for the metrics, and for the page that a person asks.
//
// It must never decide anything.
package condition

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Name is what a condition is about.
type Name string

// The conditions of the agent, in the order in which they are shown.
const (
	// DCGM: the library is loaded and its engine answers.
	DCGM Name = "DCGM"
	// DeviceFields: clocks, memory and utilisation of the GPUs are read.
	DeviceFields Name = "DeviceFields"
	// ProfilingFields: tensor and DRAM activity of the GPUs are read.
	ProfilingFields Name = "ProfilingFields"
	// Pods: it is known which pods hold the GPUs.
	Pods Name = "Pods"
)

// Reason is a cause in one word. Reasons are few and stable: they are a label.
type Reason string

// The reasons, each documented in docs/gpu-agent.md.
const (
	Works           Reason = "Works"
	Starting        Reason = "Starting"
	SwitchedOff     Reason = "SwitchedOff"
	LibraryMissing  Reason = "LibraryMissing"
	Unreachable     Reason = "Unreachable"
	ConnectionLost  Reason = "ConnectionLost"
	NoGPUs          Reason = "NoGPUs"
	CallFailed      Reason = "CallFailed"
	InUse           Reason = "InUse"
	NotSupported    Reason = "NotSupported"
	ModuleNotLoaded Reason = "ModuleNotLoaded"
	NotPermitted    Reason = "NotPermitted"
	NoValues        Reason = "NoValues"
	SomeGPUs        Reason = "SomeGPUs"
	EssentialOnly   Reason = "EssentialOnly"
	KubeletSilent   Reason = "KubeletSilent"
)

// Condition says whether something works, and why (not).
type Condition struct {
	Name   Name
	OK     bool
	Reason Reason
	// Message is one sentence for a person.
	Message string
	// Since is when OK or Reason last changed.
	Since time.Time
}

// Board holds the latest of each condition. It may be used by several goroutines.
type Board struct {
	mu  sync.Mutex
	log *slog.Logger
	all []Condition
}

// NewBoard returns a board that writes each change to a log.
func NewBoard(log *slog.Logger, now time.Time) *Board {
	b := &Board{log: log}
	for _, n := range []Name{DCGM, DeviceFields, ProfilingFields, Pods} {
		b.all = append(b.all, Condition{Name: n, Reason: Starting, Message: "not read yet", Since: now})
	}
	return b
}

// Set notes how a condition is now. A change of OK or Reason is logged; another
// message of the same reason is only kept.
func (b *Board) Set(now time.Time, name Name, ok bool, reason Reason, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.all, func(c Condition) bool { return c.Name == name })
	before := b.all[i]
	b.all[i].Message = message
	if before.OK == ok && before.Reason == reason {
		return
	}
	b.all[i] = Condition{name, ok, reason, message, now}
	level := slog.LevelInfo
	if !ok {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, message, "condition", string(name), "ok", ok, "reason", string(reason))
}

// All returns the conditions as they are now.
func (b *Board) All() []Condition {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// Get returns one condition as it is now.
func (b *Board) Get(name Name) Condition {
	for _, c := range b.All() {
		if c.Name == name {
			return c
		}
	}
	return Condition{Name: name}
}
