package metricsapi

import (
	"context"
	"sync"

	"k8s.io/client-go/tools/cache"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// changes tells those who wait that a resource may have changed.
type changes struct {
	mu      sync.Mutex
	waiting map[client.ObjectKey]map[chan struct{}]bool
}

func newChanges() *changes { return &changes{waiting: map[client.ObjectKey]map[chan struct{}]bool{}} }

// watch returns a channel that gets a value after a change, one for any number
// of changes that nobody has looked at yet. stop must be called.
func (c *changes) watch(key client.ObjectKey) (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[key] == nil {
		c.waiting[key] = map[chan struct{}]bool{}
	}
	c.waiting[key][ch] = true
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if delete(c.waiting[key], ch); len(c.waiting[key]) == 0 {
			delete(c.waiting, key)
		}
	}
}

func (c *changes) tell(object any) {
	if gone, is := object.(cache.DeletedFinalStateUnknown); is {
		object = gone.Obj
	}
	o, is := object.(client.Object)
	if !is {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.waiting[client.ObjectKeyFromObject(o)] {
		select {
		case ch <- struct{}{}:
		default: // it has not looked at the last one yet
		}
	}
}

// follow tells f of every change of a PDAutoscaler that a cache sees.
func follow(ctx context.Context, c Cache, f func(object any)) error {
	informer, err := c.GetInformer(ctx, &v1alpha1.PDAutoscaler{}, ctrlcache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: f, DeleteFunc: f, UpdateFunc: func(_, now any) { f(now) },
	})
	return err
}
