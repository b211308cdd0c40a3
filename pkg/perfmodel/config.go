package perfmodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// hfConfig is what a Hugging Face config.json says of a dense grouped-query transformer, and of what makes it something else.
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
	LayerTypes       []string `json:"layer_types"`
}

// denseTypes are the values of model_type whose layers have the shape of Model.
var denseTypes = []string{"llama", "mistral", "qwen2", "qwen3"}

// refusedFields name what Model does not describe, each with the reason.
var refusedFields = []struct{ field, reason string }{
	{"num_experts", "mixture of experts"},
	{"num_local_experts", "mixture of experts"},
	{"n_routed_experts", "mixture of experts"},
	{"moe_intermediate_size", "mixture of experts"},
	{"kv_lora_rank", "multi-head latent attention"},
	{"q_lora_rank", "multi-head latent attention"},
	{"quantization_config", "quantised weights"},
	{"compression_config", "quantised weights"},
	{"text_config", "a multimodal model"},
	{"vision_config", "a multimodal model"},
	{"is_encoder_decoder", "an encoder-decoder model"},
	{"linear_num_value_heads", "linear attention"},
	{"ssm_cfg", "a state-space model"},
}

// maxConfigBytes is far above any config.json and keeps a wrong file from being parsed at length.
const maxConfigBytes = 1 << 20

// ParseConfig reads a Hugging Face config.json of a dense transformer with grouped-query attention in 16-bit weights. Anything
// else is refused, naming the field that says so.
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
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config, &fields); err != nil {
		return Model{}, fmt.Errorf("not a JSON object: %w", err)
	}
	for _, r := range refusedFields {
		if saysSomething(fields[r.field]) {
			return Model{}, fmt.Errorf("%s says %s: only dense transformers with grouped-query attention are modelled", r.field, r.reason)
		}
	}
	var c hfConfig
	if err := json.Unmarshal(config, &c); err != nil {
		if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
			return Model{}, fmt.Errorf("%s is a %s: allowed is %s", wrong.Field, wrong.Value, wrong.Type)
		}
		return Model{}, err
	}
	if err := c.refuse(); err != nil {
		return Model{}, err
	}
	m, err := c.model()
	if err != nil {
		return Model{}, err
	}
	return m, m.validate()
}

// saysSomething tells a field that is set from one that is absent or switched off.
func saysSomething(raw json.RawMessage) bool {
	return !slices.Contains([]string{"", "null", "false", "0", "{}", "[]"}, string(bytes.TrimSpace(raw)))
}

func (c hfConfig) refuse() error {
	if !slices.Contains(denseTypes, c.ModelType) {
		return fmt.Errorf("model_type is %q: allowed is %s", c.ModelType, strings.Join(denseTypes, ", "))
	}
	for _, dtype := range []string{c.DType, c.NewDType} {
		if !slices.Contains([]string{"", "bfloat16", "float16"}, dtype) {
			return fmt.Errorf("torch_dtype is %q: allowed is bfloat16 or float16", dtype)
		}
	}
	// Qwen names a window and switches it off; Mistral has no switch.
	if c.SlidingWindow != nil && (c.UseSlidingWindow == nil || *c.UseSlidingWindow) {
		return fmt.Errorf("sliding_window is %d: only full attention is modelled", *c.SlidingWindow)
	}
	for _, layer := range c.LayerTypes {
		if layer != "full_attention" {
			return fmt.Errorf("layer_types names %q: only full_attention is modelled", layer)
		}
	}
	return nil
}

// model fills what a config.json may leave out as the transformers library does.
func (c hfConfig) model() (Model, error) {
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
	switch {
	case c.HeadDim != nil:
		m.HeadDim = *c.HeadDim
	case c.QueryHeads > 0 && c.Hidden%c.QueryHeads == 0:
		m.HeadDim = c.Hidden / c.QueryHeads
	default:
		return Model{}, fmt.Errorf("head_dim is missing and hidden_size %d does not divide over num_attention_heads %d", c.Hidden, c.QueryHeads)
	}
	return m, nil
}
