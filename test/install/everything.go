package install

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Everything is every object of a cluster that is there by itself, as RESOURCE.GROUP NAMESPACE/NAME. Left out are Events, which
// are reports, and whatever is owned by another object, which goes with it: pods, replica sets and the like.
func Everything(ctx context.Context, config *rest.Config) (map[string]bool, error) {
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{} // deprecated kinds are kinds too
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := kinds.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("the kinds of the cluster: %w", err)
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	type found struct {
		id     string
		owners []metav1.OwnerReference
	}
	objects := map[types.UID]found{}
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || resource.Kind == "Event" {
				continue
			}
			all, err := client.Resource(group.WithResource(resource.Name)).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", resource.Name, err)
			}
			for _, o := range all.Items {
				gr := schema.GroupResource{Group: group.Group, Resource: resource.Name}
				objects[o.UID] = found{id: gr.String() + " " + o.Namespace + "/" + o.Name, owners: o.OwnerReferences}
			}
		}
	}
	out := map[string]bool{}
	for _, o := range objects {
		owned := slices.ContainsFunc(o.owners, func(r metav1.OwnerReference) bool { _, there := objects[r.UID]; return there })
		if !owned {
			out[o.id] = true
		}
	}
	return out, nil
}
