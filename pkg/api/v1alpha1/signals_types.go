package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Engine names the metrics vocabulary of the service.
// +kubebuilder:validation:Enum=auto;dynamo-vllm;dynamo-sglang;dynamo-trtllm;vllm;sglang;trtllm
type Engine string

// The vocabularies.
const (
	// EngineAuto detects the vocabulary of each pod from what it exports.
	EngineAuto Engine = "auto"
	// EngineDynamoVLLM, EngineDynamoSGLang and EngineDynamoTRTLLM are a Dynamo
	// frontend before workers of that engine.
	EngineDynamoVLLM   Engine = "dynamo-vllm"
	EngineDynamoSGLang Engine = "dynamo-sglang"
	EngineDynamoTRTLLM Engine = "dynamo-trtllm"
	// EngineVLLM, EngineSGLang and EngineTRTLLM are workers of that engine alone.
	EngineVLLM   Engine = "vllm"
	EngineSGLang Engine = "sglang"
	EngineTRTLLM Engine = "trtllm"
)

// Signals says where the readings come from.
type Signals struct {
	// engine names the metrics vocabulary of the service; auto detects it.
	// +optional
	// +kubebuilder:default=dynamo-vllm
	Engine Engine `json:"engine,omitempty"`
	// window is the time over which rates and quantiles are taken. It should be
	// at least four scrape intervals where Prometheus is read.
	// +optional
	// +kubebuilder:default="1m"
	Window Duration `json:"window,omitzero"`
	// direct reads /metrics of the service's own pods, unless prometheus is set.
	// +optional
	// +kubebuilder:default={}
	Direct DirectSignals `json:"direct,omitzero"`
	// prometheus reads the same metrics from a Prometheus (or Thanos,
	// VictoriaMetrics, Mimir) that scrapes the pods.
	// +optional
	Prometheus *PrometheusSignals `json:"prometheus,omitempty"`
	// nats reads the depth of the prefill queue from NATS JetStream.
	// +optional
	NATS *NATSSignals `json:"nats,omitempty"`
	// dcgm reads GPU activity from dcgm-exporter.
	// +optional
	DCGM *DCGMSignals `json:"dcgm,omitempty"`
	// etcd compares the workers that are registered there with the ready pods.
	// +optional
	Etcd *EtcdSignals `json:"etcd,omitempty"`
}

// DirectSignals reads /metrics of the service's own pods.
type DirectSignals struct {
	// ports of /metrics, per role.
	// +optional
	// +kubebuilder:default={}
	Ports MetricsPorts `json:"ports,omitzero"`
	// path of the workers' metrics. Without it /metrics, and /prometheus/metrics where the engine is said to be trtllm.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^/[!"$->@-~]*$`
	Path string `json:"path,omitempty"`
	// timeout of one read of one pod.
	// +optional
	// +kubebuilder:default="2s"
	Timeout    Duration `json:"timeout,omitzero"`
	PageAccess `json:",inline"`
}

// Scheme is how a metrics page is asked for.
// +kubebuilder:validation:Enum=http;https
type Scheme string

// The schemes.
const (
	SchemeHTTP  Scheme = "http"
	SchemeHTTPS Scheme = "https"
)

// PageAccess says how the metrics pages of pods are asked for. Pods have no names to
// list in the annotation pdautoscaler.io/hosts of a Secret: pods.NAMESPACE stands for those of a namespace.
// +kubebuilder:validation:XValidation:rule="self.scheme == 'https' || !(has(self.tls) || has(self.bearerToken))",message="tls and bearerToken need scheme: https"
// +kubebuilder:validation:XValidation:rule="!has(self.bearerToken) || !has(self.tls) || !has(self.tls.insecureSkipVerify) || !self.tls.insecureSkipVerify",message="a bearerToken is sent only to a server whose certificate is checked: set tls.ca instead of tls.insecureSkipVerify"
type PageAccess struct {
	// scheme of the pages.
	// +optional
	// +kubebuilder:default=http
	Scheme Scheme `json:"scheme,omitempty"`
	// tls says how the pods are checked and what certificate is shown to them.
	// +optional
	TLS *PageTLS `json:"tls,omitempty"`
	// bearerToken is a token in a Secret.
	// +optional
	BearerToken *SecretKeyReference `json:"bearerToken,omitempty"`
}

// PageTLS says how the certificates of pods are checked, and which one is shown to them.
// +kubebuilder:validation:XValidation:rule="!has(self.insecureSkipVerify) || !self.insecureSkipVerify || !(has(self.ca) || has(self.serverName))",message="insecureSkipVerify checks nothing: leave out ca and serverName"
type PageTLS struct {
	TLS `json:",inline"`
	// insecureSkipVerify takes any certificate. Without it set serverName too
	// where the certificates do not hold the addresses of the pods.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
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

// PrometheusSignals reads from a Prometheus server. Credentials come from Secrets
// of the PDAutoscaler's own namespace and are sent to the host of url alone.
// +kubebuilder:validation:XValidation:rule="!(has(self.bearerToken) && has(self.basicAuth))",message="bearerToken and basicAuth exclude each other: set one of them"
type PrometheusSignals struct {
	// url of the server, before /api/v1.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/@?#]+(/[^?#]*)?$')",message="must be http://host:port or https://host:port, with a path or none, and without user, query or fragment"
	URL string `json:"url"`
	// bearerToken is a token in a Secret.
	// +optional
	BearerToken *SecretKeyReference `json:"bearerToken,omitempty"`
	// basicAuth is a user and a password in Secrets.
	// +optional
	BasicAuth *BasicAuth `json:"basicAuth,omitempty"`
	// tls says how the server is checked and what certificate is shown to it.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
	// headers are added to every query, such as X-Scope-OrgID for the tenant.
	// They hold no credentials.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Headers map[string]string `json:"headers,omitempty"`
	// podLabel and namespaceLabel name the labels that say which pod a series is of.
	// +optional
	// +kubebuilder:default=pod
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	PodLabel string `json:"podLabel,omitempty"`
	// +optional
	// +kubebuilder:default=namespace
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	NamespaceLabel string `json:"namespaceLabel,omitempty"`
	// matchers are labels that every series must have, such as the cluster where
	// one Prometheus holds several.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Matchers map[string]string `json:"matchers,omitempty"`
	// timeout of one query.
	// +optional
	// +kubebuilder:default="4s"
	Timeout Duration `json:"timeout,omitzero"`
}

// SecretKeyReference names one key of a Secret in the PDAutoscaler's own
// namespace. A Secret with the annotation pdautoscaler.io/hosts is sent only to the hosts
// listed there, host:port separated by commas; pods.NAMESPACE are the pods of a namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// key in the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// SecretHostsAnnotation on a Secret lists the hosts that it may be sent to.
const SecretHostsAnnotation = "pdautoscaler.io/hosts"

// BasicAuth is a user and a password.
type BasicAuth struct {
	// +required
	Username SecretKeyReference `json:"username"`
	// +required
	Password SecretKeyReference `json:"password"`
}

// TLS says how a server's certificate is checked, and which one is shown to it.
// +kubebuilder:validation:XValidation:rule="has(self.certificate) == has(self.key)",message="certificate and key belong together: set both or none"
type TLS struct {
	// ca is the authority that the server's certificate must come from, in PEM.
	// Without it the system's.
	// +optional
	CA *SecretKeyReference `json:"ca,omitempty"`
	// certificate and key are shown to a server that asks for them, in PEM.
	// +optional
	Certificate *SecretKeyReference `json:"certificate,omitempty"`
	// +optional
	Key *SecretKeyReference `json:"key,omitempty"`
	// serverName is the name in the server's certificate, where it is not the host.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`
}

// NATSSignals reads the depth of a JetStream queue of prefill work.
// +kubebuilder:validation:XValidation:rule="!has(self.dynamoNamespace) || self.stream == 'dynamo_prefill_queue'",message="dynamoNamespace names the stream: leave stream out"
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
	// dynamoNamespace is Dynamo's own namespace, where it is not dynamo: the
	// stream is then <dynamoNamespace>_prefill_queue.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	DynamoNamespace string `json:"dynamoNamespace,omitempty"`
	// detect looks for the consumer on the other streams that Dynamo's versions
	// used, where stream does not exist: prefill_queue, and the name of the served model.
	// +optional
	Detect bool `json:"detect,omitempty"`
	// auth is how to log in, from Secrets.
	// +optional
	Auth *NATSAuth `json:"auth,omitempty"`
	// tls says how the server is checked and what certificate is shown to it.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
	// monitoring is the address of a server's monitoring, such as
	// http://nats:8222. It is asked where url does not answer, and believed only where that server leads the consumer.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/@?#]+/?$')",message="must be http://host:port or https://host:port, without user or path"
	Monitoring string `json:"monitoring,omitempty"`
}

// NATSAuth is one way to log in to NATS.
// +kubebuilder:validation:XValidation:rule="[has(self.credentials), has(self.nkey), has(self.token), has(self.username) || has(self.password)].filter(x, x).size() == 1",message="set exactly one of credentials, nkey, token, and username with password"
// +kubebuilder:validation:XValidation:rule="has(self.username) == has(self.password)",message="username and password belong together: set both"
type NATSAuth struct {
	// credentials is a .creds file: a JWT and its seed.
	// +optional
	Credentials *SecretKeyReference `json:"credentials,omitempty"`
	// nkey is the seed of an NKey, which begins with SU.
	// +optional
	NKey *SecretKeyReference `json:"nkey,omitempty"`
	// +optional
	Token *SecretKeyReference `json:"token,omitempty"`
	// +optional
	Username *SecretKeyReference `json:"username,omitempty"`
	// +optional
	Password *SecretKeyReference `json:"password,omitempty"`
}

// EtcdSignals reads which workers are registered in an etcd.
type EtcdSignals struct {
	// endpoints of the etcd, such as http://etcd:2379.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.all(e, e.matches('^https?://[^/@?#]+$'))",message="each must be http://host:port or https://host:port, without user or path"
	Endpoints []string `json:"endpoints"`
	// prefillPrefix and decodePrefix are what the keys of a role's workers begin with.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	PrefillPrefix string `json:"prefillPrefix"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	DecodePrefix string `json:"decodePrefix"`
	// basicAuth is a user and a password in Secrets.
	// +optional
	BasicAuth *BasicAuth `json:"basicAuth,omitempty"`
	// tls says how the server is checked and what certificate is shown to it.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
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
	Port       int32 `json:"port,omitempty"`
	PageAccess `json:",inline"`
}
