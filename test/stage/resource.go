package stage

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// autoscaler is the PDAutoscaler of the example. What is short in it is so for people who watch; the type of GPU is not
// named, so that it is read from the nodes.
func autoscaler(natsURL string, ports v1alpha1.MetricsPorts) *v1alpha1.PDAutoscaler {
	role := v1alpha1.ScaledRole{Min: 1, Max: maxReplicas, Parallelism: &v1alpha1.Parallelism{Tensor: GPUsPerReplica}}
	objective := func(quantile, ms float64) v1alpha1.Objective {
		return v1alpha1.Objective{Percentile: int32(100*quantile + 0.5), Target: v1alpha1.Every(milliseconds(ms))}
	}
	return &v1alpha1.PDAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PDAutoscaler"},
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name},
		Spec: v1alpha1.PDAutoscalerSpec{
			Mode:   v1alpha1.ModeAuto,
			Target: v1alpha1.TargetReference{Name: Name},
			Roles: v1alpha1.Roles{
				Prefill:  v1alpha1.PrefillRole{Name: rbgfake.RolePrefill, ScaledRole: role},
				Decode:   v1alpha1.DecodeRole{Name: rbgfake.RoleDecode, ScaledRole: role, MaxSequences: maxSequences},
				Frontend: &v1alpha1.FrontendRole{Name: rbgfake.RoleProcessor},
			},
			Model: v1alpha1.Model{Name: model, ServedName: ServedModel},
			SLO: v1alpha1.SLO{
				TTFT: objective(Objectives.TTFT.Quantile, Objectives.TTFT.Ms),
				TPOT: objective(Objectives.TPOT.Quantile, Objectives.TPOT.Ms),
			},
			Budget: &v1alpha1.Budget{GPUs: BudgetGPUs},
			Signals: v1alpha1.Signals{
				Window: v1alpha1.Every(signalsWindow),
				Direct: v1alpha1.DirectSignals{Ports: ports},
				NATS:   &v1alpha1.NATSSignals{URL: natsURL},
				DCGM:   &v1alpha1.DCGMSignals{Namespace: exporterNamespace},
			},
			Behavior: v1alpha1.Behavior{
				Interval:        v1alpha1.Every(interval),
				ScaleDownWindow: v1alpha1.Every(scaleDownWindow),
				MaxAge:          v1alpha1.Every(maxAge),
				StartupTime:     v1alpha1.Every(coldStart),
				StartTimeout:    v1alpha1.Every(startTimeout),
				BreachTime:      v1alpha1.Every(breachTime),
			},
			Rebalance: v1alpha1.Rebalance{
				Window:       v1alpha1.Every(rebalanceWindow),
				DrainTimeout: v1alpha1.Every(startTimeout),
				StartTimeout: v1alpha1.Every(startTimeout),
				Cooldown:     v1alpha1.Every(cooldown),
			},
		},
	}
}
