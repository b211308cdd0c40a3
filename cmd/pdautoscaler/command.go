package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pdautoscaler/pdautoscaler/pkg/controller"
)

const example = `  # in the cluster, two replicas of which one works
  pdautoscaler --leader-elect

  # the same, with the plan offered to HPAs and to KEDA (spec.mode Metrics)
  pdautoscaler --leader-elect --metrics-api-bind-address :6443 --metrics-api-cert-dir /certificates \
    --keda-bind-address :9555 --keda-cert-dir /certificates

  # on a workstation, against the cluster of a kubeconfig, for one namespace
  pdautoscaler --kubeconfig ~/.kube/config --namespaces default \
    --metrics-bind-address 127.0.0.1:8080 --metrics-secure=false --log-format text

  # the page at http://localhost:8444, through kubectl port-forward deploy/pdautoscaler 8444
  pdautoscaler --leader-elect --page-bind-address 127.0.0.1:8444 --page-secure=false

  # the last decision, by someone who may get the path /debug/decisions/*
  curl -k -H "Authorization: Bearer $(kubectl create token me)" \
    "https://localhost:8443/debug/decisions/default/qwen3-32b?last=1"`

// settings are the flags.
type settings struct {
	kubeconfig    string
	metricsSecure bool
	pageSecure    bool
	log           logSettings
	options       controller.Options
	offer         offer
}

func newCommand(stderr io.Writer) *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "pdautoscaler",
		Short: "Scale the prefill and decode roles of inference services",
		Long: `pdautoscaler carries out PDAutoscaler resources: it reads each service's metrics, works out
how many prefill and decode replicas keep its TTFT and TPOT objectives on the fewest GPUs,
and, in mode Auto, writes those counts.`,
		Example:       example,
		Version:       versionText(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context(), stderr)
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText())
			return err
		},
	})
	s.addFlags(cmd)
	return cmd
}

func (s *settings) addFlags(cmd *cobra.Command) {
	o, f := &s.options, cmd.Flags()
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file; without it $KUBECONFIG, the cluster that this runs in, or ~/.kube/config")
	f.StringSliceVar(&o.Namespaces, "namespaces", nil, "namespaces whose PDAutoscalers are carried out, separated by commas; without it all")
	f.IntVar(&o.Concurrency, "concurrency", controller.DefaultConcurrency, "how many PDAutoscalers are worked on at once")
	f.IntVar(&o.Records, "records", controller.DefaultRecords, "how many decision records are kept of each PDAutoscaler for /debug/decisions, at most: all of them take 16 MiB, or four each")

	f.StringSliceVar(&o.SignalHosts, "signal-hosts", nil, "hosts that PDAutoscalers may name as Prometheus, NATS or etcd, separated by commas, with * for a part of one and a port or none; without it any")

	f.StringVar(&o.MetricsAddress, "metrics-bind-address", ":8443", "address of /metrics and /debug/decisions; 0 for none")
	f.BoolVar(&s.metricsSecure, "metrics-secure", true, "serve them over HTTPS, to those whom the API server knows and allows; false needs a loopback address")
	f.StringVar(&o.MetricsCertDir, "metrics-cert-dir", "", "directory of tls.crt and tls.key for them; without it a self-signed certificate")
	f.StringVar(&o.PageAddress, "page-bind-address", "0", "address of the page that shows what is seen and decided, such as :8444; 0 for none")
	f.BoolVar(&s.pageSecure, "page-secure", true, "serve it over HTTPS, to those whom the API server knows and allows; false needs a loopback address, for kubectl port-forward")
	f.StringVar(&o.PageCertDir, "page-cert-dir", "", "directory of tls.crt and tls.key for it; without it a self-signed certificate")
	f.StringVar(&o.ProbeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 for none")

	f.BoolVar(&o.LeaderElection.Enabled, "leader-elect", false, "work only while holding the lease "+controller.LeaderElectionID)
	f.StringVar(&o.LeaderElection.Namespace, "leader-elect-namespace", "", "namespace of the lease; without it the one that this runs in")
	f.DurationVar(&o.LeaderElection.LeaseDuration, "leader-elect-lease-duration", controller.DefaultLeaseDuration, "how long others wait before they take a lease that was not renewed")
	f.DurationVar(&o.LeaderElection.RenewDeadline, "leader-elect-renew-deadline", controller.DefaultRenewDeadline, "how long renewing is tried before giving up")
	f.DurationVar(&o.LeaderElection.RetryPeriod, "leader-elect-retry-period", controller.DefaultRetryPeriod, "time between two tries")

	s.offer.addFlags(f)

	f.StringVar(&s.log.level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.log.format, "log-format", "json", "json or text")
}

// run runs the controller until the context ends.
func (s *settings) run(ctx context.Context, stderr io.Writer) error {
	handler, err := s.log.handler(stderr)
	if err != nil {
		return err
	}
	logger := logr.FromSlogHandler(handler)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger) // client-go's own lines

	config, err := s.config()
	if err != nil {
		return err
	}
	o := &s.options
	for _, address := range []*string{&o.PageAddress, &o.MetricsAddress, &o.ProbeAddress, &s.offer.api.Address, &s.offer.scaler.Address} {
		if *address == "0" { // controllers say none in both ways
			*address = ""
		}
	}
	if err := s.offer.check(); err != nil {
		return err
	}
	o.MetricsInsecure, o.PageInsecure = !s.metricsSecure, !s.pageSecure
	mgr, err := controller.NewManager(config, s.options)
	if err != nil {
		return err
	}
	if err := s.offer.addTo(ctx, mgr); err != nil {
		return err
	}
	logger.Info("pdautoscaler starts", "version", versionText(), "server", config.Host, "namespaces", strings.Join(s.options.Namespaces, ","))
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("the controller stopped: %w", err)
	}
	return nil
}

// config finds the API server. Requests are not throttled here: one slow
// service would hold up the others, and the API server guards itself.
func (s *settings) config() (*rest.Config, error) {
	var config *rest.Config
	var err error
	if s.kubeconfig != "" {
		config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
			&clientcmd.ClientConfigLoadingRules{ExplicitPath: s.kubeconfig}, nil).ClientConfig()
	} else {
		config, err = ctrl.GetConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("no API server to talk to: %w", err)
	}
	config.QPS = -1
	return rest.AddUserAgent(config, "pdautoscaler/"+version), nil
}

// versionText is the version, and the commit it was built from where that is known.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return version + " (" + setting.Value[:12] + ", " + info.GoVersion + ")"
		}
	}
	return version + " (" + info.GoVersion + ")"
}
