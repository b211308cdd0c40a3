package doctor

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// budget compares the GPUs that run with those that may.
func (e *examination) budget() {
	least, known := 0, true
	e.roles(func(role planner.Role, p *planner.Pool) {
		if p.Missing != "" {
			known = false
			return
		}
		gpus := e.gpusPerReplica(role, p)
		known = known && gpus > 0
		least += gpus * int(e.scaledRole(role).Min)
		e.replicas(role, p)
	})
	held := e.Seen.Prefill.HeldGPUs() + e.Seen.Decode.HeldGPUs()
	switch b := e.Resource.Spec.Budget; {
	case b == nil:
		e.add(OK, "budget", "", "", "there is none; %d GPUs are held, and the maximum of each role limits them", held)
	case known && least > int(b.GPUs):
		e.add(Fault, "budget", "", "raise budget.gpus, or lower a min", "the minimum replicas take %d GPUs and the budget is %d", least, b.GPUs)
	case held > int(b.GPUs):
		e.add(Warning, "budget", "", "raise budget.gpus, or let the roles shrink", "%d GPUs are held and the budget is %d: only shrinks are written", held, b.GPUs)
	default:
		e.add(OK, "budget", "", "", "%d of %d GPUs are held", held, b.GPUs)
	}
	if gpus, from, limited := e.Seen.BudgetGPUs(); limited && (e.Resource.Spec.Budget == nil || gpus < int(e.Resource.Spec.Budget.GPUs)) {
		e.add(Warning, "quota", "", "raise the quota if the service is to hold more", "%s lets it hold %d GPUs", from, gpus)
	}
	e.moves()
}

func (e *examination) scaledRole(role planner.Role) *v1alpha1.ScaledRole {
	if role == planner.Prefill {
		return &e.Resource.Spec.Roles.Prefill.ScaledRole
	}
	return &e.Resource.Spec.Roles.Decode.ScaledRole
}

// gpusPerReplica is what a replica takes, 0 where nothing tells.
func (e *examination) gpusPerReplica(role planner.Role, p *planner.Pool) int {
	for _, problem := range e.Seen.Problems {
		if problem.Role != role {
			continue
		}
		switch problem.Reason {
		case workload.ProblemGPUsDiffer, workload.ProblemForeignPods, workload.ProblemPodsUnknown:
			e.add(Warning, "pods", role, "see the message", "%s", problem.Message)
		case workload.ProblemTemplate:
			e.add(Warning, "template", role, "correct the role's pod template", "%s", problem.Message)
		}
	}
	said := 0
	if parallelism := e.scaledRole(role).Parallelism; parallelism != nil {
		said = parallelism.GPUs()
	}
	switch {
	case p.GPUsPerReplica == 0 && said == 0:
		e.add(Fault, "GPUs per replica", role, fmt.Sprintf("set roles.%s.parallelism.tensor, or limits of nvidia.com/gpu in the pod template", role), "neither the template nor a pod says how many GPUs a replica takes")
		return 0
	case p.GPUsPerReplica == 0:
		e.add(OK, "GPUs per replica", role, "", "%d, as roles.%s.parallelism says", said, role)
		return said
	case said > 0 && said != p.GPUsPerReplica:
		e.add(Fault, "GPUs per replica", role, fmt.Sprintf("correct roles.%s.parallelism: tensor x data x pipeline must be %d", role, p.GPUsPerReplica), "a replica takes %d GPUs and roles.%s.parallelism is of %d", p.GPUsPerReplica, role, said)
	default:
		e.add(OK, "GPUs per replica", role, "", "%d", p.GPUsPerReplica)
	}
	return p.GPUsPerReplica
}

// replicas looks for those that do not start.
func (e *examination) replicas(role planner.Role, p *planner.Pool) {
	for i := range p.Replicas {
		if r := &p.Replicas[i]; r.Unschedulable != "" && r.State == planner.Starting {
			e.add(Warning, "replicas", role, "free or add GPUs, or lower the count", "%s finds no place: %s", r.Name, r.Unschedulable)
			return
		}
	}
	if p.GPUType == "" && e.Resource.Spec.GPU == "" && e.scaledRole(role).GPUType == "" {
		e.add(Fault, "GPU type", role, "set spec.gpu", "no node under its replicas says what GPUs they are, and neither does the resource")
	}
}

// moves looks at what a move of GPUs would meet.
func (e *examination) moves() {
	if !e.Resource.Spec.Rebalance.Allowed() || e.Resource.Spec.Budget == nil {
		return
	}
	if e.Seen.FreeGPUsByNode == nil {
		e.add(Unknown, "nodes", "", "bind the role pdautoscaler-nodes to the controller", "whether freed GPUs can hold the other role is not known: the nodes may not be read")
	}
	e.roles(func(role planner.Role, p *planner.Pool) {
		if len(p.NotOn) > 0 {
			e.add(Warning, "nodes", role, "let the roles tolerate and select the same nodes if GPUs are to move between them", "its replicas cannot run on %s of the service, such as %s: GPUs that are freed there are of no use to it", count(len(p.NotOn), "node"), p.NotOn[0])
		}
		ends := time.Duration(e.Seen.GraceSeconds[role]) * time.Second
		if d := e.Resource.Spec.Behavior.Drain; d != nil {
			ends += d.Deadline.Duration
		}
		if timeout := e.Resource.Spec.Rebalance.DrainTimeout.Duration; ends > timeout {
			e.add(Warning, "drain", role, "raise rebalance.drainTimeout, or lower the pods' terminationGracePeriodSeconds", "a pod may take %s to end and rebalance.drainTimeout is %s: a move would be given up before its GPUs are free", ends, timeout)
		}
	})
}
