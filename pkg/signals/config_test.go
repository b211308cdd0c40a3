package signals

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func validConfig() Config {
	return Config{Engine: "vllm", TTFTPercentile: 0.95, TPOTPercentile: 0.5}
}

func TestConfigDefaults(t *testing.T) {
	got, err := validConfig().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Engine: "vllm", TTFTPercentile: 0.95, TPOTPercentile: 0.5, Window: time.Minute, Timeout: 3 * time.Second,
		MaxAge: time.Minute, Concurrency: 64, MaxBodyBytes: 8 << 20}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigRefuses(t *testing.T) {
	queue := func(change func(n *NATSConfig)) func(c *Config) {
		return func(c *Config) {
			c.NATS = &NATSConfig{URL: "nats://nats:4222", Stream: stream, Consumer: consumer}
			change(c.NATS)
		}
	}
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"unknown engine":       {func(c *Config) { c.Engine = "tgi" }, `engine "tgi" is not known: use one of auto, dynamo-sglang, dynamo-trtllm, dynamo-vllm, sglang, trtllm, vllm`},
		"no engine":            {func(c *Config) { c.Engine = "" }, "use one of"},
		"percentile of 95":     {func(c *Config) { c.TTFTPercentile = 95 }, "the TTFT percentile is 95: it must be over 0 and under 1"},
		"no percentile":        {func(c *Config) { c.TPOTPercentile = 0 }, "the TPOT percentile is 0"},
		"negative window":      {func(c *Config) { c.Window = -time.Second }, "the window is -1s"},
		"negative timeout":     {func(c *Config) { c.Timeout = -1 }, "the timeout is"},
		"negative age":         {func(c *Config) { c.MaxAge = -1 }, "the max age is"},
		"negative concurrency": {func(c *Config) { c.Concurrency = -1 }, "concurrency -1"},
		"no stream":            {queue(func(n *NATSConfig) { n.Stream = "" }), `the NATS stream is "" and the consumer "worker-group"`},
		"stream is a subject":  {queue(func(n *NATSConfig) { n.Stream = "a.b" }), `the NATS stream "a.b" must not be empty or hold`},
		"consumer has a space": {queue(func(n *NATSConfig) { n.Consumer = "a b" }), `the NATS consumer "a b" must not be empty or hold`},
		"http address":         {queue(func(n *NATSConfig) { n.URL = "http://nats:8222" }), "must be like nats://host:4222"},
		"no address":           {queue(func(n *NATSConfig) { n.URL = "" }), "must be like nats://host:4222"},
		"second address":       {queue(func(n *NATSConfig) { n.URL = "nats://a:4222,b" }), "must be like nats://host:4222"},
		"two ways in":          {queue(func(n *NATSConfig) { n.Token, n.User = "t", "u" }), "NATS has 2 ways to log in"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := validConfig()
			c.change(&cfg)
			_, err := New(cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
	cfg := validConfig()
	queue(func(n *NATSConfig) { n.URL = "ftp://u:hunter2@nats" })(&cfg)
	if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error = %v, want one without the password", err)
	}
}
