package natsqueue

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/test/ports"
)

func startQueue(t *testing.T) (*Server, *Queue) {
	t.Helper()
	s, err := StartServer(ServerOptions{Monitor: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	q, err := Connect(t.Context(), s.URL(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return s, q
}

// patience is how long anything may take that takes milliseconds on a machine that
// is not busy.
const patience = 2 * time.Minute

// receive waits for the next delivery.
func receive(t *testing.T, q *Queue) Delivery {
	t.Helper()
	select {
	case d := <-q.Deliveries():
		return d
	case <-time.After(patience):
		t.Fatalf("no message was delivered in %s", patience)
		return Delivery{}
	}
}

// eventually waits until what is read is what is wanted.
func eventually[T comparable](t *testing.T, what string, want T, read func() T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	got := read()
	for got != want {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v after %s, want %v", what, got, patience, want)
		}
		time.Sleep(5 * time.Millisecond)
		got = read()
	}
}

func info(t *testing.T, q *Queue) *jetstream.ConsumerInfo {
	t.Helper()
	i, err := q.consumer.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func waiting(t *testing.T, q *Queue) int { return int(info(t, q).NumPending) }

func TestMessagesGoOneByOneInOrder(t *testing.T) {
	_, q := startQueue(t)
	var want, got []engine.Message
	for i := range 20 {
		m := engine.Message{Request: uint64(i + 1), Attempt: 0, InputTokens: 100 + i, Decode: "d"}
		want = append(want, m)
		q.Publish(m)
	}
	eventually(t, "waiting", 20, func() int { return waiting(t, q) })
	for i := range 20 {
		q.Pull("w")
		d := receive(t, q)
		if d.Worker != "w" {
			t.Fatalf("worker %q", d.Worker)
		}
		got = append(got, d.Message)
		eventually(t, "waiting", 19-i, func() int { return waiting(t, q) })
		eventually(t, "unacknowledged", 0, func() int { return info(t, q).NumAckPending })
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The names and settings are those of Dynamo's queue, as others will look for them.
func TestNamesAndSettingsAreDynamos(t *testing.T) {
	_, q := startQueue(t)
	stream, err := q.js.Stream(t.Context(), "dynamo_prefill_queue")
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	if c.Retention != jetstream.LimitsPolicy || c.MaxAge != 10*time.Minute || !cmp.Equal(c.Subjects, []string{"dynamo_prefill_queue.*"}) {
		t.Errorf("stream %+v", c)
	}
	consumer, err := stream.Consumer(t.Context(), "worker-group")
	if err != nil {
		t.Fatal(err)
	}
	if c := consumer.CachedInfo().Config; c.AckPolicy != jetstream.AckExplicitPolicy || c.AckWait != 30*time.Second {
		t.Errorf("consumer %+v", c)
	}
	q.Publish(engine.Message{Request: 1})
	eventually(t, "messages", 1, func() uint64 {
		i, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return i.State.Msgs
	})
}

// The consumer's open pulls are the idle workers.
func TestOpenPullsAreIdleWorkers(t *testing.T) {
	_, q := startQueue(t)
	q.Pull("a")
	q.Pull("b")
	eventually(t, "idle", 2, func() int { return info(t, q).NumWaiting })
	q.Publish(engine.Message{Request: 1})
	busy := receive(t, q).Worker
	eventually(t, "idle", 1, func() int { return info(t, q).NumWaiting })
	idle := map[string]string{"a": "b", "b": "a"}[busy]
	q.Cancel(idle)
	eventually(t, "idle", 0, func() int { return info(t, q).NumWaiting })
	q.Publish(engine.Message{Request: 2})
	q.Pull(busy)
	if d := receive(t, q); d.Worker != busy || d.Message.Request != 2 {
		t.Errorf("%+v, want request 2 for %s", d, busy)
	}
}

// The server goes away and comes back under its address: nothing is lost,
// nothing comes twice.
func TestServerRestartLosesNothing(t *testing.T) {
	dir := t.TempDir()
	held, err := ports.Hold(1)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	address := ServerOptions{Port: held.Numbers[0], StoreDir: dir}
	s, err := StartServer(address)
	if err != nil {
		t.Fatal(err)
	}
	q, err := Connect(t.Context(), s.URL(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	q.Publish(engine.Message{Request: 1})
	eventually(t, "waiting", 1, func() int { return waiting(t, q) })
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("a folder that was given is gone: %v", err)
	}
	q.Publish(engine.Message{Request: 2})
	q.Pull("w")
	again, err := StartServer(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Stop() })
	for want := range uint64(2) {
		if d := receive(t, q); d.Message.Request != want+1 {
			t.Errorf("got request %d, want %d", d.Message.Request, want+1)
		}
		q.Pull("w")
	}
	select {
	case d := <-q.Deliveries():
		t.Errorf("%+v came as well", d)
	case <-time.After(300 * time.Millisecond):
	}
}

func TestForeignMessagesAreSkipped(t *testing.T) {
	_, q := startQueue(t)
	if err := q.conn.Publish(Subject(DefaultStream), []byte("not JSON")); err != nil {
		t.Fatal(err)
	}
	q.Pull("w")
	eventually(t, "waiting", 0, func() int { return waiting(t, q) })
	q.Publish(engine.Message{Request: 7})
	if d := receive(t, q); d.Message.Request != 7 {
		t.Errorf("%+v", d)
	}
}

func TestServerServesLoopbackOnlyAndEndsCleanly(t *testing.T) {
	s, err := StartServer(ServerOptions{Monitor: true})
	if err != nil {
		t.Fatal(err)
	}
	addr, dir := s.nats.Addr().(*net.TCPAddr), s.ownsDir
	if !addr.IP.IsLoopback() || s.MonitorURL() == "" || !s.nats.MonitorAddr().IP.IsLoopback() {
		t.Errorf("listens on %v and %v", addr, s.nats.MonitorAddr())
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", addr.String()); err == nil {
		conn.Close()
		t.Error("the port still answers after Stop")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder %s is still there: %v", dir, err)
	}
	if _, err := Connect(t.Context(), s.URL(), Options{}); !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("connecting to a stopped server: %v", err)
	}
}
