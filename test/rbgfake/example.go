package rbgfake

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

// Roles of the running example.
const (
	RoleProcessor = "processor"
	RolePrefill   = "prefill"
	RoleDecode    = "decode"
)

// Ports of the running example's containers.
const (
	ProcessorHTTPPort = 8000 // requests, and /metrics
	WorkerMetricsPort = 9090 // named "metrics"
)

// Example varies the running example. Every zero field has the default named beside it.
type Example struct {
	Namespace       string            // default
	Name            string            // dynamo-pd
	PrefillReplicas int               // 2
	DecodeReplicas  int               // 1
	GPUsPerReplica  int               // 2: the tensor-parallel size
	Model           string            // Qwen/Qwen3-32B
	NATSServer      string            // nats://nats:4222
	NodeSelector    map[string]string // none

	// ReadyAfter is the cold start of a prefill or decode worker: how long it loads its model. The processor starts at once.
	ReadyAfter time.Duration
	// GoneAfter is how long a worker drains after it was told to stop. Its grace period is that or the usual 30 s,
	// whichever is longer.
	GoneAfter time.Duration
	// NoAdapters leaves out the scaling adapters of prefill and decode.
	NoAdapters bool
}

// DynamoPD returns the running example: Qwen3-32B on Dynamo of 2025 (`dynamo serve`) with vLLM, a processor without GPUs, two
// prefill workers and one decode worker of two GPUs each, as a RoleBasedGroup. The images are never pulled.
func DynamoPD(e Example) *unstructured.Unstructured {
	e.Namespace = cmp.Or(e.Namespace, "default")
	e.Name = cmp.Or(e.Name, "dynamo-pd")
	e.GPUsPerReplica = cmp.Or(e.GPUsPerReplica, 2)
	e.Model = cmp.Or(e.Model, "Qwen/Qwen3-32B")
	e.NATSServer = cmp.Or(e.NATSServer, "nats://nats:4222")

	group := newObject(KindGroup, e.Namespace, e.Name)
	group.Object["spec"] = map[string]any{
		"roles": []any{
			map[string]any{
				"name":     RoleProcessor,
				"replicas": int64(1),
				"standalonePattern": map[string]any{"template": e.template("dynamo serve graphs.pd_disagg:Frontend", nil,
					map[string]any{"name": "http", "containerPort": int64(ProcessorHTTPPort)})},
			},
			e.worker(RolePrefill, cmp.Or(e.PrefillReplicas, 2), "dynamo serve components.prefill_worker:PrefillWorker"),
			e.worker(RoleDecode, cmp.Or(e.DecodeReplicas, 1), "dynamo serve components.worker:VllmWorker"),
		},
	}
	return group
}

func (e Example) worker(name string, replicas int, command string) map[string]any {
	command += fmt.Sprintf(" --model %s --tensor-parallel-size %d --block-size 128 --remote-prefill true", e.Model, e.GPUsPerReplica)
	template := e.template(command, map[string]any{string(controlplane.ResourceGPU): int64(e.GPUsPerReplica)},
		map[string]any{"name": "metrics", "containerPort": int64(WorkerMetricsPort)})
	template["metadata"] = map[string]any{"annotations": map[string]any{
		controlplane.AnnotationReadyAfterSeconds: controlplane.Seconds(e.ReadyAfter),
		controlplane.AnnotationGoneAfterSeconds:  controlplane.Seconds(e.GoneAfter),
	}}
	spec := template["spec"].(map[string]any)
	spec["terminationGracePeriodSeconds"] = max(30, int64(math.Ceil(e.GoneAfter.Seconds())))
	role := map[string]any{
		"name":              name,
		"replicas":          int64(replicas),
		"standalonePattern": map[string]any{"template": template},
	}
	if !e.NoAdapters {
		role["scalingAdapter"] = map[string]any{"enable": true}
	}
	return role
}

func (e Example) template(command string, limits, port map[string]any) map[string]any {
	container := map[string]any{
		"name":    "dynamo",
		"image":   "example.invalid/dynamo-vllm:2025",
		"command": []any{"sh", "-c", command},
		"ports":   []any{port},
		"env": []any{
			map[string]any{"name": "DYNAMO_NAME", "value": "dynamo"},
			map[string]any{"name": "DYNAMO_NAMESPACE", "value": "default"},
			map[string]any{"name": "DYNAMO_RP_TIMEOUT", "value": "60"},
			map[string]any{"name": "NATS_SERVER", "value": e.NATSServer},
		},
	}
	if limits != nil {
		container["resources"] = map[string]any{"limits": limits}
	}
	spec := map[string]any{"containers": []any{container}}
	if len(e.NodeSelector) > 0 {
		selector := map[string]any{}
		for key, value := range e.NodeSelector {
			selector[key] = value
		}
		spec["nodeSelector"] = selector
	}
	return map[string]any{"spec": spec}
}
