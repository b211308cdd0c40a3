package signals

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// promQuery is one query of a collection.
type promQuery struct {
	kind Kind
	// text is PromQL.
	text string
	// pod and namespace are the labels that name the pod in the answer.
	pod, namespace string
}

// Names that Prometheus itself writes for every scrape of a target: whether it
// succeeded, and how many samples were on the page. They tell a page that is
// empty from one that was not read, and when the page was last read.
const (
	upName      = "up"
	samplesName = "scrape_samples_scraped"
)

// queries are the queries of one collection: one for each kind of pod and
// three for the GPUs, whatever the number of pods.
func (c *Config) queries(targets []Target) []promQuery {
	p := c.Prometheus
	byKind := map[Kind][]string{}
	namespace := ""
	for _, t := range targets {
		if t.Kind != KindExporter {
			byKind[t.Kind] = append(byKind[t.Kind], t.Pod)
			namespace = t.Namespace
		}
	}
	var out []promQuery
	for _, kind := range []Kind{KindFrontend, KindPrefill, KindDecode} {
		r := readerOf(c.Engine, kind)
		if pods := byKind[kind]; r != nil && len(pods) > 0 {
			out = append(out, p.query(kind, append(slices.Sorted(maps.Keys(r.wanted)), upName, samplesName), p.PodLabel, p.NamespaceLabel, namespace, pods, c.MaxAge))
		}
	}
	workers := append(slices.Clone(byKind[KindPrefill]), byKind[KindDecode]...)
	if p.GPUs && len(workers) > 0 {
		for _, owner := range gpuOwners {
			out = append(out, p.query(KindExporter, slices.Sorted(maps.Keys(exporters.wanted)), owner.pod, owner.namespace, namespace, workers, c.MaxAge))
		}
	}
	return out
}

// gpuOwners are the labels under which dcgm-exporter's series name the pod that
// owns the GPU: as it writes them, as a scrape configuration that does not
// honour labels renames them, and as its old naming has them.
var gpuOwners = []struct{ pod, namespace string }{
	{"exported_pod", "exported_namespace"}, {"pod", "namespace"}, {"pod_name", "pod_namespace"},
}

// query selects the named series of the named pods over the given time.
func (c *PrometheusConfig) query(kind Kind, names []string, podLabel, namespaceLabel, namespace string, pods []string, over time.Duration) promQuery {
	selectors := []string{
		`__name__=~` + quoted(strings.Join(names, "|")),
		namespaceLabel + "=" + quoted(namespace),
		podLabel + "=~" + quoted(podPattern(pods)),
	}
	for _, name := range slices.Sorted(maps.Keys(c.Matchers)) {
		selectors = append(selectors, name+"="+quoted(c.Matchers[name]))
	}
	return promQuery{kind: kind, pod: podLabel, namespace: namespaceLabel,
		text: fmt.Sprintf("{%s}[%ds]", strings.Join(selectors, ","), int(over.Round(time.Second).Seconds()))}
}

// quoted writes a PromQL string.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// longestPattern keeps a query below the 16 KiB that VictoriaMetrics takes.
const longestPattern = 8 << 10

// podPattern matches the pods by name, or, where they are too many to name, by
// what their names begin with. Series of other pods are left out of the answer again.
func podPattern(pods []string) string {
	names := slices.Compact(slices.Sorted(slices.Values(pods)))
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = regexp.QuoteMeta(n)
	}
	if text := strings.Join(all, "|"); len(text) <= longestPattern {
		return text
	}
	first, last := names[0], names[len(names)-1]
	n := 0
	for n < min(len(first), len(last)) && first[n] == last[n] {
		n++
	}
	return regexp.QuoteMeta(first[:n]) + ".*"
}
