package controller

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/gpuwatch"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// cluster is the running example on a real control plane, in a namespace of its own.
type cluster struct {
	t          *testing.T
	cp         *controlplane.ControlPlane
	client     client.Client
	kubernetes kubernetes.Interface
	namespace  string
	traffic    string // the file of the demand
	pods       *gpuwatch.Watcher
}

func newCluster(t *testing.T, example rbgfake.Example) *cluster {
	t.Helper()
	cp := controlplane.ForTest(t)
	c := &cluster{t: t, cp: cp, traffic: filepath.Join(t.TempDir(), "traffic.json")}
	scheme := runtime.NewScheme()
	var err error
	c.must(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	c.client, err = client.New(cp.Config, client.Options{Scheme: scheme})
	c.must(err)
	c.kubernetes, err = kubernetes.NewForConfig(cp.Config)
	c.must(err)
	c.namespace, err = cp.NewNamespace(t.Context(), "controller")
	c.must(err)
	product := "product-of-" + c.namespace // spec.gpu says what it is
	_, err = cp.AddGPUNodes(t.Context(), 2, 8, product)
	c.must(err)
	c.install()
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background()) // the context of the test ends before its clean-up
	go func() { done <- rbgfake.Run(ctx, cp.Config, rbgfake.Options{Namespaces: []string{c.namespace}}) }()
	t.Cleanup(func() { stop(); c.must(<-done) })
	example.Namespace, example.NodeSelector = c.namespace, map[string]string{controlplane.LabelGPUProduct: product}
	c.must(c.client.Create(t.Context(), rbgfake.DynamoPD(example)))
	c.eventually("3 ready workers", func() error { return c.ready(2, 1) })
	c.pods, err = gpuwatch.Watch(t.Context(), c.kubernetes, c.namespace, rbgfake.LabelRoleName, io.Discard)
	c.must(err)
	return c
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// install gives the controller's ServiceAccount what config/rbac says, and no more.
func (c *cluster) install() {
	c.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := c.client.Create(c.t.Context(), ns); err != nil && !apierrors.IsAlreadyExists(err) {
		c.t.Fatal(err)
	}
	c.must(c.cp.NamespaceReady(c.t.Context(), ns.Name))
	_, err := c.cp.Kubectl(c.t.Context(), "apply", "--server-side", "-k", "../../config/rbac")
	c.must(err)
	c.awaitRights()
}

const (
	systemNamespace = "pdautoscaler-system"
	// controllerUser is the controller's ServiceAccount, as the API server names it.
	controllerUser = "system:serviceaccount:" + systemNamespace + ":pdautoscaler"
)

// standIn is what a manager of this cluster is told.
func (c *cluster) standIn() standIn {
	c.t.Helper()
	kubeconfig, err := c.cp.UserKubeconfig(controllerUser, "system:serviceaccounts", "system:serviceaccounts:pdautoscaler-system")
	c.must(err)
	return standIn{Kubeconfig: kubeconfig, Namespace: c.namespace, Traffic: c.traffic}
}

func (c *cluster) demand(rate, input, output float64) {
	c.t.Helper()
	text, err := json.Marshal(demand{rate, input, output})
	c.must(err)
	next := c.traffic + ".next"
	c.must(os.WriteFile(next, text, 0o600))
	c.must(os.Rename(next, c.traffic)) // never read half
}

// ready checks that so many pods of the two roles are Ready and no other is there.
func (c *cluster) ready(prefill, decode int) error {
	for role, want := range map[string]int{rbgfake.RolePrefill: prefill, rbgfake.RoleDecode: decode} {
		var pods corev1.PodList
		if err := c.client.List(c.t.Context(), &pods, client.InNamespace(c.namespace), client.MatchingLabels{rbgfake.LabelRoleName: role}); err != nil {
			return err
		}
		ready := 0
		for i := range pods.Items {
			if podReady(&pods.Items[i]) && pods.Items[i].DeletionTimestamp == nil {
				ready++
			}
		}
		if ready != want || len(pods.Items) != want {
			return fmt.Errorf("%d pods of %s, %d ready; want %d", len(pods.Items), role, ready, want)
		}
	}
	return nil
}

// asked is the count that a role's scaling adapter asks for.
func (c *cluster) asked(role string) int {
	c.t.Helper()
	adapter := &unstructured.Unstructured{}
	adapter.SetGroupVersionKind(rbgfake.GroupVersion.WithKind(rbgfake.KindAdapter))
	c.must(c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "dynamo-pd-" + role}, adapter))
	n, _, err := unstructured.NestedInt64(adapter.Object, "spec", "replicas")
	c.must(err)
	return int(n)
}

func (c *cluster) status() v1alpha1.PDAutoscalerStatus {
	c.t.Helper()
	pda := &v1alpha1.PDAutoscaler{}
	c.must(c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "qwen"}, pda))
	return pda.Status
}

// token makes a ServiceAccount, with or without the right to read decisions.
func (c *cluster) token(name string, reader bool) string {
	c.t.Helper()
	role := ""
	if reader {
		role = "pdautoscaler-metrics-reader"
	}
	return c.tokenWith(name, role, "/metrics")
}

// tokenWith makes a ServiceAccount with a ClusterRole for a path, or with none.
func (c *cluster) tokenWith(name, role, path string) string {
	c.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name}}
	c.must(c.client.Create(c.t.Context(), account))
	if role != "" {
		c.must(c.client.Create(c.t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: c.namespace + "-" + name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: c.namespace, Name: name}},
		}))
		c.awaitPath(name, path)
	}
	token, err := c.kubernetes.CoreV1().ServiceAccounts(c.namespace).CreateToken(c.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	c.must(err)
	return token.Status.Token
}

// get reads a page of a manager's metrics server.
func (c *cluster) get(address, path, token string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "https://"+address+path, nil)
	c.must(err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} // its certificate is self-signed
	response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// events counts the events of a reason about the resource.
func (c *cluster) events(reason string) int {
	c.t.Helper()
	var list eventsv1.EventList
	c.must(c.client.List(c.t.Context(), &list, client.InNamespace(c.namespace)))
	n := 0
	for i := range list.Items {
		if list.Items[i].Regarding.Name == "qwen" && list.Items[i].Reason == reason {
			n++
		}
	}
	return n
}

// The spine on a real API server, with the rights of config/rbac and no more:
// the counts that the planner says are written, the budget is kept, and a move
// whose leader was killed in the middle of it is finished by the next one.
func TestLeaderKilledInMidMove(t *testing.T) {
	t.Parallel()
	const budget = 10
	c := newCluster(t, rbgfake.Example{ReadyAfter: 300 * time.Millisecond})
	c.demand(18, 3000, 100)
	s := c.standIn()
	leader, leaderMetrics := startManager(t, s)
	reader, stranger := c.token("reader", true), c.token("stranger", false)
	c.eventually("the leader's metrics", func() error { _, _, err := c.get(leaderMetrics, "/metrics", ""); return err })
	pda := example(func(p *v1alpha1.PDAutoscaler) {
		p.ObjectMeta = metav1.ObjectMeta{Namespace: c.namespace, Name: "qwen"}
		p.Spec.Budget.GPUs = budget
		p.Spec.Roles.Prefill.Min = 3 // it gives once
		p.Spec.Behavior.Interval = v1alpha1.Every(time.Second)
		p.Spec.Behavior.ScaleDownWindow = v1alpha1.Every(4 * time.Second)
		p.Spec.Behavior.StartupTime = v1alpha1.Every(time.Second)
		p.Spec.Rebalance.Window = v1alpha1.Every(2 * time.Second)
	})
	c.must(c.client.Create(t.Context(), pda))

	// 2P1D to what the planner says, and the record of it says why.
	c.eventually("4 prefill replicas", func() error { return c.ready(4, 1) })
	decisions := DecisionsPath + c.namespace + "/qwen?last=1"
	for token, want := range map[string]int{"": http.StatusUnauthorized, stranger: http.StatusForbidden, reader: http.StatusOK} {
		code, body, err := c.get(leaderMetrics, decisions, token)
		if err != nil || code != want {
			t.Fatalf("the decisions are answered with %d (%v), want %d: %s", code, err, want, body)
		}
		if code != http.StatusOK {
			continue
		}
		var records []planner.Record
		c.must(json.Unmarshal(body, &records))
		if diff := cmp.Diff(records[0].Decision, planner.Replay(records[0])); diff != "" {
			t.Errorf("the record does not replay (-served +replayed):\n%s", diff)
		}
		if d := records[0].Decision; d.Prefill.To != c.asked("prefill") || d.Decode.To != c.asked("decode") {
			t.Errorf("the adapters ask for %d and %d; the planner said %s", c.asked("prefill"), c.asked("decode"), d.Summary)
		}
	}

	// The traffic turns to decode, and the leader is killed while the donor drains.
	_, nextMetrics := startManager(t, s)
	letGo := c.hold("prefill")
	c.demand(30, 300, 1500)
	c.eventually("a move", func() error {
		if m := c.status().Move; m == nil || m.Phase != string(planner.Draining) || c.asked("prefill") == 4 {
			return fmt.Errorf("the move is %+v, prefill at %d", m, c.asked("prefill"))
		}
		return nil
	})
	c.must(leader.Process.Kill())
	began := c.status().Move
	c.eventually("3 decisions of the next leader", func() error {
		if n := c.asked("decode"); n != 1 {
			t.Fatalf("decode was asked to grow to %d while the donor's pods hold their GPUs", n)
		}
		code, body, err := c.get(nextMetrics, DecisionsPath+c.namespace+"/qwen", reader)
		if err != nil || code != http.StatusOK {
			return fmt.Errorf("%d %s (%w)", code, body, err)
		}
		var records []planner.Record
		if err := json.Unmarshal(body, &records); err != nil || len(records) < 3 {
			return fmt.Errorf("%d decisions (%w)", len(records), err)
		}
		return nil
	})
	letGo()
	c.eventually("the receiver's growth", func() error {
		move := c.status().Move // before the count: no count grows before its move is on record
		grown := c.asked("decode") == int(began.ReceiverAfter)
		if move == nil && !grown || move != nil && !move.StartedAt.Equal(&began.StartedAt) {
			t.Fatalf("the move is %+v while decode has not grown by the one that was killed, %+v", move, began)
		}
		if !grown {
			return fmt.Errorf("decode at %d, the move is %+v", c.asked("decode"), move)
		}
		return nil
	})
	c.eventually("the end of the move", func() error {
		if m := c.status().Move; m != nil && m.StartedAt.Equal(&began.StartedAt) {
			return fmt.Errorf("it is %+v", m)
		}
		return nil
	})
	c.eventually("its event", func() error {
		if n := c.events("MoveEnded"); n == 0 {
			return errors.New("there is none")
		}
		return nil
	})

	// The API server's own history of pods.
	c.must(c.pods.Check(t.Context()))
	c.must(c.pods.Stop())
	if peak := c.pods.Ledger.Totals(time.Now()).Peak; peak > budget {
		t.Errorf("pods held %d GPUs at once; the budget is %d", peak, budget)
	}
}
