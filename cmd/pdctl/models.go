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
		Long:    "models lists the models whose shape is known by name; any other can be given by its config.json.\n\nExit code: 0.",
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
	fmt.Fprintln(t, "NAME\tPARAMETERS\tACTIVE\tLAYERS\tEXPERTS\tATTENTION\tWEIGHTS\tWEIGHTS GB\tKV BYTES/TOKEN (BF16)")
	for _, m := range models {
		fmt.Fprintf(t, "%s\t%.1f B\t%.1f B\t%d\t%s\t%s\t%s\t%.1f\t%.0f\n", m.Name, m.HeldParameters()/1e9, m.ActiveParameters()/1e9, m.Layers,
			experts(m), attention(m), weights(m), m.WeightBytes()/1e9, 2*m.KVElementsPerToken())
	}
	return t.Flush()
}

func experts(m perfmodel.Model) string {
	if m.Experts == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", m.ExpertsPerToken, m.Experts)
}

func attention(m perfmodel.Model) string {
	kind := fmt.Sprintf("GQA %d/%d", m.QueryHeads, m.KVHeads)
	if m.KVRank > 0 {
		kind = fmt.Sprintf("MLA %d", m.KVRank)
	}
	if m.WindowLayers > 0 {
		kind += fmt.Sprintf(", %d layers in %d tokens", m.WindowLayers, m.WindowTokens)
	}
	return kind
}

func weights(m perfmodel.Model) string {
	if m.ExpertWeights != perfmodel.BF16 {
		return string(m.ExpertWeights)
	}
	if m.DenseWeights != perfmodel.BF16 {
		return string(m.DenseWeights)
	}
	return "bf16"
}
