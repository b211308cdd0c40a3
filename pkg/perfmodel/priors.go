package perfmodel

import (
	"maps"
	"slices"
	"sync"
)

// prior is what is believed of a coefficient before the service has shown anything: mean, and the ends of its plausible range.
type prior struct {
	Mean   float64 `json:"mean"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Source string  `json:"source"`
}

// priors are the shares of the peaks that kernels reach, and the times and bytes that no peak explains. data/priors.json
// holds them with their sources.
type priors struct {
	GEMMBf16               prior `json:"gemmBf16"`
	GEMMFP8                prior `json:"gemmFP8"`
	ExpertGEMM             prior `json:"expertGEMM"`
	ExpertTileRows         prior `json:"expertTileRows"`
	PowerLimit             prior `json:"powerLimit"`
	Attention              prior `json:"attention"`
	WeightReadBf16         prior `json:"weightReadBf16"`
	WeightReadFP8          prior `json:"weightReadFP8"`
	WeightRead4Bit         prior `json:"weightRead4Bit"`
	ExpertRead             prior `json:"expertRead"`
	KVReadBf16             prior `json:"kvReadBf16"`
	KVReadFP8              prior `json:"kvReadFP8"`
	OperationMs            prior `json:"operationMs"`
	StepMs                 prior `json:"stepMs"`
	AllReduceMs            prior `json:"allReduceMs"`
	AllReduceHopMs         prior `json:"allReduceHopMs"`
	NetworkHopMs           prior `json:"networkHopMs"`
	AllReduceLargeMs       prior `json:"allReduceLargeMs"`
	AllReduceLargeBytes    prior `json:"allReduceLargeBytes"`
	AllReduceLink          prior `json:"allReduceLink"`
	TransferNIC            prior `json:"transferNIC"`
	TransferMs             prior `json:"transferMs"`
	ReserveBytes           prior `json:"reserveBytes"`
	CollectiveReserveBytes prior `json:"collectiveReserveBytes"`
	PrefillDRAMActive      prior `json:"prefillDRAMActive"`
	TensorCycles           prior `json:"tensorCycles"`
	EngineSpread           prior `json:"engineSpread"`
}

var defaultPriors = sync.OnceValue(func() priors { return mustRead[priors]("data/priors.json") })

// Prior is what the roofline takes a share of a peak, a time or a size to be before a service has shown it.
type Prior struct {
	Name string  `json:"name"`
	Mean float64 `json:"mean"`
	// Low and High are the ends of its plausible range.
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Source string  `json:"source"`
}

// Priors lists all priors with their sources, by name.
func Priors() []Prior {
	all := mustRead[map[string]prior]("data/priors.json")
	var out []Prior
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		out = append(out, Prior{name, p.Mean, p.Low, p.High, p.Source})
	}
	return out
}
