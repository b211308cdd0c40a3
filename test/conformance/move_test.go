package conformance

import "fmt"

func moveBehaviours() []behaviour {
	fact := "donor down, wait until its pods are gone, receiver up: it always worked, also "
	return []behaviour{
		{
			name: "move/donor first", gpus: 3, fact: fact + "where nothing else is set",
			check: func(t *trial) { moveDonorFirst(t, false) },
		},
		{
			name: "move/donor first with a dependency", gpus: 3, fact: fact + "where the receiver depends on the donor",
			check: func(t *trial) { moveDonorFirst(t, true) },
		},
		{
			name: "move/donor first with a policy", gpus: 3, fact: fact + "under a CoordinatedPolicy with OrderScheduled",
			check: moveUnderPolicy,
		},
		{
			name: "move/receiver first only waits", gpus: 3,
			fact:  "receiver up first leaves its pod without a place; with nothing set that holds roles back, the donor still shrinks and the move ends",
			check: moveReceiverFirst,
		},
	}
}

// move takes one GPU from prefill to decode, the donor first, and back.
func (t *trial) move() {
	t.Helper()
	t.scale("prefill", 1)
	t.eventually("the donor's pod to be gone", t.hasReady("prefill", ordinals("prefill", 1)...))
	t.scale("decode", 2)
	t.eventually("the receiver", t.hasReady("decode", ordinals("decode", 2)...))
	t.scale("decode", 1)
	t.eventually("the donor's pod to be gone on the way back", t.hasReady("decode", ordinals("decode", 1)...))
	t.scale("prefill", 2)
	t.eventually("the receiver on the way back", t.hasReady("prefill", ordinals("prefill", 2)...))
	// Nothing ever waited for a place: the GPUs were free when they were asked for.
	for _, name := range append(ordinals("prefill", 2), ordinals("decode", 2)...) {
		for _, seen := range t.seen(podKind, name) {
			if s := fmt.Sprint(seen.Object["status"]); containsUnschedulable(s) {
				t.Errorf("pod %s waited for a place", name)
				break
			}
		}
	}
}

func moveDonorFirst(t *trial, dependency bool) {
	receiver := role{name: "decode", replicas: 1, gpus: 1, adapter: true}
	if dependency {
		receiver.dependsOn = []string{"prefill"}
	}
	t.create(role{name: "prefill", replicas: 2, gpus: 1, adapter: true, drains: 2}, receiver)
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	t.bound("prefill", "decode")
	t.move()
}

func moveUnderPolicy(t *trial) {
	t.coordinated(scalingStrategy("10%", "OrderScheduled"))
	t.move()
}

func moveReceiverFirst(t *trial) {
	t.create(role{name: "prefill", replicas: 2, gpus: 1, adapter: true}, role{name: "decode", replicas: 1, gpus: 1, adapter: true})
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	t.bound("prefill", "decode")
	t.scale("decode", 2)
	t.eventually("the receiver to have no place", t.unschedulable(ordinals("decode", 2)[1]))
	t.scale("prefill", 1)
	t.eventually("the receiver to get it", t.hasReady("decode", ordinals("decode", 2)...))
}
