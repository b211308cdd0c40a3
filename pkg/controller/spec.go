package controller

import (
	"fmt"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// gpuNames are the catalogue names of the GPUs that the roles were last seen
// on: a role whose pods are all gone still has a type of GPU.
type gpuNames map[planner.Role]string

// plannerSpec turns the resource into what the planner reads. The pools fill in
// what the resource leaves out: GPUs of a replica, type of GPU. Any error is a *refusalError.
func plannerSpec(pda *v1alpha1.PDAutoscaler, model namedModel, prefill, decode *planner.Pool, seen gpuNames) (planner.Spec, error) {
	roles := &pda.Spec.Roles
	p, err := roleReplica(pda, model, planner.Prefill, &roles.Prefill.ScaledRole, prefill, seen)
	if err != nil {
		return planner.Spec{}, err
	}
	d, err := roleReplica(pda, model, planner.Decode, &roles.Decode.ScaledRole, decode, seen)
	if err != nil {
		return planner.Spec{}, err
	}
	budget := 0
	if pda.Spec.Budget != nil {
		budget = int(pda.Spec.Budget.GPUs)
		if budget <= 0 { // the planner takes 0 for no budget
			return planner.Spec{}, refuse(planner.ReasonInvalidSpec, fmt.Sprintf("spec.budget.gpus is %d: allowed is 1 or more, or no budget at all", budget))
		}
	}
	return planner.Spec{
		Paused:  pausedBy(pda),
		Prefill: roleSpec(&roles.Prefill.ScaledRole, p.GPUs),
		Decode:  roleSpec(&roles.Decode.ScaledRole, d.GPUs),
		Service: capacity.Service{
			Prefill:      p,
			Decode:       d,
			TTFTEndsAt:   capacity.TTFTEnd(pda.Spec.SLO.TTFTEndsAt),
			MaxSequences: int(roles.Decode.MaxSequences),

			ChunkTokens:           int(roles.Prefill.MaxBatchedTokens),
			PadTokens:             int(roles.Prefill.PadTokens),
			TransferBlocksPrefill: roles.Prefill.TransferBlocks,
		},
		LocalPrefillShare: float64(roles.Decode.LocalPrefillPercent) / 100,

		TTFT:       objective(pda.Spec.SLO.TTFT),
		TPOT:       objective(pda.Spec.SLO.TPOT),
		BudgetGPUs: budget,
		Behavior:   behavior(&pda.Spec.Behavior),
		Rebalance:  rebalance(&pda.Spec.Rebalance),
	}, nil
}

// roleReplica is the model of one replica of a role, before its service has shown anything.
func roleReplica(pda *v1alpha1.PDAutoscaler, model namedModel, role planner.Role, spec *v1alpha1.ScaledRole, pool *planner.Pool, seen gpuNames) (perfmodel.Replica, error) {
	gpu, options, err := roleDeployment(pda, role, spec, pool, seen)
	if err != nil {
		return perfmodel.Replica{}, err
	}
	replica, err := perfmodel.NewReplica(model.Model, gpu, options)
	if err != nil {
		return perfmodel.Replica{}, refuse(ReasonModelDoesNotFit, fmt.Sprintf("roles.%s: %s", role, err))
	}
	if transfer := pda.Spec.Model.KVTransfer; transfer != nil && !transfer.Setup.IsZero() {
		replica.Transfer.LatencyMs = milliseconds(transfer.Setup.Duration)
	}
	seen[role] = gpu.Name
	return replica, nil
}

// roleDeployment is what one replica of a role runs on, and how.
func roleDeployment(pda *v1alpha1.PDAutoscaler, role planner.Role, spec *v1alpha1.ScaledRole, pool *planner.Pool, seen gpuNames) (perfmodel.GPU, perfmodel.Options, error) {
	options, err := parallel(role, spec, pool)
	if err != nil {
		return perfmodel.GPU{}, perfmodel.Options{}, err
	}
	gpu, err := gpuOf(pda, role, spec, pool, seen)
	options.MemoryFraction = float64(pda.Spec.Model.MemoryPercent) / 100
	if role == planner.Prefill {
		options.MaxBatchedTokens = int(pda.Spec.Roles.Prefill.MaxBatchedTokens)
	}
	options.KVBytesPerElement, options.WeightBytesPerElement = pda.Spec.Model.KVCacheDtype.Bytes(), pda.Spec.Model.WeightDtype.Bytes()
	if transfer := pda.Spec.Model.KVTransfer; transfer != nil {
		options.TransferBytesPerSecond = float64(transfer.GigabytesPerSecond) * 1e9
	}
	return gpu, options, err
}

// parallel is how one replica uses its GPUs.
func parallel(role planner.Role, spec *v1alpha1.ScaledRole, pool *planner.Pool) (perfmodel.Options, error) {
	if spec.Parallelism == nil {
		switch {
		case pool.GPUsPerReplica > 0:
			return perfmodel.Options{TP: pool.GPUsPerReplica}, nil
		case pool.Missing != "":
			return perfmodel.Options{}, refuse(planner.ReasonRoleMissing, pool.Missing)
		}
		return perfmodel.Options{}, refuse(planner.ReasonGPUsUnknown, fmt.Sprintf("roles.%s: its pods ask for no GPUs, so the GPUs of a replica are not known: set roles.%s.parallelism.tensor", role, role))
	}
	p := spec.Parallelism
	if gpus := p.GPUs(); pool.GPUsPerReplica > 0 && pool.GPUsPerReplica != gpus {
		return perfmodel.Options{}, refuse(planner.ReasonInvalidSpec, fmt.Sprintf("roles.%s.parallelism has tensor %d, data %d and pipeline %d, which are %d GPUs, and a replica takes %d: allowed is what multiplies to that",
			role, p.Tensor, max(1, p.Data), max(1, p.Pipeline), gpus, pool.GPUsPerReplica))
	}
	return perfmodel.Options{TP: int(p.Tensor), DP: int(p.Data), PP: int(p.Pipeline)}, nil
}

// gpuOf finds a role's type of GPU: as the resource says, else as the nodes
// under its replicas say, else as they said last.
func gpuOf(pda *v1alpha1.PDAutoscaler, role planner.Role, spec *v1alpha1.ScaledRole, pool *planner.Pool, seen gpuNames) (perfmodel.GPU, error) {
	from := func(where, name string, find func(string) (perfmodel.GPU, error)) (perfmodel.GPU, error) {
		gpu, err := find(name)
		if err != nil {
			return gpu, refuse(ReasonGPUUnknown, where+": "+err.Error())
		}
		return gpu, nil
	}
	switch {
	case spec.GPUType != "":
		return from(fmt.Sprintf("roles.%s.gpuType", role), spec.GPUType, perfmodel.LookupGPU)
	case pda.Spec.GPU != "":
		return from("spec.gpu", pda.Spec.GPU, perfmodel.LookupGPU)
	case pool.GPUType != "":
		return from(fmt.Sprintf("nodes of role %s", role), pool.GPUType, perfmodel.MatchGPU)
	case seen[role] != "":
		return from(fmt.Sprintf("last nodes of role %s", role), seen[role], perfmodel.LookupGPU)
	case pool.Missing != "":
		return perfmodel.GPU{}, refuse(planner.ReasonRoleMissing, pool.Missing)
	}
	return perfmodel.GPU{}, refuse(ReasonGPUUnknown, fmt.Sprintf("the type of GPU of role %s is not known: no node under its replicas has the label nvidia.com/gpu.product; set spec.gpu or roles.%s.gpuType", role, role))
}

func roleSpec(r *v1alpha1.ScaledRole, gpus int) planner.RoleSpec {
	return planner.RoleSpec{
		Min: int(r.Min), Max: int(r.Max), GPUsPerReplica: gpus,
		Up: stepSpec(&r.ScaleUp), Down: stepSpec(&r.ScaleDown),
	}
}

func stepSpec(s *v1alpha1.Scaling) planner.StepSpec {
	return planner.StepSpec{Disabled: s.Disabled, MaxStep: int(s.MaxStep), PeriodSeconds: seconds(s.Period)}
}

func objective(o v1alpha1.Objective) capacity.Objective {
	return capacity.Objective{Quantile: float64(o.Percentile) / 100, Ms: milliseconds(o.Target.Duration)}
}

func behavior(b *v1alpha1.Behavior) planner.Behavior {
	headroom := 0.0
	if b.HeadroomPercent != nil {
		headroom = float64(*b.HeadroomPercent) / 100
	}
	return planner.Behavior{
		Headroom:            headroom,
		IntervalSeconds:     seconds(b.Interval),
		DownWindowSeconds:   seconds(b.ScaleDownWindow),
		Tolerance:           float64(b.TolerancePercent) / 100,
		MaxAgeSeconds:       seconds(b.MaxAge),
		StartupSeconds:      seconds(b.StartupTime),
		StartTimeoutSeconds: seconds(b.StartTimeout),
		BreachSeconds:       seconds(b.BreachTime),
	}
}

func rebalance(r *v1alpha1.Rebalance) planner.Rebalance {
	return planner.Rebalance{
		Enabled:             r.Allowed(),
		WindowSeconds:       seconds(r.Window),
		DrainTimeoutSeconds: seconds(r.DrainTimeout),
		StartTimeoutSeconds: seconds(r.StartTimeout),
		CooldownSeconds:     seconds(r.Cooldown),
	}
}

// maxReasonRunes bounds what is repeated of a person's reason for a pause.
const maxReasonRunes = 200

// pausedBy returns why nothing may be written, empty when it may. Any value
// pauses, "false" too: the sentence quotes it, so that nobody wonders.
func pausedBy(pda *v1alpha1.PDAutoscaler) string {
	why, paused := pda.Annotations[v1alpha1.PausedAnnotation]
	switch why = truncate(strings.ToValidUTF8(strings.TrimSpace(why), ""), maxReasonRunes); {
	case !paused:
		return ""
	case why == "":
		return "the annotation " + v1alpha1.PausedAnnotation + " is set"
	}
	return fmt.Sprintf("the annotation %s is set to %q", v1alpha1.PausedAnnotation, why)
}

func seconds(d v1alpha1.Duration) planner.Seconds { return planner.Seconds(d.Seconds()) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// truncate cuts a text to at most n characters and shows that it was cut.
func truncate(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}
