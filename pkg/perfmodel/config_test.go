package perfmodel

import (
	"strings"
	"testing"
)

const qwen3Config = `{
  "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "_name_or_path": "Qwen3-32B", "torch_dtype": "bfloat16",
  "num_hidden_layers": 64, "hidden_size": 5120, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
  "intermediate_size": 25600, "vocab_size": 151936, "tie_word_embeddings": false, "hidden_act": "silu",
  "sliding_window": null, "use_sliding_window": false, "max_window_layers": 64, "rope_scaling": null
}`

func TestParseConfigReadsWhatTheCatalogueHolds(t *testing.T) {
	want, err := LookupModel("Qwen3-32B")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseConfig([]byte(qwen3Config)); err != nil || got != want {
		t.Errorf("ParseConfig = %+v, %v, want %+v", got, err, want)
	}
}

func TestParseConfigFillsWhatMayBeLeftOut(t *testing.T) {
	got, err := ParseConfig([]byte(`{"model_type":"llama","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,
		"intermediate_size":11008,"vocab_size":32000,"num_experts":0,"quantization_config":null}`))
	want := Model{Name: "llama", Layers: 32, Hidden: 4096, QueryHeads: 32, KVHeads: 32, HeadDim: 128, FFN: 11008, Vocab: 32000}
	if err != nil || got != want {
		t.Errorf("ParseConfig = %+v, %v, want %+v", got, err, want)
	}
}

// What is not there is what the transformers library takes, by model_type; null is what follows from the other fields.
func TestParseConfigTakesTheLibrarysDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		modelType, fields string
		headDim, kvHeads  int
	}{
		"qwen3, nothing":   {"qwen3", ``, 128, 32},
		"qwen3, null":      {"qwen3", `"head_dim": null, "num_key_value_heads": null,`, 80, 64},
		"llama, nothing":   {"llama", ``, 80, 64},
		"mistral, nothing": {"mistral", ``, 80, 8},
		"mistral, null":    {"mistral", `"num_key_value_heads": null,`, 80, 64},
		"llama, given":     {"llama", `"head_dim": 96, "num_key_value_heads": 16,`, 96, 16},
		"qwen2, an empty object that means nothing": {"qwen2", `"text_config": {},`, 80, 32},
	} {
		m, err := ParseConfig([]byte("\ufeff" + `{"model_type":"` + c.modelType + `",` + c.fields +
			`"num_hidden_layers":64,"hidden_size":5120,"num_attention_heads":64,"intermediate_size":25600,"vocab_size":151936}`))
		if err != nil || m.HeadDim != c.headDim || m.KVHeads != c.kvHeads {
			t.Errorf("%s: head size %d and %d KV heads, %v, want %d and %d", name, m.HeadDim, m.KVHeads, err, c.headDim, c.kvHeads)
		}
	}
}

func TestParseConfigRefusesNamingTheField(t *testing.T) {
	change := func(from, to string) string {
		if !strings.Contains(qwen3Config, from) {
			t.Fatalf("the sample config does not hold %q", from)
		}
		return strings.Replace(qwen3Config, from, to, 1)
	}
	for name, c := range map[string]struct{ config, want string }{
		"empty":               {"", "not a JSON object"},
		"array":               {"[]", "not a JSON object"},
		"too long":            {strings.Repeat(" ", maxConfigBytes+1), "allowed is up to"},
		"other type":          {change(`"qwen3"`, `"gpt2"`), `model_type is "gpt2": allowed is deepseek_v2`},
		"experts":             {change(`{`, `{"num_experts": 128,`), "num_experts says mixture of experts"},
		"experts, Mixtral":    {change(`{`, `{"num_local_experts": 8,`), "num_local_experts"},
		"MLA":                 {change(`{`, `{"kv_lora_rank": 512,`), "kv_lora_rank says multi-head latent attention"},
		"quantised":           {change(`{`, `{"quantization_config": {"quant_method": "awq"},`), `quantization_config: bits is 0: allowed is 4 for quant_method "awq"`},
		"float32":             {change(`bfloat16`, `float32`), `torch_dtype is "float32"`},
		"sliding window":      {change(`"sliding_window": null, "use_sliding_window": false`, `"sliding_window": -1`), "sliding_window is -1"},
		"hybrid":              {change(`{`, `{"layer_types": ["full_attention", "sliding_attention"],`), "layer_types names 2 layers, num_hidden_layers 64"},
		"linear layers":       {change(`{`, `{"layer_types": ["linear_attention"],`), `layer_types names "linear_attention"`},
		"window not set":      {strings.Replace(mixtralConfig, `{`, `{"layer_types": ["sliding_attention", "full_attention"],`, 1), "sliding_window is not set"},
		"no experts":          {strings.Replace(mixtralConfig, `"num_local_experts": 8`, `"num_local_experts": 0`, 1), "the number of experts is missing"},
		"too many per token":  {strings.Replace(mixtralConfig, `"num_experts_per_tok": 2`, `"num_experts_per_tok": 9`, 1), "expertsPerToken is 9"},
		"every other layer":   {strings.Replace(mixtralConfig, `{`, `{"decoder_sparse_step": 2,`, 1), "decoder_sparse_step is 2"},
		"no latent":           {strings.Replace(mixtralConfig, `mixtral`, `deepseek_v3`, 1), "kv_lora_rank is missing"},
		"quantised otherwise": {change(`{`, `{"quantization_config": {"quant_method": "bitsandbytes"},`), `quant_method is "bitsandbytes"`},
		"3 bits":              {change(`{`, `{"quantization_config": {"quant_method": "gptq", "bits": 3},`), "bits is 3"},
		"NVFP4":               {change(`{`, `{"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"},`), `quant_algo is "NVFP4"`},
		"KV of 4 bits":        {change(`{`, `{"quantization_config": {"quant_method": "fp8", "kv_cache_scheme": {"num_bits": 4, "type": "float"}},`), "kv_cache_scheme is 4 bits"},
		"wrong type":          {change(`64,`, `"64",`), "num_hidden_layers is a JSON string: allowed is a whole number"},
		"no layers":           {change(`"num_hidden_layers": 64`, `"num_hidden_layers": 0`), "layers is 0"},
		"huge":                {change(`25600`, `99999999999`), "intermediate_size is 99999999999"},
		"uneven heads":        {change(`"num_key_value_heads": 8`, `"num_key_value_heads": 7`), "64 query heads do not divide over 7 KV heads"},
		"head size unclear": {strings.Replace(change(`"head_dim": 128,`, `"head_dim": null,`), `"num_attention_heads": 64`, `"num_attention_heads": 63`, 1),
			"head_dim is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig([]byte(c.config))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseConfig: %v, want it to say %q", err, c.want)
			}
		})
	}
}

const mixtralConfig = `{"model_type": "mixtral", "num_hidden_layers": 2, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
  "intermediate_size": 14336, "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": null}`

// Configurations as publishers write them, cut down to what is read.
func TestParseConfigReadsMixturesLatentsWindowsAndQuantisation(t *testing.T) {
	for catalogue, config := range map[string]string{
		"DeepSeek-V3": `{"model_type":"deepseek_v3","first_k_dense_replace":3,"hidden_size":7168,"intermediate_size":18432,"kv_lora_rank":512,
			"moe_intermediate_size":2048,"moe_layer_freq":1,"n_routed_experts":256,"n_shared_experts":1,"num_attention_heads":128,"num_experts_per_tok":8,
			"num_hidden_layers":61,"num_key_value_heads":128,"num_nextn_predict_layers":1,"q_lora_rank":1536,"qk_nope_head_dim":128,"qk_rope_head_dim":64,
			"v_head_dim":128,"vocab_size":129280,"torch_dtype":"bfloat16","quantization_config":{"fmt":"e4m3","quant_method":"fp8","weight_block_size":[128,128]}}`,
		"Qwen3-30B-A3B": `{"model_type":"qwen3_moe","decoder_sparse_step":1,"mlp_only_layers":[],"head_dim":128,"hidden_size":2048,"intermediate_size":6144,
			"moe_intermediate_size":768,"num_attention_heads":32,"num_experts":128,"num_experts_per_tok":8,"num_hidden_layers":48,"num_key_value_heads":4,
			"sliding_window":null,"use_sliding_window":false,"vocab_size":151936}`,
		"gpt-oss-20b": `{"model_type":"gpt_oss","head_dim":64,"hidden_size":2880,"intermediate_size":2880,"layer_types":[` +
			strings.TrimSuffix(strings.Repeat(`"sliding_attention","full_attention",`, 12), ",") + `],"num_attention_heads":64,"num_experts_per_tok":4,
			"num_hidden_layers":24,"num_key_value_heads":8,"num_local_experts":32,"sliding_window":128,"vocab_size":201088,
			"quantization_config":{"quant_method":"mxfp4","modules_to_not_convert":["model.layers.*.self_attn","model.layers.*.mlp.router","model.embed_tokens","lm_head"]}}`,
		"Qwen3-4B": `{"model_type":"qwen3","hidden_size":2560,"intermediate_size":9728,"num_hidden_layers":36,"num_attention_heads":32,"num_key_value_heads":8,
			"head_dim":128,"vocab_size":151936,"tie_word_embeddings":true}`,
	} {
		want, err := LookupModel(catalogue)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseConfig([]byte(config))
		got.Name = want.Name
		if err != nil || got != want {
			t.Errorf("ParseConfig of %s = %+v, %v, want %+v", catalogue, got, err, want)
		}
	}
	for quantization, want := range map[string]Model{
		`{"quant_method":"awq","bits":4,"group_size":128}`:                                                          {DenseWeights: INT4},
		`{"quant_method":"gptq","bits":4}`:                                                                          {DenseWeights: INT4},
		`{"quant_method":"fp8","kv_cache_scheme":{"num_bits":8,"type":"float"}}`:                                    {DenseWeights: FP8, KVBytesPerElement: 1},
		`{"quant_method":"modelopt","quant_algo":"FP8","kv_cache_quant_algo":"FP8"}`:                                {DenseWeights: FP8, KVBytesPerElement: 1},
		`{"quant_method":"compressed-tensors","config_groups":{"group_0":{"weights":{"num_bits":4,"type":"int"}}}}`: {DenseWeights: INT4},
	} {
		got, err := ParseConfig([]byte(strings.Replace(qwen3Config, `{`, `{"quantization_config":`+quantization+`,`, 1)))
		if err != nil || got.DenseWeights != want.DenseWeights || got.ExpertWeights != "" || got.KVBytesPerElement != want.KVBytesPerElement {
			t.Errorf("%s: %+v, %v, want %+v", quantization, got, err, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(qwen3Config))
	f.Add([]byte(`{"model_type":"llama","num_hidden_layers":1e3}`))
	f.Add([]byte(`{"model_type":"mistral","sliding_window":-1,"layer_types":[null]}`))
	gpu, err := LookupGPU("H200-SXM")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		m, err := ParseConfig(config)
		if err != nil {
			if m != (Model{}) {
				t.Fatalf("refused with %v, yet returned %+v", err, m)
			}
			return
		}
		if r, err := NewReplica(m, gpu, Options{}); err == nil {
			checkReplica(t, r)
		}
	})
}
