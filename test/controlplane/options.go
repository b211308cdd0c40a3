package controlplane

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
)

// A Component is one program of the control plane, named as its binary.
type Component string

// The programs of a control plane.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "kube-apiserver"
	ControllerManager Component = "kube-controller-manager"
	Scheduler         Component = "kube-scheduler"
	Kwok              Component = "kwok"
	Kubectl           Component = "kubectl"
)

// AllComponents are the programs of a whole control plane, servers first.
var AllComponents = []Component{Etcd, APIServer, ControllerManager, Scheduler, Kwok, Kubectl}

// Options say what to run. The zero value is a whole control plane in a temporary directory.
type Options struct {
	// Dir receives certificates, kubeconfigs, etcd's data and the logs (Dir/logs). It is made where it is missing and stays
	// after Stop. Empty: a temporary directory, removed by Stop unless a component failed.
	Dir string

	// Components to run. Empty: AllComponents. Etcd and APIServer always run; without ControllerManager nobody makes default
	// ServiceAccounts, so that pods are refused.
	Components []Component

	// Progress receives one line for each step, with the seconds since Start was called. Nil: silence.
	Progress io.Writer

	// BeforeControllers is called once the API server is ready and before anything else starts. Custom resource definitions
	// belong here: the garbage collector and the HPA look for new kinds only every 30 s, so that children of an object
	// whose kind was defined later outlive it by that much.
	BeforeControllers func(context.Context, *rest.Config) error

	// Revive are components that are started again when they end by themselves, as a kubelet does with those of a real control
	// plane. Some do when the API server is away for long. The end of any other is a failure.
	Revive []Component

	// AuditLog makes the API server write who asked for what (level Metadata) to Dir/logs/audit.log.
	AuditLog bool

	// ExtraArgs are appended to a component's command line; of a flag given twice the last one counts.
	ExtraArgs map[Component][]string
}

// components returns what has to run, each once and in the order of AllComponents.
func (o Options) components() ([]Component, error) {
	if len(o.Components) == 0 {
		return AllComponents, nil
	}
	want := append([]Component{Etcd, APIServer}, o.Components...)
	for _, c := range want {
		if !slices.Contains(AllComponents, c) {
			return nil, fmt.Errorf("control plane component %q: want one of %s", c, joinComponents(AllComponents))
		}
	}
	var out []Component
	for _, c := range AllComponents {
		if slices.Contains(want, c) {
			out = append(out, c)
		}
	}
	return out, nil
}

func joinComponents(cs []Component) string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = string(c)
	}
	return strings.Join(names, ", ")
}
