package planner

import "time"

// Snapshot is everything seen of one service at one moment.
type Snapshot struct {
	Signals Signals `json:"signals"`
	Prefill Pool    `json:"prefill"`
	Decode  Pool    `json:"decode"`
	// FreeGPUsByNode is how many GPUs no pod has claimed, per node. It is nil
	// where the controller may not read nodes: then only the counts are checked.
	// Empty is no GPU on any node, so a record must tell the two apart.
	FreeGPUsByNode map[string]int `json:"freeGPUsByNode,omitzero"`
}

// Signals is what the service's metrics say.
type Signals struct {
	// RequestsPerSecond is the rate at which new requests arrive (started, not finished).
	RequestsPerSecond Reading `json:"requestsPerSecond"`
	// ArrivalSCV is the squared coefficient of variation of the time between
	// arrivals; 1 (Poisson) is assumed where it is unknown.
	ArrivalSCV Reading `json:"arrivalSCV"`
	// InputTokens and OutputTokens are means per request; the SCVs their
	// squared coefficients of variation.
	InputTokens  Reading `json:"inputTokens"`
	InputSCV     Reading `json:"inputSCV"`
	OutputTokens Reading `json:"outputTokens"`
	OutputSCV    Reading `json:"outputSCV"`
	// CachedShare is the share of prompt tokens found in the prefix cache, 0..1.
	CachedShare Reading `json:"cachedShare"`

	// TTFTMs and TPOTMs are observed at the percentile of the objective.
	TTFTMs Quantile `json:"ttftMs"`
	TPOTMs Quantile `json:"tpotMs"`

	// PrefillWaiting is the number of requests that wait for a prefill worker.
	PrefillWaiting Reading `json:"prefillWaiting"`
	// DecodeWaiting is the number of requests that wait for room in a decode worker.
	DecodeWaiting Reading `json:"decodeWaiting"`
	// DecodeRunning is the number of sequences being decoded, over all replicas.
	DecodeRunning Reading `json:"decodeRunning"`
	// DecodeKVUse and DecodeKVUseMax are the mean and the fullest replica's share of KV cache in use, 0..1.
	DecodeKVUse    Reading `json:"decodeKVUse"`
	DecodeKVUseMax Reading `json:"decodeKVUseMax"`

	// Activity of the GPUs, 0..1, mean over the role's GPUs (DCGM fields 1004 and 1005).
	PrefillTensorActive Reading `json:"prefillTensorActive"`
	DecodeDRAMActive    Reading `json:"decodeDRAMActive"`

	// Silent counts, per role, the ready pods that gave no metrics.
	PrefillSilent int `json:"prefillSilent,omitempty"`
	DecodeSilent  int `json:"decodeSilent,omitempty"`
}

// Quantile is a latency read from a histogram, in milliseconds. The true value
// lies between LowMs and HighMs, the bounds of its bucket; HighMs 0 is no
// upper bound.
type Quantile struct {
	Reading
	Percentile float64 `json:"percentile,omitempty"` // 0..1
	LowMs      float64 `json:"lowMs,omitempty"`
	HighMs     float64 `json:"highMs,omitempty"`
	MeanMs     float64 `json:"meanMs,omitempty"`
}

// Pool is one role as its workload shows it.
type Pool struct {
	// Missing says why the role could not be observed; empty when it was.
	Missing string `json:"missing,omitempty"`
	// Desired is the replica count that the target asks for now.
	Desired int `json:"desired"`
	// Replicas are those that exist, in order of removal: the last goes first.
	Replicas []Replica `json:"replicas,omitempty"`
	// GPUsPerReplica is what a replica of the current template takes; 0 is unknown.
	GPUsPerReplica int    `json:"gpusPerReplica"`
	GPUType        string `json:"gpuType,omitempty"`
	// StartupSeconds is the measured 90th percentile of pod created -> ready.
	StartupSeconds Reading `json:"startupSeconds"`
	// Rollout is true while a new revision of the role is rolled out.
	Rollout bool `json:"rollout,omitempty"`
	// Writer names another autoscaler that writes this role's replicas.
	Writer string `json:"writer,omitempty"`
	// Held says why a change of this role's replicas would not be carried out
	// (a dependency gate, a coordination policy); empty when it would.
	Held string `json:"held,omitempty"`
	// HeldUp says why more replicas would be asked for in vain while fewer would
	// be carried out (a gang that waits for a place); empty when they would not.
	HeldUp string `json:"heldUp,omitempty"`
	// NotOn are those nodes of the service on which a replica of this role may
	// not run: GPUs that the other role frees there are of no use to it.
	NotOn []string `json:"notOn,omitempty"`
}

// ReplicaState is where a replica is in its life.
type ReplicaState string

// The states of a replica. All three hold their GPUs.
const (
	Starting    ReplicaState = "starting"
	Ready       ReplicaState = "ready"
	Terminating ReplicaState = "terminating"
)

// Replica is one instance of a role.
type Replica struct {
	Name  string       `json:"name"`
	State ReplicaState `json:"state"`
	// Since is when the state began. A replica that was ready and is not any more
	// is starting since then, not since it was created.
	Since time.Time `json:"since,omitzero"`
	Node  string    `json:"node,omitempty"`
	GPUs  int       `json:"gpus"`
	// Unschedulable is the scheduler's reason for not placing it.
	Unschedulable string `json:"unschedulable,omitempty"`
}

// count returns how many replicas are in the given state.
func (p *Pool) count(state ReplicaState) int {
	n := 0
	for i := range p.Replicas {
		if p.Replicas[i].State == state {
			n++
		}
	}
	return n
}

// HeldGPUs returns the GPUs that the role's replicas hold or are about to take:
// terminating replicas hold theirs until their pods are gone, and a replica
// that was asked for but has no pod yet will take its own.
func (p *Pool) HeldGPUs() int {
	gpus, live := 0, 0
	for i := range p.Replicas {
		gpus += p.Replicas[i].GPUs
		if p.Replicas[i].State != Terminating {
			live++
		}
	}
	return gpus + max(0, p.Desired-live)*p.GPUsPerReplica
}

// pool returns the pool of one role.
func (s *Snapshot) pool(r Role) *Pool {
	if r == Prefill {
		return &s.Prefill
	}
	return &s.Decode
}
