package controller

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// rights are rules of config/rbac: those that hold in the whole cluster, and
// those of the controller's own namespace. The chart's rules are made from the
// same files, and a test of the chart compares them.
type rights struct{ cluster, system []rbacv1.PolicyRule }

// ownRights reads what the controller's ServiceAccount is granted.
func ownRights(t *testing.T) (r rights) {
	t.Helper()
	paths, err := filepath.Glob("../../config/rbac/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if slices.Contains([]string{"user_roles.yaml", "signal_secrets_role.yaml", "kustomization.yaml"}, filepath.Base(path)) {
			continue // bound to others, or to nobody
		}
		content, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for documents := yaml.NewYAMLOrJSONDecoder(content, 4096); ; {
			var role rbacv1.ClusterRole // a Role has the same rules
			err := documents.Decode(&role)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			switch role.Kind {
			case "ClusterRole":
				r.cluster = append(r.cluster, role.Rules...)
			case "Role":
				r.system = append(r.system, role.Rules...)
			}
		}
		content.Close()
	}
	return r
}

// each visits every verb on every resource of the rules with the rules as they
// are without it.
func each(rules []rbacv1.PolicyRule, visit func(a access, names []string, less []rbacv1.PolicyRule)) {
	for i, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					less := slices.Delete(slices.Clone(rules), i, i+1)
					for _, g := range rule.APIGroups {
						for _, res := range rule.Resources {
							for _, v := range rule.Verbs {
								if g != group || res != resource || v != verb {
									less = append(less, rbacv1.PolicyRule{APIGroups: []string{g}, Resources: []string{res}, Verbs: []string{v}, ResourceNames: rule.ResourceNames})
								}
							}
						}
					}
					visit(access{verb, group, resource}, rule.ResourceNames, less)
				}
			}
		}
	}
}

// eachVerbIsNeeded takes the verbs away one at a time, from a copy of the rights that somebody else has, and asks the API
// server whether the requests that the suite made would still be allowed. That is as good as running the suite once for each
// verb: every request is authorised for itself, from nothing but the user and what it asks for, so that a request which the
// authoriser refuses without the verb is one at which the suite fails. A verb that two rules grant, one of them in vain, is found too.
func (c *cluster) eachVerbIsNeeded(granted rights) {
	t := c.t
	t.Helper()
	const user, system = "someone-with-less", systemNamespace
	subject := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	wide := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: granted.cluster}
	narrow := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: user}, Rules: granted.system}
	c.must(c.client.Create(t.Context(), wide))
	c.must(c.client.Create(t.Context(), narrow))
	c.must(c.client.Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}}))
	c.must(c.client.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: user}, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user}}))

	dropped := 0
	drop := func(rules []rbacv1.PolicyRule, namespace string, write func([]rbacv1.PolicyRule) error) {
		each(rules, func(a access, names []string, less []rbacv1.PolicyRule) {
			dropped++
			c.must(write(rules))
			c.eventually("the right to "+a.String(), func() error {
				if !c.may(user, asks(a, namespace, names)) {
					return errors.New("it is not granted")
				}
				return nil
			})
			c.must(write(less))
			c.eventually("refusal of "+a.String(), func() error {
				if c.may(user, asks(a, namespace, names)) {
					return fmt.Errorf("it is allowed without its rule: another one grants it as well")
				}
				return nil
			})
		})
		c.must(write(rules))
	}
	drop(granted.cluster, c.namespace, func(rules []rbacv1.PolicyRule) error { wide.Rules = rules; return c.client.Update(t.Context(), wide) })
	drop(granted.system, system, func(rules []rbacv1.PolicyRule) error {
		narrow.Rules = rules
		return c.client.Update(t.Context(), narrow)
	})
	t.Logf("%d verbs were taken away, one at a time", dropped)
}
