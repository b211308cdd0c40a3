package main

import (
	"fmt"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

const signalsHead = `# Signals: what is read of a service, and how

<!-- Written by docs/generate from the tables in pkg/signals: make generate. -->

The controller reads a service's own metrics, every ` + "`behavior.interval`" + `. Where they come from is ` + "`spec.signals`" + `; what was
found, under which names, and what a Prometheus was asked is in ` + "`status.signals`" + ` and in ` + "`pdctl explain NAME`" + `.

A reading is known, a confirmed zero (a fresh counter that did not move), or unknown with its cause. Unknown never scales down.

## From the pods, or from Prometheus

Without ` + "`signals.prometheus`" + ` the controller reads /metrics of the pods themselves, all at once, each with its own deadline. With
it, a Prometheus that scrapes the pods is asked instead: one query for each kind of pod and three for the GPUs, whatever the
number of pods. Both ways say the same.

` + "```yaml" + `
spec:
  signals:
    engine: auto                       # or one of the engines below
    window: 1m                         # at least four scrape intervals
    prometheus:
      url: https://thanos.monitoring:10902
      bearerToken: {name: thanos, key: token}     # or basicAuth: {username: …, password: …}
      tls: {ca: {name: thanos, key: ca.crt}}      # certificate, key, serverName as well
      headers: {X-Scope-OrgID: team-a}            # the tenant, where there are several
      matchers: {cluster: prod-1}                 # where one Prometheus holds several clusters
      podLabel: pod                               # pod_name, kubernetes_pod_name, … as your relabelling has it
      namespaceLabel: namespace
    nats:
      url: tls://nats:4222
      auth: {credentials: {name: nats, key: user.creds}}   # or nkey, token, username with password
      monitoring: http://nats:8222                # asked where url does not answer
    direct:                                       # the pods themselves, where prometheus is left out
      scheme: https                               # http unless their pages are behind TLS
      tls: {ca: {name: pods, key: ca.crt}, serverName: worker}   # or insecureSkipVerify: true
      bearerToken: {name: pods, key: token}
    dcgm: {}                                      # dcgm-exporter or gpu-agent; scheme, tls and bearerToken as for direct
    etcd:                                         # a cross-check of live workers, for Dynamo with etcd
      endpoints: [http://etcd:2379]
      prefillPrefix: instances/dynamo/PrefillWorker/
      decodePrefix: instances/dynamo/VllmWorker/
` + "```" + `

What speaks Prometheus' HTTP API will do: Thanos, VictoriaMetrics (the address before /api/v1, such as
` + "`http://vmselect:8481/select/0/prometheus`" + `), Mimir. An answer with warnings, or marked as partial, never scales down. A pod that
Prometheus could not read is silent, and a sample older than ` + "`behavior.maxAge`" + ` is none.

Pages of pods and exporters are read over HTTP unless their ` + "`scheme`" + ` is https. Pods' certificates rarely hold the addresses that
they are asked at: ` + "`serverName`" + ` is the name that they do hold. ` + "`insecureSkipVerify`" + ` takes any certificate, and sends no token.

## Demand

Demand is requests started, where an engine says so, else requests finished and the growth of those in flight. Requests that are
turned away for overload (429, 503, 529) are demand too. Dynamo's frontend counts them among those started; vLLM
(` + "`--max-num-queued-reqs`" + `) and SGLang (` + "`--max-queued-requests`" + `) count them apart, in versions that have these counters, and they
are added: one that a router offers to several pods counts at each. What a gateway before the service turns away, or an engine
without such a counter, is unknown and not in the demand: let the service queue instead.
` + "`pdautoscaler_rejected_requests_per_second`" + ` shows what is counted.

## Credentials

They come from Secrets of the PDAutoscaler's own namespace, which the controller may read only where you let it:

    kubectl create rolebinding pdautoscaler-signal-secrets -n NAMESPACE \
      --clusterrole pdautoscaler-signal-secrets --serviceaccount pdautoscaler-system:pdautoscaler

They are sent to the host of their own url and to no other: no redirect is followed, no proxy used, a url holds no user or password.
Two things narrow that further:

- a Secret with the annotation ` + "`pdautoscaler.io/hosts: \"prometheus.monitoring:9090\"`" + ` is sent only to the hosts listed there,
  where ` + "`pods.NAMESPACE`" + ` are the pods of a namespace;
- the controller's flag ` + "`--signal-hosts='*.monitoring.svc:9090,nats.*'`" + ` limits which hosts any PDAutoscaler may name.

## The prefill queue in NATS

Dynamo of 2025 queues prefill in JetStream. ` + "`stream`" + ` is dynamo_prefill_queue and ` + "`consumer`" + ` worker-group unless you say otherwise, which are
Dynamo's own names and those of ACK's guide; ` + "`dynamoNamespace: team`" + ` stands for team_prefill_queue, and ` + "`detect: true`" + ` looks for the
streams of other versions. The depth is what the consumer was not given yet, as its leader says. What is delivered and not
acknowledged is shown apart: Dynamo's workers acknowledge at once, so that it says nothing of running work.

## Names

Of several names the first that a page has is read; an engine's new release is a line more. Counters are found with and without
` + "`_total`" + `. What is an artefact of a role is left out: a prefill worker's token gaps, a decode worker's TTFT.

`

// signalsPage is docs/signals.md.
func signalsPage() (string, error) {
	var b strings.Builder
	b.WriteString(signalsHead)
	for _, engine := range signals.Engines() {
		fmt.Fprintf(&b, "- `%s`", engine)
		switch {
		case engine == signals.EngineAuto:
			b.WriteString(": detects each pod's names from its page; workers under another path than /metrics need `direct.path`, or their engine's name")
		case strings.HasPrefix(engine, "dynamo-"):
			fmt.Fprintf(&b, ": a Dynamo frontend or router before workers of %s", strings.TrimPrefix(engine, "dynamo-"))
		default:
			b.WriteString(": workers behind a frontend without metrics; path " + (&v1alpha1.Signals{Engine: v1alpha1.Engine(engine)}).WorkerPath())
		}
		b.WriteByte('\n')
	}
	words, err := signals.Vocabulary(signals.EngineAuto)
	if err != nil {
		return "", err
	}
	heading := ""
	for _, w := range words {
		if now := fmt.Sprintf("%s, %s pods", w.Engine, w.Kind); now != heading {
			heading = now
			fmt.Fprintf(&b, "\n### %s\n\n| reading | form | unit | names |\n|---|---|---|---|\n", heading)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", w.Reading, w.Form, w.Unit, strings.Join(w.Spellings, "`, `"))
	}
	return b.String(), nil
}
