package workload

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// belonging says whether a pod is one of the group's.
type belonging int

const (
	// ours: the chain of controllers ends at the scaled object.
	ours belonging = iota
	// orphaned: an owner in the chain is gone or was replaced by another of the
	// same name, so the garbage collector will take the pod.
	orphaned
	// foreign: the chain ends elsewhere, or the pod has no controller at all.
	foreign
	// hidden: an owner may not be read (no permission, a kind that is not served),
	// and labels are believed. It is remembered as that only, since what labels say
	// may change: a new object has no selector yet.
	hidden
)

// maxOwners bounds the chain: Pod, StatefulSet, Pod (of a LeaderWorkerSet's
// leader), StatefulSet, LeaderWorkerSet, group.
const maxOwners = 6

// ownerMemory remembers, per owner, where its chain ends. An object's owners do
// not change while it lives, so that a steady service costs no reads.
type ownerMemory map[types.UID]belonging

// belongs follows a pod's controllers up to the group, or to another object that
// is scaled. Answers that come from memory are carried over into next, which
// keeps no more than is in use. unread is the answer where an owner may not be
// read: ours where labels say so as well.
func (w *Workload) belongs(ctx context.Context, pod *corev1.Pod, to types.UID, unread belonging, known, next ownerMemory) (belonging, error) {
	refs := pod.OwnerReferences
	var passed []types.UID
	answer := foreign
walk:
	for range maxOwners {
		for i := range refs {
			if refs[i].UID == to {
				answer = ours
				break walk
			}
		}
		ref := controllerOf(refs)
		if ref == nil {
			break
		}
		if b, ok := known[ref.UID]; ok {
			answer, passed = b, append(passed, ref.UID)
			break
		}
		owner := &metav1.PartialObjectMetadata{}
		owner.SetGroupVersionKind(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
		err := w.live.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: ref.Name}, owner)
		switch {
		case apierrors.IsForbidden(err), meta.IsNoMatchError(err), apierrors.IsNotFound(err) && missesKind(err):
			answer, passed = hidden, append(passed, ref.UID)
			break walk
		case apierrors.IsNotFound(err), err == nil && owner.UID != ref.UID:
			return orphaned, nil // not remembered: such a pod is gone soon
		case err != nil:
			return foreign, fmt.Errorf("read the owner of pod %s/%s, %s %s: %w", pod.Namespace, pod.Name, ref.Kind, ref.Name, err)
		}
		passed = append(passed, ref.UID)
		refs = owner.OwnerReferences
	}
	for _, uid := range passed {
		next[uid] = answer
	}
	if answer == hidden {
		answer = unread
	}
	return answer, nil
}

func controllerOf(refs []metav1.OwnerReference) *metav1.OwnerReference {
	for i := range refs {
		if refs[i].Controller != nil && *refs[i].Controller {
			return &refs[i]
		}
	}
	return nil
}
