package benchcontroller

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Pages serves the metrics of all pods of a fleet.
type Pages struct {
	start  time.Time
	filler []byte

	mu      sync.Mutex
	servers []*http.Server
}

// metricsPort is where every pod serves.
const metricsPort = 8000

// Swing of the demand, and the requests.
const (
	meanRequestsPerSecond = 2.0
	swing                 = 0.2
	swingPeriod           = 5 * time.Minute
	inputTokens           = 1500
	outputTokens          = 200
	ttftSeconds           = 0.4
	itlSeconds            = 0.02
)

// NewPages returns pages that count from now.
func NewPages() *Pages { return &Pages{start: time.Now(), filler: filler()} }

// Serve begins to serve a pod's page on its address. The phase, 0 to 1, is where in the swing its service is.
func (p *Pages) Serve(ip, role string, phase float64) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(metricsPort)))
	if err != nil {
		return fmt.Errorf("the metrics of a pod: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(p.page(role, phase, time.Since(p.start)))
	})}
	go func() { _ = server.Serve(listener) }() // ends with Close
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, server)
	return nil
}

// Close ends all servers.
func (p *Pages) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		_ = s.Close()
	}
}

// requests is how many requests have arrived: the integral of the swinging rate.
func requests(phase float64, age time.Duration) float64 {
	omega := 2 * math.Pi / swingPeriod.Seconds()
	t, shift := age.Seconds()+600, 2*math.Pi*phase
	return meanRequestsPerSecond * (t + swing/omega*(math.Cos(shift)-math.Cos(omega*t+shift)))
}

// page is what a pod of a role says at an age.
func (p *Pages) page(role string, phase float64, age time.Duration) []byte {
	n := math.Floor(requests(phase, age))
	var b strings.Builder
	b.Grow(len(p.filler) + 8<<10)
	if role == roleFrontend {
		const labels = `model="qwen"`
		fmt.Fprintf(&b, "# TYPE nv_llm_http_service_inflight_requests gauge\nnv_llm_http_service_inflight_requests{%s} 8\n", labels)
		fmt.Fprintf(&b, "# TYPE nv_llm_http_service_requests_total counter\nnv_llm_http_service_requests_total{%s,endpoint=\"chat_completions\",request_type=\"stream\",status=\"success\"} %.0f\n", labels, n)
		histogram(&b, "nv_llm_http_service_time_to_first_token_seconds", labels, seconds, ttftSeconds, n)
		histogram(&b, "nv_llm_http_service_inter_token_latency_seconds", labels, fractions, itlSeconds, n*outputTokens)
		histogram(&b, "nv_llm_http_service_request_duration_seconds", labels, seconds, ttftSeconds+itlSeconds*outputTokens, n)
		histogram(&b, "nv_llm_http_service_input_sequence_tokens", labels, tokens, inputTokens, n)
		histogram(&b, "nv_llm_http_service_output_sequence_tokens", labels, tokens, outputTokens, n)
		return []byte(b.String())
	}
	const labels = `model_name="qwen",engine="0"`
	value := func(name, kind string, v float64) {
		fmt.Fprintf(&b, "# TYPE vllm:%s %s\nvllm:%s{%s} %g\n", name, kind, name, labels, v)
	}
	value("num_requests_running", "gauge", 4)
	value("num_requests_waiting", "gauge", 0)
	value("kv_cache_usage_perc", "gauge", 0.2)
	value("prompt_tokens_total", "counter", n*inputTokens)
	value("generation_tokens_total", "counter", n*outputTokens)
	value("prefix_cache_queries_total", "counter", n*inputTokens)
	value("prefix_cache_hits_total", "counter", 0)
	value("num_preemptions_total", "counter", 0)
	fmt.Fprintf(&b, "# TYPE vllm:request_success_total counter\nvllm:request_success_total{%s,finished_reason=\"length\"} %.0f\n", labels, n)
	histogram(&b, "vllm:time_to_first_token_seconds", labels, seconds, ttftSeconds, n)
	histogram(&b, "vllm:inter_token_latency_seconds", labels, fractions, itlSeconds, n*outputTokens)
	histogram(&b, "vllm:request_prompt_tokens", labels, tokens, inputTokens, n)
	histogram(&b, "vllm:request_generation_tokens", labels, tokens, outputTokens, n)
	b.Write(p.filler)
	return []byte(b.String())
}

// Bounds of buckets, as many as the engines have.
var (
	seconds   = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560}
	fractions = []float64{0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5, 1}
	tokens    = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000}
)

// histogram writes one whose values spread evenly from nothing to twice the mean.
func histogram(b *strings.Builder, name, labels string, bounds []float64, mean, count float64) {
	fmt.Fprintf(b, "# TYPE %s histogram\n", name)
	for _, bound := range bounds {
		fmt.Fprintf(b, "%s_bucket{%s,le=\"%g\"} %.0f\n", name, labels, bound, math.Floor(count*min(1, bound/(2*mean))))
	}
	fmt.Fprintf(b, "%s_bucket{%s,le=\"+Inf\"} %.0f\n%s_sum{%s} %g\n%s_count{%s} %.0f\n", name, labels, count, name, labels, mean*count, name, labels, count)
}

// filler is what else stands on a page of vLLM, which nobody here reads: it is parsed like the rest.
func filler() []byte {
	var b strings.Builder
	for _, name := range []string{
		"e2e_request_latency_seconds", "request_queue_time_seconds", "request_inference_time_seconds", "request_prefill_time_seconds",
		"request_decode_time_seconds", "request_time_per_output_token_seconds", "request_params_n", "request_params_max_tokens",
		"request_max_num_generation_tokens", "iteration_tokens_total", "time_per_output_token_seconds",
	} {
		histogram(&b, "vllm:"+name, `model_name="qwen",engine="0"`, seconds, 1, 5000)
	}
	for i := range 40 {
		fmt.Fprintf(&b, "# TYPE python_info_%d gauge\npython_info_%d{generation=\"2\",implementation=\"CPython\"} %d\n", i, i, i)
	}
	return []byte(b.String())
}
