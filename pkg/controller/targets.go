package controller

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// signalsConfig says what to read of the service.
func signalsConfig(pda *v1alpha1.PDAutoscaler) signals.Config {
	s := &pda.Spec.Signals
	c := signals.Config{
		Engine:         string(s.Engine),
		Model:          pda.Spec.Model.ServedName,
		TTFTPercentile: float64(pda.Spec.SLO.TTFT.Percentile) / 100,
		TPOTPercentile: float64(pda.Spec.SLO.TPOT.Percentile) / 100,
		Window:         s.Window.Duration,
		Timeout:        s.Direct.Timeout.Duration,
		MaxAge:         pda.Spec.Behavior.MaxAge.Duration,
	}
	if s.NATS != nil {
		c.NATS = &signals.NATSConfig{URL: s.NATS.URL, Stream: s.NATS.Stream, Consumer: s.NATS.Consumer}
	}
	return c
}

// podTargets are the metrics pages of the service's own pods: those that have
// an address, do not terminate, and speak for their replica.
func podTargets(pda *v1alpha1.PDAutoscaler, pods []workload.Pod) []signals.Target {
	direct := &pda.Spec.Signals.Direct
	ports := &direct.Ports
	var targets []signals.Target
	for i := range pods {
		pod := &pods[i]
		if pod.IP == "" || pod.Terminating || !pod.Leader {
			continue
		}
		kind, port := signals.KindFrontend, ports.Frontend
		switch pod.Role {
		case planner.Prefill:
			kind, port = signals.KindPrefill, ports.Prefill
		case planner.Decode:
			kind, port = signals.KindDecode, ports.Decode
		}
		targets = append(targets, signals.Target{
			Kind: kind, Namespace: pda.Namespace, Pod: pod.Name, UID: string(pod.UID), Node: pod.Node,
			URL: metricsURL(direct.Scheme, pod.IP, port), Ready: pod.Ready,
		})
	}
	return targets
}

// exporterTargets are the pages of the GPU exporters on the nodes that the
// service's pods run on; those of other nodes know nothing of it.
func exporterTargets(ctx context.Context, reader client.Reader, pda *v1alpha1.PDAutoscaler, pods []workload.Pod) ([]signals.Target, error) {
	dcgm := pda.Spec.Signals.DCGM
	if dcgm == nil {
		return nil, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(dcgm.Selector)
	if err != nil {
		return nil, fmt.Errorf("spec.signals.dcgm.selector: %w", err)
	}
	nodes := map[string]bool{}
	for i := range pods {
		if pods[i].Node != "" && pods[i].GPUs > 0 {
			nodes[pods[i].Node] = true
		}
	}
	var list corev1.PodList
	if err := reader.List(ctx, &list, client.InNamespace(dcgm.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("the pods of dcgm-exporter in namespace %s could not be listed: %w", dcgm.Namespace, err)
	}
	var targets []signals.Target
	for i := range list.Items {
		pod := &list.Items[i]
		if !nodes[pod.Spec.NodeName] || pod.Status.PodIP == "" || pod.DeletionTimestamp != nil {
			continue
		}
		targets = append(targets, signals.Target{
			Kind: signals.KindExporter, Namespace: pod.Namespace, Pod: pod.Name, UID: string(pod.UID), Node: pod.Spec.NodeName,
			URL: metricsURL(dcgm.Scheme, pod.Status.PodIP, dcgm.Port), Ready: podReady(pod),
		})
	}
	return targets, nil
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func metricsURL(scheme v1alpha1.Scheme, ip string, port int32) string {
	u := url.URL{Scheme: string(cmp.Or(scheme, v1alpha1.SchemeHTTP)), Host: net.JoinHostPort(ip, strconv.Itoa(int(port))), Path: "/metrics"}
	return u.String()
}
