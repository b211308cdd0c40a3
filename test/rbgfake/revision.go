package rbgfake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// labelRevision of a RoleInstance says from which template it was made.
const labelRevision = appsv1.ControllerRevisionHashLabelKey

// revisions are the templates of a set: the one that is rolled out and the one that was before.
type revisions struct {
	current, update string
	templates       map[string][]byte // JSON, by revision
}

// revisionsOf keeps a ControllerRevision of every template that the set ever had, as the original does: replicas below a
// partition are made from the old one.
func revisionsOf(ctx context.Context, c client.Client, set *unstructured.Unstructured) (revisions, error) {
	template, _, err := unstructured.NestedMap(set.Object, "spec", "roleInstanceTemplate")
	if err != nil {
		return revisions{}, err
	}
	content, err := json.Marshal(template) // keys are sorted
	if err != nil {
		return revisions{}, err
	}
	sum := sha256.Sum256(content)
	name := fmt.Sprintf("%s-%s", set.GetName(), hex.EncodeToString(sum[:5]))
	r := revisions{current: name, update: name, templates: map[string][]byte{name: content}}
	err = c.Create(ctx, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.GetNamespace(), Name: name,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, GroupVersion.WithKind(KindInstanceSet))},
		},
		Data: runtime.RawExtension{Raw: content}, Revision: set.GetGeneration(),
	})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return r, err
	}
	was, _, _ := unstructured.NestedString(set.Object, "status", "currentRevision")
	if was == "" || was == name {
		return r, nil
	}
	old := &appsv1.ControllerRevision{}
	err = c.Get(ctx, client.ObjectKey{Namespace: set.GetNamespace(), Name: was}, old)
	if apierrors.IsNotFound(err) {
		return r, nil
	}
	r.current, r.templates[was] = was, old.Data.Raw
	return r, err
}

func revisionOf(instance *unstructured.Unstructured) string {
	return instance.GetLabels()[labelRevision]
}
