package faults

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

// lifeline is a controller's connection to the API server. Cut, nothing of the controller reaches the cluster any more, which
// is all that the cluster sees of a process that was killed.
type lifeline struct {
	onDeath func(when, what string)
	// onCount is called before a count is written, with the name of its object.
	onCount func(object string)

	mu    sync.Mutex
	dead  bool
	cut   bool // for a while
	armed int  // the write at which it dies, counted down
	at    Boundary
	after bool
}

// errDead is what the dead hear.
var errDead = errors.New("this controller was killed or cut off by the test")

// through makes a configuration whose requests depend on the lifeline.
func (l *lifeline) through(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &mortal{l, next} })
	return config
}

// arm kills at the nth write of a kind from now, after it or before it; 0 takes that back.
func (l *lifeline) arm(n int, at Boundary, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed, l.at, l.after = n, at, after
}

// sever cuts the connection, or mends it.
func (l *lifeline) sever(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

func (l *lifeline) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// begin lets a request pass or not, and says whether the controller dies before or after it.
func (l *lifeline) begin(what string) (diesBefore, diesAfter bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead || l.cut {
		return false, false, errDead
	}
	if what == "" || l.armed == 0 || l.at != AtAny && l.at != boundaryOf(what) {
		return false, false, nil
	}
	l.armed--
	return l.armed == 0 && !l.after, l.armed == 0 && l.after, nil
}

func (l *lifeline) die(when, what string) {
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	l.onDeath(when, what)
}

// mortal is the transport of one controller.
type mortal struct {
	*lifeline
	next http.RoundTripper
}

func (m *mortal) RoundTrip(request *http.Request) (*http.Response, error) {
	what := written(request)
	diesBefore, diesAfter, err := m.begin(what)
	if err != nil {
		return nil, err
	}
	if diesBefore {
		m.die("before", what)
		return nil, errDead
	}
	if boundaryOf(what) == AtScale && m.onCount != nil {
		m.onCount(objectOf(request))
	}
	response, err := m.next.RoundTrip(request)
	if diesAfter {
		m.die("after", what)
		if err == nil {
			response.Body.Close()
		}
		return nil, errDead
	}
	return response, err
}

// boundaryOf is the kind of what was written.
func boundaryOf(what string) Boundary {
	switch what {
	case kindAutoscalers + "/status":
		return AtStatus
	case kindAutoscalers:
		return AtFinalizer
	case kindAdapters + "/scale", kindGroups:
		return AtScale
	}
	return AtAny
}

// written names what a request writes, empty where it writes nothing that a decision consists of: leases, events and
// questions about rights do not count.
func written(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return ""
	}
	parts := resourcePath(r)
	if len(parts) == 0 {
		return ""
	}
	resource := parts[0]
	if resource == "leases" || resource == "events" || strings.HasSuffix(resource, "reviews") {
		return ""
	}
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	return resource
}

// objectOf names the object that a request is about, empty where it is about all of a kind.
func objectOf(r *http.Request) string {
	if parts := resourcePath(r); len(parts) > 1 {
		return parts[1]
	}
	return ""
}

// resourcePath is a request's path from the resource on: RESOURCE, NAME, SUBRESOURCE.
func resourcePath(r *http.Request) []string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	at := 2 // api/v1/
	if parts[0] == "apis" {
		at = 3
	}
	if len(parts) > at+1 && parts[at] == "namespaces" {
		at += 2
	}
	return parts[min(at, len(parts)):]
}
