package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

func newModels(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "models",
		Short:   "List the models of the catalogue",
		Long:    "models lists the models whose shape is known by name; any other dense model can be given by its config.json.\n\nExit code: 0.",
		Example: "  pdctl models\n  pdctl models -o yaml",
		Args:    noArguments,
	}
	output := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		models := perfmodel.Models()
		return output.write(env.stdout, models, func(w io.Writer) error { return modelTable(w, models) })
	}
	return cmd
}

func modelTable(w io.Writer, models []perfmodel.Model) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tPARAMETERS\tLAYERS\tHIDDEN\tHEADS\tKV HEADS\tHEAD DIM\tFFN\tKV BYTES/TOKEN (BF16)")
	for _, m := range models {
		fmt.Fprintf(t, "%s\t%.1f B\t%d\t%d\t%d\t%d\t%d\t%d\t%.0f\n", m.Name, m.HeldParameters()/1e9, m.Layers, m.Hidden, m.QueryHeads, m.KVHeads,
			m.HeadDim, m.FFN, 2*m.KVElementsPerToken())
	}
	return t.Flush()
}
