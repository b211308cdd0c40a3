package controller

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// service is what the controller keeps of one resource between two rounds. The
// queue never gives one resource to two workers, so only the records, which
// /debug reads, are shared.
type service struct {
	key types.NamespacedName
	uid types.UID

	memory planner.Memory
	drains map[planner.Role]drain
	// target and group are what the memory is about.
	target workload.Target
	group  types.UID
	gpus   gpuNames
	// lessons are what the replicas of each role have taught; nil until the first round looked into the status.
	lessons map[planner.Role]*lesson

	collector       Collector
	collectorConfig signals.Config
	secrets         secretStore

	records *ring
	said    said

	// written is the resource as the last status write returned it, and
	// superseded are the versions it replaced: the cache may still show those.
	written    *v1alpha1.PDAutoscaler
	superseded map[string]bool
	writtenAt  time.Time

	// due is when the next round is due; zero before the first.
	due time.Time
}

// close ends what the service holds open.
func (s *service) close() {
	if s.collector != nil {
		s.collector.Close()
		s.collector = nil
	}
}

// store holds the services of all resources that were seen.
type store struct {
	mu       sync.Mutex
	services map[types.NamespacedName]*service
	// numbers bounds the statuses that are written for their numbers alone.
	numbers *rate.Limiter
}

func newStore() *store {
	return &store{services: map[types.NamespacedName]*service{}, numbers: rate.NewLimiter(mostWritesPerSecond, mostWritesPerSecond)}
}

func (s *store) get(key types.NamespacedName) *service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[key]
}

// recordBytesInAll bounds the records of all services together: with many of
// them each keeps fewer.
const recordBytesInAll = 16 << 20

func (s *store) put(svc *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[svc.key] = svc
	s.shareRecords()
}

// shareRecords gives every service the same part of the memory for records.
func (s *store) shareRecords() {
	for _, one := range s.services {
		one.records.limit(recordBytesInAll / len(s.services))
	}
}

// len is how many services there are.
func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.services)
}

// take removes a service and returns it, nil where there is none.
func (s *store) take(key types.NamespacedName) *service {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.services[key]
	delete(s.services, key)
	s.shareRecords()
	return svc
}
