package metricsapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	custommetrics "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalmetrics "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi"
)

// allow lets a user read the metrics of the namespace.
func (c *cluster) allow(subject rbacv1.Subject) {
	c.t.Helper()
	c.must(c.client.Create(c.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, GenerateName: "reader-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "pdautoscaler-metrics-api-reader"},
		Subjects:   []rbacv1.Subject{subject},
	}))
}

func (c *cluster) user(name string, groups ...string) *rest.Config {
	c.t.Helper()
	config, err := c.cp.UserConfig(name, groups...)
	c.must(err)
	return config
}

// Who may read is decided by the API server, whichever way a caller comes.
func TestWhoMayRead(t *testing.T) {
	c := newCluster(t)
	c.serve()
	c.plan("qwen", 7)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "reader"}}
	c.must(c.client.Create(t.Context(), account))
	c.allow(rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: c.namespace, Name: account.Name})
	c.allow(rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "alice"})
	token, err := c.kubernetes.CoreV1().ServiceAccounts(c.namespace).CreateToken(t.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	c.must(err)

	path := "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + c.namespace + "/" + metricsapi.DesiredReplicas + "?labelSelector=role%3Dprefill"
	elsewhere := strings.Replace(path, c.namespace, "default", 1)
	const hpa = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

	// through the API server, which speaks as the front proxy
	anonymous := rest.AnonymousClientConfig(c.cp.Config)
	for _, tc := range []struct {
		who  string
		as   *rest.Config
		path string
		want int
	}{
		{"alice", c.user("alice"), path, http.StatusOK},
		{"alice in another namespace", c.user("alice"), elsewhere, http.StatusForbidden},
		{"bob", c.user("bob"), path, http.StatusForbidden},
		{"nobody", anonymous, path, http.StatusForbidden},
		{"the HPA's controller, by Kubernetes' own roles", c.user(hpa, "system:serviceaccounts"), path, http.StatusOK},
	} {
		ask := func() error {
			_, err := c.get(tc.path, tc.as)
			if got := code(err); got != tc.want {
				return fmt.Errorf("%s: %d (%w), want %d", tc.who, got, err, tc.want)
			}
			return nil
		}
		// The plan and the bindings are heard of a moment later. What is refused is refused from the start, and still is once they are.
		if tc.want == http.StatusOK {
			c.eventually("an answer", ask)
		} else if err := ask(); err != nil {
			t.Error(err)
		}
	}

	// past it, straight to the server
	direct := func(as *rest.Config, headers map[string]string) int {
		t.Helper()
		config := rest.CopyConfig(as)
		config.Host = "https://" + c.api.String()
		config.CAData, config.Insecure = nil, true // its certificate is for its Service's name
		client, err := rest.HTTPClientFor(config)
		c.must(err)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, nil)
		c.must(err)
		for key, value := range headers {
			request.Header.Set(key, value)
		}
		response, err := client.Do(request)
		c.must(err)
		c.must(response.Body.Close())
		return response.StatusCode
	}
	impostor := map[string]string{"X-Remote-User": "alice", "X-Remote-Group": "system:masters"}
	bearer := rest.AnonymousClientConfig(c.cp.Config)
	bearer.BearerToken = token.Status.Token
	for _, tc := range []struct {
		who     string
		as      *rest.Config
		headers map[string]string
		want    int
	}{
		{"a token of one who may", bearer, nil, http.StatusOK},
		{"a certificate of one who may", c.user("alice"), nil, http.StatusOK},
		{"a certificate of one who may not", c.user("bob"), nil, http.StatusForbidden},
		{"nobody", anonymous, nil, http.StatusForbidden},
		{"nobody who says to be the front proxy", anonymous, impostor, http.StatusForbidden},
		{"bob who says to be the front proxy", c.user("bob"), impostor, http.StatusForbidden},
		{"a user who is called like the front proxy", c.user("front-proxy-client"), impostor, http.StatusForbidden},
	} {
		if got := direct(tc.as, tc.headers); got != tc.want {
			t.Errorf("straight to the server, %s: %d, want %d", tc.who, got, tc.want)
		}
	}
}

func code(err error) int {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &status):
		return int(status.Status().Code)
	}
	return 0
}

// Everything in the table is served by both APIs, and what is refused says why.
func TestBothAPIs(t *testing.T) {
	c := newCluster(t)
	c.serve()
	began := time.Now().Truncate(time.Second)
	c.plan("qwen", 7)
	c.eventually("the plan to be seen", func() error {
		_, err := c.get("/apis/external.metrics.k8s.io/v1beta1/namespaces/"+c.namespace+"/"+metricsapi.DesiredReplicas+"?labelSelector=role%3Dprefill", c.cp.Config)
		return err
	})
	external := "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + c.namespace + "/"
	custom := "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + c.namespace + "/pdautoscalers.pdautoscaler.io/"
	want := map[string]string{
		"pdautoscaler_desired_replicas prefill": "7", "pdautoscaler_desired_replicas decode": "1",
		"pdautoscaler_desired_gpus prefill": "14", "pdautoscaler_desired_gpus decode": "2",
		"pdautoscaler_held_gpus prefill": "6", "pdautoscaler_held_gpus decode": "6",
		"pdautoscaler_prefill_compute_load prefill": "830m", "pdautoscaler_decode_bandwidth_load decode": "830m",
		"pdautoscaler_queue_seconds prefill": "1250m", "pdautoscaler_queue_seconds decode": "1250m",
		"pdautoscaler_predicted_ttft_seconds ": "1234m", "pdautoscaler_predicted_tpot_seconds ": "25300u",
	}
	for _, m := range metricsapi.Metrics() {
		for _, role := range m.Roles {
			query := ""
			if role != metricsapi.RoleNone {
				query = "abelSelector=pdautoscaler%3Dqwen%2Crole%3D" + role
			}
			var e externalmetrics.ExternalMetricValueList
			body, err := c.get(external+m.Name+"?l"+query, c.cp.Config)
			c.must(err)
			c.must(json.Unmarshal([]byte(body), &e))
			var o custommetrics.MetricValueList
			body, err = c.get(custom+"qwen/"+m.Name+"?metricL"+query, c.cp.Config)
			c.must(err)
			c.must(json.Unmarshal([]byte(body), &o))
			if len(e.Items) != 1 || len(o.Items) != 1 {
				t.Fatalf("%s of %q: %d and %d series, want 1", m.Name, role, len(e.Items), len(o.Items))
			}
			key := m.Name + " " + role
			if got := e.Items[0].Value.String(); got != want[key] || o.Items[0].Value.Cmp(e.Items[0].Value) != 0 {
				t.Errorf("%s: %s and %s, want %s", key, got, o.Items[0].Value.String(), want[key])
			}
			if at := e.Items[0].Timestamp.Time; at.Before(began) || at.After(time.Now()) {
				t.Errorf("%s: it is of %s, want the time of the decision, after %s", key, at, began)
			}
			if labels := e.Items[0].MetricLabels; labels[metricsapi.LabelAutoscaler] != "qwen" || labels[metricsapi.LabelRole] != role {
				t.Errorf("%s: the labels are %v", key, labels)
			}
			delete(want, key)
		}
	}
	if len(want) > 0 {
		t.Errorf("not served: %v", want)
	}

	c.plan("other", 3)
	auto := metricsMode(c.namespace, "auto")
	auto.Spec.Mode = v1alpha1.ModeAuto
	c.must(c.client.Create(t.Context(), auto))
	for _, tc := range []struct {
		path string
		code int
		says string
	}{
		{external + "pdautoscaler_desired_replicas?labelSelector=role%3Dprefill", http.StatusBadRequest, "matches 2 series"},
		{external + "pdautoscaler_desired_replicas?labelSelector=pdautoscaler%3Dqwen", http.StatusBadRequest, "pdautoscaler=qwen,role=decode"},
		{external + "pdautoscaler_desired_replicas?labelSelector=pdautoscaler%3Dnone", http.StatusNotFound, "matches no series"},
		{external + "pdautoscaler_desired_replicas?labelSelector=pdautoscaler%3Dauto%2Crole%3Ddecode", http.StatusBadRequest, "has the mode Auto"},
		{external + "pdautoscaler_wanted", http.StatusNotFound, "allowed is one of pdautoscaler_desired_replicas,"},
		{custom + "qwen/pdautoscaler_desired_replicas", http.StatusBadRequest, "matches 2 series"},
		{custom + "none/pdautoscaler_held_gpus", http.StatusNotFound, "there is no PDAutoscaler"},
		{strings.Replace(custom, "pdautoscalers.pdautoscaler.io", "pods", 1) + "qwen/pdautoscaler_held_gpus", http.StatusNotFound, "pods have no metrics here"},
	} {
		c.eventually(tc.path, func() error { // the cache may not have the other two yet
			body, err := c.get(tc.path, c.cp.Config)
			if err == nil || code(err) != tc.code || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), tc.says) {
				return fmt.Errorf("%d %s (%w), want %d and %q", code(err), body, err, tc.code, tc.says)
			}
			return nil
		})
	}
	body, err := c.get(custom+"*/pdautoscaler_desired_replicas?metricLabelSelector=role%3Dprefill", c.cp.Config)
	c.must(err)
	var all custommetrics.MetricValueList
	c.must(json.Unmarshal([]byte(body), &all))
	if len(all.Items) != 2 || all.Items[0].DescribedObject.Name != "other" || all.Items[1].Value.String() != "7" {
		t.Errorf("of all objects: %s", body)
	}
}
