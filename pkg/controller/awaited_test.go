package controller

import (
	"encoding/json"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// patience is how long a test waits for what must come: only a hang takes longer, on a busy machine too.
const patience = 4 * time.Minute

func (c *cluster) eventually(what string, check func() error) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("waited for %s: %v", what, err)
		}
		select {
		case <-c.t.Context().Done():
			c.t.Fatal(c.t.Context().Err())
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// may asks the API server's authoriser, which hears of roles and bindings a moment after they were made.
func (c *cluster) may(user string, of authorizationv1.SubjectAccessReviewSpec) bool {
	c.t.Helper()
	of.User = user
	review := &authorizationv1.SubjectAccessReview{Spec: of}
	c.must(c.client.Create(c.t.Context(), review))
	return review.Status.Allowed
}

// asks is a request on a resource. One of a rule with names is for the first of them.
func asks(a access, namespace string, names []string) authorizationv1.SubjectAccessReviewSpec {
	resource, subresource := a.split()
	of := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: a.verb, Group: a.group, Resource: resource, Subresource: subresource}
	if len(names) > 0 {
		of.Name = names[0]
	}
	return authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: of}
}

// awaitRights returns when all of the controller's rights count: a manager that starts before is refused what it may do.
func (c *cluster) awaitRights() {
	c.t.Helper()
	granted := ownRights(c.t)
	for namespace, rules := range map[string][]rbacv1.PolicyRule{c.namespace: granted.cluster, systemNamespace: granted.system} {
		each(rules, func(a access, names []string, _ []rbacv1.PolicyRule) {
			c.eventually("the controller's right to "+a.String(), func() error {
				if !c.may(controllerUser, asks(a, namespace, names)) {
					return fmt.Errorf("it is not granted in %s", namespace)
				}
				return nil
			})
		})
	}
}

// awaitPath returns when a ServiceAccount of the namespace may get a path. What a server was once told of a caller it remembers.
func (c *cluster) awaitPath(account, path string) {
	c.t.Helper()
	user := "system:serviceaccount:" + c.namespace + ":" + account
	c.eventually("the right of "+user+" to "+path, func() error {
		if !c.may(user, authorizationv1.SubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"}}) {
			return fmt.Errorf("it is not granted")
		}
		return nil
	})
}

// hold keeps the pods that a role has now from going away, whoever deletes them, until they are let go: a test that looks at what
// happens meanwhile does not depend on how fast it looks.
func (c *cluster) hold(role string) (letGo func()) {
	c.t.Helper()
	set := func(finalizers []string) {
		c.t.Helper()
		var pods corev1.PodList
		c.must(c.client.List(c.t.Context(), &pods, client.InNamespace(c.namespace), client.MatchingLabels{rbgfake.LabelRoleName: role}))
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": finalizers}})
		c.must(err)
		for i := range pods.Items {
			c.must(client.IgnoreNotFound(c.client.Patch(c.t.Context(), &pods.Items[i], client.RawPatch(types.MergePatchType, patch))))
		}
	}
	set([]string{"example.com/held"})
	return func() { c.t.Helper(); set(nil) }
}
