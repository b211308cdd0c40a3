package signals

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Kind is what a scraped pod is to the service.
type Kind string

// The kinds of pods that are scraped. KindExporter is a dcgm-exporter: one per
// GPU node, and its series name the pod that owns each GPU.
const (
	KindFrontend Kind = "frontend"
	KindPrefill  Kind = "prefill"
	KindDecode   Kind = "decode"
	KindExporter Kind = "exporter"
)

// KindPrometheus and KindEtcd are no pods: they mark the reports of the servers that were asked.
const (
	KindPrometheus Kind = "prometheus"
	KindEtcd       Kind = "etcd"
)

// Target is one metrics page.
type Target struct {
	Kind      Kind
	Namespace string
	Pod       string
	// UID tells a pod from a later one of the same name; samples are kept under it.
	UID  string
	Node string
	// URL is the whole address of the page, "http://10.1.2.3:8000/metrics".
	URL string
	// Ready says that the pod should answer: one that is ready and gives
	// nothing is counted as silent, one that is not ready is only left out.
	Ready bool
}

// Defaults of Config.
const (
	DefaultWindow       = 60 * time.Second
	DefaultTimeout      = 3 * time.Second
	DefaultMaxAge       = 60 * time.Second
	DefaultConcurrency  = 64
	DefaultMaxBodyBytes = 8 << 20
)

// Config says what to read of one service, and how.
type Config struct {
	// Engine names the vocabulary, one of Engines(); EngineAuto detects it page by page.
	Engine string
	// Model keeps only the frontend's series of this served model, in any case;
	// empty keeps all.
	Model string

	// TTFTPercentile and TPOTPercentile are the percentiles of the objectives, over 0 and under 1.
	TTFTPercentile float64
	TPOTPercentile float64

	// Window is the time that rates, means and quantiles are taken over. It must
	// be over half of the time between two collections, or nothing but gauges is ever known.
	Window time.Duration
	// Timeout is the deadline of each source on its own.
	Timeout time.Duration
	// MaxAge is the age at which a sample is no longer used.
	MaxAge time.Duration

	// Concurrency is how many pages are read at once. A collection takes at
	// most targets/Concurrency, rounded up, times Timeout; pages that answered
	// the last time are read first.
	Concurrency int
	// MaxBodyBytes bounds one page after decompression.
	MaxBodyBytes int64

	// Pods and Exporters say how pages with https in their URL are asked for,
	// those of the service's own pods and those of the GPU exporters.
	Pods, Exporters PageConfig

	// Prometheus has the pods' metrics; nil reads the pods themselves.
	Prometheus *PrometheusConfig
	// NATS is the prefill queue, nil where the service has none.
	NATS *NATSConfig
	// Etcd is where workers register themselves, nil for no such cross-check.
	Etcd *EtcdConfig
}

// NATSConfig says where the prefill queue is.
type NATSConfig struct {
	// URL is one or more server addresses, separated by commas: "nats://nats.default:4222".
	URL string
	// Stream and Consumer name the JetStream stream and its durable pull consumer.
	Stream   string
	Consumer string

	// Alternatives are further streams on which the consumer is looked for, in
	// this order, where Stream or its consumer does not exist.
	Alternatives []string

	// At most one of these ways in is used: user and password, a token, the
	// content of a credentials file (a JWT and its seed), or the seed of an NKey.
	User        string
	Password    string
	Token       string
	Credentials []byte
	NKeySeed    []byte
	// TLS is used for tls:// addresses, and for others whose server asks for it.
	TLS TLSConfig

	// Monitoring is the http(s) address of a server's monitoring, empty for none.
	// It is asked where JetStream's API cannot be, and believed only where
	// that server leads the consumer.
	Monitoring string
	// Account that the stream is in, as the monitoring page names it. Default $G.
	Account string
}

// DynamoQueue returns the stream and the consumer of the prefill queue of
// Dynamo's first generation, by the name of Dynamo's own namespace ("dynamo" unless
// it was changed; then they are the ones that ACK's tutorial names).
func DynamoQueue(namespace string) (stream, consumer string) {
	return strings.NewReplacer("/", "_", `\`, "_").Replace(namespace) + "_prefill_queue", "worker-group"
}

// OlderQueues are the streams that other versions of Dynamo used: one name for
// all, and the name of the served model.
func OlderQueues(model string) []string {
	names := []string{"prefill_queue"}
	if model != "" {
		names = append(names, strings.NewReplacer("/", "_", `\`, "_").Replace(model))
	}
	return names
}

// SourceReport says how one source did in one collection.
type SourceReport struct {
	// Source names it for people: "prefill pod dynamo-pd-prefill-0", "nats dynamo_prefill_queue/worker-group".
	Source string
	Kind   Kind // empty for the queue
	Pod    string
	OK     bool
	// Error says what failed; empty when OK.
	Error string
	// Detail says what a person should know although the source is usable: a
	// restart, series left out, messages fetched and not acknowledged.
	Detail string
	// Degraded says what a usable source cannot tell that it should: a GPU
	// exporter without profiling fields. Empty where nothing is missing.
	Degraded string
	// Age is the time since the last good sample, 0 when there was none yet.
	Age time.Duration
	// Engine is whose metric names the pod was last found to speak, chosen or
	// detected, and Names are those of them that were on its page.
	Engine string
	Names  []string
	// Queries are what a Prometheus was asked, as a person can ask it again.
	Queries []string
}

// withDefaults returns the configuration with its gaps filled, or the first
// thing that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if engines[c.Engine] == nil {
		return c, unknownEngine(c.Engine)
	}
	for _, p := range []struct {
		name  string
		value *float64
	}{{"TTFT", &c.TTFTPercentile}, {"TPOT", &c.TPOTPercentile}} {
		if !(*p.value > 0 && *p.value < 1) {
			return c, fmt.Errorf("signals: the %s percentile is %v: it must be over 0 and under 1, such as 0.95", p.name, *p.value)
		}
	}
	for _, d := range []struct {
		name      string
		value     *time.Duration
		otherwise time.Duration
	}{
		{"window", &c.Window, DefaultWindow},
		{"timeout", &c.Timeout, DefaultTimeout},
		{"max age", &c.MaxAge, DefaultMaxAge},
	} {
		if *d.value < 0 {
			return c, fmt.Errorf("signals: the %s is %v: it must be over 0, or 0 for the default of %v", d.name, *d.value, d.otherwise)
		}
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if c.Concurrency < 0 || c.MaxBodyBytes < 0 {
		return c, fmt.Errorf("signals: concurrency %d and body limit %d bytes must not be negative", c.Concurrency, c.MaxBodyBytes)
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if err := c.Pods.check(); err != nil {
		return c, fmt.Errorf("signals: pods: %w", err)
	}
	if err := c.Exporters.check(); err != nil {
		return c, fmt.Errorf("signals: exporters: %w", err)
	}
	if c.Prometheus != nil {
		var err error
		if c.Prometheus, err = c.Prometheus.withDefaults(); err != nil {
			return c, err
		}
	}
	if c.NATS != nil {
		if err := c.NATS.check(); err != nil {
			return c, err
		}
	}
	if c.Etcd != nil {
		if err := c.Etcd.check(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// check says what is wrong with the queue's configuration.
func (n *NATSConfig) check() error {
	if n.Stream == "" || n.Consumer == "" {
		return fmt.Errorf("signals: the NATS stream is %q and the consumer %q: both must be named", n.Stream, n.Consumer)
	}
	named := []struct{ what, name string }{{"stream", n.Stream}, {"consumer", n.Consumer}}
	for _, stream := range n.Alternatives {
		named = append(named, struct{ what, name string }{"stream", stream})
	}
	for _, one := range named {
		if one.name == "" || strings.ContainsAny(one.name, " \t\r\n.*>/\\") {
			return fmt.Errorf("signals: the NATS %s %q must not be empty or hold spaces, '.', '*', '>', '/' or '\\'", one.what, one.name)
		}
	}
	for server := range strings.SplitSeq(n.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			// The address may hold a password: it is not repeated here.
			return fmt.Errorf("signals: a NATS address is not valid: it must be like nats://host:4222 (or tls, ws, wss)")
		}
		if u.User != nil {
			return fmt.Errorf("signals: a NATS address holds a user or a password: they belong in a Secret")
		}
	}
	if n.Monitoring != "" {
		if err := CheckURL(n.Monitoring); err != nil {
			return fmt.Errorf("signals: NATS monitoring: %w", err)
		}
	}
	ways := 0
	for _, set := range []bool{n.User != "" || n.Password != "", n.Token != "", len(n.Credentials) > 0, len(n.NKeySeed) > 0} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		return fmt.Errorf("signals: NATS has %d ways to log in: give one of user and password, token, credentials, and NKey seed", ways)
	}
	_, err := n.login()
	return err
}
