package signals

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/test/ports"
)

const (
	stream   = "dynamo_prefill_queue"
	consumer = "worker-group"
	subject  = "dynamo_prefill_queue.queue"
)

// startNATS runs a NATS server on loopback.
func startNATS(t testing.TB, change func(o *server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		AuthTimeout: patience.Seconds(), TLSTimeout: patience.Seconds()}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

// natsConfig reads the queue of a server.
func natsConfig(address string) Config {
	return Config{NATS: &NATSConfig{URL: address, Stream: stream, Consumer: consumer}, Timeout: patience}
}

func (r *rig) queueReport() SourceReport {
	r.t.Helper()
	for _, one := range r.reports {
		if strings.HasPrefix(one.Source, "nats ") {
			return one
		}
	}
	r.t.Fatal("there is no report of the queue")
	return SourceReport{}
}

// F33: the depth is what the consumer was not given yet, not what the stream
// holds; nobody there yet is unknown, not zero.
func TestF33QueueDepth(t *testing.T) {
	s := startNATS(t, nil)
	w := newWorkers(t, s)
	r := newRig(t, natsConfig(s.ClientURL()))
	wantUnknown(t, "no stream", r.collect().PrefillWaiting, `no stream "dynamo_prefill_queue"`)
	w.createStream(1)
	w.publish(5)
	wantUnknown(t, "5 published, no consumer", r.collect().PrefillWaiting, `no consumer "worker-group"`)
	w.createConsumer()
	w.awaitWaiting(5)
	wantKnown(t, "consumer created", r.collect().PrefillWaiting, 5)
	w.fetch(2, true)
	wantKnown(t, "2 worked", r.collect().PrefillWaiting, 3)
	if info, err := w.stream.Info(w.ctx); err != nil || info.State.Msgs != 5 {
		t.Errorf("the stream holds %v messages (%v), want still 5", info, err)
	}
	w.fetch(1, false)
	got := r.collect().PrefillWaiting
	wantKnown(t, "1 taken and not acknowledged", got, 2)
	if got.Source != "nats dynamo_prefill_queue/worker-group" || !got.At.Equal(r.now.Add(-interval)) {
		t.Errorf("reading = %+v, want its source and time", got)
	}
	if report := r.queueReport(); !report.OK || report.Detail != "2 waiting, 1 delivered and not acknowledged" {
		t.Errorf("report = %+v, want the two apart", report)
	}
	w.fetch(2, true)
	wantZero(t, "all worked", r.collect().PrefillWaiting)
}

// Requests wait in the queue and nowhere else: the engines' own gauge would count some twice.
func TestQueueIsNotAddedToTheEngines(t *testing.T) {
	s := startNATS(t, nil)
	w := newWorkers(t, s)
	w.createStream(1)
	w.createConsumer()
	w.publish(4)
	r := newRig(t, natsConfig(s.ClientURL()))
	r.pod(KindPrefill, "p").set(worker(0, 1, 3)...)
	wantKnown(t, "prefill waiting", r.collect().PrefillWaiting, 4)
}

// Messages that expire were not worked: the depth that falls with them is no good news.
func TestMessagesThatExpire(t *testing.T) {
	s := startNATS(t, nil)
	w := newWorkers(t, s)
	w.createStream(1)
	w.createConsumer()
	w.publish(6)
	r := newRig(t, natsConfig(s.ClientURL()))
	wantKnown(t, "published", r.collect().PrefillWaiting, 6)
	w.keepFor(200 * time.Millisecond)
	// The consumer is not asked meanwhile: a server (2.15.2) that counts what is left while messages expire may subtract one of
	// them once more, and be short of one until it counts again.
	w.try("the messages to expire", func(ctx context.Context) error {
		info, err := w.stream.Info(ctx)
		if err == nil && info.State.Msgs > 0 {
			err = fmt.Errorf("%d are left", info.State.Msgs)
		}
		return err
	})
	w.keepFor(time.Hour)
	w.awaitWaiting(0)
	s1 := r.collect()
	wantUnknown(t, "after they expired", s1.PrefillWaiting, "6 messages of nats dynamo_prefill_queue/worker-group expired")
	wantUnknown(t, "as long as nobody works", r.collect().PrefillWaiting, "expired")
	w.send(1)
	w.fetch(1, true)
	wantZero(t, "once work goes on", r.collect().PrefillWaiting)
}

// Some are worked and others lost between two readings: what was delivered does not explain the fall.
func TestMessagesThatAreLostAmongOthers(t *testing.T) {
	s := startNATS(t, nil)
	w := newWorkers(t, s)
	w.createStream(1)
	w.createConsumer()
	w.publish(10)
	r := newRig(t, natsConfig(s.ClientURL()))
	wantKnown(t, "published", r.collect().PrefillWaiting, 10)
	w.fetch(2, true)
	if err := w.stream.Purge(w.ctx, jetstream.WithPurgeKeep(5)); err != nil {
		t.Fatal(err)
	}
	w.awaitWaiting(5)
	wantUnknown(t, "2 worked, 3 purged", r.collect().PrefillWaiting, "3 messages")
	w.fetch(1, true)
	wantKnown(t, "work goes on", r.collect().PrefillWaiting, 4)
}

// A consumer that is made anew starts to count anew: nothing was lost.
func TestConsumerMadeAnew(t *testing.T) {
	s := startNATS(t, nil)
	w := newWorkers(t, s)
	w.createStream(1)
	w.createConsumer()
	w.publish(3)
	w.fetch(2, true)
	r := newRig(t, natsConfig(s.ClientURL()))
	wantKnown(t, "before", r.collect().PrefillWaiting, 1)
	if err := w.stream.DeleteConsumer(w.ctx, consumer); err != nil {
		t.Fatal(err)
	}
	wantUnknown(t, "between", r.collect().PrefillWaiting, "no consumer")
	w.createConsumer()
	wantKnown(t, "after", r.collect().PrefillWaiting, 3)
}

// Even one that delivered as little as the one before it is another.
func TestConsumerMadeAnewBeforeAnyWork(t *testing.T) {
	q := &queue{keep: time.Hour}
	q.record(&answer{info: &jetstream.ConsumerInfo{Created: epoch, NumPending: 9}}, epoch)
	q.record(&answer{info: &jetstream.ConsumerInfo{Created: epoch.Add(time.Second), NumPending: 2}}, epoch.Add(interval))
	wantKnown(t, "depth", q.depth(nil), 2)
	q.record(&answer{info: &jetstream.ConsumerInfo{Created: epoch.Add(time.Second), NumPending: 1}}, epoch.Add(2*interval))
	wantUnknown(t, "depth", q.depth(nil), "1 messages of")
}

func TestServerStopsAndComesBack(t *testing.T) {
	dir := t.TempDir()
	port := ports.ForTest(t, 1).Numbers[0] // the same before and after
	at := func(o *server.Options) { o.StoreDir, o.Port = dir, port }
	s := startNATS(t, at)
	w := newWorkers(t, s)
	w.createStream(1)
	w.createConsumer()
	w.publish(2)
	r := newRig(t, natsConfig(s.ClientURL()))
	r.pod(KindDecode, "d").set(worker(1, 3, 0)...)
	wantKnown(t, "before", r.collect().PrefillWaiting, 2)
	conn := r.collector.queue.link.Load().conn
	lost := conn.StatusChanged(nats.RECONNECTING)
	s.Shutdown()
	s.WaitForShutdown()
	<-lost
	got := r.collect()
	wantUnknown(t, "while it is away", got.PrefillWaiting, "the NATS server is not connected")
	wantKnown(t, "the pods' readings meanwhile", got.DecodeRunning, 3)
	if report := r.queueReport(); report.OK || report.Age != interval {
		t.Errorf("report = %+v, want the age of the last answer", report)
	}
	back := conn.StatusChanged(nats.CONNECTED)
	startNATS(t, at)
	<-back
	wantKnown(t, "after", r.collect().PrefillWaiting, 2)
}

// A server that is not there at first is used once it is.
func TestServerComesLate(t *testing.T) {
	held := ports.ForTest(t, 1)
	r := newRig(t, natsConfig("nats://"+held.Address(0)))
	wantUnknown(t, "no server", r.collect().PrefillWaiting, "the NATS server is not connected")
	w := newWorkers(t, startNATS(t, func(o *server.Options) { o.Port = held.Numbers[0] }))
	w.createStream(1)
	w.createConsumer()
	w.publish(1)
	var got planner.Reading
	await(t, "the collector to connect", func() bool { got = r.collect().PrefillWaiting; return got.Ok() })
	wantKnown(t, "server there", got, 1)
}

// A server that takes the connection and says nothing delays a collection by
// its timeout at most, and Close not at all.
func TestServerThatSaysNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cfg := natsConfig("nats://" + listener.Addr().String())
	cfg.Timeout = brief
	r := newRig(t, cfg)
	r.pod(KindDecode, "d").set(worker(1, 3, 0)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, _ := r.collector.Collect(ctx, []Target{r.pods[0].target}, r.now)
	if ctx.Err() != nil {
		t.Fatal("the collection did not end by itself")
	}
	wantUnknown(t, "prefill waiting", s.PrefillWaiting, "the NATS server")
	wantKnown(t, "decode running", s.DecodeRunning, 3)
}

func TestServersThatRefuse(t *testing.T) {
	t.Run("no JetStream", func(t *testing.T) {
		s := startNATS(t, func(o *server.Options) { o.JetStream = false })
		r := newRig(t, natsConfig(s.ClientURL()))
		wantUnknown(t, "prefill waiting", r.collect().PrefillWaiting, "nobody answers for JetStream")
	})
	t.Run("wrong password", func(t *testing.T) {
		s := startNATS(t, func(o *server.Options) { o.Username, o.Password = "u", "right" })
		cfg := natsConfig(s.ClientURL())
		cfg.NATS.User, cfg.NATS.Password = "u", "hunter2"
		r := newRig(t, cfg)
		got := r.collect().PrefillWaiting
		wantUnknown(t, "prefill waiting", got, "not connected")
		if !strings.Contains(strings.ToLower(got.Why), "authorization") || strings.Contains(got.Why, "hunter2") {
			t.Errorf("why = %q, want the refusal and no password", got.Why)
		}
	})
	t.Run("right password", func(t *testing.T) {
		s := startNATS(t, func(o *server.Options) { o.Username, o.Password = "u", "right" })
		cfg := natsConfig(s.ClientURL())
		cfg.NATS.User, cfg.NATS.Password = "u", "right"
		wantUnknown(t, "prefill waiting", newRig(t, cfg).collect().PrefillWaiting, "no stream")
	})
}

// F33 in a cluster: whichever server is asked, the answer is the leader's.
func TestF33EveryServerGivesTheLeadersDepth(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of three servers takes seconds to agree")
	}
	servers := startClusterWith(t, 3, nil)
	w := newWorkers(t, servers[0])
	w.createInCluster()
	w.publishTo(servers, 8)
	for _, s := range servers {
		newRig(t, natsConfig(s.ClientURL())).awaitWaiting("through "+s.Name(), 8)
	}
}

// awaitWaiting collects until the depth is known. At a step-down it may be unknown for a moment; it is never another.
func (r *rig) awaitWaiting(what string, want float64) {
	r.t.Helper()
	await(r.t, "the depth "+what, func() bool {
		got := r.collect().PrefillWaiting
		if got.Ok() {
			wantKnown(r.t, "prefill waiting "+what, got, want)
		}
		return got.Ok()
	})
}

// startClusterWith runs servers that know each other.
func startClusterWith(t *testing.T, n int, change func(o *server.Options)) []*server.Server {
	t.Helper()
	held := ports.ForTest(t, n)
	var routes []*url.URL
	for i := range n {
		routes = append(routes, &url.URL{Scheme: "nats", Host: held.Address(i)})
	}
	var servers []*server.Server
	for i, port := range held.Numbers {
		servers = append(servers, startNATS(t, func(o *server.Options) {
			o.ServerName = fmt.Sprintf("nats-%d", i)
			o.Cluster = server.ClusterOpts{Name: "nats", Host: "127.0.0.1", Port: port, AuthTimeout: patience.Seconds()}
			o.Routes = routes
			if change != nil {
				change(o)
			}
		}))
	}
	return servers
}

// Without a frontend, what waits in the queue has arrived too: prefill pods
// that are saturated finish at their own rate, whatever comes.
func TestDemandOfPrefillPodsAndQueue(t *testing.T) {
	s := startNATS(t, nil)
	w := newWorkers(t, s)
	w.createStream(1)
	w.createConsumer()
	r := newRig(t, natsConfig(s.ClientURL()))
	p := r.pod(KindPrefill, "p")
	var got planner.Signals
	for i := range 3 {
		p.set(worker(float64(30*i), 1, 0)...)
		if i > 0 {
			w.publish(15)
		}
		got = r.collect()
	}
	wantKnown(t, "demand", got.RequestsPerSecond, 3)
	if err := w.stream.DeleteConsumer(w.ctx, consumer); err != nil {
		t.Fatal(err)
	}
	p.set(worker(90, 1, 0)...)
	wantUnknown(t, "demand with half of it unseen", r.collect().RequestsPerSecond, "what waits in the queue is part of demand")
}

// While the server was away for long, the depth went up and down unseen: what lies between its ends is not the growth of the window.
func TestGrowthIsNotOverALongGap(t *testing.T) {
	q := &queue{keep: 2 * time.Minute}
	at := func(later time.Duration, waiting, delivered uint64) {
		info := &jetstream.ConsumerInfo{Created: epoch, NumPending: waiting, Delivered: jetstream.SequenceInfo{Consumer: delivered}}
		q.record(&answer{info: info}, epoch.Add(later))
	}
	at(0, 5000, 0)
	at(10*time.Minute, 0, 9000)
	if perSecond, ok := q.growthPerSecond(time.Minute, 10*time.Second); ok {
		t.Errorf("at once: %v per second, want unknown", perSecond)
	}
	at(10*time.Minute+15*time.Second, 30, 9000)
	if perSecond, ok := q.growthPerSecond(time.Minute, 10*time.Second); !ok || perSecond != 2 {
		t.Errorf("after 15 s: %v per second, %v, want 2", perSecond, ok)
	}
}
