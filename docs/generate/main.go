// Command generate writes the pages of docs/ that are made from tables of the
// code: go run ./docs/generate, in the root of the repository.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/controller"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi"
)

func main() {
	signals, err := signalsPage()
	api, apiErr := apiPage()
	err = errors.Join(err, apiErr)
	for path, page := range map[string]string{"docs/api.md": api, "docs/metrics.md": metricsPage(), "docs/signals.md": signals} {
		if err == nil {
			err = os.WriteFile(path, []byte(page), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

const head = `# Metrics

<!-- Written by docs/generate from the tables in pkg/controller and pkg/metricsapi: make generate. -->

PDAutoscaler exports what it sees and decides to Prometheus, and offers its plan as metrics to HPAs and to KEDA. What it reads
from a service is another matter: see ` + "`pdctl explain`" + `.

## For Prometheus

Served at /metrics of the controller (port 8443) over HTTPS, to those who may get that path (ClusterRole
` + "`pdautoscaler-metrics-reader`" + `). Only the leader has series of PDAutoscalers. Each has the labels ` + "`namespace`" + ` and ` + "`name`" + ` of its
PDAutoscaler besides those below, and goes when the PDAutoscaler goes. A number that is not known has no series: an old one would
look like a new one. The series of controller-runtime and of Go are there as well.

`

const offered = `
## For HPAs and KEDA

Offered in ` + "`spec.mode: Metrics`" + `, in which the controller writes no replicas. The names are those of
external.metrics.k8s.io and custom.metrics.k8s.io (flag ` + "`--metrics-api-bind-address`" + `, ` + "`config/metricsapi`" + `) and of the key
` + "`metric`" + ` of a KEDA trigger (` + "`--keda-bind-address`" + `, ` + "`config/keda`" + `).

`

const rules = `
**One series.** An HPA names it with the labels ` + "`pdautoscaler`" + ` (the name of the PDAutoscaler, in the HPA's namespace) and
` + "`role`" + `; a selector that matches none or several is an error that lists them. An HPA of type Object describes the PDAutoscaler and
names the role in the metric's selector. A KEDA trigger has ` + "`pdautoscaler`, `role`, `metric` and `target`" + ` in its metadata.

**Following the plan.** ` + "`pdautoscaler_desired_replicas`" + ` against ` + "`averageValue: \"1\"`" + ` makes an HPA ask for just the planned number, if
its behaviour sets ` + "`tolerance: \"0\"`" + ` and a stabilization window of 0: with the default tolerance of a tenth, 11 replicas stay 11 when the
plan says 12. A KEDA ScaledObject takes the same behaviour under ` + "`advanced.horizontalPodAutoscalerConfig`" + `.
See ` + "`config/samples/hpa` and `config/samples/keda`" + `.

**Unknown.** While the demand of a role is unknown, or the last decision is older than ` + "`spec.metrics.staleAfterIntervals`" + ` intervals (no
replica of the controller decides), ` + "`spec.metrics.whenUnknown: Error`" + ` answers with an error, on which an HPA holds its replicas and says
ScalingActive False. ` + "`LastSafe`" + ` repeats the last value of what is marked as a count; loads, queues and latencies stay an error,
since an HPA multiplies its present replicas by them with every sync. Zero is never answered for what is not known.

**Two servers of one group.** A cluster has one server of external.metrics.k8s.io and one of custom.metrics.k8s.io. KEDA is the first
where it is installed: use its external scaler then. prometheus-adapter often is the second.

**Certificates.** The aggregated API always speaks TLS. With ` + "`--metrics-api-cert-dir`" + ` it serves tls.crt and tls.key of that directory, read
again when they change, for the name pdautoscaler-metrics-api.pdautoscaler-system.svc; put the certificate of their authority into
` + "`spec.caBundle`" + ` of both APIServices (` + "`kubectl patch apiservice v1beta1.external.metrics.k8s.io --type=merge -p \"{\\\"spec\\\":{\\\"insecureSkipTLSVerify\\\":false,\\\"caBundle\\\":\\\"$(base64 -w0 ca.crt)\\\"}}\"`" + `), or let
cert-manager do both (` + "`config/metricsapi/certmanager`" + `). The Helm chart makes an authority of its own and does both. Without a directory each replica makes a certificate at its start and the
APIServices have to set insecureSkipTLSVerify. Callers are known by the front proxy's certificate, by their own, or by a bearer token, and
may read what RBAC of the API groups allows them; HPAs may by Kubernetes' own roles.
KEDA's scaler serves ` + "`--keda-cert-dir`" + `; with a ca.crt in it, only those are answered who show a certificate of that authority. Without TLS
it serves loopback addresses only, unless ` + "`--keda-plaintext`" + ` asks for more.
`

func metricsPage() string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("| name | type | labels | meaning | series of a PDAutoscaler, at most |\n|---|---|---|---|---|\n")
	total := 0
	for _, s := range controller.Table() {
		total += s.Most()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |\n", s.Name, s.Type, labels(s.Labels), s.Help, s.Most())
	}
	fmt.Fprintf(&b, "\nIn all at most %d series of a PDAutoscaler; most reasons never occur.\n\n", total)
	fmt.Fprintf(&b, "Of the controller as a whole, on every replica:\n\n| name | type | labels | meaning |\n|---|---|---|---|\n| %s | histogram |  | %s |\n| %s | counter | %s | %s |\n",
		controller.RoundsLate, controller.RoundsLateHelp, metricsapi.AnswersTotal, strings.Join(metricsapi.AnswerLabels, ", "), metricsapi.AnswersHelp)
	b.WriteString(offered)
	b.WriteString("| name | unit | role | count | meaning |\n|---|---|---|---|---|\n")
	for _, m := range metricsapi.Metrics() {
		roles := strings.Join(m.Roles, ", ")
		if roles == metricsapi.RoleNone {
			roles = "none: of the service"
		}
		count := ""
		if m.Count {
			count = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", m.Name, m.Unit, roles, count, m.Help)
	}
	b.WriteString(rules)
	return b.String()
}

func labels(all []controller.Label) string {
	var texts []string
	for _, l := range all {
		of := l.Of
		if of == "" {
			of = strings.Join(l.Values, ", ")
		}
		texts = append(texts, "`"+l.Name+"`: "+of)
	}
	return strings.Join(texts, "; ")
}
