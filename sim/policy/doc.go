// Package policy lets an autoscaler decide over a simulated service: the project's own planner, unchanged, and the rules of
// its peers, all fed with readings as a metrics pipeline would give them and all under the same limits.
//
// It knows the simulator, the planner and the peers' published rules. It must never know files, formats, Kubernetes or a
// clock. No policy sees the simulator itself: a policy sees an Input. Only the oracle is given the traffic to come.
//
// # Readings
//
// Every Scrape the counters and gauges of the service are kept, unless an outage covers that moment. A reading is growth over
// a window between two scrapes, or a gauge of the last one, and carries the time of that scrape, so that it ages between
// scrapes and in outages. Noise multiplies each value by a lognormal factor of mean 1, drawn once per scrape. The arrival SCV
// is unknown, as it is in every engine's metrics. Latency quantiles are interpolated in the buckets that the engines export.
//
// # Limits
//
// Counts are kept within minimum and maximum, and growth within the GPUs that the budget leaves when what is held and what
// drains is taken off, prefill first. The planner needs none of that; for its peers it stands for the scheduler and the quota.
//
// # Peers
//
// Each rule is in the file of its name, with its source and what was read into it where the source says nothing. They get
// what their profilers would measure: the model's own step times. Their numbers are those of their code or papers.
//
//	static        the counts of the start, for ever
//	hpa-gpu       Kubernetes HPA on GPU_UTIL
//	keda-queue    KEDA on the prefill queue's depth, decode on KV use
//	dynamo        NVIDIA Dynamo's SLA planner, throughput mode
//	dynamo-load   the same, load mode above throughput mode
//	rbg-planner   the port of Dynamo's first planner to RBG
//	heteroscale   HeteroScale: decode tokens/s, fixed ratio
//	tokenscale    TokenScale: token velocities
//	dopd          DOPD: producer and consumer balance
//	blitzscale    BlitzScale: bands on KV blocks and waiting tokens
//	wva           llm-d's workload variant autoscaler, saturation
//	kpa           Knative's autoscaler: concurrency, stable and panic windows
//	kthena        kthena's AutoscalingPolicy: sums over targets, then the ratio repaired
//	aibrix-apa    AIBrix's APA: metric over target, with two windows
//	closed-form   the SLO-aware allocation of 2603.04716
//	sageserve     SageServe: an hourly plan, and memory use in between
//	oracle        knows the traffic to come; a schedule, not a proven optimum
//
// LowerBound is what no policy whatever can be below; its file has the proof.
package policy
