package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/dcgm"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/serve"
)

const example = `  # on a GPU node, as a DaemonSet runs it: DCGM in this process, pods from the kubelet
  NODE_NAME=node-7 gpu-agent

  # with the host engine of the GPU operator, over TLS, for clients of one authority
  gpu-agent --dcgm tcp://nvidia-dcgm.gpu-operator:5555 --tls-cert /certs/tls.crt --tls-key /certs/tls.key --client-ca /certs/ca.crt

  # on a workstation without Kubernetes
  gpu-agent --pod-resources "" --listen 127.0.0.1:9410 --log-format text
  curl -s http://127.0.0.1:9410/metrics | grep ACTIVE`

// listen is the agent's own port: 9400 is dcgm-exporter's, which may run on the
// same node in the host's network and is scraped by configurations that expect its full set of fields.
const listen = ":9410"

// settings are the flags.
type settings struct {
	dcgm       string
	interval   time.Duration
	maxAge     time.Duration
	node       string
	names      string
	timestamps bool

	podResources  string
	podsInterval  time.Duration
	resourceNames []string

	listen    string
	tls       serve.TLS
	logLevel  string
	logFormat string
}

func newCommand(stderr io.Writer) *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "gpu-agent",
		Short: "Serve the activity of a node's GPUs, by pod",
		Long: `gpu-agent reads the GPUs of its node from NVIDIA DCGM once a second, asks the kubelet which pods hold
them, and serves both as metrics: the GPUs in dcgm-exporter's names and labels, and the tensor and memory
activity of each pod in names of its own. What DCGM does not know is left out, never served as zero.`,
		Example:       example,
		Version:       versionText(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context(), stderr)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.dcgm, "dcgm", dcgm.Embedded, "where DCGM is: embedded (in this process), tcp://host:port or unix:///path of a running nv-hostengine")
	f.DurationVar(&s.interval, "interval", time.Second, "how often DCGM updates the fields and they are read")
	f.DurationVar(&s.maxAge, "max-age", 0, "age at which a value is no longer served; 0 is five intervals")
	f.StringVar(&s.node, "node", "", "name of this node, the label Hostname; without it $NODE_NAME, or the host's name")
	f.StringVar(&s.names, "names", string(gpu.NamesBefore46), "names of the fields: 4.5 (DCGM_FI_PROF_PIPE_TENSOR_ACTIVE) or 4.6 (DCGM_FI_PROF_TENSOR_UTIL_RATIO)")
	f.BoolVar(&s.timestamps, "timestamps", false, "write the time of each GPU value beside it; Prometheus then shows the last values of a pod that is gone for 5 minutes more")

	f.StringVar(&s.podResources, "pod-resources", "/var/lib/kubelet/pod-resources/kubelet.sock", "the kubelet's pod-resources socket; empty where there is no kubelet")
	f.DurationVar(&s.podsInterval, "pods-interval", 5*time.Second, "how often the kubelet is asked which pods hold the GPUs")
	f.StringSliceVar(&s.resourceNames, "resource-names", nil, "resource names of GPUs besides nvidia.com/gpu* and nvidia.com/mig-*, separated by commas")

	f.StringVar(&s.listen, "listen", listen, "address of /metrics, /healthz and /readyz")
	f.StringVar(&s.tls.CertFile, "tls-cert", "", "certificate of the served port; with --tls-key it is HTTPS. Both are read anew when they change")
	f.StringVar(&s.tls.KeyFile, "tls-key", "", "key of --tls-cert")
	f.StringVar(&s.tls.ClientCAFile, "client-ca", "", "authority of clients' certificates; with it /metrics needs one, the probes do not")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "json", "json or text")
	return cmd
}

// check says the first thing that is wrong with the flags, and fills in what they leave open.
func (s *settings) check() error {
	if s.interval < 100*time.Millisecond || s.interval > time.Minute {
		return fmt.Errorf("--interval is %v: allowed is 100ms to 1m", s.interval)
	}
	if s.maxAge == 0 {
		s.maxAge = 5 * s.interval
	}
	if s.maxAge < 2*s.interval {
		return fmt.Errorf("--max-age is %v: it must be at least two intervals, %v", s.maxAge, 2*s.interval)
	}
	if s.podsInterval < time.Second || s.podsInterval > 5*time.Minute {
		return fmt.Errorf("--pods-interval is %v: allowed is 1s to 5m", s.podsInterval)
	}
	if g := gpu.Generation(s.names); g != gpu.NamesBefore46 && g != gpu.NamesFrom46 {
		return fmt.Errorf("--names is %q: allowed is %s or %s", s.names, gpu.NamesBefore46, gpu.NamesFrom46)
	}
	if s.tls.ClientCAFile != "" && s.tls.CertFile == "" {
		return fmt.Errorf("--client-ca needs --tls-cert and --tls-key: over plain HTTP clients have no certificates")
	}
	if s.node == "" {
		s.node = os.Getenv("NODE_NAME")
	}
	if s.node == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("the node's name is not known: set --node or NODE_NAME: %w", err)
		}
		s.node = name
	}
	return nil
}

// logger returns the log that the flags ask for.
func (s *settings) logger(w io.Writer) (*slog.Logger, error) {
	options := &slog.HandlerOptions{}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level is %q: allowed is debug, info, warn or error", s.logLevel)
	}
	options.Level = level
	if s.logFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	if s.logFormat != "json" {
		return nil, fmt.Errorf("--log-format is %q: allowed is json or text", s.logFormat)
	}
	return slog.New(slog.NewJSONHandler(w, options)), nil
}

// versionText is the version, and what it was built with.
func versionText() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return version + " (" + info.GoVersion + ")"
	}
	return version
}
