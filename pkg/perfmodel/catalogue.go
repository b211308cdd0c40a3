package perfmodel

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed data/*.json
var dataFiles embed.FS

// GPU is one accelerator's dense peaks. Vendors also print figures with sparsity, twice the dense ones: they do not belong here.
type GPU struct {
	Name      string  `json:"name"`
	Bf16FLOPs float64 `json:"bf16FLOPs"` // FLOP/s
	// FP8FLOPs is 0 where the GPU has no fp8 matrix products.
	FP8FLOPs float64 `json:"fp8FLOPs,omitempty"` // FLOP/s
	// Int8FLOPs and FP4FLOPs are 0 where there are none or they are unknown. No step time uses them yet.
	Int8FLOPs               float64 `json:"int8FLOPs,omitempty"` // FLOP/s
	FP4FLOPs                float64 `json:"fp4FLOPs,omitempty"`  // FLOP/s
	MemoryBytes             float64 `json:"memoryBytes"`
	BandwidthBytesPerSecond float64 `json:"bandwidthBytesPerSecond"`
	// LinkBytesPerSecond is what one GPU sends to the others of its replica (NVLink or PCIe), one way.
	LinkBytesPerSecond float64 `json:"linkBytesPerSecond"`
	// LinkGPUs is how many GPUs those links join; what is wider talks over the network. 0 is 8, a board.
	LinkGPUs int `json:"linkGPUs,omitempty"`
	// NICBytesPerSecond is one GPU's share of the network, one way. 0 is unknown.
	NICBytesPerSecond float64 `json:"nicBytesPerSecond,omitempty"`
	PowerWatts        float64 `json:"powerWatts,omitempty"`
}

type gpuEntry struct {
	GPU
	// Aliases are short names for the form that people mean when they leave it out.
	Aliases []string `json:"aliases,omitempty"`
	// Products are the names that the driver gives this GPU.
	Products []string `json:"products"`
	Source   string   `json:"source"`
}

type modelEntry struct {
	Model
	// Aliases are further names of the same shape.
	Aliases []string `json:"aliases,omitempty"`
	Source  string   `json:"source"`
}

var (
	gpuCatalogue   = sync.OnceValue(func() []gpuEntry { return mustRead[[]gpuEntry]("data/gpus.json") })
	modelCatalogue = sync.OnceValue(func() []modelEntry { return mustRead[[]modelEntry]("data/models.json") })
)

// mustRead reads an embedded file: only a broken build makes it fail, and a test reads them all.
func mustRead[T any](path string) (v T) {
	raw, err := dataFiles.ReadFile(path)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		err = d.Decode(&v)
	}
	if err != nil {
		panic(fmt.Sprintf("perfmodel: embedded file %s: %v", path, err))
	}
	return v
}

// GPUs lists the catalogue, oldest generation first.
func GPUs() []GPU {
	var all []GPU
	for _, e := range gpuCatalogue() {
		all = append(all, e.GPU)
	}
	return all
}

// LookupGPU finds a GPU by its catalogue name or alias ("h200" is the SXM module); case, spaces and hyphens do not matter.
func LookupGPU(name string) (GPU, error) {
	var names []string
	for _, e := range gpuCatalogue() {
		if normal(e.Name) == normal(name) || slices.Contains(e.Aliases, normal(name)) {
			return e.GPU, nil
		}
		names = append(names, e.Name)
	}
	return GPU{}, fmt.Errorf("GPU %q is not in the catalogue: use one of %s, or give its peaks yourself", name, strings.Join(names, ", "))
}

// MatchGPU finds a GPU by the product name that the driver gives it, as DCGM's modelName shows it ("NVIDIA H100 80GB
// HBM3") or as the node label nvidia.com/gpu.product does ("NVIDIA-H100-80GB-HBM3"). A slice of a GPU (MIG) and a GPU
// shared by time-slicing carry a suffix there and are refused: neither has the peaks of the whole.
func MatchGPU(productName string) (GPU, error) {
	want := normal(productName)
	var products []string
	for _, e := range gpuCatalogue() {
		for _, p := range e.Products {
			whole := normal(p)
			if whole == want {
				return e.GPU, nil
			}
			rest, found := strings.CutPrefix(want, whole+"-")
			if found && (strings.HasPrefix(rest, "mig-") || rest == "shared") {
				return GPU{}, fmt.Errorf("GPU product %q is a part of a %s: only whole GPUs are modelled", productName, e.Name)
			}
			products = append(products, p)
		}
	}
	return GPU{}, fmt.Errorf("GPU product %q is unknown: known are %s; name the GPU or give its peaks yourself",
		productName, strings.Join(products, ", "))
}

// Models lists the catalogue by family and size.
func Models() []Model {
	var all []Model
	for _, e := range modelCatalogue() {
		all = append(all, e.Model)
	}
	return all
}

// LookupModel finds a model by its catalogue name or alias; case, an owner before a slash ("Qwen/Qwen3-32B"), the "Meta-" of
// old Llama names and a last "-Instruct" do not matter.
func LookupModel(name string) (Model, error) {
	want := name[strings.LastIndexByte(name, '/')+1:]
	want = strings.TrimSuffix(strings.TrimPrefix(normal(want), "meta-"), "-instruct")
	var names []string
	for _, e := range modelCatalogue() {
		if normal(e.Name) == want || slices.Contains(e.Aliases, want) {
			return e.Model, nil
		}
		names = append(names, e.Name)
	}
	return Model{}, fmt.Errorf("model %q is not in the catalogue: use one of %s, or give its config.json", name, strings.Join(names, ", "))
}

// normal folds what writers of names differ in: case, and spaces, underscores and hyphens.
func normal(name string) string {
	fields := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune(" \t_-", r) })
	return strings.Join(slices.DeleteFunc(fields, func(f string) bool { return f == "" }), "-")
}
