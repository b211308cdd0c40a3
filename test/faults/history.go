package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// Change is one version of one object as it was stored.
type Change struct {
	// Revision orders all changes of all kinds; it is the object's resourceVersion.
	Revision int64
	// At is when it was seen.
	At time.Time
	// Kind is the plural of the object's kind, as in its path.
	Kind string
	Name string
	// Pod or Object holds it, neither where it was deleted.
	Pod    *corev1.Pod
	Object *unstructured.Unstructured
}

// Deleted reports whether the object is gone.
func (c *Change) Deleted() bool { return c.Pod == nil && c.Object == nil }

// Kinds that are followed.
const (
	kindPods         = "pods"
	kindGroups       = "rolebasedgroups"
	kindAdapters     = "rolebasedgroupscalingadapters"
	kindInstances    = "roleinstances"
	kindInstanceSets = "roleinstancesets"
	kindAutoscalers  = "pdautoscalers"
)

// folders are where the API server keeps them.
var folders = map[string]string{
	"/registry/pods/": kindPods,
	"/registry/workloads.x-k8s.io/rolebasedgroups/":               kindGroups,
	"/registry/workloads.x-k8s.io/rolebasedgroupscalingadapters/": kindAdapters,
	"/registry/workloads.x-k8s.io/roleinstances/":                 kindInstances,
	"/registry/workloads.x-k8s.io/roleinstancesets/":              kindInstanceSets,
	"/registry/pdautoscaler.io/pdautoscalers/":                    kindAutoscalers,
}

// History follows what etcd stores, in its order.
type History struct {
	client *clientv3.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	err      error // why there is a hole
	revision int64 // all up to it was seen
	by       map[string][]Change
}

// Follow begins to follow. Only namespaces that were opened are kept.
func Follow(ctx context.Context, url string) (*History, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("etcd of the control plane: %w", err)
	}
	h := &History{client: client, done: make(chan struct{}), by: map[string][]Change{}}
	ctx, h.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	events := client.Watch(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithProgressNotify(), clientv3.WithCreatedNotify())
	if created := <-events; created.Err() != nil {
		h.cancel()
		return nil, fmt.Errorf("etcd's history cannot be followed: %w", created.Err())
	}
	go h.follow(ctx, events)
	return h, nil
}

// Stop ends it.
func (h *History) Stop() error {
	h.cancel()
	<-h.done
	err := h.client.Close()
	if h.err != nil {
		return h.err
	}
	return err
}

func (h *History) follow(ctx context.Context, events clientv3.WatchChan) {
	defer close(h.done)
	for response := range events {
		err := response.Err()
		h.mu.Lock()
		if err != nil && ctx.Err() == nil {
			h.err = fmt.Errorf("etcd's history has a hole: %w", err)
		}
		now := time.Now()
		for _, event := range response.Events {
			if err := h.add(event, now); err != nil {
				h.err = err
			}
		}
		h.revision = max(h.revision, response.Header.Revision)
		h.mu.Unlock()
	}
}

// add keeps an event of an open namespace.
func (h *History) add(event *clientv3.Event, now time.Time) error {
	key := string(event.Kv.Key)
	for folder, kind := range folders {
		rest, ok := strings.CutPrefix(key, folder)
		if !ok {
			continue
		}
		namespace, name, _ := strings.Cut(rest, "/")
		if _, open := h.by[namespace]; !open {
			return nil
		}
		c := Change{Revision: event.Kv.ModRevision, At: now, Kind: kind, Name: name}
		if event.Type == clientv3.EventTypePut {
			if err := c.decode(event.Kv.Value); err != nil {
				return fmt.Errorf("%s at revision %d cannot be read: %w", key, c.Revision, err)
			}
		}
		h.by[namespace] = append(h.by[namespace], c)
		return nil
	}
	return nil
}

func (c *Change) decode(value []byte) error {
	if c.Kind == kindPods {
		object, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
		if err != nil {
			return err
		}
		pod, ok := object.(*corev1.Pod)
		if !ok {
			return fmt.Errorf("it is a %T", object)
		}
		c.Pod = pod
		return nil
	}
	c.Object = &unstructured.Unstructured{}
	return json.Unmarshal(value, &c.Object.Object)
}

// Open begins to keep the changes of a namespace.
func (h *History) Open(namespace string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by[namespace] = []Change{}
}

// Close forgets them.
func (h *History) Close(namespace string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.by, namespace)
}

// Since returns the changes of a namespace from the nth on.
func (h *History) Since(namespace string, n int) ([]Change, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.by[namespace][n:], h.err
}

// CatchUp waits until all that is stored now was seen.
func (h *History) CatchUp(ctx context.Context) error {
	now, err := h.client.Get(ctx, "/registry/none", clientv3.WithSerializable())
	if err != nil {
		return fmt.Errorf("etcd's revision: %w", err)
	}
	for {
		h.mu.Lock()
		seen, err := h.revision, h.err
		h.mu.Unlock()
		if err != nil || seen >= now.Header.Revision {
			return err
		}
		if err := h.client.RequestProgress(ctx); err != nil {
			return fmt.Errorf("etcd's progress: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("etcd's history was seen up to revision %d and is at %d: %w", seen, now.Header.Revision, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
