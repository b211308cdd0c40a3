package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
)

// Handler returns the pages. With known, /metrics is only for clients whose
// certificate was verified.
func (v *View) Handler(known bool, log *slog.Logger) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(v); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		// What cannot be shown is left out and logged; the rest of the page is good.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelError),
		// Two scrapers and a person are served at once; more must wait their turn.
		MaxRequestsInFlight: 8,
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if known && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
			http.Error(w, "/metrics needs a client certificate of the authority that the agent was given", http.StatusForbidden)
			return
		}
		metrics.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", v.health)
	mux.HandleFunc("GET /readyz", v.ready)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "gpu-agent: /metrics, /healthz, /readyz")
	})
	return mux, nil
}

// health fails only where a restart would help. DCGM that is gone is no such
// case: the agent comes back by itself when DCGM does.
func (v *View) health(w http.ResponseWriter, _ *http.Request) {
	if silent := v.Clock().Sub(v.Progress().LastRound); silent > hungAfter {
		http.Error(w, fmt.Sprintf("no round has ended for %s: a call to DCGM hangs", silent.Round(time.Second)), http.StatusServiceUnavailable)
		return
	}
	v.conditions(w)
}

// ready fails while no GPU is read.
func (v *View) ready(w http.ResponseWriter, _ *http.Request) {
	if c := v.Board.Get(condition.DeviceFields); !c.OK && c.Reason != condition.SomeGPUs {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	v.conditions(w)
}

// conditions writes what works and what does not, a line each.
func (v *View) conditions(w http.ResponseWriter) {
	for _, c := range v.Board.All() {
		mark := "ok"
		if !c.OK {
			mark = "NOT OK"
		}
		fmt.Fprintf(w, "%s: %s, %s since %s: %s\n", c.Name, mark, c.Reason, c.Since.UTC().Format(time.RFC3339), c.Message)
	}
}

// Run serves the pages on a listener until the context ends.
func Run(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		_ = server.Shutdown(ending)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the pages cannot be served any more: %w", err)
	}
	return nil
}
