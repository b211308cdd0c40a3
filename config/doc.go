// Package config holds no code: it is the manifests that the product is
// installed with, and the tests that install them on a real control plane.
//
//	crd/         the definition, as `make generate` writes it
//	rbac/        what the controller may do, and what people may
//	manager/     the controller's Deployment
//	default/     all of it: kubectl apply -k config/default
//	metricsapi/  the plan as metrics for HPAs: a component beside default/
//	keda/        the plan for KEDA: another one
//	samples/     PDAutoscalers to start from; in the folders below with the
//	             service that they scale, or what carries the plan out (hpa, keda)
package config
