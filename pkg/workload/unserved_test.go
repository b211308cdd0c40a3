package workload

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
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

// An owner's reference may name a version that is served no more, while a mapper
// still knows it: nothing is then known of the owner, and it need not be gone.
func TestOwnersOfAVersionThatIsNoLongerServed(t *testing.T) {
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0")
	none := unserved(t, "text/plain; charset=utf-8", "404 page not found\n")
	api := interceptor.NewClient(c.client().(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, through client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
			if into.GetObjectKind().GroupVersionKind().Kind == roleInstanceKind {
				return none.Get(ctx, key, into, options...)
			}
			return through.Get(ctx, key, into, options...)
		},
	})
	o, err := New(api, api, WithDiscovery(discovery(c.versions))).Observe(t.Context(), target, now)
	if want := "2 x 2: prefill-0=ready/2"; err != nil || brief(o.Prefill) != want {
		t.Errorf("prefill %s, %v; want %s", brief(o.Prefill), err, want)
	}
}
