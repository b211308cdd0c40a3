package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// secretsKept is how long a Secret that was read is used: a credential that was
// renewed is used after that time, and five hundred services do not ask the API server for theirs every round.
const secretsKept = time.Minute

// secretStore holds the Secrets of one resource between two rounds.
type secretStore struct {
	kept map[string]keptSecret
}

type keptSecret struct {
	secret *corev1.Secret
	readAt time.Time
}

// secretReader reads the Secrets of one resource's namespace for one round. It
// keeps the first error: a configuration is made in one go, and what is wrong is said once.
type secretReader struct {
	ctx       context.Context
	reader    client.Reader
	store     *secretStore
	namespace string
	now       time.Time
	named     map[string]bool
	err       error
}

// done drops the Secrets that the resource names no longer: tools that name one
// by its content name another at each change. Where something is wrong not all
// that are named were read, and all stay.
func (s *secretReader) done() error {
	if s.err == nil {
		maps.DeleteFunc(s.store.kept, func(name string, _ keptSecret) bool { return !s.named[name] })
	}
	return s.err
}

// value is the content of one key, for the given hosts; nil for no reference.
func (s *secretReader) value(ref *v1alpha1.SecretKeyReference, hosts ...string) []byte {
	if ref == nil || s.err != nil {
		return nil
	}
	secret, err := s.get(ref.Name)
	if err != nil {
		s.err = err
		return nil
	}
	value, ok := secret.Data[ref.Key]
	switch {
	case !ok || len(value) == 0:
		s.err = fmt.Errorf("the Secret %s/%s has nothing under the key %q", s.namespace, ref.Name, ref.Key)
		return nil
	default:
		s.err = mayGoTo(secret, hosts)
	}
	return value
}

// text is the same without the line break that editors put at the end.
func (s *secretReader) text(ref *v1alpha1.SecretKeyReference, hosts ...string) string {
	return strings.TrimRight(string(s.value(ref, hosts...)), "\r\n")
}

// get returns a Secret. One that was read a moment ago is used again, and one
// that cannot be read now is used as it was.
func (s *secretReader) get(name string) (*corev1.Secret, error) {
	s.named[name] = true
	kept, ok := s.store.kept[name]
	if ok && s.now.Sub(kept.readAt) < secretsKept && !s.now.Before(kept.readAt) {
		return kept.secret, nil
	}
	secret := &corev1.Secret{}
	err := s.reader.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		delete(s.store.kept, name)
		return nil, fmt.Errorf("the Secret %s/%s does not exist", s.namespace, name)
	case apierrors.IsForbidden(err):
		delete(s.store.kept, name)
		return nil, fmt.Errorf("the Secret %s/%s may not be read: bind the ClusterRole pdautoscaler-signal-secrets to the controller in namespace %s", s.namespace, name, s.namespace)
	case err != nil && ok:
		return kept.secret, nil
	case err != nil:
		return nil, fmt.Errorf("the Secret %s/%s could not be read: %w", s.namespace, name, err)
	}
	if s.store.kept == nil {
		s.store.kept = map[string]keptSecret{}
	}
	s.store.kept[name] = keptSecret{secret, s.now}
	return secret, nil
}

// mayGoTo refuses to send a Secret to a host that the Secret itself does not list, where it lists any.
func mayGoTo(secret *corev1.Secret, hosts []string) error {
	listed, restricted := secret.Annotations[v1alpha1.SecretHostsAnnotation]
	if !restricted {
		return nil
	}
	allowed := strings.FieldsFunc(strings.ToLower(listed), func(r rune) bool { return r == ',' || r == ' ' })
	for _, host := range hosts {
		if !slices.Contains(allowed, host) {
			return fmt.Errorf("the Secret %s/%s may not be sent to %s: its annotation %s allows %q", secret.Namespace, secret.Name, host, v1alpha1.SecretHostsAnnotation, listed)
		}
	}
	return nil
}
