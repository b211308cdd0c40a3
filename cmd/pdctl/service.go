package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
)

// modelOptions say what runs on what. They are the flags that predict, plan and fit have in common.
type modelOptions struct {
	model, gpu    string
	memoryPercent *number
	kv, weights   string
	transferGBps  *number
	engineStepMs  *number
	batchedTokens int
	fit, image    string
	dp, pp        int
	// offloadGBps is the reload of KV cache from a tier below GPU memory; plan's alone.
	offloadGBps float64
}

func (o *modelOptions) add(cmd *cobra.Command) {
	o.memoryPercent = &number{value: 90, low: 0, open: true, high: 100, allowed: "allowed is a percentage above 0 and up to 100"}
	o.transferGBps = &number{high: 1e6, allowed: "allowed is a number from 0 (the GPU's own network) to 1e6"}
	o.engineStepMs = &number{high: 1e6, allowed: "allowed is a number from 0 (the model's own prior) to 1e6"}
	f := cmd.Flags()
	f.StringVar(&o.model, "model", "", "model of the catalogue (pdctl models), or a path to its config.json")
	f.StringVar(&o.gpu, "gpu", "", "GPU of the catalogue (pdctl gpus), or a YAML file with a GPU's peaks")
	f.Var(o.memoryPercent, "memory-percent", "share of GPU memory that the engine takes")
	f.StringVar(&o.kv, "kv-dtype", "auto", "type of the KV cache: bf16, fp8, or auto for what the model asks for")
	f.StringVar(&o.weights, "weight-dtype", "auto", "type of the weights: bf16, fp8, or auto for what the model has")
	f.IntVar(&o.batchedTokens, "max-batched-tokens", 8192, "most tokens of one prefill step: it sizes the activations")
	f.Var(o.transferGBps, "kv-transfer", "bandwidth of a replica's KV transfer in 10^9 bytes/s; 0 is the GPU's own network")
	f.Var(o.engineStepMs, "engine-step-ms", "time that the engine spends on a step outside the GPU; 0 is the model's prior")
	for _, name := range []string{"model", "gpu"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
}

// addFit adds --fit, for the commands that predict.
func (o *modelOptions) addFit(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.fit, "fit", "", "fit file (pdctl fit) of this model and GPU; another TP is rescaled")
	cmd.Flags().StringVar(&o.image, "image", "", "image of the engine: a fit of another one is refused")
}

// addParallel adds the parallelism beside TP.
func (o *modelOptions) addParallel(cmd *cobra.Command) {
	cmd.Flags().IntVar(&o.dp, "dp", 1, "data-parallel groups of --tp GPUs that share the experts of a mixture")
	cmd.Flags().IntVar(&o.pp, "pp", 1, "pipeline stages that the layers are split over, each of --tp GPUs")
}

// find looks the model and the GPU up.
func (o *modelOptions) find() (m perfmodel.Model, g perfmodel.GPU, err error) {
	if m, err = findModel(o.model); err == nil {
		g, err = findGPU(o.gpu)
	}
	return m, g, err
}

// options are those of one replica with the given tensor parallelism; flag names where that was given.
func (o *modelOptions) options(tp int, flag string) (options perfmodel.Options, err error) {
	if tp < 1 {
		return options, usageError("--%s is %d: allowed is 1 or more", flag, tp)
	}
	if o.batchedTokens < 1 {
		return options, usageError("--max-batched-tokens is %d: allowed is 1 or more", o.batchedTokens)
	}
	options = perfmodel.Options{TP: tp, DP: o.dp, PP: o.pp, MemoryFraction: o.memoryPercent.value / 100, MaxBatchedTokens: o.batchedTokens,
		TransferBytesPerSecond: o.transferGBps.value * 1e9, EngineStepMs: o.engineStepMs.value,
		OffloadBytesPerSecond: o.offloadGBps * 1e9}
	if options.KVBytesPerElement, err = elementBytes("kv-dtype", o.kv); err != nil {
		return options, err
	}
	options.WeightBytesPerElement, err = elementBytes("weight-dtype", o.weights)
	return options, err
}

// replica is one replica with the given tensor parallelism: the roofline's view, or with --fit what its service has shown.
// padTokens is the multiple that it was seen to pad prompts up to, 1 for none.
func (o *modelOptions) replica(tp int, flag string) (replica perfmodel.Replica, padTokens int, err error) {
	model, gpu, err := o.find()
	if err != nil {
		return replica, 1, err
	}
	options, err := o.options(tp, flag)
	if err != nil {
		return replica, 1, err
	}
	if o.fit != "" {
		c, err := readFit(o.fit, o.image, model, gpu, options)
		if err != nil {
			return replica, 1, err
		}
		return c.Replica(), c.States[calibrate.Prefill].PadTokens, nil
	}
	if replica, err = perfmodel.NewReplica(model, gpu, options); err != nil {
		return replica, 1, usageError("%w", err)
	}
	return replica, 1, nil
}

func elementBytes(flag, dtype string) (float64, error) {
	switch dtype {
	case "auto":
		return 0, nil
	case "bf16":
		return 2, nil
	case "fp8":
		return 1, nil
	}
	return 0, usageError("--%s is %q: allowed is auto, bf16 or fp8", flag, dtype)
}

// findModel takes a name of the catalogue or the path of a config.json.
func findModel(name string) (perfmodel.Model, error) {
	if !isFile(name) {
		m, err := perfmodel.LookupModel(name)
		if err != nil {
			return m, usageError("--model: %w", err)
		}
		return m, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return perfmodel.Model{}, usageError("--model: %w", err)
	}
	m, err := perfmodel.ParseConfig(data)
	if err != nil {
		return m, usageError("--model %s: %w", name, err)
	}
	if m.Name == "" {
		m.Name = name
	}
	return m, nil
}

// findGPU takes a name of the catalogue or the path of a file with a GPU's peaks.
func findGPU(name string) (perfmodel.GPU, error) {
	if !isFile(name) {
		g, err := perfmodel.LookupGPU(name)
		if err != nil {
			return g, usageError("--gpu: %w", err)
		}
		return g, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return perfmodel.GPU{}, usageError("--gpu: %w", err)
	}
	var g perfmodel.GPU
	if err := yaml.UnmarshalStrict(data, &g); err != nil {
		return g, usageError("--gpu %s: %w; allowed are the keys that pdctl gpus -o yaml shows", name, oneLine(err))
	}
	if g.Name == "" {
		g.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	return g, nil
}

// isFile reports whether a name means a file: it looks like the path of one, or there is one. "Qwen/Qwen3-32B" is a name.
func isFile(name string) bool {
	switch filepath.Ext(name) {
	case ".json", ".yaml", ".yml":
		return true
	}
	info, err := os.Stat(name)
	return err == nil && info.Mode()&fs.ModeType == 0
}

// oneLine puts an error of several lines into one.
func oneLine(err error) error {
	return fmt.Errorf("%s", strings.Join(strings.Fields(err.Error()), " "))
}
