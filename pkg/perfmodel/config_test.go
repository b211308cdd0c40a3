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

func TestParseConfigRefusesNamingTheField(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(qwen3Config, old) {
			t.Fatalf("the sample config does not hold %q", old)
		}
		return strings.Replace(qwen3Config, old, new, 1)
	}
	for name, c := range map[string]struct{ config, want string }{
		"empty":            {"", "not a JSON object"},
		"array":            {"[]", "not a JSON object"},
		"too long":         {strings.Repeat(" ", maxConfigBytes+1), "allowed is up to"},
		"other type":       {change(`"qwen3"`, `"gpt2"`), `model_type is "gpt2": allowed is llama`},
		"experts":          {change(`{`, `{"num_experts": 128,`), "num_experts says mixture of experts"},
		"experts, Mixtral": {change(`{`, `{"num_local_experts": 8,`), "num_local_experts"},
		"MLA":              {change(`{`, `{"kv_lora_rank": 512,`), "kv_lora_rank says multi-head latent attention"},
		"quantised":        {change(`{`, `{"quantization_config": {"quant_method": "awq"},`), "quantization_config says quantised weights"},
		"float32":          {change(`bfloat16`, `float32`), `torch_dtype is "float32"`},
		"sliding window":   {change(`"sliding_window": null, "use_sliding_window": false`, `"sliding_window": 4096`), "sliding_window is 4096"},
		"hybrid":           {change(`{`, `{"layer_types": ["full_attention", "sliding_attention"],`), "layer_types"},
		"wrong type":       {change(`64,`, `"64",`), "num_hidden_layers is a string"},
		"no layers":        {change(`"num_hidden_layers": 64`, `"num_hidden_layers": 0`), "layers is 0"},
		"huge":             {change(`25600`, `99999999999`), "ffn is 99999999999"},
		"no head size":     {change(`"head_dim": 128,`, ``), ""},
		"uneven heads":     {change(`"num_key_value_heads": 8`, `"num_key_value_heads": 7`), "64 query heads do not divide over 7 KV heads"},
		"head size unclear": {strings.Replace(change(`"head_dim": 128,`, ``), `"num_attention_heads": 64`, `"num_attention_heads": 63`, 1),
			"head_dim is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseConfig([]byte(c.config))
			if c.want == "" {
				if err != nil || m.HeadDim != 80 {
					t.Errorf("ParseConfig = %+v, %v, want a head size of 5120/64", m, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseConfig: %v, want it to say %q", err, c.want)
			}
		})
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
