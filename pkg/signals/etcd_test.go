package signals

import (
	"context"
	"strings"
	"testing"
)

// An etcd that is away costs its own deadline, changes no reading, and says so.
func TestEtcdThatIsAway(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm", Timeout: brief, Etcd: &EtcdConfig{Endpoints: []string{"http://127.0.0.1:1"}, PrefillPrefix: "a/", DecodePrefix: "b/"}})
	p := r.pod(KindDecode, "d")
	p.set(worker(1, 3, 0)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, reports := r.collector.Collect(ctx, []Target{p.target}, r.now)
	if ctx.Err() != nil {
		t.Fatal("the collection did not end by itself")
	}
	wantKnown(t, "decode running", s.DecodeRunning, 3)
	for _, report := range reports {
		if report.Kind == KindEtcd && (report.OK || report.Error == "") {
			t.Errorf("report = %+v, want it to have failed", report)
		}
	}
}

func TestEtcdConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  EtcdConfig
		want string
	}{
		"no endpoint":    {EtcdConfig{PrefillPrefix: "a", DecodePrefix: "b"}, "needs an endpoint"},
		"no prefix":      {EtcdConfig{Endpoints: []string{"http://e:2379"}, DecodePrefix: "b"}, "a prefix of prefill's"},
		"one prefix":     {EtcdConfig{Endpoints: []string{"http://e:2379"}, PrefillPrefix: "a/", DecodePrefix: "a/b"}, "a worker would count for both roles"},
		"a user":         {EtcdConfig{Endpoints: []string{"http://me@e:2379"}, PrefillPrefix: "a", DecodePrefix: "b"}, "they belong in a Secret"},
		"no certificate": {EtcdConfig{Endpoints: []string{"https://e:2379"}, PrefillPrefix: "a", DecodePrefix: "b", TLS: TLSConfig{CA: []byte("x")}}, "must be PEM"},
		"not http":       {EtcdConfig{Endpoints: []string{"e:2379"}, PrefillPrefix: "a", DecodePrefix: "b"}, "the address is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.cfg.check(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q in it", err, c.want)
			}
		})
	}
}
