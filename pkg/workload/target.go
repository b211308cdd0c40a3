package workload

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// FrontendRole is the Pod.Role of the pods that take the requests.
const FrontendRole planner.Role = "frontend"

// Target names one scaled service.
type Target struct {
	Namespace string
	// Group is the name of the RoleBasedGroup.
	Group string
	// Roles are the names of the planner's roles in the group.
	Roles map[planner.Role]string
	// FrontendRole is the name of the role that takes the requests; empty is none.
	FrontendRole string
	// Autoscaler is the UID of the PDAutoscaler that asks. Every other one that
	// writes the same role is looked for; with an empty UID none is.
	Autoscaler types.UID
}

// Observation is one service as Kubernetes shows it at one moment.
type Observation struct {
	// UID of the RoleBasedGroup.
	UID     types.UID
	Prefill planner.Pool
	Decode  planner.Pool
	// FreeGPUsByNode is how many GPUs no pod has claimed on each schedulable
	// node where a pod of either role may run. It is nil where nodes or pods of
	// other namespaces may not be listed.
	FreeGPUsByNode map[string]int
	// Pods are the pods of prefill, decode and frontend that run or will run,
	// ordered by role and name.
	Pods []Pod
	// Problems are what a person should know about and no Pool has a field for.
	Problems []Problem
}

// Pod is one pod of the service.
type Pod struct {
	// Role is planner.Prefill, planner.Decode or FrontendRole.
	Role     planner.Role
	Name     string
	Instance string // the replica that the pod belongs to
	UID      types.UID
	IP       string // empty before the pod has one
	Node     string // empty before the pod is scheduled
	// Ready is true while the pod serves: its condition says so and it is not terminating.
	Ready       bool
	Terminating bool
	// Leader is false for the workers of a leader-worker replica: they hold GPUs
	// and serve no metrics.
	Leader bool
	GPUs   int
}

// Problem is something wrong with the service that does not stop an observation.
type Problem struct {
	Role    planner.Role
	Reason  string
	Message string
}

// Reasons of problems.
const (
	// ProblemGPUsDiffer: live pods hold another number of GPUs than the template says.
	ProblemGPUsDiffer = "GPUsPerReplicaDiffer"
	// ProblemTemplate: the role's pod template cannot be understood, so that its
	// GPUs per replica are unknown.
	ProblemTemplate = "TemplateInvalid"
	// ProblemForeignPods: pods carry the role's labels and belong to something else.
	ProblemForeignPods = "ForeignPods"
)
