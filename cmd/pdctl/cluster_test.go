package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// apiServer answers like an API server: with the PDAutoscaler default/qwen3, and with nothing else.
func apiServer(t *testing.T, pda *v1alpha1.PDAutoscaler) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	refuse := func(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string, details *metav1.StatusDetails) {
		answer(w, int(code), metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure",
			Code: code, Reason: reason, Message: message, Details: details})
	}
	const resources = "/apis/pdautoscaler.io/v1alpha1/namespaces/{namespace}/pdautoscalers/"
	mux.HandleFunc(resources+"{name}", func(w http.ResponseWriter, r *http.Request) {
		switch name := r.PathValue("name"); {
		case r.PathValue("namespace") == "secret":
			refuse(w, 403, metav1.StatusReasonForbidden, `pdautoscalers.pdautoscaler.io "qwen3" is forbidden: User "mira" cannot get it`, &metav1.StatusDetails{Name: name})
		case name == "qwen3":
			answer(w, 200, pda)
		case name == "odd":
			answer(w, 200, map[string]any{"apiVersion": "pdautoscaler.io/v1alpha1", "kind": "PDAutoscaler", "spec": map[string]any{"mode": 7}})
		default:
			refuse(w, 404, metav1.StatusReasonNotFound, "not found", &metav1.StatusDetails{Name: name, Group: "pdautoscaler.io", Kind: "pdautoscalers"})
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, 404, metav1.StatusReasonNotFound, "the server could not find the requested resource", nil)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// kubeconfig writes a kubeconfig for a server, and returns its path.
func kubeconfig(t *testing.T, server, token string) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: "default"}
	config.CurrentContext = "x"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// someResource is a PDAutoscaler in mid-move, as the controller writes its status.
func someResource() *v1alpha1.PDAutoscaler {
	at := metav1.NewMicroTime(time.Date(2026, 3, 1, 12, 29, 48, 0, time.UTC))
	began := metav1.NewMicroTime(time.Date(2026, 3, 1, 12, 29, 28, 0, time.UTC))
	pda := &v1alpha1.PDAutoscaler{
		TypeMeta:   metav1.TypeMeta{Kind: v1alpha1.Kind, APIVersion: v1alpha1.GroupVersion.String()},
		ObjectMeta: metav1.ObjectMeta{Name: "qwen3", Namespace: "default", Generation: 4},
	}
	pda.Spec.Mode = v1alpha1.ModeAuto
	pda.Spec.SLO.TTFT.Target, pda.Spec.SLO.TPOT.Target = v1alpha1.Every(2*time.Second), v1alpha1.Every(40*time.Millisecond)
	pda.Default()
	s := &pda.Status
	s.ObservedGeneration = 4
	s.LastDecisionTime = &at
	s.Reason, s.Message = "Move", "2 GPUs are moving from prefill to decode (Draining)"
	s.Roles.Prefill = v1alpha1.RoleStatus{Name: "prefill", Current: 4, Ready: 4, Terminating: 1, Desired: 4, LoadPercent: new(int32(31)),
		DemandMilliRequestsPerSecond: new(int64(6200)), Reason: "Move", Message: "prefill stays at 4: 6.2 requests/s of 1500 prompt tokens need 2 replicas; 2 GPUs go from prefill to decode."}
	s.Roles.Decode = v1alpha1.RoleStatus{Name: "decode", Current: 1, Ready: 1, Desired: 1, LoadPercent: new(int32(140)),
		DemandMilliRequestsPerSecond: new(int64(6200)), Reason: "Move", Message: "decode stays at 1: 6.2 requests/s of 1400 output tokens need 2 replicas; the donor's pods still hold their GPUs.",
		Wall: "bandwidth", Tried: []string{"Tried 2: 2 replicas hold p95 TPOT 40 ms at the demand.", "Rejected 2: pods of prefill still hold their GPUs."}}
	s.GPUs = v1alpha1.GPUsStatus{Held: 12, Budget: new(int32(12)), Summary: "12/12"}
	s.SLO.State = v1alpha1.SLOMissed
	s.SLO.TTFT = v1alpha1.LatencyStatus{ObjectiveMicroseconds: 2_000_000, ObservedMicroseconds: new(int64(412_000)), PredictedMicroseconds: new(int64(388_000))}
	s.SLO.TPOT = v1alpha1.LatencyStatus{ObjectiveMicroseconds: 40_000, ObservedMicroseconds: new(int64(57_300))}
	s.Move = &v1alpha1.MoveStatus{From: "prefill", To: "decode", DonorBefore: 5, DonorAfter: 4, ReceiverBefore: 1, ReceiverAfter: 2, GPUs: 2,
		Phase: "Draining", StartedAt: began, PhaseSince: began, Reason: "decode needs 2 replicas for p95 TPOT 40 ms and the budget of 12 GPUs is spent"}
	s.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready"},
		{Type: v1alpha1.ConditionObjectivesReachable, Status: metav1.ConditionFalse, Reason: "ObjectiveOutOfReach", Message: "12 GPUs do not hold both objectives"},
	}
	s.Decisions = []v1alpha1.DecisionStatus{
		{Time: began, Prefill: v1alpha1.CountChange{From: 5, To: 4, Reason: "Move"}, Decode: v1alpha1.CountChange{From: 1, To: 1, Reason: "Move"},
			Applied: true, Message: "prefill 5 -> 4 (Move); 2 GPUs are moving from prefill to decode (Draining)"},
		{Time: metav1.NewMicroTime(time.Date(2026, 3, 1, 12, 4, 10, 0, time.UTC)), Prefill: v1alpha1.CountChange{From: 2, To: 5, Reason: "Objective"},
			Decode: v1alpha1.CountChange{From: 1, To: 1, Reason: "Steady"}, Message: "prefill 2 -> 5 (Objective)"},
	}
	return pda
}

func TestExplainAResource(t *testing.T) {
	config := kubeconfig(t, apiServer(t, someResource()).URL, "")
	for file, args := range map[string][]string{
		"resource.txt":         {},
		"resource.json":        {"-o", "json"},
		"resource.yaml":        {"-o", "yaml"},
		"resource-history.txt": {"--history"},
	} {
		t.Run(file, func(t *testing.T) {
			stdout, stderr, code := pdctl(t, "", append([]string{"explain", "qwen3", "--kubeconfig", config}, args...)...)
			if code != exitDone || stderr != "" {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			golden(t, file, stdout)
		})
	}
}

// A resource that the controller has not got to, or refused, is explained too.
func TestExplainAResourceWithoutDecision(t *testing.T) {
	fresh := someResource()
	fresh.Status = v1alpha1.PDAutoscalerStatus{}
	refused := someResource()
	refused.Status.Move = nil
	refused.Status.Reason, refused.Status.Message = "ModelUnknown", `model "qwen9" is not in the catalogue`
	for _, role := range []*v1alpha1.RoleStatus{&refused.Status.Roles.Prefill, &refused.Status.Roles.Decode} {
		role.Reason, role.Message, role.LoadPercent, role.DemandMilliRequestsPerSecond = "ModelUnknown", "", nil, nil
		role.Wall, role.Tried = "", nil
	}
	refused.Generation = 5
	refused.Annotations = map[string]string{v1alpha1.PausedAnnotation: "ask Mira"}
	refused.Spec.Mode = v1alpha1.ModeRecommend
	for file, pda := range map[string]*v1alpha1.PDAutoscaler{"resource-fresh.txt": fresh, "resource-refused.txt": refused} {
		t.Run(file, func(t *testing.T) {
			stdout, stderr, code := pdctl(t, "", "explain", "qwen3", "--kubeconfig", kubeconfig(t, apiServer(t, pda).URL, ""))
			if code != exitDone || stderr != "" {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			golden(t, file, stdout)
		})
	}
}

func TestExplainSaysWhyAResourceCannotBeRead(t *testing.T) {
	server := apiServer(t, someResource())
	config := kubeconfig(t, server.URL, "")
	noCRD := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(noCRD.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("not: [a kubeconfig"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"not there":     {[]string{"nobody", "--kubeconfig", config}, "PDAutoscaler default/nobody does not exist"},
		"not allowed":   {[]string{"qwen3", "-n", "secret", "--kubeconfig", config}, "PDAutoscaler secret/qwen3 may not be read with this kubeconfig"},
		"no CRD":        {[]string{"qwen3", "--kubeconfig", kubeconfig(t, noCRD.URL, "")}, "does not serve pdautoscalers pdautoscaler.io/v1alpha1: install the CRD"},
		"not reachable": {[]string{"qwen3", "--kubeconfig", kubeconfig(t, gone.URL, "")}, "could not be reached: dial tcp"},
		"other version": {[]string{"odd", "--kubeconfig", config}, "PDAutoscaler default/odd cannot be read by this pdctl"},
		"no such file":  {[]string{"qwen3", "--kubeconfig", "/nonexistent/kubeconfig"}, "the kubeconfig cannot be used"},
		"broken file":   {[]string{"qwen3", "--kubeconfig", broken}, "the kubeconfig cannot be used"},
		"empty file":    {[]string{"qwen3", "--kubeconfig", os.DevNull}, "no cluster is configured in /dev/null"},
		"no context":    {[]string{"qwen3", "--context", "moon", "--kubeconfig", config}, `"moon"`},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := pdctl(t, "", append([]string{"explain"}, c.args...)...)
			if code != exitCluster || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; it should say %q", code, stdout, stderr, c.want)
			}
			if strings.Count(stderr, "\n") != 1 {
				t.Errorf("the error is not one line: %q", stderr)
			}
		})
	}
}
