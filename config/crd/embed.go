// Package crd holds the CustomResourceDefinition of the PDAutoscaler as `make generate` writes it, for programs that install
// it without kustomize: the demo and the end-to-end tests.
package crd

import _ "embed"

// PDAutoscalers is the manifest in YAML.
//
//go:embed bases/pdautoscaler.io_pdautoscalers.yaml
var PDAutoscalers []byte
