package workload

import (
	"strings"
	"testing"
)

func TestHeldByDependencies(t *testing.T) {
	// want names the reason why prefill and decode are held, "" where they are not
	for name, tc := range map[string]struct {
		build           func(*cluster)
		prefill, decode string
	}{
		"no dependencies": {build: func(*cluster) {}},
		"a dependency that is ready": {build: func(c *cluster) {
			c.role("decode", `dependencies: [prefill]`)
			c.carrierOf("prefill", 2, 2)
		}},
		"a dependency that starts": {build: func(c *cluster) {
			c.role("decode", `dependencies: [prefill]`)
			c.carrierOf("prefill", 2, 1)
		}, decode: "role decode depends on role prefill, and 1 of 2 replicas of prefill are ready"},
		"a dependency that was not made yet": {build: func(c *cluster) {
			c.role("decode", `dependencies: [router]`)
		}, decode: "the group has no role router"},
		"of a dependency": {build: func(c *cluster) { // RBG stops at prefill and never gets to decode
			c.role("decode", `dependencies: [prefill]`)
			c.role("prefill", `dependencies: [processor]`)
			c.carrierOf("prefill", 2, 2)
			c.carrierOf("processor", 1, 0)
		}, prefill: "role prefill depends on role processor, and 0 of 1", decode: "role decode comes after role prefill, which depends on role processor"},
		"of another role at the same level": {build: func(c *cluster) {
			c.role("prefill", `dependencies: [router]`)
			c.role("decode", `dependencies: [processor]`)
			c.carrierOf("processor", 1, 1)
		}, prefill: "the group has no role router"},
		"of a role at a higher level": {build: func(c *cluster) {
			c.role("prefill", `dependencies: [processor]`)
			c.carrierOf("processor", 1, 0)
		}, prefill: "role prefill depends on role processor"},
		"in a circle": {build: func(c *cluster) {
			c.role("decode", `dependencies: [prefill]`)
			c.role("prefill", `dependencies: [decode]`)
			c.carrierOf("prefill", 2, 2)
			c.carrierOf("decode", 1, 1)
		}},
		"the group's status, where the workload may not be read": {build: func(c *cluster) {
			c.role("decode", `dependencies: [prefill]`)
			c.forbidden["RoleInstanceSet"] = true
			c.group().Object["status"] = map[string]any{"roleStatuses": []any{map[string]any{"name": "prefill", "replicas": int64(2), "readyReplicas": int64(1)}}}
		}, decode: "1 of 2 replicas of prefill are ready"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			tc.build(c)
			o := c.observe()
			for _, side := range []struct{ role, got, want string }{{"prefill", o.Prefill.Held, tc.prefill}, {"decode", o.Decode.Held, tc.decode}} {
				if !strings.Contains(side.got, side.want) || (side.got == "") != (side.want == "") {
					t.Errorf("%s is held by %q, want %q", side.role, side.got, side.want)
				}
			}
		})
	}
}

// carrierOf keeps the RoleInstanceSet of a role with a count of its own.
func (c *cluster) carrierOf(role string, replicas, ready int64) {
	c.carrier(role, "{}")
	set := c.objects[len(c.objects)-1].(interface{ UnstructuredContent() map[string]any }).UnstructuredContent()
	set["spec"] = map[string]any{"replicas": replicas}
	set["status"] = map[string]any{"replicas": replicas, "readyReplicas": ready}
}

func TestHeldByCoordinationPolicy(t *testing.T) {
	policy := func(name, scaling string) string {
		return `
apiVersion: workloads.x-k8s.io/v1alpha2
kind: CoordinatedPolicy
metadata: {name: ` + name + `, namespace: default}
spec: {policies: [{roles: [prefill, decode], strategy: {scaling: ` + scaling + `}}]}`
	}
	const ordered = `{maxSkew: "10%", progression: OrderScheduled}`
	for name, tc := range map[string]struct {
		policy string
		build  func(*cluster)
		want   string // in what holds prefill
	}{
		"decode grows and one of its pods is not scheduled": {policy("dynamo-pd", ordered), func(c *cluster) {
			c.adapter("decode", "Bound", 4)
			c.pod("decode", "dynamo-pd-decode-0")
			c.pod("decode", "dynamo-pd-decode-1", pending)
		}, "role decode grows and only 1 of its 2 replicas are scheduled"},
		"all that there are is scheduled": {policy("dynamo-pd", ordered), func(c *cluster) {
			c.adapter("decode", "Bound", 4)
			c.pod("decode", "dynamo-pd-decode-0")
			c.pod("decode", "dynamo-pd-decode-1", notReady)
		}, ""},
		"ordered by readiness": {policy("dynamo-pd", `{progression: OrderReady}`), func(c *cluster) {
			c.adapter("decode", "Bound", 4)
			c.pod("decode", "dynamo-pd-decode-0")
			c.pod("decode", "dynamo-pd-decode-1", notReady)
		}, "only 1 of its 2 replicas are ready"},
		"pods that leave are not behind": {policy("dynamo-pd", `{progression: OrderReady}`), func(c *cluster) {
			c.adapter("decode", "Bound", 3)
			c.pod("decode", "dynamo-pd-decode-0")
			c.pod("decode", "dynamo-pd-decode-1", leaving)
		}, ""},
		"nothing grows": {policy("dynamo-pd", ordered), func(c *cluster) {
			c.adapter("decode", "Bound", 1)
			c.pod("decode", "dynamo-pd-decode-0", pending)
		}, ""},
		"the first replica does not hold": {policy("dynamo-pd", ordered), func(c *cluster) { c.adapter("decode", "Bound", 4) }, ""},
		"without a progression":           {policy("dynamo-pd", `{maxSkew: "10%"}`), func(c *cluster) { c.adapter("decode", "Bound", 4); c.pod("decode", "dynamo-pd-decode-0", pending) }, ""},
		"of another group":                {policy("other", ordered), func(c *cluster) { c.adapter("decode", "Bound", 4); c.pod("decode", "dynamo-pd-decode-0", pending) }, ""},
		"for rollouts only":               {policy("dynamo-pd", `null`), func(c *cluster) { c.adapter("decode", "Bound", 4); c.pod("decode", "dynamo-pd-decode-0", pending) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			c.add(tc.policy)
			tc.build(c)
			if got := c.observe().Prefill.Held; !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") {
				t.Errorf("prefill is held by %q, want %q", got, tc.want)
			}
		})
	}
}
