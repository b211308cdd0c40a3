package emulator

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// podServer answers for one pod.
type podServer struct {
	listener net.Listener
	http     http.Server
	done     chan struct{}
}

// serve opens and closes servers so that each of the given pods has one.
func (e *Emulator) serve(pods map[string]Pod) {
	unserved := map[string]string{}
	for uid, s := range e.servers {
		if _, ok := pods[uid]; !ok {
			s.close()
			delete(e.servers, uid)
		}
	}
	for uid, p := range pods {
		if e.servers[uid] != nil {
			continue
		}
		s, err := e.newServer(p)
		if err != nil {
			// Tried again at the next change of any pod.
			e.cfg.Logger.Warn("pod cannot be served", "pod", p.Namespace+"/"+p.Name, "error", err)
			unserved[uid] = err.Error()
			continue
		}
		e.servers[uid] = s
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unserved = unserved
}

func (e *Emulator) newServer(p Pod) (*podServer, error) {
	port, collector := e.cfg.HTTPPort, e.collector(p)
	if p.Role == RoleExporter {
		port = e.cfg.ExporterPort
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(collector); err != nil {
		return nil, fmt.Errorf("emulator: metrics of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(p.IP, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("emulator: pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	s := &podServer{listener: listener, http: http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // ends with close
	}()
	return s, nil
}

// close ends a server as a killed pod would: open connections are cut.
func (s *podServer) close() {
	_ = s.http.Close()
	<-s.done
}

func (e *Emulator) closeServers() {
	for _, s := range e.servers {
		s.close()
	}
	clear(e.servers)
}

// collector makes a pod's metrics at each scrape.
func (e *Emulator) collector(p Pod) prometheus.Collector {
	switch p.Role {
	case RoleFrontend:
		return collect(func(ch chan<- prometheus.Metric) {
			e.mu.Lock()
			e.advance()
			s, ok := e.engine.FrontendStats(p.UID)
			e.mu.Unlock()
			if ok {
				dynamoMetrics(ch, e.cfg.Frontend, e.cfg.Model, &s)
			}
		})
	case RoleExporter:
		return collect(func(ch chan<- prometheus.Metric) {
			e.mu.Lock()
			gpus := e.gpus.onNode(p.Node)
			e.mu.Unlock()
			dcgmMetrics(ch, e.cfg.GPU, p.Node, gpus)
		})
	}
	kvTokens := e.cfg.Engine.Service.Prefill.KVCapacityTokens
	if p.Role == RoleDecode {
		kvTokens = e.cfg.Engine.Service.Decode.KVCapacityTokens
	}
	return collect(func(ch chan<- prometheus.Metric) {
		e.mu.Lock()
		e.advance()
		s, ok := e.engine.Stats(p.UID)
		e.mu.Unlock()
		switch {
		case !ok:
		case e.cfg.Workers == SGLang:
			sglangMetrics(ch, e.cfg.Model, p.Role, kvTokens, &s)
		default:
			vllmMetrics(ch, e.cfg.Model, kvTokens, &s)
		}
	})
}

// collect is a Collector whose metrics are made when they are asked for.
type collect func(chan<- prometheus.Metric)

// Describe implements prometheus.Collector; no descriptions is an unchecked collector.
func (collect) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collect) Collect(ch chan<- prometheus.Metric) { c(ch) }

func worker(p Pod) engine.Worker { return engine.Worker{ID: p.UID, Name: p.Name, Role: p.Role} }
