package v1alpha1

// Behavior says how quickly and how carefully replicas may change.
//
// The rules compare two durations only where both can be read, so that a
// duration that cannot be read gives one error and not two.
// +kubebuilder:validation:XValidation:rule="!self.interval.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.interval) >= duration('1s')",message="interval must be at least 1s"
// +kubebuilder:validation:XValidation:rule="!(self.interval + self.scaleDownWindow).matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.scaleDownWindow) >= duration(self.interval)",message="scaleDownWindow must be at least interval"
// +kubebuilder:validation:XValidation:rule="!(self.interval + self.maxAge).matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.maxAge) >= duration(self.interval)",message="maxAge must be at least interval: a reading is as old as that before the next one comes"
// +kubebuilder:validation:XValidation:rule="!(self.startupTime + self.startTimeout).matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.startTimeout) >= duration(self.startupTime)",message="startTimeout must be at least startupTime: replicas would be given up before they can be ready"
type Behavior struct {
	// interval between two decisions.
	// +optional
	// +kubebuilder:default="10s"
	Interval Duration `json:"interval,omitzero"`
	// scaleDownWindow is how long fewer replicas must have been enough before a role goes down.
	// +optional
	// +kubebuilder:default="5m"
	ScaleDownWindow Duration `json:"scaleDownWindow,omitzero"`
	// tolerancePercent is the extra demand that fewer replicas must hold before
	// a role goes down. It separates the way up from the way down.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
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
