package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

func newGPUs(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "gpus",
		Short:   "List the GPUs of the catalogue",
		Long:    "gpus lists the GPUs whose dense peaks are known by name; any other can be given as a YAML file with the same keys.\n\nExit code: 0.",
		Example: "  pdctl gpus\n  pdctl gpus -o yaml",
		Args:    noArguments,
	}
	output := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		gpus := perfmodel.GPUs()
		return output.write(env.stdout, gpus, func(w io.Writer) error { return gpuTable(w, gpus) })
	}
	return cmd
}

func gpuTable(w io.Writer, gpus []perfmodel.GPU) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tBF16 TFLOP/S\tFP8 TFLOP/S\tINT8\tFP4\tMEMORY GiB\tGB/S\tLINK GB/S\tNETWORK GB/S\tWATTS")
	for _, g := range gpus {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.0f\t%s\t%s\t%s\t%s\n", g.Name, scaled(g.Bf16FLOPs, 1e12), scaled(g.FP8FLOPs, 1e12), scaled(g.Int8FLOPs, 1e12), scaled(g.FP4FLOPs, 1e12), g.MemoryBytes/(1<<30),
			scaled(g.BandwidthBytesPerSecond, 1e9), scaled(g.LinkBytesPerSecond, 1e9), scaled(g.NICBytesPerSecond, 1e9), scaled(g.PowerWatts, 1))
	}
	return t.Flush()
}

// scaled writes a number in a larger unit; 0 is not known, or not there.
func scaled(x, unit float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.6g", x/unit)
}
