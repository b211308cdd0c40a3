package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi"
)

// offer are the flags with which the plan is offered to HPAs and to KEDA. Both
// servers are off without an address.
type offer struct {
	api    metricsapi.ServerOptions
	scaler metricsapi.ScalerOptions
}

func (o *offer) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.api.Address, "metrics-api-bind-address", "0", "address of the metrics API for HPAs (external.metrics.k8s.io, custom.metrics.k8s.io), such as :6443; 0 for none")
	f.StringVar(&o.api.CertDir, "metrics-api-cert-dir", "", "directory of tls.crt and tls.key for it; without it a certificate that changes with every start")
	f.StringSliceVar(&o.api.Groups, "metrics-api-groups", []string{metricsapi.GroupExternal, metricsapi.GroupCustom}, "which of external and custom it serves, separated by a comma")
	f.StringVar(&o.scaler.Address, "keda-bind-address", "0", "address of the external scaler for KEDA (gRPC), such as :9555; 0 for none")
	f.StringVar(&o.scaler.CertDir, "keda-cert-dir", "", "directory of tls.crt and tls.key for it; with a ca.crt as well, clients must show a certificate of that authority")
	f.BoolVar(&o.scaler.Plaintext, "keda-plaintext", false, "serve KEDA without TLS on an address that is not loopback")
}

// check refuses flags that cannot be meant.
func (o *offer) check() error {
	if o.api.Address != "" {
		if err := o.api.Check(); err != nil {
			return err
		}
	}
	if o.scaler.Address != "" {
		return o.scaler.Check()
	}
	return nil
}

// addTo adds the servers that have an address to a manager.
func (o *offer) addTo(ctx context.Context, mgr manager.Manager) error {
	if o.api.Address == "" && o.scaler.Address == "" {
		return nil
	}
	telemetry, err := metricsapi.NewTelemetry(ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("the counter of the metrics API could not be registered: %w", err)
	}
	plans, err := metricsapi.NewPlans(ctx, mgr.GetCache(), clock.RealClock{}, telemetry)
	if err != nil {
		return err
	}
	if o.api.Address != "" {
		client, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return err
		}
		server, err := metricsapi.NewServer(o.api, plans, client)
		if err != nil {
			return err
		}
		if err := mgr.Add(server); err != nil {
			return err
		}
	}
	if o.scaler.Address != "" {
		server, err := metricsapi.NewScalerServer(o.scaler, plans)
		if err != nil {
			return err
		}
		return mgr.Add(server)
	}
	return nil
}
