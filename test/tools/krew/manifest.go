package main

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/krew/pkg/constants"
	"sigs.k8s.io/krew/pkg/index"
	"sigs.k8s.io/yaml"
)

const (
	homepage = "https://github.com/pdautoscaler/pdautoscaler"
	short    = "Explain and plan prefill/decode autoscaling"
	long     = `Says of a PDAutoscaler, which scales the prefill and decode roles of an LLM
service, what it decided and why, what keeps the service from being scaled,
and what speaks against other counts. Works out how many GPUs other traffic
would need, predicts TTFT and TPOT, and replays recorded decisions.
`
	caveats = `explain, doctor and snapshot read a cluster in which PDAutoscaler is installed.
plan, predict, fit and simulate need none.
`
)

// manifest is the plugin's, as krew's own types write it. The digests are those of the archives, in hexadecimal.
func (r *request) manifest(digests []string) ([]byte, error) {
	p := index.Plugin{
		TypeMeta:   metav1.TypeMeta{APIVersion: constants.CurrentAPIVersion, Kind: constants.PluginKind},
		ObjectMeta: metav1.ObjectMeta{Name: "pda"},
		Spec:       index.PluginSpec{Version: r.version, Homepage: homepage, ShortDescription: short, Description: long, Caveats: caveats},
	}
	for i, b := range r.binary {
		p.Spec.Platforms = append(p.Spec.Platforms, index.Platform{
			URI:      fmt.Sprintf("%s/releases/download/%s/%s", homepage, r.version, b.archive(r.version)),
			Sha256:   digests[i],
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"os": b.os, "arch": b.arch}},
			Files:    []index.FileOperation{{From: b.plugin(), To: "."}, {From: "LICENSE", To: "."}},
			Bin:      b.plugin(),
		})
	}
	return yaml.Marshal(p)
}
