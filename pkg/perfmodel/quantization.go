package perfmodel

import (
	"fmt"
	"strings"
)

// hfQuantization is quantization_config of a config.json.
type hfQuantization struct {
	Method  string   `json:"quant_method"`
	Bits    int      `json:"bits"`
	Algo    string   `json:"quant_algo"`
	KVAlgo  string   `json:"kv_cache_quant_algo"`
	KVCache *hfTypes `json:"kv_cache_scheme"`
	// Ignored modules keep 16 bits. Only that the output head does, and that attention may, is taken from them.
	Ignored []string `json:"modules_to_not_convert"`
	Groups  map[string]struct {
		Weights *hfTypes `json:"weights"`
	} `json:"config_groups"`
}

type hfTypes struct {
	Bits int    `json:"num_bits"`
	Type string `json:"type"`
}

// apply sets the types of m's weights and of its KV cache.
func (q hfQuantization) apply(m *Model) error {
	w, err := q.weights()
	if err != nil {
		return fmt.Errorf("quantization_config: %w", err)
	}
	m.DenseWeights = w
	if m.Experts > 0 {
		m.ExpertWeights = w
	}
	for _, name := range q.Ignored {
		if strings.HasSuffix(name, "layers.*.self_attn") && m.Experts > 0 {
			m.DenseWeights = BF16 // what is left beside the experts is a router
		}
	}
	switch {
	case q.KVCache != nil && q.KVCache.Bits == 8 && q.KVCache.Type == "float", strings.EqualFold(q.KVAlgo, "fp8"):
		m.KVBytesPerElement = 1
	case q.KVCache != nil:
		return fmt.Errorf("quantization_config: kv_cache_scheme is %d bits of type %q: allowed is 8 of type float", q.KVCache.Bits, q.KVCache.Type)
	case q.KVAlgo != "":
		return fmt.Errorf("quantization_config: kv_cache_quant_algo is %q: allowed is FP8", q.KVAlgo)
	}
	return nil
}

func (q hfQuantization) weights() (WeightType, error) {
	switch method := strings.ToLower(q.Method); method {
	case "fp8", "fbgemm_fp8":
		return FP8, nil
	case "mxfp4":
		return MXFP4, nil
	case "awq", "gptq":
		if q.Bits != 4 {
			return "", fmt.Errorf("bits is %d: allowed is 4 for quant_method %q", q.Bits, q.Method)
		}
		return INT4, nil
	case "modelopt":
		if strings.EqualFold(q.Algo, "fp8") {
			return FP8, nil
		}
		return "", fmt.Errorf("quant_algo is %q: allowed is FP8", q.Algo)
	case "compressed-tensors":
		return q.compressed()
	}
	return "", fmt.Errorf("quant_method is %q: allowed is fp8, fbgemm_fp8, awq, gptq, mxfp4, modelopt or compressed-tensors", q.Method)
}

// compressed reads the groups of compressed-tensors, which must agree.
func (q hfQuantization) compressed() (w WeightType, err error) {
	if len(q.Groups) == 0 {
		return "", fmt.Errorf("config_groups is missing")
	}
	first := true
	for name, group := range q.Groups {
		if group.Weights == nil {
			return "", fmt.Errorf("config_groups.%s has no weights", name)
		}
		var of WeightType
		switch t := *group.Weights; {
		case t.Bits == 8 && t.Type == "float":
			of = FP8
		case t.Bits == 4 && t.Type == "int":
			of = INT4
		default:
			return "", fmt.Errorf("config_groups.%s has weights of %d bits of type %q: allowed is 8 of float or 4 of int", name, t.Bits, t.Type)
		}
		if !first && of != w {
			return "", fmt.Errorf("config_groups mix %s and %s: allowed is one type", w, of)
		}
		w, first = of, false
	}
	return w, nil
}
