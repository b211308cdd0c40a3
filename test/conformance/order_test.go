package conformance

func orderBehaviours() []behaviour {
	return []behaviour{
		{
			name: "order/Parallel makes all at once", gpus: 1,
			fact:  "with podManagementPolicy Parallel (the default) all replicas are made at once, with or without a place",
			check: parallel,
		},
		{
			name: "order/OrderedReady makes one at a time", api: v1alpha2, gpus: 2,
			fact:  "with OrderedReady a replica is made when the one before it is ready: one without a place holds back all after it",
			check: orderedReady,
		},
		{
			name: "order/OrderedReady goes down past what is not ready", api: v1alpha2, gpus: 2,
			fact:  "with OrderedReady a scale-down is carried out when all that stay are ready",
			check: orderedDown,
		},
	}
}

func parallel(t *trial) {
	t.create(role{name: "prefill", replicas: 3, gpus: 1})
	t.eventually("3 pods", t.hasPods("prefill", ordinals("prefill", 3)...))
	t.eventually("one of them to have a place and the group to count them", t.counts("prefill", 3, 1))
}

func orderedReady(t *trial) {
	t.create(role{name: "prefill", replicas: 4, gpus: 1, ordered: true})
	t.eventually("the third pod to wait for GPUs", t.unschedulable(ordinals("prefill", 3)[2]))
	t.stays("the fourth was made before the third was ready", t.hasPods("prefill", ordinals("prefill", 3)...))
}

func orderedDown(t *trial) {
	t.create(role{name: "prefill", replicas: 3, gpus: 1, ordered: true, adapter: true})
	t.eventually("the third pod to wait for GPUs", t.unschedulable(ordinals("prefill", 3)[2]))
	t.bound("prefill")
	t.scale("prefill", 2)
	t.eventually("the third to go", t.hasReady("prefill", ordinals("prefill", 2)...))
	t.scale("prefill", 1)
	t.eventually("the second to go", t.hasReady("prefill", ordinals("prefill", 1)...))
}
