package planner

import (
	"math"
	"strings"
	"testing"
)

// TestBadInputIsRefusedInOneSentence: what is out of bounds changes nothing and
// is named with what is allowed; the bound itself is allowed.
func TestBadInputIsRefusedInOneSentence(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		says   string // empty where it is allowed
	}{
		"in order":                 {func(*Input) {}, ""},
		"minimum below 0":          {func(in *Input) { in.Spec.Prefill.Min = -1 }, "roles.prefill: min is -1"},
		"minimum 0":                {func(in *Input) { in.Spec.Decode.Min = 0 }, ""},
		"maximum 0":                {func(in *Input) { in.Spec.Decode.Min, in.Spec.Decode.Max = 0, 0 }, "roles.decode: min is 0 and max is 0"},
		"minimum above maximum":    {func(in *Input) { in.Spec.Decode.Min = 9 }, "roles.decode: min is 9 and max is 8"},
		"minimum at maximum":       {func(in *Input) { in.Spec.Decode.Min = 8 }, ""},
		"the largest maximum":      {func(in *Input) { in.Spec.Prefill.Max = 4096 }, ""},
		"a larger one":             {func(in *Input) { in.Spec.Prefill.Max = 4097 }, "1 <= max <= 4096"},
		"GPUs in the spec":         {func(in *Input) { in.Spec.Prefill.GPUsPerReplica = -1 }, "takes -1 GPUs by the spec"},
		"GPUs of the target":       {func(in *Input) { in.Snapshot.Decode.GPUsPerReplica = 4097 }, "4097 by the target"},
		"GPUs of a replica":        {func(in *Input) { in.Snapshot.Decode.Replicas[0].GPUs = 4097 }, "holds 4097 GPUs"},
		"as many as allowed":       {func(in *Input) { in.Snapshot.Decode.Replicas[0].GPUs = 4096 }, ""},
		"step up":                  {func(in *Input) { in.Spec.Decode.Up.MaxStep = -1 }, "step or period"},
		"step down":                {func(in *Input) { in.Spec.Decode.Down.MaxStep = -1 }, "step or period"},
		"period up":                {func(in *Input) { in.Spec.Decode.Up.PeriodSeconds = -1 }, "step or period"},
		"period down":              {func(in *Input) { in.Spec.Prefill.Down.PeriodSeconds = -1 }, "step or period"},
		"replicas asked for":       {func(in *Input) { in.Snapshot.Prefill.Desired = -1 }, "asks for -1 replicas"},
		"too many asked for":       {func(in *Input) { in.Snapshot.Prefill.Desired = 4097 }, "asks for 4097 replicas"},
		"too many there":           {func(in *Input) { in.Snapshot.Prefill.Replicas = make([]Replica, 8193) }, "has 8193"},
		"just not too many":        {func(in *Input) { in.Snapshot.Prefill.Replicas = make([]Replica, 8192) }, ""},
		"prefill's step times":     {func(in *Input) { in.Spec.Service.Prefill.Prefill.PerTokenMs = -1 }, "service.prefill"},
		"prefill's, not a number":  {func(in *Input) { in.Spec.Service.Prefill.Prefill.OverheadMs = math.NaN() }, "service.prefill"},
		"decode's step times":      {func(in *Input) { in.Spec.Service.Decode.Decode.KVMsPerToken = -1 }, "service.decode"},
		"its KV capacity":          {func(in *Input) { in.Spec.Service.Decode.KVCapacityTokens = -1 }, "service.decode"},
		"its KV capacity, endless": {func(in *Input) { in.Spec.Service.Decode.KVCapacityTokens = math.Inf(1) }, "service.decode"},
		"no KV capacity":           {func(in *Input) { in.Spec.Service.Decode.KVCapacityTokens = 0 }, ""},
		"the transfer":             {func(in *Input) { in.Spec.Service.Prefill.Transfer.MsPerToken = -1 }, "service.prefill"},
		"TTFT 0":                   {func(in *Input) { in.Spec.TTFT.Ms = 0 }, "slo.ttft"},
		"TTFT endless":             {func(in *Input) { in.Spec.TTFT.Ms = math.Inf(1) }, "slo.ttft"},
		"TPOT not a number":        {func(in *Input) { in.Spec.TPOT.Ms = math.NaN() }, "slo.tpot"},
		"quantile 0":               {func(in *Input) { in.Spec.TPOT.Quantile = 0 }, "slo.tpot: quantile 0"},
		"quantile 1":               {func(in *Input) { in.Spec.TPOT.Quantile = 1 }, "slo.tpot: quantile 1"},
		"quantile not a number":    {func(in *Input) { in.Spec.TTFT.Quantile = math.NaN() }, "slo.ttft"},
		"budget below 0":           {func(in *Input) { in.Spec.BudgetGPUs = -1 }, "budget.gpus is -1"},
		"tolerance below 0":        {func(in *Input) { in.Spec.Behavior.Tolerance = -0.1 }, "behavior.tolerance"},
		"tolerance 1":              {func(in *Input) { in.Spec.Behavior.Tolerance = 1 }, "behavior.tolerance is 1"},
		"no tolerance":             {func(in *Input) { in.Spec.Behavior.Tolerance = 0 }, ""},
		"headroom of more than 4":  {func(in *Input) { in.Spec.Behavior.Headroom = 4.1 }, "behavior.headroom is 4.1"},
		"headroom 4":               {func(in *Input) { in.Spec.Behavior.Headroom = 4 }, ""},
		"less than half":           {func(in *Input) { in.Spec.Behavior.Headroom = -0.51 }, "behavior.headroom"},
		"half":                     {func(in *Input) { in.Spec.Behavior.Headroom = -0.5 }, ""},
		"headroom not a number":    {func(in *Input) { in.Spec.Behavior.Headroom = math.NaN() }, "behavior.headroom"},
		"interval 0":               {func(in *Input) { in.Spec.Behavior.IntervalSeconds = 0 }, "behavior: a duration"},
		"window below 0":           {func(in *Input) { in.Spec.Behavior.DownWindowSeconds = -1 }, "behavior: a duration"},
		"no window":                {func(in *Input) { in.Spec.Behavior.DownWindowSeconds = 0 }, ""},
		"age 0":                    {func(in *Input) { in.Spec.Behavior.MaxAgeSeconds = 0 }, "behavior: a duration"},
		"start-up below 0":         {func(in *Input) { in.Spec.Behavior.StartupSeconds = -1 }, "behavior: a duration"},
		"no start-up":              {func(in *Input) { in.Spec.Behavior.StartupSeconds = 0 }, ""},
		"start timeout 0":          {func(in *Input) { in.Spec.Behavior.StartTimeoutSeconds = 0 }, "behavior: a duration"},
		"breach below 0":           {func(in *Input) { in.Spec.Behavior.BreachSeconds = -1 }, "behavior: a duration"},
		"no breach":                {func(in *Input) { in.Spec.Behavior.BreachSeconds = 0 }, ""},
		"rebalance window below 0": {func(in *Input) { in.Spec.Rebalance.WindowSeconds = -1 }, "rebalance: a duration"},
		"drain timeout below 0":    {func(in *Input) { in.Spec.Rebalance.DrainTimeoutSeconds = -1 }, "rebalance: a duration"},
		"start of a move below 0":  {func(in *Input) { in.Spec.Rebalance.StartTimeoutSeconds = -1 }, "rebalance: a duration"},
		"cool-down below 0":        {func(in *Input) { in.Spec.Rebalance.CooldownSeconds = -1 }, "rebalance: a duration"},
		"no cool-down":             {func(in *Input) { in.Spec.Rebalance = Rebalance{Enabled: true} }, ""},
		"no time":                  {func(in *Input) { in.Now = in.Memory.Move.StartedAt }, "time of the decision is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(testSpec(), have{3, 1}, have{1, 1}, heavyDecode)
			in.Memory.Move = &Move{From: Prefill, To: Decode, DonorBefore: 3, DonorAfter: 2, ReceiverBefore: 1, ReceiverAfter: 2, Phase: Draining, PhaseSince: in.Now}
			c.change(&in)
			d, m := Plan(in)
			refused := hasNote(d, ReasonInvalidSpec)
			if refused != (c.says != "") {
				t.Fatalf("refused: %v: %s", refused, d.Summary)
			}
			if !refused {
				return
			}
			if !strings.Contains(d.Summary, c.says) || strings.Contains(d.Summary, "\n") {
				t.Errorf("it says %q, which is not about %q", d.Summary, c.says)
			}
			if d.Prefill.To != d.Prefill.From || d.Decode.To != d.Decode.From || d.Move == nil || m.Move == nil || d.Prefill.Binding != ReasonInvalidSpec || d.Prefill.Because == "" {
				t.Errorf("it changes something: %+v", d)
			}
		})
	}
}
