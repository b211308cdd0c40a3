package v1alpha1

// Behavior says how quickly and how carefully replicas may change. How its
// durations must stand to each other is a rule of the spec: the default of a
// whole object, {}, must pass the object's own rules.
type Behavior struct {
	// interval between two decisions.
	// +optional
	// +kubebuilder:default="10s"
	Interval Duration `json:"interval,omitzero"`
	// scaleDownWindow is how long fewer replicas must have been enough before a role goes down. Longer than the
	// start-up time of a replica it costs more than the start-ups that it saves; about half of it was best.
	// +optional
	// +kubebuilder:default="1m"
	ScaleDownWindow Duration `json:"scaleDownWindow,omitzero"`
	// headroomPercent is the demand beyond what is expected that replicas are held
	// for, whatever the traffic did. On top of it each role holds what its own demand
	// has risen by within a start-up time of late. Below 0 the roles are sized for
	// less than is expected.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=-50
	// +kubebuilder:validation:Maximum=400
	HeadroomPercent *int32 `json:"headroomPercent,omitempty"`
	// tolerancePercent is the extra demand that fewer replicas must hold before
	// a role goes down. It separates the way up from the way down.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=99
	TolerancePercent int32 `json:"tolerancePercent,omitempty"`
	// maxAge is the age at which a reading no longer counts.
	// +optional
	// +kubebuilder:default="1m"
	MaxAge Duration `json:"maxAge,omitzero"`
	// startupTime is the time from a new pod to a ready one that is assumed until it was measured.
	// +optional
	// +kubebuilder:default="2m"
	StartupTime Duration `json:"startupTime,omitzero"`
	// startTimeout is when a replica that does not become ready is given up.
	// +optional
	// +kubebuilder:default="15m"
	StartTimeout Duration `json:"startTimeout,omitzero"`
	// breachTime is how long an observed objective must be missed before a
	// replica is added although the model thinks that there are enough.
	// +optional
	// +kubebuilder:default="1m"
	BreachTime Duration `json:"breachTime,omitzero"`

	// drain tells a replica, or whoever routes to it, that it is about to go,
	// before a role goes down.
	// +optional
	Drain *Drain `json:"drain,omitempty"`
}

// Drain is a hook that runs before a replica goes.
// +kubebuilder:validation:XValidation:rule="(has(self.http) ? 1 : 0) + (has(self.label) ? 1 : 0) + (has(self.annotation) ? 1 : 0) == 1",message="drain must have exactly one of http, label and annotation"
type Drain struct {
	// deadline is how long after the hook began the replica goes at the latest.
	// +optional
	// +kubebuilder:default="30s"
	Deadline Duration `json:"deadline,omitzero"`

	DrainHook `json:",inline"`
}

// DrainHook is how a replica is told that it goes.
type DrainHook struct {
	// http is a request to every serving pod of the replica. An answer of 200 or
	// 204 says that it has nothing left to serve; 202 and 503 that it still has.
	// +optional
	HTTP *HTTPDrain `json:"http,omitempty"`
	// label is set on every pod of the replica, for routers that select by it.
	// +optional
	Label *PodMark `json:"label,omitempty"`
	// annotation is set on every pod of the replica, for routers that watch it.
	// +optional
	Annotation *PodMark `json:"annotation,omitempty"`
}

// HTTPDrain is a request to a pod's own address.
type HTTPDrain struct {
	// port of the pod.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// path of the request, such as /drain.
	// +required
	// +kubebuilder:validation:Pattern=`^/[^?#\s]*$`
	// +kubebuilder:validation:MaxLength=253
	Path string `json:"path"`
	// cancelPath of the request that is sent where the replica stays after all, such as
	// /drain/cancel: a move was turned back, or the demand rose. Any answer of 2xx says that it
	// serves again. Without it the pod itself decides how long it believes that it goes.
	// +optional
	// +kubebuilder:validation:Pattern=`^/[^?#\s]*$`
	// +kubebuilder:validation:MaxLength=253
	CancelPath string `json:"cancelPath,omitempty"`
	// method of the request.
	// +optional
	// +kubebuilder:default=POST
	// +kubebuilder:validation:Enum=GET;POST;PUT
	Method string `json:"method,omitempty"`
}

// PodMark is a label or an annotation of a pod.
type PodMark struct {
	// key of the mark, such as example.com/draining.
	// +required
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
	// value of the mark.
	// +optional
	// +kubebuilder:default="true"
	// +kubebuilder:validation:Pattern=`^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`
	// +kubebuilder:validation:MaxLength=63
	Value string `json:"value,omitempty"`
}

// Rebalance governs GPUs that go from one role to the other when the budget is spent.
type Rebalance struct {
	// enabled allows such moves.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`
	// window is the time over which the donor must not have needed its replica.
	// +optional
	// +kubebuilder:default="1m"
	Window Duration `json:"window,omitzero"`
	// drainTimeout ends a move whose donor does not let go of its GPUs.
	// +optional
	// +kubebuilder:default="10m"
	DrainTimeout Duration `json:"drainTimeout,omitzero"`
	// startTimeout turns back a move whose receiver does not become ready.
	// +optional
	// +kubebuilder:default="15m"
	StartTimeout Duration `json:"startTimeout,omitzero"`
	// cooldown passes after a move that failed before the next one.
	// +optional
	// +kubebuilder:default="10m"
	Cooldown Duration `json:"cooldown,omitzero"`
}

// Allowed reports whether moves are allowed; they are unless enabled is false.
func (r *Rebalance) Allowed() bool { return r.Enabled == nil || *r.Enabled }
