package workload

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// unserved is a client whose mapper still knows the kinds of RBG, of an API
// server that answers as one does for a path that it has no more (plainly), or
// for an object that is not there.
func unserved(t *testing.T, contentType, body string) client.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", contentType)
		out.WriteHeader(http.StatusNotFound)
		_, _ = out.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(modern.group(), meta.RESTScopeNamespace)
	mapper.Add(instanceGVK, meta.RESTScopeNamespace)
	api, err := client.New(&rest.Config{Host: server.URL}, client.Options{Scheme: runtime.NewScheme(), Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// The client puts the name that was asked for into an answer of plain text, so
// that the name alone tells nothing.
func TestMissesKind(t *testing.T) {
	for name, tc := range map[string]struct {
		contentType, body string
		want              bool
	}{
		"no such path":   {"text/plain; charset=utf-8", "404 page not found\n", true},
		"no such object": {"application/json", `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"rolebasedgroups \"dynamo-pd\" not found","reason":"NotFound","details":{"name":"dynamo-pd","group":"workloads.x-k8s.io","kind":"rolebasedgroups"},"code":404}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(modern.group())
			err := unserved(t, tc.contentType, tc.body).Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "dynamo-pd"}, u)
			if got := missesKind(err); got != tc.want {
				t.Errorf("it misses the kind: %v, want %v: %#v", got, tc.want, err)
			}
		})
	}
}
