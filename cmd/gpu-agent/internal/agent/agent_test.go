package agent

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

var epoch = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// fake is an engine whose node a test changes between rounds.
type fake struct {
	t         *testing.T
	now       time.Time
	connected bool
	watched   map[gpu.Set][]gpu.FieldID
	calls     []string

	devices []gpu.Device
	// down fails Connect and everything else; refuse fails a watch of so many profiling fields or more.
	down   *Error
	refuse map[int]error
	// value overrides what a field reads.
	value map[gpu.FieldID]gpu.Value
	// forgot says that the engine no longer knows its watches.
	forgot bool
}

func (f *fake) Describe() string { return "a fake" }

func (f *fake) Connect() error {
	f.calls = append(f.calls, "connect")
	if f.down != nil {
		return f.down
	}
	f.connected, f.watched = true, map[gpu.Set][]gpu.FieldID{}
	return nil
}

func (f *fake) Disconnect() {
	f.calls = append(f.calls, "disconnect")
	f.connected = false
}

func (f *fake) Devices() ([]gpu.Device, error) {
	f.mustBeConnected()
	if f.down != nil {
		return nil, f.down
	}
	return f.devices, nil
}

func (f *fake) Watch(set gpu.Set, entities []gpu.Entity, fields []gpu.FieldID, every time.Duration) error {
	f.mustBeConnected()
	f.calls = append(f.calls, "watch "+string(set))
	if every != time.Second {
		f.t.Errorf("%s is watched every %v", set, every)
	}
	if err := f.refuse[len(fields)]; err != nil && set == gpu.ProfilingSet {
		return err
	}
	f.watched[set] = fields
	return nil
}

func (f *fake) Unwatch(set gpu.Set) {
	f.mustBeConnected()
	delete(f.watched, set)
}

func (f *fake) Latest(entities []gpu.Entity, fields []gpu.FieldID) ([]gpu.Value, error) {
	f.mustBeConnected()
	if f.down != nil {
		return nil, f.down
	}
	var out []gpu.Value
	for _, e := range entities {
		for _, id := range fields {
			v, other := f.value[id]
			if !other {
				v = gpu.Value{Type: gpu.TypeDouble, Double: 0.5, At: f.now}
			}
			if f.forgot || !slices.Contains(slices.Concat(f.watched[gpu.DeviceSet], f.watched[gpu.ProfilingSet]), id) {
				v.Status = -16
			}
			v.Entity, v.Field = e, id
			out = append(out, v)
		}
	}
	return out, nil
}

// mustBeConnected: in the real library a call without a connection ends the process.
func (f *fake) mustBeConnected() {
	if !f.connected {
		f.t.Error("a call without a connection")
	}
}

// rig is an agent on a fake engine with two GPUs.
type rig struct {
	*fake
	agent *Agent
}

func newRig(t *testing.T) *rig {
	f := &fake{t: t, now: epoch, value: map[gpu.FieldID]gpu.Value{}, refuse: map[int]error{}, devices: []gpu.Device{
		{Entity: gpu.Entity{Kind: gpu.WholeGPU, ID: 0}, UUID: "GPU-a"}, {Entity: gpu.Entity{Kind: gpu.WholeGPU, ID: 1}, Index: 1, UUID: "GPU-b"},
	}}
	log := slog.New(slog.DiscardHandler)
	return &rig{f, New(Config{Interval: time.Second, MaxAge: 5 * time.Second}, f, condition.NewBoard(log, epoch), log, epoch)}
}

// rounds does so many rounds, each as long after the last as the agent asked for.
func (r *rig) rounds(n int) (wait time.Duration) {
	for range n {
		wait = r.agent.step(r.now)
		r.now = r.now.Add(wait)
	}
	return wait
}

func (r *rig) want(name condition.Name, ok bool, reason condition.Reason, says string) {
	r.t.Helper()
	c := r.agent.board.Get(name)
	if c.OK != ok || c.Reason != reason || !strings.Contains(c.Message, says) || strings.Contains(c.Message, "\n") {
		r.t.Errorf("%+v, want %t, %s, %q", c, ok, reason, says)
	}
}

func (r *rig) count(call string) (n int) {
	for _, c := range r.calls {
		if c == call {
			n++
		}
	}
	return n
}

func TestRead(t *testing.T) {
	r := newRig(t)
	if wait := r.rounds(100); wait != time.Second {
		t.Errorf("the next round is in %v", wait)
	}
	r.want(condition.DCGM, true, condition.Works, "a fake shows 2 GPUs")
	r.want(condition.DeviceFields, true, condition.Works, "2 GPUs")
	r.want(condition.ProfilingFields, true, condition.Works, "2 GPUs")
	s := r.agent.Sample()
	if v := s.Of[r.devices[1].Entity][gpu.FieldTensorActive]; v.Double != 0.5 || len(s.Devices) != 2 {
		t.Errorf("sample %+v", s)
	}
	if r.count("connect") != 1 || r.count("watch device") != 1 || r.count("watch profiling") != 1 {
		t.Errorf("in 100 s of rest: %q", r.calls)
	}
	if p := r.agent.Progress(); p.Connections != 1 || p.Failures != 0 || r.now.Sub(p.LastRead) != time.Second {
		t.Errorf("progress %+v", p)
	}
}

// While DCGM is gone the agent asks ever more rarely, and shows nothing old.
func TestDCGMIsGoneAndComesBack(t *testing.T) {
	r := newRig(t)
	r.rounds(5)
	r.down = &Error{condition.ConnectionLost, "Host engine connection invalid/disconnected"}
	r.rounds(1)
	if r.agent.Sample() != nil {
		t.Error("a sample of before is still served")
	}
	r.want(condition.DCGM, false, condition.ConnectionLost, "Host engine connection invalid")
	r.want(condition.ProfilingFields, false, condition.ConnectionLost, "while DCGM is gone")
	r.down = &Error{condition.Unreachable, "the host engine does not answer"}
	for i, about := range []time.Duration{2, 4, 8, 16, 30, 30, 30} {
		about *= time.Second
		if wait := r.rounds(1); wait < about*8/10 || wait > about*12/10 {
			t.Errorf("try %d: the next is in %v, want about %v", i, wait, about)
		}
	}
	r.want(condition.DCGM, false, condition.Unreachable, "does not answer")
	r.down = nil
	if wait := r.rounds(1); wait != time.Second || r.agent.Sample() == nil {
		t.Errorf("it is back: the next round is in %v, sample %v", wait, r.agent.Sample())
	}
	r.want(condition.DCGM, true, condition.Works, "")
	r.want(condition.ProfilingFields, true, condition.Works, "")
	if r.count("watch profiling") != 2 || r.agent.Progress().Connections != 2 {
		t.Errorf("%q, %+v", r.calls, r.agent.Progress())
	}
	// The next loss is tried at once again.
	r.down = &Error{condition.Unreachable, "x"}
	if wait := r.rounds(1); wait > 1200*time.Millisecond {
		t.Errorf("after good rounds the first try comes in %v", wait)
	}
}

func TestEngineForgotItsWatches(t *testing.T) {
	r := newRig(t)
	r.rounds(3)
	r.forgot = true
	r.rounds(1)
	r.want(condition.DCGM, false, condition.ConnectionLost, "was restarted")
	r.forgot = false
	r.rounds(1)
	r.want(condition.DCGM, true, condition.Works, "")
	if r.count("watch device") != 2 {
		t.Errorf("%q", r.calls)
	}
}

func TestProfilingRefusedDegrades(t *testing.T) {
	r := newRig(t)
	inUse := &Error{condition.InUse, "the affected resource is in use"}
	r.refuse[len(gpu.ProfilingFields)], r.refuse[len(gpu.Essential)] = inUse, inUse
	r.rounds(20)
	r.want(condition.DCGM, true, condition.Works, "")
	r.want(condition.DeviceFields, true, condition.Works, "")
	r.want(condition.ProfilingFields, false, condition.InUse, "it is asked again every 30s: the affected resource is in use")
	of := r.agent.Sample().Of[r.devices[0].Entity]
	if _, ok := of[203]; !ok || len(of) != len(gpu.DeviceFields) {
		t.Errorf("%d fields are read: %v", len(of), of)
	}
	if n := r.count("watch profiling"); n != 2 {
		t.Errorf("within 20 s it was asked %d times", n)
	}
	clear(r.refuse)
	r.rounds(15)
	r.want(condition.ProfilingFields, true, condition.Works, "")
}

// Older GPUs cannot count all the fields at once.
func TestEssentialProfilingFieldsAlone(t *testing.T) {
	r := newRig(t)
	r.refuse[len(gpu.ProfilingFields)] = &Error{condition.NotSupported, "cannot be collected in a single pass"}
	r.rounds(90)
	r.want(condition.ProfilingFields, true, condition.EssentialOnly, "in a single pass")
	of := r.agent.Sample().Of[r.devices[0].Entity]
	if of[gpu.FieldDRAMActive].Double != 0.5 || len(of) != len(gpu.DeviceFields)+2 || r.count("watch profiling") != 2 {
		t.Errorf("%d fields, calls %q", len(of), r.calls)
	}
}

// A refusal because the connection is gone is no refusal.
func TestConnectionLostWhileWatching(t *testing.T) {
	r := newRig(t)
	r.refuse[len(gpu.ProfilingFields)] = &Error{condition.ConnectionLost, "gone"}
	r.rounds(1)
	r.want(condition.DCGM, false, condition.ConnectionLost, "gone")
}

func TestProfilingWithoutValues(t *testing.T) {
	blank := gpu.Value{Type: gpu.TypeDouble, Double: 140737488355328, At: epoch}
	status := func(code int) gpu.Value { return gpu.Value{Status: code, At: epoch} }
	for name, c := range map[string]struct {
		value  gpu.Value
		reason condition.Reason
		says   string
	}{
		"another profiler": {blank, condition.NoValues, "another profiler, such as Nsight"},
		"paused":           {status(-54), condition.InUse, "paused"},
		"not supported":    {status(-6), condition.NotSupported, "not supported"},
		"no rights":        {status(-17), condition.NotPermitted, "SYS_ADMIN"},
		"stopped":          {gpu.Value{Type: gpu.TypeDouble, Double: 0.5, At: epoch.Add(-time.Hour)}, condition.NoValues, "stale"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.value[gpu.FieldTensorActive] = c.value
			r.rounds(2)
			r.want(condition.ProfilingFields, false, condition.Starting, "") // the first value takes an interval
			r.rounds(3)
			r.want(condition.ProfilingFields, false, c.reason, c.says)
			r.want(condition.DeviceFields, true, condition.Works, "")
		})
	}
}

func TestProfilingWatchIsMadeAgain(t *testing.T) {
	r := newRig(t)
	r.rounds(3)
	delete(r.watched, gpu.ProfilingSet)
	r.rounds(5)
	r.want(condition.DCGM, true, condition.Works, "")
	r.want(condition.ProfilingFields, false, condition.NoValues, "stopped watching")
	r.rounds(30)
	r.want(condition.ProfilingFields, true, condition.Works, "")
}

func TestNoGPU(t *testing.T) {
	r := newRig(t)
	both := r.devices
	r.devices = nil
	r.rounds(1)
	r.want(condition.DCGM, false, condition.NoGPUs, "check that the NVIDIA driver is loaded")
	r.devices = both
	r.rounds(1)
	r.want(condition.DCGM, true, condition.Works, "")
}

// A GPU falls off its bus, and another is divided.
func TestOtherDevices(t *testing.T) {
	r := newRig(t)
	r.rounds(3)
	divided := r.devices[0]
	divided.Divided = true
	instance := gpu.Device{Entity: gpu.Entity{Kind: gpu.Instance, ID: 7}, UUID: "GPU-a", InstanceID: 1, InstanceUUID: "MIG-c"}
	r.devices = []gpu.Device{divided, instance}
	r.rounds(40)
	s := r.agent.Sample()
	if _, ok := s.Of[instance.Entity][gpu.FieldTensorActive]; !ok || len(s.Devices) != 2 {
		t.Errorf("sample %+v", s)
	}
	if _, ok := s.Of[divided.Entity][gpu.FieldTensorActive]; ok {
		t.Error("the divided GPU's own activity is read")
	}
	r.want(condition.ProfilingFields, true, condition.Works, "of 1 GPUs")
	if r.count("watch device") != 2 || r.count("connect") != 1 {
		t.Errorf("%q", r.calls)
	}
}

func TestSomeGPUsOnly(t *testing.T) {
	r := newRig(t)
	r.rounds(1)
	sample := r.agent.Sample()
	lost := gpu.Readings{}
	for id, v := range sample.Of[r.devices[1].Entity] {
		v.Status = -18
		lost[id] = v
	}
	sample.Of[r.devices[1].Entity] = lost
	r.agent.judge(r.now.Add(time.Minute), &gpu.Sample{Devices: sample.Devices, Of: map[gpu.Entity]gpu.Readings{r.devices[1].Entity: lost}})
	r.want(condition.DeviceFields, false, condition.NoValues, "GPU 1 (GPU-b): GPU is lost; GPU 0 (GPU-a): no data yet")
	r.agent.judge(r.now, sample)
	r.want(condition.DeviceFields, false, condition.SomeGPUs, "1 of 2 GPUs and instances have no device fields: GPU 1 (GPU-b): GPU is lost")
}
