package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/doctor"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// groupOfTwo is a RoleBasedGroup whose decode asks for an adapter that is not there.
const groupOfTwo = `
apiVersion: workloads.x-k8s.io/v1alpha2
kind: RoleBasedGroup
metadata: {name: dynamo-pd, namespace: default, uid: group}
spec:
  roles:
  - {name: prefill, replicas: 1, standalonePattern: {template: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}}}
  - {name: decode, replicas: 1, scalingAdapter: {enable: true}, standalonePattern: {template: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}}}
`

// looked is a look at a cluster that answers from memory.
func looked(t *testing.T, page func(context.Context, string, string, int32, string) ([]byte, error)) *look {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	group := schema.GroupVersion{Group: "workloads.x-k8s.io", Version: "v1alpha2"}
	for _, kind := range []string{"RoleBasedGroup", "RoleBasedGroupScalingAdapter", "CoordinatedPolicy", "RoleInstanceSet"} {
		scheme.AddKnownTypeWithName(group.WithKind(kind), &unstructured.Unstructured{})
		scheme.AddKnownTypeWithName(group.WithKind(kind+"List"), &unstructured.UnstructuredList{})
	}
	for _, kind := range []schema.GroupVersionKind{{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}, {Group: "inference-extension.rolebasedgroup.io", Version: "v1alpha1", Kind: "AutoScaler"}} {
		scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
		scheme.AddKnownTypeWithName(kind.GroupVersion().WithKind(kind.Kind+"List"), &unstructured.UnstructuredList{})
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(groupOfTwo), &u.Object); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "dynamo-pd-prefill-0", Namespace: "default", UID: "p", Labels: map[string]string{"rbg.workloads.x-k8s.io/group-name": "dynamo-pd", "rbg.workloads.x-k8s.io/role-name": "prefill"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: group.String(), Kind: "RoleBasedGroup", Name: "dynamo-pd", UID: "group", Controller: new(true)}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.244.0.2", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(u, pod).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return nil }, // may nodes be read? no
	}).Build()
	return &look{workload.New(cluster, cluster, workload.WithDiscovery(served{})), page}
}

// served answers that RBG v0.8 is installed.
type served struct{}

func (served) ServerResourcesForGroupVersionWithContext(_ context.Context, gv string) (*metav1.APIResourceList, error) {
	if gv != "workloads.x-k8s.io/v1alpha2" {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	return &metav1.APIResourceList{APIResources: []metav1.APIResource{{Kind: "RoleBasedGroup", Name: "rolebasedgroups"}}}, nil
}

func TestDoctorLooks(t *testing.T) {
	pda := someResource()
	pda.Spec.Target.Name = "dynamo-pd"
	var asked []string
	l := looked(t, func(_ context.Context, namespace, pod string, port int32, path string) ([]byte, error) {
		asked = append(asked, namespace+"/"+pod+path)
		if port != 8000 {
			t.Errorf("port %d", port)
		}
		return []byte("# HELP x y\n# TYPE x counter\nx 1\nx{a=\"b\"} 2\n\n"), nil
	})
	p := l.at(t.Context(), pda, noTime)
	if p.Unread != nil {
		t.Fatal(p.Unread)
	}
	if !slices.Equal(asked, []string{"default/dynamo-pd-prefill-0/metrics"}) || len(p.Probes) != 1 || p.Probes[0].Samples != 2 {
		t.Errorf("asked %q, probes %+v", asked, p.Probes)
	}
	r := doctor.Examine(p)
	found := slices.ContainsFunc(r.Checks, func(c doctor.Check) bool {
		return c.Name == "adapter" && c.Role == "decode" && c.State == doctor.Fault && strings.Contains(c.Message, "is not bound (phase missing)")
	})
	if r.Healthy || !found {
		t.Errorf("the adapter that is missing was not found: %+v", r.Checks)
	}
}

func TestDoctorProbes(t *testing.T) {
	pda := someResource()
	pda.Spec.Target.Name = "dynamo-pd"
	for name, tc := range map[string]struct {
		err    error
		denied bool
		want   string
	}{
		"no answer":  {err: errors.New("connection refused"), want: "connection refused"},
		"no page":    {err: apierrors.NewGenericServerResponse(http.StatusNotFound, "get", schema.GroupResource{}, "", "/very/long/address", 0, false), want: "404 Not Found"},
		"no right":   {err: apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "p", nil), denied: true},
		"empty page": {},
	} {
		t.Run(name, func(t *testing.T) {
			p := looked(t, func(context.Context, string, string, int32, string) ([]byte, error) { return nil, tc.err }).at(t.Context(), pda, noTime)
			if len(p.Probes) != 1 || p.Probes[0].Denied != tc.denied || p.Probes[0].Error != tc.want {
				t.Errorf("probes %+v, want denied %v, error %q", p.Probes, tc.denied, tc.want)
			}
		})
	}
	if p := looked(t, nil).at(t.Context(), pda, noTime); len(p.Probes) != 0 || p.NotProbed == "" {
		t.Errorf("probes %+v (%q) though none was wanted", p.Probes, p.NotProbed)
	}
	pda.Spec.Target.Name = "other"
	if p := looked(t, nil).at(t.Context(), pda, noTime); !errors.As(p.Unread, new(*workload.MissingError)) {
		t.Errorf("unread: %v", p.Unread)
	}
}

// Against an API server that has the resource and nothing else: a fault, and
// exit code 1.
func TestDoctorCommand(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/apis/pdautoscaler.io/v1alpha1/namespaces/default/pdautoscalers/qwen3" {
			_ = json.NewEncoder(w).Encode(someResource())
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: 404, Reason: metav1.StatusReasonNotFound,
			Details: &metav1.StatusDetails{Name: path.Base(r.URL.Path)}})
	}))
	t.Cleanup(server.Close)
	config := kubeconfig(t, server.URL, "")
	for name, tc := range map[string]struct {
		args []string
		code int
		want string // in what is printed
	}{
		"text":          {[]string{"doctor", "qwen3"}, exitNo, "FAULT    target: "},
		"JSON":          {[]string{"doctor", "qwen3", "-o", "json"}, exitNo, `"healthy": false`},
		"no such one":   {[]string{"doctor", "other"}, exitCluster, "does not exist"},
		"no name":       {[]string{"doctor"}, exitUsage, "give the NAME of one PDAutoscaler"},
		"another paper": {[]string{"doctor", "qwen3", "-o", "xml"}, exitUsage, "allowed is text or json"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code := run(t.Context(), append(tc.args, "--kubeconfig", config), environment{stdin: strings.NewReader(""), stdout: &out, stderr: &out, now: time.Now})
			if code != tc.code || !strings.Contains(out.String(), tc.want) {
				t.Errorf("exit code %d, want %d; printed:\n%s\nwant %q in it", code, tc.code, out.String(), tc.want)
			}
		})
	}
}
