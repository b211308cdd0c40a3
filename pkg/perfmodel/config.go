package perfmodel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/internal/wrongtype"
)

// hfConfig is what a Hugging Face config.json says of a model of a known type.
type hfConfig struct {
	Name       string `json:"_name_or_path"`
	ModelType  string `json:"model_type"`
	Layers     int    `json:"num_hidden_layers"`
	Hidden     int    `json:"hidden_size"`
	QueryHeads int    `json:"num_attention_heads"`
	KVHeads    *int   `json:"num_key_value_heads"`
	HeadDim    *int   `json:"head_dim"`
	FFN        int    `json:"intermediate_size"`
	Vocab      int    `json:"vocab_size"`
	Tied       bool   `json:"tie_word_embeddings"`
	DType      string `json:"torch_dtype"`
	NewDType   string `json:"dtype"`

	SlidingWindow    *int     `json:"sliding_window"`
	UseSlidingWindow *bool    `json:"use_sliding_window"`
	MaxWindowLayers  *int     `json:"max_window_layers"`
	LayerTypes       []string `json:"layer_types"`

	Experts          int   `json:"num_experts"`
	LocalExperts     int   `json:"num_local_experts"`
	RoutedExperts    int   `json:"n_routed_experts"`
	ExpertsPerToken  int   `json:"num_experts_per_tok"`
	ExpertFFN        int   `json:"moe_intermediate_size"`
	SharedExperts    int   `json:"n_shared_experts"`
	SharedFFN        int   `json:"shared_expert_intermediate_size"`
	FirstDense       int   `json:"first_k_dense_replace"`
	DenseLayers      []int `json:"mlp_only_layers"`
	SparseStep       *int  `json:"decoder_sparse_step"`
	ExpertLayerEvery *int  `json:"moe_layer_freq"`

	KVRank   *int `json:"kv_lora_rank"`
	QRank    *int `json:"q_lora_rank"`
	RopeDim  int  `json:"qk_rope_head_dim"`
	NopeDim  int  `json:"qk_nope_head_dim"`
	ValueDim int  `json:"v_head_dim"`

	Quantization *hfQuantization `json:"quantization_config"`
}

// family says which fields of a config.json mean something for a model_type, and what the transformers library takes where
// a field is not there (null is something else). 0 is what follows from the other fields: as many KV heads as query heads,
// heads that share the hidden size.
type family struct {
	experts, latent  bool
	kvHeads, headDim int
}

// families are the values of model_type that are known.
var families = map[string]family{
	"llama": {}, "mistral": {kvHeads: 8}, "qwen2": {kvHeads: 32}, "qwen3": {kvHeads: 32, headDim: 128},
	"qwen2_moe": {experts: true, kvHeads: 16}, "qwen3_moe": {experts: true, kvHeads: 4},
	"mixtral": {experts: true, kvHeads: 8}, "gpt_oss": {experts: true, kvHeads: 8, headDim: 64},
	"deepseek_v2": {experts: true, latent: true}, "deepseek_v3": {experts: true, latent: true}, "kimi_k2": {experts: true, latent: true},
}

// refusedFields name what Model does not describe, each with the reason.
var refusedFields = []struct{ field, reason string }{
	{"compression_config", "weights compressed in a way that is not modelled"},
	{"text_config", "a multimodal model"},
	{"vision_config", "a multimodal model"},
	{"is_encoder_decoder", "an encoder-decoder model"},
	{"linear_num_value_heads", "linear attention"},
	{"ssm_cfg", "a state-space model"},
	{"index_topk", "sparse attention"},
}

// expertFields and latentFields mean something only in a family that has such parts.
var (
	expertFields = []string{"num_experts", "num_local_experts", "n_routed_experts", "moe_intermediate_size"}
	latentFields = []string{"kv_lora_rank", "q_lora_rank"}
)

// maxConfigBytes is far above any config.json and keeps a wrong file from being parsed at length.
const maxConfigBytes = 1 << 20

// ParseConfig reads a Hugging Face config.json: dense transformers with grouped-query attention, mixtures of experts, and
// latent attention, in 16 bits or quantised. Anything else is refused, naming the field that says so.
func ParseConfig(config []byte) (Model, error) {
	m, err := parseConfig(config)
	if err != nil {
		return Model{}, fmt.Errorf("config.json: %w", err)
	}
	return m, nil
}

func parseConfig(config []byte) (Model, error) {
	if len(config) > maxConfigBytes {
		return Model{}, fmt.Errorf("%d bytes: allowed is up to %d", len(config), maxConfigBytes)
	}
	config = bytes.TrimPrefix(config, []byte("\xef\xbb\xbf")) // some editors' mark of UTF-8
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config, &fields); err != nil {
		return Model{}, fmt.Errorf("not a JSON object: %w", wrongtype.Explain(err))
	}
	for _, r := range refusedFields {
		if saysSomething(fields[r.field]) {
			return Model{}, fmt.Errorf("%s says %s: that is not modelled", r.field, r.reason)
		}
	}
	var c hfConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return Model{}, wrongtype.Explain(err)
	}
	f, known := families[c.ModelType]
	if !known {
		return Model{}, fmt.Errorf("model_type is %q: allowed is %s", c.ModelType, strings.Join(slices.Sorted(maps.Keys(families)), ", "))
	}
	if err := f.refuse(c.ModelType, fields); err != nil {
		return Model{}, err
	}
	if _, there := fields["num_key_value_heads"]; !there && f.kvHeads > 0 {
		c.KVHeads = &f.kvHeads
	}
	if _, there := fields["head_dim"]; !there && f.headDim > 0 {
		c.HeadDim = &f.headDim
	}
	m, err := c.model(f)
	if err != nil {
		return Model{}, err
	}
	return m, m.validate()
}

// saysSomething tells a field that is set from one that is absent or switched off.
func saysSomething(raw json.RawMessage) bool {
	return !slices.Contains([]string{"", "null", "false", "0", "{}", "[]"}, string(bytes.TrimSpace(raw)))
}

// refuse finds fields that a model_type without such parts should not have.
func (f family) refuse(modelType string, fields map[string]json.RawMessage) error {
	for _, name := range expertFields {
		if !f.experts && saysSomething(fields[name]) {
			return fmt.Errorf("%s says mixture of experts, which model_type %q is not", name, modelType)
		}
	}
	for _, name := range latentFields {
		if !f.latent && saysSomething(fields[name]) {
			return fmt.Errorf("%s says multi-head latent attention, which model_type %q has not", name, modelType)
		}
	}
	return nil
}

// model fills what a config.json may leave out as the transformers library does.
func (c hfConfig) model(f family) (Model, error) {
	for _, dtype := range []string{c.DType, c.NewDType} {
		if !slices.Contains([]string{"", "bfloat16", "float16"}, dtype) {
			return Model{}, fmt.Errorf("torch_dtype is %q: allowed is bfloat16 or float16", dtype)
		}
	}
	m := Model{
		Name: c.Name, Layers: c.Layers, Hidden: c.Hidden, QueryHeads: c.QueryHeads, KVHeads: c.QueryHeads,
		FFN: c.FFN, Vocab: c.Vocab, TiedEmbeddings: c.Tied,
	}
	if m.Name == "" {
		m.Name = c.ModelType
	}
	if c.KVHeads != nil {
		m.KVHeads = *c.KVHeads
	}
	for _, field := range []struct {
		name       string
		value, low int
	}{
		{"num_hidden_layers", c.Layers, 1}, {"hidden_size", c.Hidden, 1}, {"num_attention_heads", c.QueryHeads, 1},
		{"num_key_value_heads", m.KVHeads, 1}, {"intermediate_size", c.FFN, 1}, {"vocab_size", c.Vocab, 1},
	} {
		if field.value < field.low || field.value > largest {
			return Model{}, fmt.Errorf("%s is %d: allowed is %d to %d", field.name, field.value, field.low, largest)
		}
	}
	steps := []func(*Model) error{c.heads, c.windows}
	if f.latent {
		steps[0] = c.latent
	}
	if f.experts {
		steps = append(steps, c.mixture)
	}
	if c.Quantization != nil {
		steps = append(steps, c.Quantization.apply)
	}
	for _, step := range steps {
		if err := step(&m); err != nil {
			return Model{}, err
		}
	}
	return m, nil
}

func (c hfConfig) heads(m *Model) error {
	switch {
	case c.HeadDim != nil:
		m.HeadDim = *c.HeadDim
	case c.QueryHeads > 0 && c.Hidden%c.QueryHeads == 0:
		m.HeadDim = c.Hidden / c.QueryHeads
	default:
		return fmt.Errorf("head_dim is missing and hidden_size %d does not divide over num_attention_heads %d", c.Hidden, c.QueryHeads)
	}
	return nil
}

func (c hfConfig) latent(m *Model) error {
	if c.KVRank == nil || *c.KVRank < 1 {
		return fmt.Errorf("kv_lora_rank is missing: allowed is 1 or more for model_type %q", c.ModelType)
	}
	m.KVRank, m.RopeDim, m.NopeDim, m.ValueDim = *c.KVRank, c.RopeDim, c.NopeDim, c.ValueDim
	m.KVHeads = c.QueryHeads // every head has its own keys and values, made from the latent
	if c.QRank != nil {
		m.QRank = *c.QRank
	}
	return nil
}

func (c hfConfig) windows(m *Model) error {
	// Qwen names a window and switches it off; Mistral has no switch.
	on := c.SlidingWindow != nil && (c.UseSlidingWindow == nil || *c.UseSlidingWindow)
	if on && *c.SlidingWindow < 1 {
		return fmt.Errorf("sliding_window is %d: allowed is 1 or more, or null", *c.SlidingWindow)
	}
	layers := 0
	for _, kind := range c.LayerTypes {
		switch kind {
		case "sliding_attention":
			layers++
		case "full_attention":
		default:
			return fmt.Errorf("layer_types names %q: allowed are full_attention and sliding_attention", kind)
		}
	}
	switch {
	case len(c.LayerTypes) > 0 && len(c.LayerTypes) != c.Layers:
		return fmt.Errorf("layer_types names %d layers, num_hidden_layers %d: they must be the same", len(c.LayerTypes), c.Layers)
	case layers > 0 && !on:
		return fmt.Errorf("layer_types names sliding_attention, but sliding_window is not set")
	case on && len(c.LayerTypes) == 0:
		layers = c.Layers
		if c.MaxWindowLayers != nil && c.UseSlidingWindow != nil {
			layers = max(0, c.Layers-*c.MaxWindowLayers) // Qwen: the first ones attend to all
		}
	}
	if layers > 0 {
		m.WindowTokens, m.WindowLayers = *c.SlidingWindow, layers
	}
	return nil
}

func (c hfConfig) mixture(m *Model) error {
	m.Experts = max(c.Experts, c.LocalExperts, c.RoutedExperts)
	m.ExpertsPerToken, m.ExpertFFN = c.ExpertsPerToken, c.ExpertFFN
	switch {
	case m.Experts < 1:
		return fmt.Errorf("the number of experts is missing: model_type %q has num_experts, num_local_experts or n_routed_experts", c.ModelType)
	case m.ExpertsPerToken < 1:
		return fmt.Errorf("num_experts_per_tok is %d: allowed is 1 to the %d experts", m.ExpertsPerToken, m.Experts)
	case c.SparseStep != nil && *c.SparseStep != 1:
		return fmt.Errorf("decoder_sparse_step is %d: allowed is 1", *c.SparseStep)
	case c.ExpertLayerEvery != nil && *c.ExpertLayerEvery != 1:
		return fmt.Errorf("moe_layer_freq is %d: allowed is 1", *c.ExpertLayerEvery)
	}
	m.SharedFFN = c.SharedExperts*c.ExpertFFN + c.SharedFFN
	m.DenseLayers = max(len(c.DenseLayers), c.FirstDense)
	if m.ExpertFFN == 0 { // Mixtral and gpt-oss name the expert's width as a dense model does the FFN's
		m.ExpertFFN = c.FFN
	}
	if m.DenseLayers == 0 {
		m.FFN = 0
	}
	return nil
}
