package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Engine names the metrics vocabulary of the service.
// +kubebuilder:validation:Enum=dynamo-vllm;vllm
type Engine string

// The vocabularies.
const (
	// EngineDynamoVLLM is a Dynamo frontend before vLLM workers.
	EngineDynamoVLLM Engine = "dynamo-vllm"
	// EngineVLLM is vLLM workers alone.
	EngineVLLM Engine = "vllm"
)

// Signals says where the readings come from.
// +kubebuilder:validation:XValidation:rule="!has(self.prometheus)",message="Prometheus is not read by this version: remove signals.prometheus, and the pods' own metrics are read (signals.direct)"
type Signals struct {
	// engine names the metrics vocabulary of the service.
	// +optional
	// +kubebuilder:default=dynamo-vllm
	Engine Engine `json:"engine,omitempty"`
	// window is the time over which rates and quantiles are taken.
	// +optional
	// +kubebuilder:default="1m"
	Window Duration `json:"window,omitzero"`
	// direct reads /metrics of the service's own pods.
	// +optional
	// +kubebuilder:default={}
	Direct DirectSignals `json:"direct,omitzero"`
	// prometheus is declared for a later version and refused by this one.
	// +optional
	Prometheus *PrometheusSignals `json:"prometheus,omitempty"`
	// nats reads the depth of the prefill queue from NATS JetStream.
	// +optional
	NATS *NATSSignals `json:"nats,omitempty"`
	// dcgm reads GPU activity from dcgm-exporter.
	// +optional
	DCGM *DCGMSignals `json:"dcgm,omitempty"`
}

// DirectSignals reads /metrics of the service's own pods.
type DirectSignals struct {
	// ports of /metrics, per role.
	// +optional
	// +kubebuilder:default={}
	Ports MetricsPorts `json:"ports,omitzero"`
	// timeout of one read of one pod.
	// +optional
	// +kubebuilder:default="2s"
	Timeout Duration `json:"timeout,omitzero"`
}

// MetricsPorts are the ports of /metrics, per role.
type MetricsPorts struct {
	// +optional
	// +kubebuilder:default=8000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Frontend int32 `json:"frontend,omitempty"`
	// +optional
	// +kubebuilder:default=8000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Prefill int32 `json:"prefill,omitempty"`
	// +optional
	// +kubebuilder:default=8000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Decode int32 `json:"decode,omitempty"`
}

// PrometheusSignals reads from a Prometheus server.
type PrometheusSignals struct {
	// url of the server.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`
}

// NATSSignals reads the depth of a JetStream queue of prefill work.
type NATSSignals struct {
	// url of the server, such as nats://nats:4222.
	// +required
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(nats|tls)://[^@/]+$')",message="must be nats://host:port or tls://host:port, without user or password"
	URL string `json:"url"`
	// stream that holds the prefill requests.
	// +optional
	// +kubebuilder:default=dynamo_prefill_queue
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Stream string `json:"stream,omitempty"`
	// consumer that the prefill workers share.
	// +optional
	// +kubebuilder:default=worker-group
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Consumer string `json:"consumer,omitempty"`
}

// DCGMSignals finds the pods of dcgm-exporter.
type DCGMSignals struct {
	// namespace of dcgm-exporter.
	// +optional
	// +kubebuilder:default=gpu-operator
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// selector of dcgm-exporter's pods.
	// +optional
	// +kubebuilder:default={matchLabels: {app: nvidia-dcgm-exporter}}
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// port of /metrics.
	// +optional
	// +kubebuilder:default=9400
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}
