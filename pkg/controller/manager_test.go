package controller

import (
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

func TestOptionsAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		says    string
	}{
		"metrics for everyone":        {Options{MetricsInsecure: true, MetricsAddress: ":8080"}, "only a loopback address"},
		"metrics for the whole net":   {Options{MetricsInsecure: true, MetricsAddress: "0.0.0.0:8080"}, "only a loopback address"},
		"metrics on a name":           {Options{MetricsInsecure: true, MetricsAddress: "metrics.example:8080"}, "only a loopback address"},
		"metrics without port":        {Options{MetricsInsecure: true, MetricsAddress: "127.0.0.1"}, "host:port"},
		"page for everyone":           {Options{PageAddress: ":8444", PageInsecure: true}, "the page address is \":8444\": without authentication only a loopback address"},
		"page without a port":         {Options{PageAddress: "localhost"}, `the page address "localhost" is not host:port`},
		"metrics without certificate": {Options{MetricsAddress: "127.0.0.1:0", MetricsCertDir: "/does/not/exist"}, "the directory of the metrics' certificate is /does/not/exist: want tls.crt and tls.key in it"},
		"negative concurrency":        {Options{Concurrency: -1}, "concurrency is -1"},
		"lease shorter than deadline": {Options{LeaderElection: LeaderElection{Enabled: true, LeaseDuration: time.Second}}, "lease > renew deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewManager(&rest.Config{Host: "127.0.0.1:1"}, c.options)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	for name, o := range map[string]Options{
		"nothing at all":       {},
		"loopback":             {MetricsInsecure: true, MetricsAddress: "127.0.0.1:0"},
		"loopback of IPv6":     {MetricsInsecure: true, MetricsAddress: "[::1]:8080"},
		"everywhere, secured":  {MetricsAddress: ":8443"},
		"loopback by its name": {MetricsInsecure: true, MetricsAddress: "localhost:8080"},
	} {
		if err := o.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if o, cert, err := (Options{MetricsAddress: ":8443"}).metrics(); err != nil || !o.SecureServing || o.FilterProvider == nil || cert.get == nil {
		t.Errorf("the metrics are served without authentication (%v)", err)
	}
}

func TestDeadline(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{time.Second: 5 * time.Second, 10 * time.Second: 10 * time.Second, time.Hour: 20 * time.Second} {
		if got := deadline(interval); got != want {
			t.Errorf("an interval of %s has a deadline of %s, want %s", interval, got, want)
		}
	}
	if gracePeriod <= longestDeadline {
		t.Error("a stopping manager does not wait for a round that has begun")
	}
}

// What a person did is a reason for a round, and what the controller wrote is not.
func TestEdited(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*v1alpha1.PDAutoscaler)
		want   bool
	}{
		"a status":                      {func(p *v1alpha1.PDAutoscaler) { p.Status.Message, p.ResourceVersion = "new", "2" }, false},
		"a spec":                        {func(p *v1alpha1.PDAutoscaler) { p.Generation++ }, true},
		"a pause":                       {func(p *v1alpha1.PDAutoscaler) { p.Annotations = map[string]string{v1alpha1.PausedAnnotation: ""} }, true},
		"made again behind a cut watch": {func(p *v1alpha1.PDAutoscaler) { p.UID = "pda-2" }, true},
	} {
		was, is := example(), example()
		tc.change(is)
		if got := edited.Update(event.UpdateEvent{ObjectOld: was, ObjectNew: is}); got != tc.want {
			t.Errorf("%s: a round is due at once: %v, want %v", name, got, tc.want)
		}
	}
}
