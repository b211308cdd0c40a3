package controller

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

// recorder stands between a client and the API server and notes each request
// as the server's authorisation sees it.
type recorder struct {
	mu       sync.Mutex
	requests []access
	refused  []string

	events Recorder // of the manager whose requests are noted
}

// access is what one request asks for.
type access struct{ verb, group, resource string }

func (a access) String() string { return a.verb + " " + a.resource + "." + a.group }

// split takes a subresource off its resource.
func (a access) split() (resource, subresource string) {
	resource, subresource, _ = strings.Cut(a.resource, "/")
	return resource, subresource
}

// writes reports whether the request changes something. Reviews are questions.
func (a access) writes() bool {
	return slices.Contains([]string{"create", "update", "patch", "delete"}, a.verb) && !strings.HasSuffix(a.resource, "reviews")
}

// through makes a configuration whose requests are noted.
func (r *recorder) through(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if a, ok := accessOf(request); ok {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.requests = append(r.requests, a)
				if err == nil && response.StatusCode == http.StatusForbidden {
					r.refused = append(r.refused, fmt.Sprintf("%s: %s", a, request.URL))
				}
			}
			return response, err
		})
	})
	return config
}

// withoutStreams makes a configuration of an API server that does not know how
// to begin a watch with what there is.
func withoutStreams(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.URL.Query().Get("sendInitialEvents") == "" {
				return next.RoundTrip(request)
			}
			const answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"}`
			return &http.Response{StatusCode: http.StatusUnprocessableEntity, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer)), Request: request}, nil
		})
	})
	return config
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// accessOf reads a request's path as the API server does: /api/v1 or
// /apis/GROUP/VERSION, then [namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE]].
func accessOf(r *http.Request) (access, bool) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return access{}, false // discovery
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	a := access{group: group, resource: parts[0]}
	if len(parts) > 2 {
		a.resource += "/" + parts[2]
	}
	switch r.Method {
	case http.MethodGet:
		switch {
		case r.URL.Query().Get("watch") != "":
			a.verb = "watch"
		case len(parts) > 1:
			a.verb = "get"
		default:
			a.verb = "list"
		}
	default:
		a.verb = map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	}
	return a, true
}

// of counts the requests of a kind that were made since the first n.
func (r *recorder) of(n int, which func(access) bool) (found []access) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.requests[n:] {
		if which(a) {
			found = append(found, a)
		}
	}
	return found
}

// forbidden are the requests that the API server refused.
func (r *recorder) forbidden() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refused)
}

func (r *recorder) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}
