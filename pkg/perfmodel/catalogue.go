package perfmodel

// GPU is one accelerator's peaks, dense, from public tables. Bytes and seconds.
type GPU struct {
	Name                    string  `json:"name"`
	Bf16FLOPs               float64 `json:"bf16FLOPs"`
	FP8FLOPs                float64 `json:"fp8FLOPs,omitempty"`
	MemoryBytes             float64 `json:"memoryBytes"`
	BandwidthBytesPerSecond float64 `json:"bandwidthBytesPerSecond"`
	LinkBytesPerSecond      float64 `json:"linkBytesPerSecond"`
	NICBytesPerSecond       float64 `json:"nicBytesPerSecond,omitempty"`
	PowerWatts              float64 `json:"powerWatts,omitempty"`
}

// Model is the shape of a dense transformer with grouped-query attention.
type Model struct {
	Name           string `json:"name"`
	Layers         int    `json:"layers"`
	Hidden         int    `json:"hidden"`
	QueryHeads     int    `json:"queryHeads"`
	KVHeads        int    `json:"kvHeads"`
	HeadDim        int    `json:"headDim"`
	FFN            int    `json:"ffn"`
	Vocab          int    `json:"vocab"`
	TiedEmbeddings bool   `json:"tiedEmbeddings,omitempty"`
}

// GPUs lists the catalogue in its order.
func GPUs() []GPU { return nil }

// LookupGPU finds a GPU by its catalogue name.
func LookupGPU(name string) (GPU, error) { panic("not written yet") }

// MatchGPU finds a GPU by the product name that DCGM (modelName) or the node label nvidia.com/gpu.product shows.
func MatchGPU(productName string) (GPU, error) { panic("not written yet") }

// Models lists the catalogue in its order.
func Models() []Model { return nil }

// LookupModel finds a model by its catalogue name.
func LookupModel(name string) (Model, error) { panic("not written yet") }

// ParseConfig reads a Hugging Face config.json.
func ParseConfig(config []byte) (Model, error) { panic("not written yet") }
