// Package config holds no code: it is the manifests that the product is
// installed with, and the tests that install them on a real control plane. The
// Helm chart has copies of what stands here: see charts.
//
//	crd/         the definition, as `make generate` writes it
//	rbac/        what the controller may do, and what people may
//	manager/     the controller's Deployment
//	default/     all of it: kubectl apply -k config/default
//	metricsapi/  the plan as metrics for HPAs: a component beside default/
//	keda/        the plan for KEDA: another one
//	monitoring/  scraping, alerts and the dashboard: another one
//	gpu-agent/   the agent of GPU nodes: another one
//	samples/     PDAutoscalers to start from; in the folders below with the
//	             service that they scale, or what carries the plan out (hpa, keda)
package config
