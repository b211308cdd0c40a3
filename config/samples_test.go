package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

// The samples of whole services: what is applied, and what the controller then sees.
var services = []struct {
	apply           []string // of kubectl
	namespace, name string   // of the PDAutoscaler
	objects         []string // besides it, without their API groups
	prefill, decode role
}{
	{
		[]string{"-k samples/dynamo", "-f samples/dynamo-pd.yaml"}, "default", "dynamo-pd",
		[]string{"configmap/dynamo-configs", "service/etcd", "statefulset/etcd", "service/nats", "deployment/nats", "rolebasedgroup/dynamo-pd", "service/dynamo-pd"},
		role{replicas: 2, gpus: 2}, role{replicas: 1, gpus: 2},
	},
	{
		[]string{"-k samples/sglang"}, "default", "sglang-pd",
		[]string{"serviceaccount/sglang-router", "role/sglang-router", "rolebinding/sglang-router", "rolebasedgroup/sglang-pd"},
		role{replicas: 2, gpus: 2}, role{replicas: 1, gpus: 2},
	},
	{
		[]string{"-k samples/vllm-mooncake"}, "default", "vllm-mooncake",
		[]string{"serviceaccount/vllm-router", "role/vllm-router", "rolebinding/vllm-router", "deployment/vllm-router", "deployment/vllm-pd-prefill", "deployment/vllm-pd-decode"},
		role{replicas: 2, gpus: 2}, role{replicas: 1, gpus: 2},
	},
	{
		[]string{"-k samples/llm-d"}, "default", "llm-d",
		[]string{"leaderworkerset/llm-d-prefill", "leaderworkerset/llm-d-decode"},
		role{replicas: 2, gpus: 2}, role{replicas: 1, gpus: 8},
	},
	{
		[]string{"-k samples/gpu-cap"}, "capped", "capped-pd",
		[]string{"namespace/capped", "resourcequota/gpus", "rolebasedgroup/capped-pd"},
		role{replicas: 2, gpus: 2, stateless: true}, role{replicas: 4, gpus: 2, stateless: true},
	},
}

type role struct {
	replicas, gpus int
	stateless      bool
}

// Each sample of a service passes the API server, which is strict about every
// field, and the controller understands what it then finds there: both roles,
// their counts and GPUs, the model on them, and the addresses of its signals.
func TestServiceSamples(t *testing.T) {
	cp := controlplane.ForTest(t)
	kubectl := func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := cp.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	kubectl(t, "apply", "-k", "crd", "--server-side")
	kubectl(t, "apply", "-f", "testdata/lws_crd.yaml")
	kubectl(t, "wait", "--for=condition=Established", "crd/pdautoscalers.pdautoscaler.io", "crd/leaderworkersets.leaderworkerset.x-k8s.io", "--timeout=5m")
	discovered(t, cp, "pdautoscaler.io", "leaderworkerset.x-k8s.io")

	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cp.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}

	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			got := map[string]bool{}
			for _, what := range s.apply {
				flag, path, _ := strings.Cut(what, " ")
				for name := range strings.FieldsSeq(kubectl(t, "apply", flag, path, "--validate=strict", "-o", "name")) {
					kind, name, _ := strings.Cut(name, "/")
					kind, _, _ = strings.Cut(kind, ".")
					got[kind+"/"+name] = true
				}
				// TestInstall counts what is there.
				defer kubectl(t, "delete", flag, path, "--wait=true", "--timeout=5m")
			}
			want := map[string]bool{"pdautoscaler/" + s.name: true}
			for _, o := range s.objects {
				want[o] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}

			pda := &v1alpha1.PDAutoscaler{}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: s.name}, pda); err != nil {
				t.Fatal(err)
			}
			seen, err := workload.New(c, c).Observe(t.Context(), workload.TargetOf(pda), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range seen.Problems {
				if p.Reason != workload.ProblemWaiting { // no node here has GPUs for them
					t.Errorf("%s: %s", p.Reason, p.Message)
				}
			}
			understood(t, pda, "prefill", &pda.Spec.Roles.Prefill.ScaledRole, &seen.Prefill, s.prefill)
			understood(t, pda, "decode", &pda.Spec.Roles.Decode.ScaledRole, &seen.Decode, s.decode)
			if got, want := seen.Stateless[planner.Prefill] && seen.Stateless[planner.Decode], s.prefill.stateless; want && !got {
				t.Errorf("roles without identities are seen as %v", seen.Stateless)
			}
			if start := s.prefill.replicas*s.prefill.gpus + s.decode.replicas*s.decode.gpus; start > int(pda.Spec.Budget.GPUs) {
				t.Errorf("the sample starts with %d GPUs, the budget is %d", start, pda.Spec.Budget.GPUs)
			}
			if grace, drain := seen.GraceSeconds[planner.Decode], pda.Spec.Rebalance.DrainTimeout.Seconds(); float64(grace) >= drain {
				t.Errorf("a pod may take %d s to end and a move waits %v s for it", grace, drain)
			}
			addresses(t, c, pda)
		})
	}
}

// understood holds one role as it is seen against the manifests and the resource.
func understood(t *testing.T, pda *v1alpha1.PDAutoscaler, name string, spec *v1alpha1.ScaledRole, pool *planner.Pool, want role) {
	t.Helper()
	if pool.Missing != "" || pool.Desired != want.replicas || pool.GPUsPerReplica != want.gpus {
		t.Errorf("%s: %d replicas of %d GPUs %s, want %d of %d", name, pool.Desired, pool.GPUsPerReplica, pool.Missing, want.replicas, want.gpus)
	}
	if pool.Writer != "" {
		t.Errorf("%s has another writer: %s", name, pool.Writer)
	}
	if got := int(spec.Parallelism.Tensor); got != want.gpus {
		t.Errorf("%s: the resource says %d GPUs, the template %d", name, got, want.gpus)
	}
	model, err := perfmodel.LookupModel(pda.Spec.Model.Name)
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := perfmodel.LookupGPU(pda.Spec.GPU)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := perfmodel.NewReplica(model, gpu, perfmodel.Options{TP: want.gpus, MemoryFraction: float64(pda.Spec.Model.MemoryPercent) / 100}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// addresses wants a Service of the sample behind each address that the resource names.
func addresses(t *testing.T, c client.Client, pda *v1alpha1.PDAutoscaler) {
	t.Helper()
	var urls []string
	if nats := pda.Spec.Signals.NATS; nats != nil {
		urls = append(urls, nats.URL)
	}
	if etcd := pda.Spec.Signals.Etcd; etcd != nil {
		urls = append(urls, etcd.Endpoints...)
	}
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(u.Host)
		if err != nil {
			t.Fatal(err)
		}
		service := &corev1.Service{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: pda.Namespace, Name: host}, service); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return fmt.Sprint(p.Port) == port }) {
			t.Errorf("%s: the Service %s has no port %s", text, host, port)
		}
	}
}
