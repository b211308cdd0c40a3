package v1alpha1_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

// api is a client of the real API server that refuses unknown fields.
func api(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(controlplane.ForTest(t).Config)
	config.QPS = -1
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

// read returns a sample as the API server would get it.
func read(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &u.Object); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return u
}

const minimal = "../../../config/samples/minimal.yaml"

// The samples are what people start from.
func TestSamplesAreAccepted(t *testing.T) {
	c := api(t)
	paths, err := filepath.Glob("../../../config/samples/*.yaml")
	if err != nil || len(paths) < 4 {
		t.Fatalf("samples: %v, %v", paths, err)
	}
	for _, path := range paths {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}
		u := read(t, path)
		if err := c.Create(t.Context(), u, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var pda v1alpha1.PDAutoscaler
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, &pda, true); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if name := pda.Spec.Model.Name; name != "" {
			if _, err := perfmodel.LookupModel(name); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		if name := pda.Spec.GPU; name != "" {
			if _, err := perfmodel.LookupGPU(name); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// Default must give what the API server gives, or a file means one thing to
// pdctl and another to the controller.
func TestDefaultsAreThoseOfTheCRD(t *testing.T) {
	c := api(t)
	for name, more := range map[string]string{
		"nothing optional": `{}`,
		"all optional parts, each empty": `
model: {name: null, configMapRef: {name: m}}
signals: {nats: {url: "nats://nats:4222"}, dcgm: {}, direct: {ports: {}}, prometheus: {url: "http://prometheus:9090"}}
behavior: {drain: {label: {key: example.com/draining}}}
rebalance: {}
budget: {gpus: 4}
roles: {frontend: {name: processor}, prefill: {parallelism: {tensor: 2}, scaleUp: {}}}`,
		"everything set": `
mode: Auto
roles: {prefill: {name: p, min: 2, maxBatchedTokens: 2048, padTokens: 64, transferBlocks: true}, decode: {name: d, min: 3, maxSequences: 8, localPrefillPercent: 30}}
model: {memoryPercent: 95}
slo: {ttftEndsAt: decode, ttft: {percentile: 99}, tpot: {percentile: 50}}
signals: {engine: vllm, window: 2m, direct: {timeout: 1s, ports: {frontend: 1, prefill: 2, decode: 3}}}
behavior: {interval: 1s, scaleDownWindow: 2s, tolerancePercent: 99, maxAge: 5s, startupTime: 1s, startTimeout: 2s, breachTime: 3s, drain: {http: {port: 8000, path: /drain}}}
rebalance: {enabled: false, window: 1s, drainTimeout: 2s, startTimeout: 3s, cooldown: 4s}`,
	} {
		t.Run(name, func(t *testing.T) {
			u := with(t, read(t, minimal), more)
			var want v1alpha1.PDAutoscaler
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &want); err != nil {
				t.Fatal(err)
			}
			want.Default()
			if err := c.Create(t.Context(), u, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			var got v1alpha1.PDAutoscaler
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got.Spec, want.Spec); diff != "" {
				t.Errorf("the API server's defaults (-) are not Default's (+):\n%s", diff)
			}
			again := want.DeepCopy()
			again.Default()
			if diff := cmp.Diff(&want, again); diff != "" {
				t.Errorf("Default changes its own result:\n%s", diff)
			}
		})
	}
}

// A resource made by Go code is what it says: no field's zero may be lost on
// its way and come back as a default.
func TestTypedRoundTrip(t *testing.T) {
	c := api(t)
	var pda v1alpha1.PDAutoscaler
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(read(t, minimal).Object, &pda); err != nil {
		t.Fatal(err)
	}
	pda.Default()
	pda.Spec.Rebalance.Enabled = new(false)
	want := pda.DeepCopy()
	if err := c.Create(t.Context(), &pda, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Spec, pda.Spec); diff != "" {
		t.Errorf("the API server changed a complete resource:\n%s", diff)
	}
}

// Every refusal is one clear sentence: what is wrong, where, and what is allowed.
func TestRefusals(t *testing.T) {
	c := api(t)
	for name, tc := range map[string]struct {
		spec  string // merged into the minimal sample's
		field string
		want  string
	}{
		"unknown mode": {`mode: Once`, "spec.mode", `supported values: "Auto", "Recommend", "Metrics"`},
		"unknown kind": {`target: {kind: Deployment}`, "spec.target.kind", `supported values: "RoleBasedGroup"`},
		"no target":    {`target: {name: ""}`, "spec.target.name", "at least 1 chars long"},
		"a target twice": {`target: {scaleTargetRefs: {prefill: {apiVersion: apps/v1, kind: Deployment, name: a}, decode: {apiVersion: apps/v1, kind: Deployment, name: b}}}`,
			"spec.target", "target must have exactly one of name (of a RoleBasedGroup) and scaleTargetRefs (an object with a /scale for prefill and one for decode)"},
		"no target at all": {`target: {name: null}`, "spec.target", "target must have exactly one of name"},
		"one object for two roles": {`target: {name: null, scaleTargetRefs: {prefill: {apiVersion: apps/v1, kind: Deployment, name: a}, decode: {apiVersion: apps/v1, kind: Deployment, name: a}}}`,
			"spec.target.scaleTargetRefs", "must name a different object for each role"},
		"an object for one role": {`target: {name: null, scaleTargetRefs: {prefill: {apiVersion: apps/v1, kind: Deployment, name: a}}}`,
			"spec.target.scaleTargetRefs.decode", "Required value"},
		"a drain of nothing":        {`behavior: {drain: {deadline: 1m}}`, "spec.behavior.drain", "drain must have exactly one of http, label and annotation"},
		"two drains":                {`behavior: {drain: {label: {key: a}, annotation: {key: b}}}`, "spec.behavior.drain", "drain must have exactly one of http, label and annotation"},
		"a drain of another host":   {`behavior: {drain: {http: {port: 80, path: "http://elsewhere/"}}}`, "spec.behavior.drain.http.path", "should match"},
		"more than is planned":      {`roles: {prefill: {max: 4097}}`, "spec.roles.prefill.max", "less than or equal to 4096"},
		"tolerance of all":          {`behavior: {tolerancePercent: 100}`, "spec.behavior.tolerancePercent", "less than or equal to 99"},
		"min over max":              {`roles: {prefill: {min: 5, max: 4}}`, "spec.roles.prefill", "min must be at most max"},
		"steps of no token":         {`roles: {prefill: {maxBatchedTokens: 0}}`, "spec.roles.prefill.maxBatchedTokens", "should be greater than or equal to 1"},
		"padding to nothing":        {`roles: {prefill: {padTokens: -1}}`, "spec.roles.prefill.padTokens", "should be greater than or equal to 1"},
		"all prefill is local":      {`roles: {decode: {localPrefillPercent: 100}}`, "spec.roles.decode.localPrefillPercent", "should be less than or equal to 99"},
		"min of nothing":            {`roles: {decode: {min: 0}}`, "spec.roles.decode.min", "should be greater than or equal to 1"},
		"no max":                    {`roles: {decode: {max: null}}`, "spec.roles.decode.max", "Required value"},
		"one role twice":            {`roles: {prefill: {name: decode}}`, "spec.roles", "must each name a different role"},
		"frontend is decode":        {`roles: {frontend: {name: decode}}`, "spec.roles", "must each name a different role"},
		"tensor of nothing":         {`roles: {decode: {parallelism: {tensor: 0}}}`, "spec.roles.decode.parallelism.tensor", "greater than or equal to 1"},
		"pipeline of nothing":       {`roles: {decode: {parallelism: {tensor: 1, pipeline: 0}}}`, "spec.roles.decode.parallelism.pipeline", "greater than or equal to 1"},
		"budget for no pipeline":    {`{budget: {gpus: 8}, roles: {prefill: {parallelism: {tensor: 2, data: 2, pipeline: 2}}}}`, "spec.budget.gpus", "budget.gpus must hold the minimum of both roles"},
		"step of nothing":           {`roles: {decode: {scaleUp: {maxStep: 0}}}`, "spec.roles.decode.scaleUp.maxStep", "greater than or equal to 1"},
		"no model":                  {`model: {name: null}`, "spec.model", "exactly one of name (a model of the catalogue) and configMapRef"},
		"two models":                {`model: {configMapRef: {name: m}}`, "spec.model", "exactly one of name (a model of the catalogue) and configMapRef"},
		"memory over all":           {`model: {memoryPercent: 101}`, "spec.model.memoryPercent", "less than or equal to 100"},
		"unknown type of numbers":   {`model: {kvCacheDtype: fp8_e4m3}`, "spec.model.kvCacheDtype", `supported values: "auto", "bf16", "fp8"`},
		"path with a query":         {`signals: {direct: {path: "/metrics?x=1"}}`, "spec.signals.direct.path", "should match"},
		"transfer without speed":    {`model: {kvTransfer: {setup: 1ms}}`, "spec.model.kvTransfer.gigabytesPerSecond", "Required value"},
		"percentile 100":            {`slo: {ttft: {percentile: 100}}`, "spec.slo.ttft.percentile", "less than or equal to 99"},
		"percentile as a share":     {`slo: {tpot: {percentile: 98.5}}`, "spec.slo.tpot.percentile", "must be of type integer"},
		"objective without a unit":  {`slo: {ttft: {target: "2000"}}`, "spec.slo.ttft.target", "must be a positive duration such as 500ms, 10s or 2m30s"},
		"objective as a number":     {`slo: {ttft: {target: 2}}`, "spec.slo.ttft.target", "must be of type string"},
		"objective of nothing":      {`slo: {tpot: {target: 0ms}}`, "spec.slo.tpot.target", "must be a positive duration"},
		"negative objective":        {`slo: {tpot: {target: -1s}}`, "spec.slo.tpot.target", "must be a positive duration"},
		"no objective":              {`slo: {tpot: null}`, "spec.slo.tpot", "Required value"},
		"unknown end of TTFT":       {`slo: {ttftEndsAt: router}`, "spec.slo.ttftEndsAt", `supported values: "prefill", "decode"`},
		"budget of nothing":         {`budget: {gpus: 0}`, "spec.budget.gpus", "budget.gpus must hold the minimum of both roles"},
		"budget below the minimums": {`{budget: {gpus: 5}, roles: {prefill: {min: 2, parallelism: {tensor: 2}}, decode: {parallelism: {tensor: 2}}}}`, "spec.budget.gpus", "budget.gpus must hold the minimum of both roles"},
		"budget without tensor":     {`{budget: {gpus: 3}, roles: {prefill: {min: 2}, decode: {min: 2}}}`, "spec.budget.gpus", "budget.gpus must hold the minimum of both roles"},
		"unknown engine":            {`signals: {engine: tgi}`, "spec.signals.engine", `supported values: "auto", "dynamo-vllm", "dynamo-sglang", "dynamo-trtllm", "vllm", "sglang", "trtllm"`},
		"Prometheus with a user":    {`signals: {prometheus: {url: "http://me:pw@prometheus:9090"}}`, "spec.signals.prometheus.url", "must be http://host:port or https://host:port"},
		"Prometheus with a query":   {`signals: {prometheus: {url: "http://prometheus:9090/?a=b"}}`, "spec.signals.prometheus.url", "without user, query or fragment"},
		"Prometheus by socket":      {`signals: {prometheus: {url: "unix:///run/p"}}`, "spec.signals.prometheus.url", "must be http://host:port"},
		"two ways into Prometheus": {`signals: {prometheus: {url: "http://p", bearerToken: {name: a, key: b}, basicAuth: {username: {name: a, key: b}, password: {name: a, key: b}}}}`,
			"spec.signals.prometheus", "bearerToken and basicAuth exclude each other"},
		"certificate without key": {`signals: {prometheus: {url: "https://p", tls: {certificate: {name: a, key: b}}}}`, "spec.signals.prometheus.tls", "certificate and key belong together"},
		"a label that is none":    {`signals: {prometheus: {url: "https://p", podLabel: "a-b"}}`, "spec.signals.prometheus.podLabel", "should match"},
		"two ways into NATS": {`signals: {nats: {url: "nats://n:4222", auth: {token: {name: a, key: b}, nkey: {name: a, key: b}}}}`,
			"spec.signals.nats.auth", "set exactly one of credentials, nkey, token, and username with password"},
		"no way into NATS":       {`signals: {nats: {url: "nats://n:4222", auth: {}}}`, "spec.signals.nats.auth", "set exactly one of"},
		"NATS user alone":        {`signals: {nats: {url: "nats://n:4222", auth: {username: {name: a, key: b}}}}`, "spec.signals.nats.auth", "username and password belong together"},
		"two names of a stream":  {`signals: {nats: {url: "nats://n:4222", stream: x, dynamoNamespace: d}}`, "spec.signals.nats", "leave stream out"},
		"monitoring with a path": {`signals: {nats: {url: "nats://n:4222", monitoring: "http://n:8222/jsz"}}`, "spec.signals.nats.monitoring", "without user or path"},
		"etcd with a user":       {`signals: {etcd: {endpoints: ["http://me@etcd:2379"], prefillPrefix: a, decodePrefix: b}}`, "spec.signals.etcd.endpoints", "without user or path"},
		"etcd without a prefix":  {`signals: {etcd: {endpoints: ["http://etcd:2379"], prefillPrefix: a}}`, "spec.signals.etcd.decodePrefix", "Required value"},
		"token in the clear":     {`signals: {direct: {bearerToken: {name: a, key: b}}}`, "spec.signals.direct", "tls and bearerToken need scheme: https"},
		"certificate in clear":   {`signals: {dcgm: {tls: {ca: {name: a, key: b}}}}`, "spec.signals.dcgm", "tls and bearerToken need scheme: https"},
		"token for anyone":       {`signals: {dcgm: {scheme: https, bearerToken: {name: a, key: b}, tls: {insecureSkipVerify: true}}}`, "spec.signals.dcgm", "sent only to a server whose certificate is checked"},
		"checked and unchecked":  {`signals: {direct: {scheme: https, tls: {ca: {name: a, key: b}, insecureSkipVerify: true}}}`, "spec.signals.direct.tls", "insecureSkipVerify checks nothing"},
		"key without its pair":   {`signals: {direct: {scheme: https, tls: {key: {name: a, key: b}}}}`, "spec.signals.direct.tls", "certificate and key belong together"},
		"pages by file":          {`signals: {direct: {scheme: file}}`, "spec.signals.direct.scheme", `supported values: "http", "https"`},
		"path of no page":        {`signals: {direct: {path: metrics}}`, "spec.signals.direct.path", "should match"},
		"port out of range":      {`signals: {direct: {ports: {decode: 70000}}}`, "spec.signals.direct.ports.decode", "less than or equal to 65535"},
		"NATS over HTTP":         {`signals: {nats: {url: "http://nats:8222"}}`, "spec.signals.nats.url", "must be nats://host:port or tls://host:port, without user or password"},
		"password in the URL":    {`signals: {nats: {url: "nats://me:secret@nats:4222"}}`, "spec.signals.nats.url", "without user or password"},
		"stale after one":        {`metrics: {staleAfterIntervals: 1}`, "spec.metrics.staleAfterIntervals", "should be greater than or equal to 2"},
		"zero for unknown":       {`metrics: {whenUnknown: Zero}`, "spec.metrics.whenUnknown", `supported values: "Error", "LastSafe"`},
		"interval too short":     {`behavior: {interval: 100ms}`, "spec.behavior.interval", "behavior.interval must be at least 1s"},
		"window below interval":  {`behavior: {interval: 1m, scaleDownWindow: 30s}`, "spec.behavior.scaleDownWindow", "behavior.scaleDownWindow must be at least behavior.interval"},
		"window without a unit":  {`behavior: {scaleDownWindow: "300"}`, "spec.behavior.scaleDownWindow", "must be a positive duration"},
		"readings too young":     {`behavior: {maxAge: 5s}`, "spec.behavior.maxAge", "behavior.maxAge must be at least behavior.interval"},
		"given up before ready":  {`behavior: {startupTime: 20m}`, "spec.behavior.startTimeout", "behavior.startTimeout must be at least behavior.startupTime"},
		"tolerance of nothing":   {`behavior: {tolerancePercent: 0}`, "spec.behavior.tolerancePercent", "greater than or equal to 1"},
		"unknown field":          {`{replicas: 3}`, "", `unknown field "spec.replicas"`},
		"a share as a string":    {`behavior: {tolerancePercent: "0.1"}`, "spec.behavior.tolerancePercent", "must be of type integer"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Create(t.Context(), with(t, read(t, minimal), tc.spec), client.DryRunAll)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("refused with %q, want %q in it", err, tc.want)
			}
			var status apierrors.APIStatus
			if tc.field == "" || !errors.As(err, &status) || status.Status().Details == nil {
				return
			}
			var fields []string
			for _, cause := range status.Status().Details.Causes {
				// A value of the wrong type cannot be looked at further, which the API server says of the whole object.
				if cause.Field != "<nil>" {
					fields = append(fields, cause.Field)
				}
			}
			if diff := cmp.Diff([]string{tc.field}, fields); diff != "" {
				t.Errorf("fields complained of (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

// with merges a partial spec into an object's.
func with(t *testing.T, u *unstructured.Unstructured, spec string) *unstructured.Unstructured {
	t.Helper()
	var more map[string]any
	if err := yaml.Unmarshal([]byte(spec), &more); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	var merge func(into, from map[string]any)
	merge = func(into, from map[string]any) {
		for key, value := range from {
			inner, ok := value.(map[string]any)
			old, had := into[key].(map[string]any)
			switch {
			case value == nil:
				delete(into, key)
			case ok && had:
				merge(old, inner)
			default:
				into[key] = value
			}
		}
	}
	merge(u.Object["spec"].(map[string]any), more)
	return u
}

// The status is what the controller's memory survives a restart in.
func TestStatusRoundTrip(t *testing.T) {
	c := api(t)
	u := read(t, minimal)
	u.SetName("status")
	if err := c.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(t.Context(), u) })
	var pda v1alpha1.PDAutoscaler
	key := client.ObjectKeyFromObject(u)
	if err := c.Get(t.Context(), key, &pda); err != nil {
		t.Fatal(err)
	}
	pda.Status = fullStatus()
	want := pda.DeepCopy()
	if err := c.Update(t.Context(), &pda); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v1alpha1.PDAutoscalerStatus{}, pda.Status); diff != "" {
		t.Errorf("an update of the resource wrote its status:\n%s", diff)
	}
	pda.Status = want.Status
	if err := c.Status().Update(t.Context(), &pda); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), key, &pda); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Status, pda.Status, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("status (-written +read):\n%s", diff)
	}

	for range v1alpha1.MaxDecisions {
		pda.Status.Decisions = append(pda.Status.Decisions, pda.Status.Decisions[0])
	}
	if err := c.Status().Update(t.Context(), &pda); err == nil || !strings.Contains(err.Error(), "must have at most 10 items") {
		t.Errorf("%d decisions: %v, want a refusal", len(pda.Status.Decisions), err)
	}
}

// The columns are what people see first.
func TestPrinterColumns(t *testing.T) {
	c := api(t)
	u := read(t, minimal)
	u.SetName("columns")
	if err := c.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(t.Context(), u) })
	var pda v1alpha1.PDAutoscaler
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(u), &pda); err != nil {
		t.Fatal(err)
	}
	pda.Status = fullStatus()
	if err := c.Status().Update(t.Context(), &pda); err != nil {
		t.Fatal(err)
	}

	table := tableOf(t, "columns")
	var got []string
	for i, column := range table.ColumnDefinitions {
		if column.Name != "Age" {
			got = append(got, fmt.Sprintf("%s=%v", column.Name, table.Rows[0].Cells[i]))
		}
	}
	want := []string{"Name=columns", "Mode=Recommend", "Prefill=2/3", "Decode=1/1", "GPUs=8/12", "SLO=Missed", "Reason=Objective", "Message=prefill grows from 2 to 3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

// tableOf asks for a resource as kubectl get does.
func tableOf(t *testing.T, name string) *metav1.Table {
	t.Helper()
	config := controlplane.ForTest(t).Config
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("%s/apis/%s/namespaces/default/%s/%s", config.Host, v1alpha1.GroupVersion, v1alpha1.Resource, name)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	table := &metav1.Table{}
	if err := json.NewDecoder(response.Body).Decode(table); err != nil || len(table.Rows) != 1 {
		t.Fatalf("table of %s: %s, %d rows, %v", name, response.Status, len(table.Rows), err)
	}
	return table
}
