package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PausedAnnotation on a PDAutoscaler stops every write to its target for as
// long as it is there. Its value is the reason, shown in the status.
const PausedAnnotation = "pdautoscaler.io/paused"

// MoveFinalizer holds a PDAutoscaler that is deleted while GPUs move from one
// role to the other until they have arrived. Without a move it is not there.
const MoveFinalizer = "pdautoscaler.io/move"

// PDAutoscaler sets the replicas of the prefill and the decode role of one
// inference service so that it keeps its TTFT and TPOT objectives on the
// fewest GPUs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=pdautoscalers,singular=pdautoscaler,shortName=pda,scope=Namespaced,categories=all
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Prefill",type=string,JSONPath=`.status.roles.prefill.replicas`,description="ready of desired prefill replicas"
// +kubebuilder:printcolumn:name="Decode",type=string,JSONPath=`.status.roles.decode.replicas`,description="ready of desired decode replicas"
// +kubebuilder:printcolumn:name="GPUs",type=string,JSONPath=`.status.gpus.summary`,description="GPUs held of the budget"
// +kubebuilder:printcolumn:name="SLO",type=string,JSONPath=`.status.slo.state`,description="whether the objectives are met"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
type PDAutoscaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the autoscaler is asked to do.
	// +required
	Spec PDAutoscalerSpec `json:"spec"`
	// status is what the autoscaler sees and did.
	// +optional
	Status PDAutoscalerStatus `json:"status,omitzero"`
}

// PDAutoscalerList is a list of PDAutoscalers.
//
// +kubebuilder:object:root=true
type PDAutoscalerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PDAutoscaler `json:"items"`
}

// Mode says who writes the replicas.
// +kubebuilder:validation:Enum=Auto;Recommend;Metrics
type Mode string

// The modes.
const (
	// ModeAuto writes the replicas.
	ModeAuto Mode = "Auto"
	// ModeRecommend decides and reports, and writes nothing.
	ModeRecommend Mode = "Recommend"
	// ModeMetrics offers the decision as metrics to an HPA or to KEDA, and writes nothing.
	ModeMetrics Mode = "Metrics"
)

// PDAutoscalerSpec is what the autoscaler is asked to do.
//
// A replica takes at least as many GPUs as its tensor parallelism, so a budget
// below the sum checked here can never hold both minimums.
//
// Two durations are compared only where both can be read, so that one that
// cannot gives one error and not two.
// +kubebuilder:validation:XValidation:rule="!self.behavior.interval.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.behavior.interval) >= duration('1s')",fieldPath=".behavior.interval",message="behavior.interval must be at least 1s"
// +kubebuilder:validation:XValidation:rule="!self.behavior.scaleDownWindow.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.behavior.interval.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.behavior.scaleDownWindow) >= duration(self.behavior.interval)",fieldPath=".behavior.scaleDownWindow",message="behavior.scaleDownWindow must be at least behavior.interval"
// +kubebuilder:validation:XValidation:rule="!self.behavior.maxAge.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.behavior.interval.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.behavior.maxAge) >= duration(self.behavior.interval)",fieldPath=".behavior.maxAge",message="behavior.maxAge must be at least behavior.interval: a reading is as old as that before the next one comes"
// +kubebuilder:validation:XValidation:rule="!self.behavior.startTimeout.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.behavior.startupTime.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.behavior.startTimeout) >= duration(self.behavior.startupTime)",fieldPath=".behavior.startTimeout",message="behavior.startTimeout must be at least behavior.startupTime: replicas would be given up before they can be ready"
// +kubebuilder:validation:XValidation:rule="!has(self.budget) || self.budget.gpus >= self.roles.prefill.min * (has(self.roles.prefill.parallelism) ? self.roles.prefill.parallelism.tensor * self.roles.prefill.parallelism.data * self.roles.prefill.parallelism.pipeline : 1) + self.roles.decode.min * (has(self.roles.decode.parallelism) ? self.roles.decode.parallelism.tensor * self.roles.decode.parallelism.data * self.roles.decode.parallelism.pipeline : 1)",fieldPath=".budget.gpus",message="budget.gpus must hold the minimum of both roles: at least min x parallelism (tensor x data x pipeline) of prefill and of decode"
type PDAutoscalerSpec struct {
	// mode says who writes the replicas: Auto writes them, Recommend only
	// reports what it would write, Metrics offers it to an HPA or to KEDA.
	// +optional
	// +kubebuilder:default=Recommend
	Mode Mode `json:"mode,omitempty"`

	// target is the scaled service.
	// +required
	Target TargetReference `json:"target"`

	// roles are the roles of the service and their limits.
	// +required
	Roles Roles `json:"roles"`

	// model is the model that the service runs.
	// +required
	Model Model `json:"model"`

	// gpu is the type of GPU as the catalogue names it, such as H200. When it is
	// left out it is read from the nodes that the replicas run on.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	GPU string `json:"gpu,omitempty"`

	// slo are the objectives to keep.
	// +required
	SLO SLO `json:"slo"`

	// budget is the most that both roles together may hold. Without it only the
	// maximum of each role limits them.
	// +optional
	Budget *Budget `json:"budget,omitempty"`

	// signals says where the readings come from.
	// +optional
	// +kubebuilder:default={}
	Signals Signals `json:"signals,omitzero"`

	// behavior says how quickly and how carefully replicas may change.
	// +optional
	// +kubebuilder:default={}
	Behavior Behavior `json:"behavior,omitzero"`

	// rebalance governs GPUs that go from one role to the other.
	// +optional
	// +kubebuilder:default={}
	Rebalance Rebalance `json:"rebalance,omitzero"`

	// metrics says how mode Metrics offers the plan.
	// +optional
	// +kubebuilder:default={}
	Metrics MetricsOffer `json:"metrics,omitzero"`
}

// TargetKind is a kind of scaled service.
// +kubebuilder:validation:Enum=RoleBasedGroup
type TargetKind string

// TargetRoleBasedGroup is a RoleBasedGroup of workloads.x-k8s.io.
const TargetRoleBasedGroup TargetKind = "RoleBasedGroup"

// TargetReference names the scaled service, in the namespace of the
// PDAutoscaler: a RoleBasedGroup whose roles are scaled, or one object with a
// /scale subresource for each role.
// +kubebuilder:validation:XValidation:rule="has(self.name) != has(self.scaleTargetRefs)",message="target must have exactly one of name (of a RoleBasedGroup) and scaleTargetRefs (an object with a /scale for prefill and one for decode)"
// +kubebuilder:validation:XValidation:rule="!has(self.kind) || has(self.name)",message="target.kind is the kind of target.name: allowed is RoleBasedGroup, together with name"
type TargetReference struct {
	// kind of the target that name names; RoleBasedGroup is the only one that
	// holds all roles.
	// +optional
	Kind TargetKind `json:"kind,omitempty"`
	// name of the RoleBasedGroup; roles.prefill.name and roles.decode.name are
	// the names of its roles.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// scaleTargetRefs name an object for each role instead.
	// +optional
	ScaleTargetRefs *ScaleTargetReferences `json:"scaleTargetRefs,omitempty"`
}

// ScaleTargetReferences name the objects behind the roles.
// +kubebuilder:validation:XValidation:rule="[self.prefill.kind, self.prefill.name] != [self.decode.kind, self.decode.name] && (!has(self.frontend) || ([self.frontend.kind, self.frontend.name] != [self.prefill.kind, self.prefill.name] && [self.frontend.kind, self.frontend.name] != [self.decode.kind, self.decode.name]))",message="scaleTargetRefs must name a different object for each role"
type ScaleTargetReferences struct {
	// prefill is the object whose replicas compute the prompts.
	// +required
	Prefill ScaleTargetReference `json:"prefill"`
	// decode is the object whose replicas generate the tokens.
	// +required
	Decode ScaleTargetReference `json:"decode"`
	// frontend is the object whose pods take the requests. It is not scaled; its
	// metrics are read.
	// +optional
	Frontend *ScaleTargetReference `json:"frontend,omitempty"`
}

// ScaleTargetReference names an object with a /scale subresource, such as a
// Deployment, a StatefulSet, a LeaderWorkerSet, a DisaggregatedSetRoleScaler or
// a DynamoGraphDeploymentScalingAdapter.
type ScaleTargetReference struct {
	// apiVersion of the object, such as apps/v1.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	APIVersion string `json:"apiVersion"`
	// kind of the object, such as Deployment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Budget is the most that both roles together may hold.
type Budget struct {
	// gpus is the number of GPUs. Replicas that start or terminate hold theirs.
	// The least that makes sense is a rule of the spec.
	// +required
	// +kubebuilder:validation:Maximum=100000
	GPUs int32 `json:"gpus"`
}
