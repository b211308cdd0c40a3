package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/doctor"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// doctorOptions are doctor's flags.
type doctorOptions struct {
	cluster clusterOptions
	output  string
	probe   bool
}

func newDoctor(env environment) *cobra.Command {
	o := doctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor NAME",
		Short: "Check a service and its target, and say what to change",
		Long: `doctor checks what a PDAutoscaler scales: whether its target and both roles are there; whether each
role's scaling adapter is bound; dependencies, coordination policies, gangs and rollouts that would
hold a change; other autoscalers that write the same; the GPUs of a replica, the budget and quotas
against what runs; what the controller's status says of its readings; and, through the API server's
proxy, what the pods' metrics pages answer. It reads only.

Exit codes: 0 nothing keeps the service from being scaled; 1 something does; 2 wrong flags; 3 the
resource could not be read.`,
		Example: `  pdctl doctor qwen3 -n default
  pdctl doctor qwen3 -n default -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError("give the NAME of one PDAutoscaler; see %s --help", cmd.CommandPath())
			}
			if o.output != "text" && o.output != "json" {
				return usageError("-o is %q: allowed is text or json", o.output)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0], env) },
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "how to print the result: text or json")
	cmd.Flags().BoolVar(&o.probe, "probe", true, "ask the pods' metrics pages through the API server's proxy")
	o.cluster.add(cmd)
	return cmd
}

func (o *doctorOptions) run(ctx context.Context, name string, env environment) error {
	pda, err := o.cluster.pdautoscaler(ctx, name)
	if err != nil {
		return err
	}
	config, err := o.cluster.config()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*o.cluster.timeout)
	defer cancel()
	look, err := newLook(config)
	if err != nil {
		return err
	}
	if !o.probe {
		look.page = nil
	}
	r := doctor.Examine(look.at(ctx, pda, env.now()))
	if err := o.print(&r, env.stdout); err != nil {
		return err
	}
	if !r.Healthy {
		return &exitError{code: exitNo}
	}
	return nil
}

func (o *doctorOptions) print(r *doctor.Report, w io.Writer) error {
	if o.output == "json" {
		return asJSON.write(w, r, nil)
	}
	return r.Text(w)
}

// look is how doctor sees a cluster: with the rights of whoever runs it.
type look struct {
	workload *workload.Workload
	// page reads the metrics page of a pod; nil asks none.
	page func(ctx context.Context, namespace, pod string, port int32, path string) ([]byte, error)
}

func newLook(config *rest.Config) (*look, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	cluster, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, clusterError("the cluster cannot be asked: %w", cause(err))
	}
	served, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, clusterError("the cluster cannot be asked: %w", cause(err))
	}
	raw, err := rawClient(config)
	if err != nil {
		return nil, err
	}
	page := func(ctx context.Context, namespace, pod string, port int32, path string) ([]byte, error) {
		return raw.Get().AbsPath("/api/v1/namespaces", namespace, "pods", fmt.Sprintf("%s:%d", pod, port), "proxy", path).DoRaw(ctx)
	}
	return &look{workload.New(cluster, cluster, workload.WithDiscovery(served)), page}, nil
}

// at reads all that there is to know of one service.
func (l *look) at(ctx context.Context, pda *v1alpha1.PDAutoscaler, now time.Time) doctor.Patient {
	pda = pda.DeepCopy()
	pda.Default()
	p := doctor.Patient{Resource: pda, Now: now}
	target := workload.TargetOf(pda)
	if target.Autoscaler == "" {
		target.Autoscaler = pda.UID // other writers matter to whoever looks, in every mode
	}
	seen, err := l.workload.Observe(ctx, target, now)
	if err != nil {
		p.Unread = err
		return p
	}
	built, err := l.workload.Inspect(ctx, target, now)
	if err != nil {
		p.Unread = err
		return p
	}
	p.Seen, p.Built = &seen, &built
	p.Probes, p.NotProbed = l.probe(ctx, pda, seen.Pods)
	return p
}

// probesPerRole is how many pods of a role are asked: one that answers shows
// that the port is right, a few more whether it is a single pod that does not.
const probesPerRole = 3

// probe asks pods for their metrics pages.
func (l *look) probe(ctx context.Context, pda *v1alpha1.PDAutoscaler, pods []workload.Pod) ([]doctor.Probe, string) {
	direct := &pda.Spec.Signals.Direct
	switch {
	case l.page == nil:
		return nil, "pods were not asked (--probe=false)"
	case pda.Spec.Signals.Prometheus != nil:
		return nil, "pods were not asked: the signals come through a Prometheus"
	case direct.Scheme == v1alpha1.SchemeHTTPS:
		return nil, "pods were not asked: their pages are behind TLS, which the API server does not check as the controller does"
	}
	ports := map[planner.Role]int32{workload.FrontendRole: direct.Ports.Frontend, planner.Prefill: direct.Ports.Prefill, planner.Decode: direct.Ports.Decode}
	var probes []doctor.Probe
	asked := map[planner.Role]int{}
	for i := range pods {
		pod := &pods[i]
		if !pod.Ready || !pod.Leader || asked[pod.Role] == probesPerRole {
			continue
		}
		asked[pod.Role]++
		at := v1alpha1.FrontendPath
		if pod.Role != workload.FrontendRole {
			at = pda.Spec.Signals.WorkerPath()
		}
		probe := doctor.Probe{Role: pod.Role, Pod: pod.Name, Port: ports[pod.Role]}
		page, err := l.page(ctx, pda.Namespace, pod.Name, probe.Port, at)
		switch {
		case apierrors.IsForbidden(err):
			probe.Denied = true
		case err != nil:
			probe.Error = firstLine([]byte(saysPage(err)))
		default:
			probe.Samples = samples(page)
		}
		probes = append(probes, probe)
	}
	if len(probes) == 0 {
		return nil, "no pod is ready to be asked"
	}
	return probes, ""
}

// saysPage is an error of a page without the address of the API server.
func saysPage(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code != 0 {
		return fmt.Sprintf("%d %s", status.Status().Code, http.StatusText(int(status.Status().Code)))
	}
	return cause(err).Error()
}

// samples counts the samples of a page in the text format.
func samples(page []byte) int {
	n := 0
	for scanner := bufio.NewScanner(bytes.NewReader(page)); scanner.Scan(); {
		if line := strings.TrimSpace(scanner.Text()); line != "" && !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}
