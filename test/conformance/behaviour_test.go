package conformance

import "slices"

// A behaviour is one fact about RBG and the check of it.
type behaviour struct {
	// name is GROUP/WHAT in the table and as a subtest.
	name string
	// fact is what was seen on the real controller, in a sentence.
	fact string
	// api is the only version that can say it; empty: both.
	api string
	// gpus is how many GPUs its pods may have; 0: they ask for none.
	gpus  int
	check func(*trial)
}

// behaviours are the whole suite, in the order of the table.
func behaviours() []behaviour {
	return slices.Concat(
		identityBehaviours(), adapterBehaviours(), overrideBehaviours(), statusBehaviours(), victimBehaviours(), orderBehaviours(),
		dependencyBehaviours(), policyBehaviours(), gangBehaviours(), rolloutBehaviours(), lifeBehaviours(), moveBehaviours(),
		productBehaviours(), productHeldBehaviours(),
	)
}
