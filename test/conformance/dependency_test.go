package conformance

func dependencyBehaviours() []behaviour {
	return []behaviour{
		{
			name:  "dependency/holds back at creation",
			fact:  "a role is not made before the roles it depends on have all their replicas ready; event DependencyNotMet",
			check: dependencyAtCreation,
		},
		{
			name: "dependency/holds back every change (deadlock 1)", gpus: 3,
			fact:  "decode depends on prefill and no GPU is free: prefill up first, then decode down, and decode never shrinks; taking the increase back is the way out",
			check: dependencyDeadlock,
		},
		{
			name:  "dependency/ends the pass",
			fact:  "roles are walked level by level in the order of their names, and an unmet dependency ends the pass: a role that comes later does not change either",
			check: dependencyEndsPass,
		},
	}
}

func dependencyAtCreation(t *trial) {
	t.create(role{name: "prefill", replicas: 1, nowhere: true}, role{name: "decode", replicas: 1, dependsOn: []string{"prefill"}})
	t.eventually("the prefill pod to have no place", t.unschedulable(ordinals("prefill", 1)[0]))
	t.eventually("the gate", t.happened("DependencyNotMet"))
	t.stays("the dependent role was made", t.hasPods("decode"))
	t.editRole(role{name: "prefill", replicas: 1})
	t.patchRole(0, "prefill", 1, 0) // a role at 0 has all its replicas
	t.eventually("the dependent role", t.hasReady("decode", ordinals("decode", 1)...))
}

func dependencyDeadlock(t *trial) {
	t.create(
		role{name: "prefill", replicas: 2, gpus: 1, adapter: true},
		role{name: "decode", replicas: 1, gpus: 1, adapter: true, dependsOn: []string{"prefill"}},
	)
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	t.bound("prefill", "decode")
	t.scale("prefill", 3)
	t.eventually("the third prefill pod to have no place", t.unschedulable(ordinals("prefill", 3)[2]))
	t.eventually("the group to count it, not ready", t.counts("prefill", 3, 2))
	t.scale("decode", 0)
	t.eventually("the gate", t.happened("DependencyNotMet"))
	t.stays("decode has changed behind the gate", t.wants("decode", 1))
	t.stays("decode has changed behind the gate", t.hasPods("decode", ordinals("decode", 1)...))
	t.scale("prefill", 2)
	t.eventually("decode to shrink at last", t.hasPods("decode"))
}

func dependencyEndsPass(t *trial) {
	t.create(
		role{name: "prefill", replicas: 1, nowhere: true},
		role{name: "processor", replicas: 1},
		role{name: "decode", replicas: 1, dependsOn: []string{"prefill"}},
		role{name: "router", replicas: 1, dependsOn: []string{"processor"}},
	)
	t.eventually("the processor", t.hasReady("processor", ordinals("processor", 1)...))
	t.eventually("the gate of decode", t.happened("DependencyNotMet"))
	t.stays("router was made, though decode comes before it and may not be", t.hasPods("router"))
}
