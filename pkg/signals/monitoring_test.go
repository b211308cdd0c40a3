package signals

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// monitored opens a server's monitoring on loopback.
func monitored(o *server.Options) { o.HTTPHost, o.HTTPPort = "127.0.0.1", server.RANDOM_PORT }

func monitoringOf(s *server.Server) string { return "http://" + s.MonitorAddr().String() }

// nobody is an address that refuses connections.
const nobody = "nats://127.0.0.1:1"

// Where the API cannot be reached, the page of a single server tells the same.
func TestMonitoringOfASingleServer(t *testing.T) {
	s := startNATS(t, monitored)
	w := newWorkers(t, s)
	w.createStream(1)
	w.createConsumer()
	w.publish(5)
	w.fetch(1, true)
	w.fetch(1, false)
	cfg := natsConfig(nobody)
	cfg.NATS.Monitoring = monitoringOf(s)
	r := newRig(t, cfg)
	wantKnown(t, "prefill waiting", r.collect().PrefillWaiting, 3)
	if got := r.queueReport(); !strings.Contains(got.Detail, "3 waiting, 1 delivered and not acknowledged, as the monitoring page") {
		t.Errorf("detail = %q", got.Detail)
	}
	// The API is preferred where it answers.
	cfg = natsConfig(s.ClientURL())
	cfg.NATS.Monitoring = "http://127.0.0.1:1"
	r = newRig(t, cfg)
	wantKnown(t, "prefill waiting", r.collect().PrefillWaiting, 3)
	if got := r.queueReport(); strings.Contains(got.Detail, "monitoring") {
		t.Errorf("detail = %q", got.Detail)
	}
}

// F33: a follower's page says 0 for ever (keda#3860, keda#6042): only the
// leader's page is believed, whoever leads after a step-down, and the API gives the leader's
// depth through every server all along.
func TestF33FollowersAreNotBelieved(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of three servers takes seconds to agree")
	}
	servers := startClusterWith(t, 3, monitored)
	w := newWorkers(t, servers[0])
	w.createInCluster()
	w.publishTo(servers, 8)
	for range 2 {
		for _, s := range servers {
			cfg := natsConfig(nobody)
			cfg.NATS.Monitoring = monitoringOf(s)
			r := newRig(t, cfg)
			// A server hears who leads a moment after it was decided, and on a busy machine another may lead by then; whoever is
			// believed until then shows the depth.
			await(t, "the page of "+s.Name()+" to say who leads", func() bool {
				leader := w.leader()
				got := r.collect().PrefillWaiting
				if got.Ok() && got.Or(0) != 8 {
					t.Errorf("prefill waiting = %+v on the page of %s, want 8 or unknown", got, s.Name())
				}
				return got.Ok() && s.Name() == leader || !got.Ok() && strings.Contains(got.Why, "does not lead the consumer ("+leader+" does)")
			})
		}
		for _, s := range servers {
			newRig(t, natsConfig(s.ClientURL())).awaitWaiting("by the API of "+s.Name(), 8)
		}
		w.stepDown(w.leader())
	}
}

// A step-down while it is read: the depth stays the depth, or is unknown for a moment; it is never zero.
func TestLeaderStepsDownWhileTheQueueIsRead(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of three servers takes seconds to agree")
	}
	servers := startClusterWith(t, 3, nil)
	w := newWorkers(t, servers[1])
	w.createInCluster()
	w.publishTo(servers, 5)
	r := newRig(t, natsConfig(servers[2].ClientURL()))
	r.awaitWaiting("at first", 5)
	for range 2 {
		w.stepDown(w.leader())
		for range 5 {
			if got := r.collect().PrefillWaiting; got.Ok() && got.Or(0) != 5 {
				t.Errorf("prefill waiting = %+v after a step-down, want 5 or unknown", got)
			}
		}
		r.awaitWaiting("under the new leader", 5)
	}
}

func (w *workers) createInCluster() {
	w.t.Helper()
	w.try("the cluster to take a stream", func(ctx context.Context) (err error) {
		w.stream, err = w.js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Subjects: []string{stream + ".*"}, Replicas: 3})
		return err
	})
	w.try("the cluster to take a consumer", func(ctx context.Context) (err error) {
		w.consumer, err = w.stream.CreateOrUpdateConsumer(ctx, onceOnly)
		return err
	})
}

// leader is the name of the server that leads the consumer.
func (w *workers) leader() string {
	w.t.Helper()
	name := ""
	await(w.t, "a leader of the consumer", func() bool {
		ctx, cancel := context.WithTimeout(w.ctx, answerWithin)
		defer cancel()
		info, err := w.consumer.Info(ctx)
		if err == nil && info.Cluster != nil {
			name = info.Cluster.Leader
		}
		return name != ""
	})
	return name
}

// stepDown makes the leader of the consumer give way, and waits for another one.
func (w *workers) stepDown(leader string) {
	w.t.Helper()
	await(w.t, "another leader", func() bool {
		if _, err := w.js.Conn().Request(fmt.Sprintf("$JS.API.CONSUMER.LEADER.STEPDOWN.%s.%s", stream, consumer), nil, answerWithin); err != nil {
			return false
		}
		return w.leader() != leader
	})
}

// The page says nothing that can be used.
func TestMonitoringThatCannotBeUsed(t *testing.T) {
	page := func(jsz string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/varz" {
				fmt.Fprint(w, `{"server_name":"nats-0"}`)
				return
			}
			fmt.Fprint(w, jsz)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"not found": {http.NotFound, "answered 404"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, "answered 302"},
		"html":          {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "is not the page of a NATS server"},
		"no JetStream":  {page(`{"disabled":true}`), "JetStream is not enabled"},
		"no such queue": {page(`{"account_details":[{"name":"$G","stream_detail":[{"name":"other"}]}]}`), "shows no consumer"},
		"another account": {page(`{"account_details":[{"name":"A","stream_detail":[{"name":"dynamo_prefill_queue","consumer_detail":[{"name":"worker-group","num_pending":3}]}]}]}`),
			"shows no consumer"},
		"no leader": {page(`{"account_details":[{"name":"$G","stream_detail":[{"name":"dynamo_prefill_queue","consumer_detail":[{"name":"worker-group","num_pending":0,"cluster":{}}]}]}]}`),
			"does not lead the consumer (none that it knows of does)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.handler)
			t.Cleanup(s.Close)
			cfg := natsConfig(nobody)
			cfg.NATS.Monitoring = s.URL
			wantUnknown(t, "prefill waiting", newRig(t, cfg).collect().PrefillWaiting, c.want)
		})
	}
}

// The consumer is looked for on the streams of other versions, where the stream is not there.
func TestQueueOfAnotherVersionIsDetected(t *testing.T) {
	s := startNATS(t, monitored)
	w := newWorkers(t, s)
	cfg := natsConfig(s.ClientURL())
	cfg.NATS.Alternatives = OlderQueues("qwen3-32b")
	r := newRig(t, cfg)
	wantUnknown(t, "prefill waiting", r.collect().PrefillWaiting, `NATS has no stream "dynamo_prefill_queue"`)
	older, err := w.js.CreateStream(w.ctx, jetstream.StreamConfig{Name: "qwen3-32b", Subjects: []string{"qwen3-32b.*"}})
	if err != nil {
		t.Fatal(err)
	}
	if w.consumer, err = older.CreateConsumer(w.ctx, onceOnly); err != nil {
		t.Fatal(err)
	}
	if _, err := w.js.Publish(w.ctx, "qwen3-32b.queue", []byte("prefill this")); err != nil {
		t.Fatal(err)
	}
	w.awaitWaiting(1)
	wantKnown(t, "prefill waiting", r.collect().PrefillWaiting, 1)
	if got := r.queueReport().Source; got != "nats qwen3-32b/worker-group" {
		t.Errorf("source = %q", got)
	}
}
