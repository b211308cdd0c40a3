package pods

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
	"github.com/pdautoscaler/pdautoscaler/test/kubeletfake"
)

var (
	epoch  = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	device = gpu.Device{Entity: gpu.Entity{Kind: gpu.WholeGPU}, UUID: "GPU-a"}
)

func newWatcher(t *testing.T, socket string) *Watcher {
	t.Helper()
	w, err := New(Config{Socket: socket, Interval: 5 * time.Second}, condition.NewBoard(slog.New(slog.DiscardHandler), epoch))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.conn.Close() })
	if w.within != 3*time.Second {
		t.Errorf("one question may take %v", w.within)
	}
	w.within = time.Minute // none of these tests is of an answer that is late
	return w
}

func wantPod(t *testing.T, w *Watcher, now time.Time, want string) {
	t.Helper()
	o, ok := w.Owner(device, now)
	if ok != (want != "") || o.Pod != want {
		t.Errorf("at %v the owner is %+v (%t), want %q; %+v", now.Sub(epoch), o, ok, want, w.board.Get(condition.Pods))
	}
}

// A device is given to another pod, the kubelet goes and comes back.
func TestKubeletComesAndGoes(t *testing.T) {
	kubelet := kubeletfake.Start(t)
	kubelet.Show(kubeletfake.Pod("default", "p0", "main", "GPU-a"))
	w := newWatcher(t, kubelet.Socket())
	wantPod(t, w, epoch, "")
	w.ask(t.Context(), epoch)
	wantPod(t, w, epoch, "p0")
	if c := w.board.Get(condition.Pods); !c.OK || c.Reason != condition.Works {
		t.Errorf("condition %+v", c)
	}
	kubelet.Show(kubeletfake.Pod("default", "p1", "main", "GPU-a"))
	w.ask(t.Context(), epoch.Add(5*time.Second))
	wantPod(t, w, epoch.Add(5*time.Second), "p1")

	kubelet.Stop()
	w.ask(t.Context(), epoch.Add(10*time.Second))
	if c := w.board.Get(condition.Pods); c.OK || c.Reason != condition.KubeletSilent {
		t.Errorf("condition %+v", c)
	}
	wantPod(t, w, epoch.Add(20*time.Second), "p1") // its answer still counts
	wantPod(t, w, epoch.Add(21*time.Second), "")   // and no longer: the device may be another pod's

	kubelet.Restart()
	deadline := time.Now().Add(2 * time.Minute)
	for !w.board.Get(condition.Pods).OK && time.Now().Before(deadline) {
		w.ask(t.Context(), epoch.Add(30*time.Second))
		time.Sleep(20 * time.Millisecond)
	}
	wantPod(t, w, epoch.Add(30*time.Second), "p1")
}

func TestWhyTheKubeletIsSilent(t *testing.T) {
	kubelet := kubeletfake.Start(t)
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"no such API":   {status.Error(codes.Unimplemented, "unknown service"), "no pod-resources API of version v1"},
		"too many":      {status.Error(codes.ResourceExhausted, "rejected by rate limit"), "rejected by rate limit"},
		"is restarting": {status.Error(codes.Unavailable, "going away"), "does not answer"},
		"too slow":      {status.Error(codes.DeadlineExceeded, ""), "within 1m0s"},
	} {
		kubelet.Fail(c.err)
		w := newWatcher(t, kubelet.Socket())
		w.ask(t.Context(), epoch)
		got := w.board.Get(condition.Pods)
		if got.OK || !strings.Contains(got.Message, c.says) || strings.Contains(got.Message, "\n") {
			t.Errorf("%s: %+v, want %q", name, got, c.says)
		}
	}
	w := newWatcher(t, kubelet.Socket()+"-not")
	w.ask(t.Context(), epoch)
	if got := w.board.Get(condition.Pods).Message; !strings.Contains(got, "does not exist: mount its folder") {
		t.Error(got)
	}
	if _, err := New(Config{Socket: "kubelet.sock"}, nil); err == nil {
		t.Error("a relative path is taken")
	}
}

// A node can have more pods than fit into gRPC's usual 4 MiB.
func TestLongList(t *testing.T) {
	kubelet := kubeletfake.Start(t)
	pod := kubeletfake.Pod("default", "p0", "main", "GPU-a")
	for i := range 100_000 {
		pod.Containers[0].Devices[0].DeviceIds = append(pod.Containers[0].Devices[0].DeviceIds, fmt.Sprintf("GPU-%040d::1", i))
	}
	kubelet.Show(pod)
	w := newWatcher(t, kubelet.Socket())
	w.ask(t.Context(), epoch)
	wantPod(t, w, epoch, "p0")
}
