// Package externalscaler is the gRPC contract between KEDA and an external
// scaler, generated from externalscaler.proto. A client of KEDA's own generated
// code and a server of this one understand each other: what counts on the wire
// are the package, the names of service and methods, and the numbers of fields.
package externalscaler

//go:generate go -C ../../../test/tools/proto run . ../../../pkg/metricsapi/externalscaler externalscaler.proto
