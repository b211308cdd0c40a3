package workload

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Observation is one service as Kubernetes shows it at one moment.
type Observation struct {
	// UID of the RoleBasedGroup; of objects by reference, theirs together.
	UID     types.UID
	Prefill planner.Pool
	Decode  planner.Pool
	// FreeGPUsByNode is how many GPUs no pod has on each schedulable node where a
	// pod of either role may run. It is nil where nodes or pods of other
	// namespaces may not be listed; of a service that takes GPUs by resource
	// claims, where those or ResourceSlices may not.
	FreeGPUsByNode map[string]int
	// QuotaGPUs is how many GPUs more quotas let the service ask for; nil where
	// no quota limits them, or none may be read.
	QuotaGPUs *Allowance
	// Pods are the pods of prefill, decode and frontend that run or will run,
	// ordered by role and name.
	Pods []Pod
	// Startup is what is known of the start of replicas, by role.
	Startup map[planner.Role]Startup
	// GraceSeconds is the longest that a pod of the role may take to end
	// (terminationGracePeriodSeconds), by role; absent where not known.
	GraceSeconds map[planner.Role]int64
	// Stateless are the roles whose replicas have no identity: who of them goes
	// first can be chosen (see Choose).
	Stateless map[planner.Role]bool
	// Problems are what a person should know about and no Pool has a field for.
	Problems []Problem
}

// Allowance is what a quota leaves.
type Allowance struct {
	GPUs int
	// From names the quota that leaves the least.
	From string
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
	// ProblemPodsUnknown: which pods the role has is not known.
	ProblemPodsUnknown = "PodsUnknown"
	// ProblemGPUsUnknown: neither a template nor a pod says how many GPUs a replica takes.
	ProblemGPUsUnknown = "GPUsPerReplicaUnknown"
	// ProblemWaiting: the scheduler or a queue does not place a replica.
	ProblemWaiting = "ReplicaUnschedulable"
)

// Startup is what is known of the start of a role's replicas: each phase apart,
// from replicas that were ready in the end.
type Startup struct {
	// Total is from the first pod made to the last one ready.
	Total Quantiles
	// Schedule is until the scheduler placed the last pod, Pull from there until
	// its containers ran (images pulled, init containers done), Load from there
	// until it was ready (weights read, engine warm).
	Schedule Quantiles
	Pull     Quantiles
	// ColdLoad is on nodes where no replica of the role had been ready before as
	// far as this process saw, WarmLoad on the others: their page cache may hold the weights.
	ColdLoad Quantiles
	WarmLoad Quantiles
	// Volumes are the volumes other than the node's own disk that the template
	// mounts, such as "PersistentVolumeClaim models": weights may come from there.
	Volumes []string
}

// Quantiles are of so many samples; zero samples say nothing.
type Quantiles struct {
	Samples  int
	P50, P90 time.Duration
}
