package signals

// dcgmExporter reads fields 203, 1004 and 1005 of dcgm-exporter 4.5 to 4.8 and
// of the node agent, by the names from 4.6 and before. Field 203 is 0..100
// under both of its names and says nothing of the load: it tells an exporter without
// profiling fields from one that shows no GPU.
var dcgmExporter = vocabulary{
	engine: "dcgm-exporter",
	words: []word{
		{what: tensorActive, form: gauge, unit: "share", share: true, each: true,
			names: names("DCGM_FI_PROF_TENSOR_UTIL_RATIO", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE")},
		{what: dramActive, form: gauge, unit: "share", share: true, each: true,
			names: names("DCGM_FI_PROF_DRAM_UTIL_RATIO", "DCGM_FI_PROF_DRAM_ACTIVE")},
		{what: gpuBusy, form: gauge, unit: "percent", each: true,
			names: names("DCGM_FI_DEV_GPU_UTIL_RATIO", "DCGM_FI_DEV_GPU_UTIL")},
	},
}.compile()
