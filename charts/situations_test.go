package charts

import "math"

// from leaves the pages as they are for some minutes, then changes the leader's.
func from(minutes float64, change func(p page)) func(float64, *pods) {
	return between(minutes, math.Inf(1), change)
}

// between changes the leader's page from one minute to before another.
func between(from, to float64, change func(p page)) func(float64, *pods) {
	return func(at float64, p *pods) {
		if at >= from && at < to {
			change(p.leader)
		}
	}
}

// counted is a counter that grows by one at each of some minutes, and is there from the start.
func counted(series string, minutes ...float64) func(float64, *pods) {
	return func(at float64, p *pods) {
		n := 0
		for _, m := range minutes {
			if at >= m {
				n++
			}
		}
		p.leader.set(series, float64(n))
	}
}

// every is the moments between two minutes, so many a minute.
func every(perMinute, from, to float64) (minutes []float64) {
	for at := from; at < to; at += 1 / perMinute {
		minutes = append(minutes, at)
	}
	return minutes
}

// situations come in pairs: one that an alert is for, and its twin in which nothing fires.
var situations = []situation{
	{name: "all is well", minutes: 90, at: func(float64, *pods) {}},

	{name: "no replica leads", minutes: 20, fires: []string{"PDAutoscalerNoLeader"}, at: func(at float64, p *pods) {
		if at >= 5 {
			p.leader = page{}
		}
	}},
	{name: "no replica answers", minutes: 20, fires: []string{"PDAutoscalerNoLeader"}, at: func(at float64, p *pods) {
		if at >= 5 {
			p.leader, p.standby = page{}, page{}
		}
	}},
	{name: "another takes the lease", minutes: 20, at: func(at float64, p *pods) {
		switch {
		case at >= 6:
			p.leader, p.standby = page{}, p.leader
		case at >= 5:
			p.leader = page{}
		}
	}},

	{name: "writes are refused", minutes: 25, fires: []string{"PDAutoscalerWritesFail apply"}, at: counted(`reconcile_errors_total{step="apply"}`, every(6, 5, 25)...)},
	{name: "the status is refused", minutes: 25, fires: []string{"PDAutoscalerWritesFail status"}, at: counted(`reconcile_errors_total{step="status"}`, every(1, 5, 25)...)},
	{name: "three writes are refused", minutes: 25, at: counted(`reconcile_errors_total{step="apply"}`, 5, 6, 7)},
	{name: "metrics cannot be read now and then", minutes: 25, at: counted(`reconcile_errors_total{step="collect"}`, every(1, 5, 25)...)},

	{name: "decisions stop", minutes: 25, fires: []string{"PDAutoscalerDecisionsStopped"}, at: from(5, func(p page) { p.decided(5) })},
	{name: "there never was a decision", minutes: 25, fires: []string{"PDAutoscalerDecisionsStopped"}, at: func(at float64, p *pods) {
		counted(`reconcile_errors_total{step="spec"}`, every(6, 0, 25)...)(at, p)
		p.leader.drop("last_decision_timestamp_seconds")
	}},
	{name: "decisions pause for eight minutes", minutes: 25, at: between(5, 13, func(p page) { p.decided(5) })},
	{name: "the target is missed for a moment", minutes: 25, at: counted(`reconcile_errors_total{step="observe"}`, 5, 5.5)},

	{name: "prefill's demand is not known", minutes: 25, fires: []string{"PDAutoscalerDemandUnknown prefill"}, at: from(5, func(p page) { p.drop(`demand_requests_per_second{role="prefill"}`) })},
	{name: "the demand is not known for nine minutes", minutes: 25, at: between(5, 14, func(p page) {
		p.drop(`demand_requests_per_second{role="prefill"}`)
		p.drop(`demand_requests_per_second{role="decode"}`)
	})},

	{name: "no decode pod can be read", minutes: 25, fires: []string{"PDAutoscalerSignalsFail decode"}, at: from(5, func(p page) {
		p.set(`signal_sources{source="decode",state="ok"}`, 0)
		p.set(`signal_sources{source="decode",state="failed"}`, 2)
	})},
	{name: "one of two decode pods cannot be read", minutes: 25, at: from(5, func(p page) {
		p.set(`signal_sources{source="decode",state="ok"}`, 1)
		p.set(`signal_sources{source="decode",state="failed"}`, 1)
	})},

	{name: "decode is overloaded", minutes: 25, fires: []string{"PDAutoscalerOverload decode"}, at: from(5, func(p page) {
		p.set(`role_load{role="decode"}`, 1.3)
		p.set("gpus_held", 10)
	})},
	{name: "decode is overloaded until replicas are there", minutes: 25, at: between(5, 14, func(p page) { p.set(`role_load{role="decode"}`, 1.3) })},

	{name: "the budget binds", minutes: 40, fires: []string{"PDAutoscalerBudgetBinds", "PDAutoscalerOverload prefill"}, at: from(5, func(p page) {
		p.set("gpus_held", 12)
		p.set("gpus_budget", 12)
		p.set(`role_load{role="prefill"}`, 1.2)
	})},
	{name: "the whole budget is held and enough", minutes: 40, at: from(5, func(p page) {
		p.set("gpus_held", 12)
		p.set("gpus_budget", 12)
		p.set(`role_load{role="prefill"}`, 0.9)
	})},

	{name: "the budget is lowered and pods stay", minutes: 40, fires: []string{"PDAutoscalerOverBudget"}, at: from(5, func(p page) {
		p.set("gpus_held", 12)
		p.set("gpus_budget", 8)
	})},
	{name: "the budget is lowered and pods go", minutes: 40, at: between(5, 15, func(p page) {
		p.set("gpus_held", 12)
		p.set("gpus_budget", 8)
	})},

	{name: "a replica does not come", minutes: 60, fires: []string{"PDAutoscalerReplicasMissing prefill"}, at: from(5, func(p page) {
		p.set(`target_replicas{role="prefill"}`, 4)
		p.set(`desired_replicas{role="prefill"}`, 4)
		p.set(`ready_replicas{role="prefill"}`, 3)
	})},
	{name: "more replicas are only recommended", minutes: 60, at: from(5, func(p page) {
		p.set(`target_replicas{role="prefill"}`, 3)
		p.set(`desired_replicas{role="prefill"}`, 4)
		p.set(`ready_replicas{role="prefill"}`, 3)
	})},
	{name: "replicas take 25 minutes to start", minutes: 60, at: between(5, 30, func(p page) {
		p.set(`target_replicas{role="prefill"}`, 4)
		p.set(`ready_replicas{role="prefill"}`, 3)
	})},

	{name: "two moves fail in an hour", minutes: 70, fires: []string{"PDAutoscalerMovesFail"}, at: counted(`moves_total{result="Returned"}`, 20, 50)},
	{name: "one move fails", minutes: 70, at: counted(`moves_total{result="GivenUp"}`, 20)},
	{name: "moves come to their end", minutes: 70, at: counted(`moves_total{result="Done"}`, every(0.2, 5, 60)...)},

	{name: "a role goes up and down all the time", minutes: 70, fires: []string{"PDAutoscalerFlaps prefill"}, at: func(at float64, p *pods) {
		p.leader.set(`desired_replicas{role="prefill"}`, 2+math.Mod(math.Floor(at/4), 2))
	}},
	{name: "a role goes up and down every ten minutes", minutes: 70, at: func(at float64, p *pods) {
		p.leader.set(`desired_replicas{role="prefill"}`, 2+math.Mod(math.Floor(at/10), 2))
	}},

	{name: "the service is twice as slow as the model", minutes: 60, fires: []string{"PDAutoscalerModelWrong tpot"}, at: from(5, func(p page) { p.set(`model_error_ratio{objective="tpot"}`, 1) })},
	{name: "the service is slower than the model", minutes: 60, at: from(5, func(p page) { p.set(`model_error_ratio{objective="tpot"}`, 0.4) })},
}
